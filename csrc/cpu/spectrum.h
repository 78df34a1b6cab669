// All rotations of a line at once, by discrete Fourier transforms of its components.
//
// Component c of a line is its elements lanes * v + c, one lane of all its vectors. A lag of lanes * t + r turns
// component c of x against component c + r of y, t vectors on (t + 1 where c + r passes the last lane). So a transform
// over the vectors of a line does all its components at once without a shuffle, and a sum over lines for all lags is a
// product of spectra, transformed back once at the end. Two lines go together, one as the real part and one as the
// imaginary part: the real part of their product is the sum of the two lines' products.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace weightkin {

class Transform {
public:
    explicit Transform(std::size_t length);  // of lines of so many floats, for the kernels in use

    // False where a line is no whole number of vectors, or their number has a prime factor beyond the kernels'.
    bool exists() const { return !stages_.empty(); }
    // True if that many lags are worth it. Of one pair of tensors, so that the bits are the same with others around.
    bool pays(const std::vector<std::uint32_t>& lags, std::size_t lines) const;
    // In place, of an even number of lines, `stride` floats apart.
    void apply(float* x, std::size_t lines, std::size_t stride) const;
    // out[l] = sum over lines of <x, y rotated by lags[l]>; both are transformed.
    void correlate(const float* x, const float* y, std::size_t lines, std::size_t stride,
                   const std::vector<std::uint32_t>& lags, double* out) const;

private:
    struct Complex {
        double re, im;
    };
    std::vector<std::uint32_t> residues(const std::vector<std::uint32_t>& lags) const;
    void invert(const Complex* from, std::size_t step, std::size_t level, Complex* to) const;

    std::size_t lanes_, vectors_;         // of the kernels; of a line
    std::vector<TransformStage> stages_;  // point into `factors_`
    std::vector<float> factors_;
    std::vector<Complex> turns_;            // exp(2 pi i k / vectors)
    std::vector<std::uint32_t> frequency_;  // of each vector of a transformed line
};

}  // namespace weightkin

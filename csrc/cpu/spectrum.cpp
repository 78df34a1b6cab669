#include "spectrum.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace weightkin {
namespace {

constexpr std::uint32_t kRadices[] = {4, 2, 3, 5, 7, 11, 13};
constexpr std::size_t kLargestRadix = 13;

// Radices whose product is `vectors`, 4 last: the last stage has no factors. None if there are no such.
std::vector<std::uint32_t> factorise(std::size_t vectors) {
    std::vector<std::uint32_t> out;
    for (const std::uint32_t radix : kRadices) {
        for (; vectors % radix == 0; vectors /= radix) out.push_back(radix);
    }
    std::reverse(out.begin(), out.end());
    return vectors == 1 ? out : std::vector<std::uint32_t>{};
}

}  // namespace

Transform::Transform(std::size_t length) : lanes_(kernels().lanes), vectors_(length / lanes_) {
    if (length % lanes_) return;
    const std::vector<std::uint32_t> radices = factorise(vectors_);
    for (std::size_t k = 0; k < vectors_ && !radices.empty(); ++k) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(vectors_);
        turns_.push_back({std::cos(angle), std::sin(angle)});
    }
    const auto add_factor = [&](std::size_t k) {  // exp(-2 pi i k / vectors)
        factors_.push_back(static_cast<float>(turns_[k % vectors_].re));
        factors_.push_back(static_cast<float>(-turns_[k % vectors_].im));
    };
    std::vector<std::size_t> start;
    frequency_.assign(1, 0);
    std::size_t size = vectors_;
    for (const std::uint32_t radix : radices) {
        start.push_back(factors_.size());
        for (std::uint32_t k = 0; k < radix; ++k) add_factor(k * (vectors_ / radix));
        for (std::size_t j = 0; j < size / radix; ++j) {
            for (std::uint32_t q = 1; q < radix; ++q) add_factor(j * q * (vectors_ / size));
        }
        // Part q of what this stage leaves behind will hold the frequencies that leave the remainder q.
        std::vector<std::uint32_t> finer;
        for (const std::uint32_t coarse : frequency_) {
            for (std::uint32_t q = 0; q < radix; ++q) {
                finer.push_back(coarse + q * static_cast<std::uint32_t>(vectors_ / size));
            }
        }
        frequency_ = std::move(finer);
        size /= radix;
    }
    for (std::size_t stage = 0; stage < radices.size(); ++stage) {
        const float* roots = factors_.data() + start[stage];
        stages_.push_back({radices[stage], roots, roots + 2 * radices[stage]});
    }
}

std::vector<std::uint32_t> Transform::residues(const std::vector<std::uint32_t>& lags) const {
    std::vector<std::uint32_t> out;
    for (const std::uint32_t lag : lags) out.push_back(lag % static_cast<std::uint32_t>(lanes_));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

bool Transform::pays(const std::vector<std::uint32_t>& lags, std::size_t lines) const {
    if (!exists()) return false;
    // Measured, in the time of a multiply-add, for each vector of a line.
    double cost = 0;
    for (const TransformStage& stage : stages_) cost += 1.2 * stage.radix;
    cost += static_cast<double>(residues(lags).size()) * (5 + 100 / static_cast<double>(lines));
    return cost < static_cast<double>(lags.size());
}

void Transform::apply(float* x, std::size_t lines, std::size_t stride) const {
    for (std::size_t line = 0; line < lines; line += 2) {
        kernels().transform(x + line * stride, x + (line + 1) * stride, vectors_, stages_.data(), stages_.size());
    }
}

void Transform::correlate(const float* x, const float* y, std::size_t lines, std::size_t stride,
                          const std::vector<std::uint32_t>& lags, double* out) const {
    const std::vector<std::uint32_t> chosen = residues(lags);
    std::vector<double> parts(4 * vectors_ * chosen.size());
    kernels().spectra(x, y, lines, stride, vectors_, chosen.data(), chosen.size(), parts.data());
    std::vector<Complex> spectrum(vectors_), product(vectors_);
    for (std::size_t r = 0; r < chosen.size(); ++r) {
        for (std::size_t v = 0; v < vectors_; ++v) {
            // What passed the last lane lies one vector further.
            const double* part = parts.data() + 4 * (v * chosen.size() + r);
            const std::uint32_t frequency = frequency_[v];
            const Complex& turn = turns_[frequency];
            spectrum[frequency] = {part[0] + turn.re * part[2] - turn.im * part[3],
                                   part[1] + turn.re * part[3] + turn.im * part[2]};
        }
        invert(spectrum.data(), 1, 0, product.data());
        for (std::size_t l = 0; l < lags.size(); ++l) {
            if (lags[l] % lanes_ == chosen[r]) out[l] = product[lags[l] / lanes_].re / static_cast<double>(vectors_);
        }
    }
}

// The inverse transform, without its factor, of every `step`-th number, in float64 and in order.
void Transform::invert(const Complex* from, std::size_t step, std::size_t level, Complex* to) const {
    if (step == vectors_) {
        *to = *from;
        return;
    }
    const std::size_t radix = stages_[level].radix, part = vectors_ / step / radix;
    for (std::size_t k = 0; k < radix; ++k) invert(from + k * step, step * radix, level + 1, to + k * part);
    Complex turned[kLargestRadix];
    for (std::size_t j = 0; j < part; ++j) {
        for (std::size_t k = 0; k < radix; ++k) {
            const Complex &one = to[j + k * part], &turn = turns_[j * k * step];
            turned[k] = {one.re * turn.re - one.im * turn.im, one.re * turn.im + one.im * turn.re};
        }
        if (radix == 4) {  // as the kernels do it, the other way round
            const Complex even{turned[0].re + turned[2].re, turned[0].im + turned[2].im};
            const Complex odd{turned[1].re + turned[3].re, turned[1].im + turned[3].im};
            const Complex low{turned[0].re - turned[2].re, turned[0].im - turned[2].im};
            const Complex high{turned[1].im - turned[3].im, turned[3].re - turned[1].re};  // -i times
            to[j] = {even.re + odd.re, even.im + odd.im}, to[j + part] = {low.re - high.re, low.im - high.im};
            to[j + 2 * part] = {even.re - odd.re, even.im - odd.im},
                       to[j + 3 * part] = {low.re + high.re, low.im + high.im};
            continue;
        }
        for (std::size_t q = 0; q < radix; ++q) {
            Complex sum = turned[0];
            for (std::size_t k = 1; k < radix; ++k) {
                const Complex& root = turns_[k * q % radix * (vectors_ / radix)];
                sum.re += turned[k].re * root.re - turned[k].im * root.im;
                sum.im += turned[k].re * root.im + turned[k].im * root.re;
            }
            to[j + q * part] = sum;
        }
    }
}

}  // namespace weightkin

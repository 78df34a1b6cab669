// Exact histogram of the magnitudes of 16-bit floating-point codes, and quantiles from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace weightkin {

constexpr std::size_t kBins = 1 << 15;  // a code without its sign bit; F32 and F64 by the upper 16 bits of the float32

struct Census {
    std::int64_t nans = 0, infinities = 0;
    double quantile = 0;  // of |x|, interpolated between order statistics as numpy does; NaN if there is a NaN
    bool exact = true;    // false: the quantile lies under the floor, so it is not known
};

// The code that about a tenth of a sample of 16-bit codes reaches: an upper quantile needs no bin below. 0: count all.
std::uint32_t tail_floor(const void* sample, std::size_t count, Element element);

class Histogram {
public:
    Histogram();
    // Magnitudes under `floor` are counted together in bin 0.
    void add(const void* row, std::size_t count, Element element, std::uint32_t floor);
    // Closes what was added since the last call: its census, its counts added to `counts` [kBins], and empty again.
    Census close(double fraction, Element element, std::uint32_t floor, std::int64_t* counts);

private:
    std::vector<std::uint32_t> tables_[4];  // several: a run of equal codes does not wait for its own stores
    std::vector<std::uint32_t> tail_;
    std::int64_t infinities_ = 0, nans_ = 0;
};

}  // namespace weightkin

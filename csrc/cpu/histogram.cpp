#include "histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace weightkin {
namespace {

double bin_value(std::size_t bin, Element element) {
    if (element != kF16) return std::bit_cast<float>(static_cast<std::uint32_t>(bin << 16));
    const int exponent = static_cast<int>(bin >> 10), mantissa = static_cast<int>(bin & 1023);
    if (exponent == 31) return std::numeric_limits<double>::infinity();
    return exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
}

}  // namespace

Histogram::Histogram() {
    for (std::vector<std::uint32_t>& table : tables_) table.resize(kBins);
}

std::uint32_t tail_floor(const void* sample, std::size_t count, Element element) {
    if (!kernels().tail || (element != kBf16 && element != kF16)) return 0;
    std::vector<std::uint16_t> codes(count);
    std::memcpy(codes.data(), sample, 2 * count);
    for (std::uint16_t& code : codes) code &= 0x7fff;
    const auto ninth_tenth = codes.begin() + static_cast<std::ptrdiff_t>(count * 9 / 10);
    std::nth_element(codes.begin(), ninth_tenth, codes.end());
    return *ninth_tenth;
}

void Histogram::add(const void* row, std::size_t count, Element element, std::uint32_t floor) {
    if (floor > 0) {
        tail_.resize(count + 16);
        const std::size_t kept = kernels().tail(row, count, floor, tail_.data());
        for (std::size_t i = 0; i < kept; ++i) ++tables_[i % 4][tail_[i]];
        tables_[0][0] += static_cast<std::uint32_t>(count - kept);
        return;
    }
    const char* from = static_cast<const char*>(row);
    if (element == kBf16 || element == kF16) {
        std::uint32_t *t0 = tables_[0].data(), *t1 = tables_[1].data(), *t2 = tables_[2].data(),
                      *t3 = tables_[3].data();
        std::size_t i = 0;
        for (; i + 4 <= count; i += 4) {
            std::uint64_t codes;
            std::memcpy(&codes, from + 2 * i, 8);
            ++t0[codes & 0x7fff];
            ++t1[(codes >> 16) & 0x7fff];
            ++t2[(codes >> 32) & 0x7fff];
            ++t3[(codes >> 48) & 0x7fff];
        }
        for (; i < count; ++i) {
            std::uint16_t code;
            std::memcpy(&code, from + 2 * i, 2);
            ++t0[code & 0x7fff];
        }
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        double value;
        if (element == kF32) {
            float narrow;
            std::memcpy(&narrow, from + 4 * i, 4);
            value = narrow;
        } else {
            std::memcpy(&value, from + 8 * i, 8);
        }
        infinities_ += std::isinf(value);
        nans_ += std::isnan(value);
        ++tables_[0][(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16) & 0x7fff];
    }
}

Census Histogram::close(double fraction, Element element, std::uint32_t floor, std::int64_t* counts) {
    const std::size_t infinity = element == kF16 ? 0x7c00 : 0x7f80;
    Census out;
    out.nans = nans_, out.infinities = infinities_;
    std::int64_t total = 0;
    std::vector<std::uint32_t>& merged = tables_[0];
    for (std::size_t bin = 0; bin < kBins; ++bin) {
        merged[bin] += tables_[1][bin] + tables_[2][bin] + tables_[3][bin];
        counts[bin] += merged[bin];
        total += merged[bin];
    }
    if (element == kBf16 || element == kF16) {
        out.infinities = merged[infinity];
        for (std::size_t bin = infinity + 1; bin < kBins; ++bin) out.nans += merged[bin];
    }
    const double position = fraction * static_cast<double>(total - 1);
    const auto lower_rank = static_cast<std::int64_t>(std::floor(position));
    std::int64_t below = total;  // order statistics with a rank under `below` lie in this bin or a lower one
    double lower = 0, upper = 0;
    std::size_t bin = kBins;
    while (bin > 0 && below > lower_rank) {
        below -= merged[--bin];
        if (merged[bin] == 0) continue;
        if (below <= lower_rank + 1 && lower_rank + 1 < below + merged[bin]) upper = bin_value(bin, element);
        if (below <= lower_rank) lower = bin_value(bin, element);
    }
    if (lower_rank + 1 >= total) upper = lower;
    out.exact = floor == 0 || lower_rank >= merged[0];
    out.quantile = out.nans ? std::numeric_limits<double>::quiet_NaN()
                            : lower + (position - static_cast<double>(lower_rank)) * (upper - lower);
    for (std::vector<std::uint32_t>& table : tables_) std::fill(table.begin(), table.end(), 0u);
    nans_ = infinities_ = 0;
    return out;
}

}  // namespace weightkin

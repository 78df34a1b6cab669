#include "sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "histogram.h"

namespace weightkin {
namespace {

// Where float32 lanes are not enough, the block is summed again in float64:
//   * a mean above 3 % of the root mean square, since Pearson subtracts it and would magnify the error;
//   * products that overflow float32, or so small that they lose bits there.
// What is left keeps cosine and Pearson within 1e-6 (the sums are within 4.2e-7, gram.inl).
bool needs_float64(const double* gram, const double* sum, int count, double size) {
    for (int i = 0; i < count; ++i) {
        const double square = gram[i * count + i];
        if (std::isnan(square)) continue;  // a NaN or infinite element: float64 would say the same
        if (!std::isfinite(square) || sum[i] * sum[i] > 1e-3 * size * square) return true;
        if (square < size * 1e-36) return true;
    }
    return false;
}

class Rows {
public:
    Rows(const SweepRequest& request, Dtype dtype)
        : request_(request), dtype_(dtype), scratch_(request.operands.size()), rows_(request.operands.size()) {}

    // Calls use(rows, elements) for each tile of elements [begin, end).
    template <class Use>
    void each_tile(std::int64_t begin, std::int64_t end, Use use) {
        for (std::int64_t at = begin; at < end;) {
            const std::int64_t count = std::min(static_cast<std::int64_t>(request_.tile), end - at);
            for (std::size_t i = 0; i < rows_.size(); ++i) {
                rows_[i] = row(request_.operands[i], at, count, dtype_, scratch_[i]);
            }
            use(rows_.data(), static_cast<std::size_t>(count));
            at += count;
        }
    }

private:
    const SweepRequest& request_;
    Dtype dtype_;
    std::vector<std::vector<char>> scratch_;
    std::vector<const void*> rows_;
};

template <class Use>
void each_pair(int count, Use use) {
    int pair = 0;
    for (int i = 0; i < count; ++i) {
        for (int j = i + 1; j < count; ++j) use(i, j, pair++);
    }
}

std::int64_t count_unequal(const char* x, const char* y, std::size_t count, std::size_t item) {
    if (std::memcmp(x, y, count * item) == 0) return 0;
    std::int64_t out = 0;
    for (std::size_t i = 0; i < count; ++i) out += std::memcmp(x + i * item, y + i * item, item) != 0;
    return out;
}

constexpr std::int64_t kTailSize = 1 << 16;  // elements from which a sample of one chunk pays

// Redoes in float64 what float32 lanes could not hold. `gram` is null if it was not asked for.
void widen(Rows& rows, std::int64_t begin, std::int64_t end, Element element, int count, double* gram, double* sum,
           std::vector<Difference>& difference) {
    const Kernels& table = kernels();
    if (gram && table.gram[element] != table.gram_wide[element] &&
        needs_float64(gram, sum, count, static_cast<double>(end - begin))) {
        std::fill_n(gram, count * count, 0.0);
        std::fill_n(sum, count, 0.0);
        rows.each_tile(begin, end, [&](const void* const* x, std::size_t size) {
            table.gram_wide[element](x, count, size, gram, sum);
        });
    }
    const auto overflowed = [](const Difference& one) { return std::isinf(one.max_abs); };
    if (std::any_of(difference.begin(), difference.end(), overflowed)) {
        std::fill(difference.begin(), difference.end(), Difference{});
        rows.each_tile(begin, end, [&](const void* const* x, std::size_t size) {
            each_pair(count, [&](int i, int j, int pair) {
                table.difference_wide[element](x[i], x[j], size, &difference[static_cast<std::size_t>(pair)]);
            });
        });
    }
}

}  // namespace

void sweep(const SweepRequest& request, const SweepResult& result) {
    const int count = static_cast<int>(request.operands.size()), pairs = count * (count - 1) / 2;
    const Dtype dtype = common_dtype(request.operands);
    const auto element = static_cast<Element>(dtype);  // if it is no integer
    const Kernels& table = kernels();
    Rows rows(request, dtype);
    std::vector<Histogram> histograms(request.difference && !is_integer(dtype) ? count : 0);
    std::vector<std::uint32_t> floors(static_cast<std::size_t>(count), 0);
    const std::int64_t size = request.operands[0].size();
    if (!histograms.empty() && !request.whole_histogram && size >= kTailSize) {
        // From the start of the tensor, whatever blocks this call has: so all calls agree.
        rows.each_tile(0, kChunk, [&](const void* const* x, std::size_t sample) {
            for (int i = 0; i < count; ++i) floors[i] = tail_floor(x[i], sample, element);
        });
    }
    for (std::size_t block = 0; block + 1 < request.bounds.size(); ++block) {
        const std::int64_t begin = request.bounds[block], end = request.bounds[block + 1];
        double *gram = result.gram + block * count * count, *sum = result.sum + block * count;
        std::vector<Difference> difference(static_cast<std::size_t>(pairs));
        rows.each_tile(begin, end, [&](const void* const* x, std::size_t size) {
            if (is_integer(dtype)) {
                each_pair(count, [&](int i, int j, int pair) {
                    difference[pair].unequal += count_unequal(static_cast<const char*>(x[i]),
                                                              static_cast<const char*>(x[j]), size, item_size(dtype));
                });
                return;
            }
            if (request.gram) table.gram[element](x, count, size, gram, sum);
            if (!request.difference) return;
            each_pair(count,
                      [&](int i, int j, int pair) { table.difference[element](x[i], x[j], size, &difference[pair]); });
            for (int i = 0; i < count; ++i) histograms[i].add(x[i], size, element, floors[i]);
        });
        if (!is_integer(dtype)) widen(rows, begin, end, element, count, request.gram ? gram : nullptr, sum, difference);
        std::copy(difference.begin(), difference.end(), result.difference + block * pairs);
        each_pair(count, [&](int i, int j, int) { gram[j * count + i] = gram[i * count + j]; });
        for (std::size_t i = 0; i < histograms.size(); ++i) {
            Census census = histograms[i].close(request.fraction, element, floors[i], result.histogram + i * kBins);
            if (!census.exact) {  // a block unlike the start of its tensor: counted again, for itself alone
                rows.each_tile(begin, end, [&](const void* const* x, std::size_t size) {
                    histograms[i].add(x[i], size, element, 0);
                });
                std::vector<std::int64_t> counts(kBins);
                census = histograms[i].close(request.fraction, element, 0, counts.data());
            }
            result.nans[block * count + i] = census.nans;
            result.infinities[block * count + i] = census.infinities;
            result.quantile[block * count + i] = census.quantile;
        }
    }
}

}  // namespace weightkin

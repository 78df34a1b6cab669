#include "lagged.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>

namespace weightkin {
namespace {

constexpr std::size_t kPad = 16;   // floats of the widest vector: kernels read whole vectors
constexpr double kConstant = 0.9;  // share of equal entries beyond which a vector counts as constant

// Floats that start at a cache line: what the kernel loads from a shifted copy then never straddles two.
class AlignedFloats {
public:
    explicit AlignedFloats(std::size_t size) : data_(static_cast<float*>(::operator new[](4 * size, kAlignment))) {
        std::fill_n(data_, size, 0.0f);
    }
    ~AlignedFloats() { ::operator delete[](data_, kAlignment); }
    AlignedFloats(const AlignedFloats&) = delete;
    AlignedFloats& operator=(const AlignedFloats&) = delete;
    float* data() { return data_; }

private:
    static constexpr std::align_val_t kAlignment{64};
    float* data_;
};

// Gains are left out: they scale channels, and balancing takes the scale of a channel away again.
void read_line(const Operand& operand, std::size_t axis, std::int64_t line, std::vector<char>& scratch, float* to) {
    Operand one{operand.data, operand.dtype, {operand.shape[axis]}, {operand.strides[axis]}};
    for (std::size_t other = operand.shape.size(); other-- > 0;) {
        if (other == axis) continue;
        const std::int64_t at = line % operand.shape[other];
        one.data += (operand.gathers(other) ? operand.rows[at] : at) * operand.strides[other];
        line /= operand.shape[other];
    }
    if (operand.gathers(axis)) one.rows = operand.rows;
    const std::int64_t length = one.shape[0];
    std::memcpy(to, row(one, 0, length, Dtype::f32, scratch), static_cast<std::size_t>(length) * sizeof(float));
}

// Ranks from 0 in place of values, the mean rank for equal ones (bf16 gains have many). False if one value fills more
// than kConstant of them.
bool rank(float* x, std::size_t length) {
    std::vector<std::uint32_t> order(length);
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [x](std::uint32_t a, std::uint32_t b) { return x[a] < x[b]; });
    const std::vector<float> value(x, x + length);
    std::size_t longest = 0;
    for (std::size_t first = 0, last = 0; first < length; first = last) {
        while (last < length && value[order[last]] == value[order[first]]) ++last;
        longest = std::max(longest, last - first);
        const float mean = static_cast<float>(first + last - 1) / 2;
        for (std::size_t i = first; i < last; ++i) x[order[i]] = mean;
    }
    return static_cast<double>(longest) <= kConstant * static_cast<double>(length);
}

// Centred and of norm 1.
void scale_to_unit(float* x, std::size_t length) {
    const double mean = std::accumulate(x, x + length, 0.0) / static_cast<double>(length);
    double square = 0;
    for (std::size_t i = 0; i < length; ++i) square += (x[i] - mean) * (x[i] - mean);
    for (std::size_t i = 0; i < length; ++i) x[i] = static_cast<float>((x[i] - mean) / std::sqrt(square));
}

// False if there is no statistic.
bool balance(float* x, std::size_t lines, std::size_t length, std::size_t stride) {
    if (lines == 1) {
        if (!std::all_of(x, x + length, [](float value) { return std::isfinite(value); }) || !rank(x, length))
            return false;
        scale_to_unit(x, length);
        return true;
    }
    std::vector<float> room(stride + 2 * lines);
    return kernels().balance(x, lines, length, stride, room.data());
}

}  // namespace

void lagged(const LaggedRequest& request, double* out) {
    const std::size_t count = request.operands.size(), lags = request.lags.size(), lines = request.lines.size();
    const std::size_t length = static_cast<std::size_t>(request.operands[0].shape[request.axis]);
    // Kernels want equal remainders modulo their vector width side by side.
    const std::size_t lanes = kernels().lanes;
    std::vector<std::uint32_t> slot(lags), lag(lags);
    std::iota(slot.begin(), slot.end(), 0u);
    std::sort(slot.begin(), slot.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto key = [&](std::uint32_t s) { return std::pair(request.lags[s] % lanes, request.lags[s]); };
        return key(a) < key(b);
    });
    std::transform(slot.begin(), slot.end(), lag.begin(), [&](std::uint32_t s) { return request.lags[s]; });

    // x is padded with zeros, so what the padded part of y holds does not matter; y stands twice for the rotation.
    const std::size_t stride = (length + kPad) / kPad * kPad;
    AlignedFloats x(count * lines * stride), y(2 * stride + 2 * kPad), shifted(2 * stride + 2 * kPad);
    std::vector<bool> usable(count);
    std::vector<char> scratch;
    for (std::size_t i = 0; i < count; ++i) {
        float* rows = x.data() + i * lines * stride;
        for (std::size_t line = 0; line < lines; ++line) {
            read_line(request.operands[i], request.axis, request.lines[line], scratch, rows + line * stride);
        }
        usable[i] = balance(rows, lines, length, stride);
    }
    const std::size_t pairs = count * (count - 1) / 2, parts = lanes / 2;
    std::vector<double> sums(pairs * lags * parts);
    for (std::size_t j = 1; j < count; ++j) {
        for (std::size_t line = 0; line < lines; ++line) {
            const float* from = x.data() + (j * lines + line) * stride;
            std::copy_n(from, length, y.data());
            std::copy_n(from, length, y.data() + length);
            for (std::size_t i = 0; i < j; ++i) {
                if (!usable[i] || !usable[j]) continue;
                const std::size_t pair = i * count - i * (i + 1) / 2 + j - i - 1;
                kernels().lagged(x.data() + (i * lines + line) * stride, y.data(), length, lag.data(), lags,
                                 shifted.data(), sums.data() + pair * lags * parts);
            }
        }
    }
    for (std::size_t pair = 0; pair < pairs; ++pair) {
        for (std::size_t l = 0; l < lags; ++l) {
            const double* part = sums.data() + (pair * lags + l) * parts;
            out[pair * lags + slot[l]] = std::accumulate(part, part + parts, 0.0);
        }
    }
}

}  // namespace weightkin

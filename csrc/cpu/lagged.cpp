#include "lagged.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>

#include "spectrum.h"

namespace weightkin {
namespace {

constexpr std::size_t kPad = 16;   // floats of the widest vector: kernels read whole vectors
constexpr double kConstant = 0.9;  // share of equal entries beyond which a vector counts as constant

// Floats that start at a cache line: what the kernel loads from a shifted copy then never straddles two.
class AlignedFloats {
public:
    explicit AlignedFloats(std::size_t size) : data_(static_cast<float*>(::operator new[](4 * size, kAlignment))) {}
    ~AlignedFloats() { ::operator delete[](data_, kAlignment); }
    AlignedFloats(const AlignedFloats&) = delete;
    AlignedFloats& operator=(const AlignedFloats&) = delete;
    float* data() { return data_; }

private:
    static constexpr std::align_val_t kAlignment{64};
    float* data_;
};

// The lines of an operand along one axis. Gains are left out: they scale channels, and balancing takes the scale of a
// channel away again.
class Lines {
public:
    Lines(const Operand& operand, std::size_t axis)
        : operand_(operand),
          axis_(axis),
          one_{operand.data, operand.dtype, {operand.shape[axis]}, {operand.strides[axis]}} {
        if (operand.gathers(axis)) one_.rows = operand.rows;
    }

    // Number `line` over the other axes in row-major order.
    void read(std::int64_t line, float* to) {
        one_.data = operand_.data;
        for (std::size_t other = operand_.shape.size(); other-- > 0;) {
            if (other == axis_) continue;
            const std::int64_t at = line % operand_.shape[other];
            one_.data += (operand_.gathers(other) ? operand_.rows[at] : at) * operand_.strides[other];
            line /= operand_.shape[other];
        }
        fill(one_, 0, one_.shape[0], Dtype::f32, reinterpret_cast<char*>(to));
    }

private:
    const Operand& operand_;
    std::size_t axis_;
    Operand one_;
};

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
    std::vector<float> room(stride);
    return kernels().balance(x, lines, length, stride, room.data());
}

std::size_t pair_of(std::size_t i, std::size_t j, std::size_t count) { return i * count - i * (i + 1) / 2 + j - i - 1; }

// Lag by lag, where there are few of them. Pairs that `usable` leaves out stay as they are.
void multiply(const float* x, std::size_t lines, std::size_t length, std::size_t stride,
              const std::vector<bool>& usable, const std::vector<std::uint32_t>& wanted, double* out) {
    // Kernels want equal remainders modulo their vector width side by side.
    const std::size_t count = usable.size(), lags = wanted.size(), lanes = kernels().lanes;
    std::vector<std::uint32_t> slot(lags), lag(lags);
    std::iota(slot.begin(), slot.end(), 0u);
    std::sort(slot.begin(), slot.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto key = [&](std::uint32_t s) { return std::pair(wanted[s] % lanes, wanted[s]); };
        return key(a) < key(b);
    });
    std::transform(slot.begin(), slot.end(), lag.begin(), [&](std::uint32_t s) { return wanted[s]; });
    // x is padded with zeros, so what the padded part of y holds does not matter; y stands twice for the rotation.
    AlignedFloats y(2 * stride + 2 * kPad), shifted(2 * stride + 2 * kPad);
    std::fill_n(y.data(), 2 * stride + 2 * kPad, 0.0f);
    const std::size_t pairs = count * (count - 1) / 2, parts = lanes / 2;
    std::vector<double> sums(pairs * lags * parts);
    for (std::size_t j = 1; j < count; ++j) {
        for (std::size_t line = 0; line < lines; ++line) {
            const float* from = x + (j * lines + line) * stride;
            std::copy_n(from, length, y.data());
            std::copy_n(from, length, y.data() + length);
            for (std::size_t i = 0; i < j; ++i) {
                if (!usable[i] || !usable[j]) continue;
                kernels().lagged(x + (i * lines + line) * stride, y.data(), length, lag.data(), lags, shifted.data(),
                                 sums.data() + pair_of(i, j, count) * lags * parts);
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

// All lags together, of lines that are transformed.
void correlate(const Transform& transform, const float* x, std::size_t lines, std::size_t stride,
               const std::vector<bool>& usable, const std::vector<std::uint32_t>& lags, double* out) {
    const std::size_t count = usable.size(), size = lines * stride;
    for (std::size_t j = 1; j < count; ++j) {
        for (std::size_t i = 0; i < j; ++i) {
            if (!usable[i] || !usable[j]) continue;
            transform.correlate(x + i * size, x + j * size, lines, stride, lags,
                                out + pair_of(i, j, count) * lags.size());
        }
    }
}

}  // namespace

void lagged(const LaggedRequest& request, double* out) {
    const std::size_t count = request.operands.size(), lines = request.lines.size();
    const std::size_t length = static_cast<std::size_t>(request.operands[0].shape[request.axis]);
    const std::size_t stride = (length + kPad) / kPad * kPad;
    const Transform transform(length);
    const bool together = transform.pays(request.lags, lines);
    const std::size_t room = together ? (lines + 1) / 2 * 2 : lines;  // complex lines are two
    AlignedFloats x(count * room * stride);
    std::vector<bool> usable(count);
    for (std::size_t i = 0; i < count; ++i) {
        float* rows = x.data() + i * room * stride;
        Lines source(request.operands[i], request.axis);
        for (std::size_t line = 0; line < room; ++line) {
            float* const to = rows + line * stride;
            if (line < lines) source.read(request.lines[line], to);
            std::fill(to + (line < lines ? length : 0), to + stride, 0.0f);
        }
        usable[i] = balance(rows, lines, length, stride);
        if (together && usable[i]) transform.apply(rows, room, stride);
    }
    if (together) {
        correlate(transform, x.data(), room, stride, usable, request.lags, out);
    } else {
        multiply(x.data(), lines, length, stride, usable, request.lags, out);
    }
}

}  // namespace weightkin

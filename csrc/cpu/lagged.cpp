#include "lagged.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>

namespace weightkin {
namespace {

constexpr std::size_t kPad = 16;  // floats of the widest vector: kernels read whole vectors

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

// One line as float32, centred: float32 sums then keep the digits that tell lags apart, even of norm gains near 1.
void read_line(const Operand& operand, std::size_t axis, std::int64_t line, std::vector<char>& scratch, float* to) {
    Operand one{operand.data, operand.dtype, {operand.shape[axis]}, {operand.strides[axis]}};
    for (std::size_t other = operand.shape.size(); other-- > 0;) {
        if (other == axis) continue;
        one.data += line % operand.shape[other] * operand.strides[other];
        line /= operand.shape[other];
    }
    const std::int64_t length = one.shape[0];
    const void* values = row(one, 0, length, Dtype::f32, scratch);
    std::memcpy(to, values, static_cast<std::size_t>(length) * sizeof(float));
    double sums[8] = {};  // several, so that no addition waits for the one before
    for (std::int64_t i = 0; i < length; ++i) sums[i % 8] += to[i];
    const double mean = std::accumulate(sums, sums + 8, 0.0) / static_cast<double>(length);
    for (std::int64_t i = 0; i < length; ++i) to[i] = static_cast<float>(to[i] - mean);
}

}  // namespace

void lagged(const LaggedRequest& request, double* out) {
    const std::size_t count = request.operands.size(), lags = request.lags.size();
    const std::size_t length = static_cast<std::size_t>(request.operands[0].shape[request.axis]);
    // Kernels want equal remainders modulo their vector width side by side; sorting by the widest serves the others.
    std::vector<std::uint32_t> slot(lags), lag(lags);
    std::iota(slot.begin(), slot.end(), 0u);
    const std::size_t lanes = kernels().lanes;
    std::sort(slot.begin(), slot.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto key = [&](std::uint32_t s) { return std::pair(request.lags[s] % lanes, request.lags[s]); };
        return key(a) < key(b);
    });
    std::transform(slot.begin(), slot.end(), lag.begin(), [&](std::uint32_t s) { return request.lags[s]; });

    // x is padded with zeros, so what the padded part of y holds does not matter; y stands twice for the rotation.
    const std::size_t padded = (length + kPad) / kPad * kPad;
    AlignedFloats x(count * padded), y(2 * padded + 2 * kPad), shifted(2 * padded + 2 * kPad);
    std::vector<char> scratch;
    for (const std::int64_t line : request.lines) {
        for (std::size_t i = 0; i < count; ++i) {
            read_line(request.operands[i], request.axis, line, scratch, x.data() + i * padded);
        }
        for (std::size_t j = 1; j < count; ++j) {
            std::copy_n(x.data() + j * padded, length, y.data());
            std::copy_n(x.data() + j * padded, length, y.data() + length);
            for (std::size_t i = 0; i < j; ++i) {
                const std::size_t pair = i * count - i * (i + 1) / 2 + j - i - 1;
                kernels().lagged(x.data() + i * padded, y.data(), length, lag.data(), slot.data(), lags, shifted.data(),
                                 out + pair * lags);
            }
        }
    }
}

}  // namespace weightkin

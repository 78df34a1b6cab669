#include "cross_gram_side.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace weightkin {

Side::Side(const std::vector<Operand>& operands, std::int64_t depth, Dtype dtype, bool right)
    : rows(0), dtype_(dtype), kernel_(kernels().cross_gram[static_cast<int>(dtype)]), right_(right) {
    for (const Operand& operand : operands) {
        for (std::int64_t row = 0; row < operand.shape[0]; ++row) places_.emplace_back(operands_.size(), row * depth);
        operands_.push_back(operand);
        operands_.back().collapse();
    }
    rows = places_.size();
    strip_rows = right ? kernel_.right_rows : kernel_.left_rows;
    strips = (rows + strip_rows - 1) / strip_rows;
    panel_bytes = strips * strip_rows * row_bytes();
}

std::size_t Side::padded_slots(std::size_t count) const {
    const std::size_t grain = kSlotGrain * kernel_.slot_elements;
    return (count + grain - 1) / grain * kSlotGrain;
}

void Side::pack(std::size_t strip, std::int64_t begin, std::size_t count, char* packed, double* sum, double* square,
                std::vector<Extreme>& extremes) const {
    static thread_local std::vector<char> scratch;
    static thread_local Buffer unarranged = aligned_buffer(64 * kPanelSlots * sizeof(double));
    char* const to = packed + strip * strip_bytes();
    const std::size_t slots = padded_slots(count);
    for (std::size_t i = 0; i < strip_rows; ++i) {
        char* const slot = (right_ ? unarranged.get() : to) + i * row_bytes();
        const std::size_t row = strip * strip_rows + i;
        if (row >= rows) {
            std::memset(slot, 0, slots * kernel_.slot_bytes);
            continue;
        }
        const void* from = elements(row, begin, count, scratch);
        double row_sum = 0, row_square = 0;
        if (!kernel_.pack(from, count, slots, slot, &row_sum, &row_square)) {
            find_extremes(row, count, slot, extremes);
            row_sum = row_square = 0;
            kernels().gram_wide[static_cast<int>(dtype_)](&from, 1, count, &row_square, &row_sum);
        }
        if (sum) sum[row] += row_sum, square[row] += row_square;
    }
    if (right_) kernel_.arrange(unarranged.get(), slots, to);
}

char* Side::element(char* packed, std::size_t row, std::size_t place) const {
    const std::size_t slot = place / kernel_.slot_elements, i = row % strip_rows;
    const std::size_t at = right_ ? slot * strip_rows + i : i * kPanelSlots + slot;
    return packed + row / strip_rows * strip_bytes() + at * kernel_.slot_bytes + part(place);
}

double Side::value(const char* element) const {
    if (kernel_.slot_elements == 1) {
        float out;
        std::memcpy(&out, element, sizeof out);
        return out;
    }
    std::uint16_t code;
    std::memcpy(&code, element, sizeof code);
    return std::bit_cast<float>(std::uint32_t{code} << 16);
}

void Side::clear(char* element) const { std::memset(element, 0, kernel_.slot_bytes / kernel_.slot_elements); }

std::size_t Side::part(std::size_t place) const {
    return place % kernel_.slot_elements * (kernel_.slot_bytes / kernel_.slot_elements);
}

const void* Side::elements(std::size_t row, std::int64_t begin, std::size_t count, std::vector<char>& scratch) const {
    const auto [operand, first] = places_[row];
    const void* from =
        weightkin::row(operands_[operand], first + begin, static_cast<std::int64_t>(count), dtype_, scratch);
    if (from == scratch.data()) return from;
    // The next panel of this row comes while this panel is worked on. The hardware follows no hundred streams.
    const std::size_t bytes = count * item_size(dtype_);
    for (std::size_t line = 0; line < bytes; line += 64) {
        __builtin_prefetch(static_cast<const char*>(from) + bytes + line, 0, 2);
    }
    return from;
}

void Side::find_extremes(std::size_t row, std::size_t count, const char* slots, std::vector<Extreme>& extremes) const {
    for (std::size_t place = 0; place < count; ++place) {
        const double x = value(slots + place / kernel_.slot_elements * kernel_.slot_bytes + part(place));
        const bool usual = x == 0 || (std::abs(x) >= 0x1p-55 && std::abs(x) <= 0x1p60);
        if (!usual) extremes.push_back({row, place, x});
    }
}

void settle(const Side& left, const Side& right, char* packed_left, char* packed_right,
            const std::vector<Extreme>& left_extremes, const std::vector<Extreme>& right_extremes, Sums sums) {
    for (const Extreme& one : left_extremes) {
        for (std::size_t j = 0; j < right.rows; ++j) {
            sums.out[one.row * sums.stride + j] += one.value * right.value(right.element(packed_right, j, one.place));
        }
    }
    for (const Extreme& one : left_extremes) left.clear(left.element(packed_left, one.row, one.place));
    for (const Extreme& one : right_extremes) {
        for (std::size_t i = 0; i < left.rows; ++i) {
            sums.out[i * sums.stride + one.row] += left.value(left.element(packed_left, i, one.place)) * one.value;
        }
    }
    for (const Extreme& one : right_extremes) right.clear(right.element(packed_right, one.row, one.place));
}

}  // namespace weightkin

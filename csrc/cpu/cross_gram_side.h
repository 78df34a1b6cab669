// The rows of one side of a cross_gram, cut into strips, and their elements, cut into panels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "operand.h"

namespace weightkin {

struct FreeAligned {
    void operator()(char* data) const { ::operator delete[](data, std::align_val_t{64}); }
};
using Buffer = std::unique_ptr<char[], FreeAligned>;

inline Buffer aligned_buffer(std::size_t bytes) {
    return Buffer(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
}

// An element that float32 lanes cannot multiply: it counts in float64, and as zero in the packed panel.
struct Extreme {
    std::size_t row, place;  // element of the panel
    double value;
};

// Of one panel: out[i * stride + j].
struct Sums {
    double* out;
    std::size_t stride;
};

class Side {
public:
    std::size_t rows, strip_rows, strips, panel_bytes;

    Side(const std::vector<Operand>& operands, std::int64_t depth, Dtype dtype, bool right);

    std::size_t row_bytes() const { return kPanelSlots * kernel_.slot_bytes; }
    std::size_t strip_bytes() const { return strip_rows * row_bytes(); }
    std::size_t padded_slots(std::size_t count) const;

    // One strip of a panel, at its place in `packed`. Adds to sum and square of its rows, if they are not null.
    void pack(std::size_t strip, std::int64_t begin, std::size_t count, char* packed, double* sum, double* square,
              std::vector<Extreme>& extremes) const;

    // The packed element of a row at a place of its panel.
    char* element(char* packed, std::size_t row, std::size_t place) const;
    double value(const char* element) const;
    void clear(char* element) const;

private:
    std::vector<Operand> operands_;
    std::vector<std::pair<std::size_t, std::int64_t>> places_;  // of each row: its operand, its first element
    Dtype dtype_;
    const CrossGramKernel& kernel_;
    bool right_;

    std::size_t part(std::size_t place) const;
    const void* elements(std::size_t row, std::int64_t begin, std::size_t count, std::vector<char>& scratch) const;
    void find_extremes(std::size_t row, std::size_t count, const char* slots, std::vector<Extreme>& extremes) const;
};

// Adds the products of extreme elements and takes these out of the packed panels.
void settle(const Side& left, const Side& right, char* packed_left, char* packed_right,
            const std::vector<Extreme>& left_extremes, const std::vector<Extreme>& right_extremes, Sums sums);

}  // namespace weightkin

// A strided tensor in mapped bytes, and how a run of its elements becomes a contiguous row for a kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pack.h"

namespace weightkin {

struct Operand {
    const char* data = nullptr;  // element (0, 0, ...)
    Dtype dtype = Dtype::bf16;
    std::vector<std::int64_t> shape, strides;  // strides in bytes
    const std::int64_t* rows = nullptr;        // entry i of `gather_axis` lies where entry rows[i] would: a gather
    std::size_t gather_axis = 0;
    const float* gain = nullptr;  // element e, counted after the gather, is times gain[e / gain_inner % gain_extent]
    std::int64_t gain_inner = 1, gain_extent = 1;

    std::int64_t size() const;
    // Merges axes that are adjacent in memory, so that a contiguous tensor has one axis; a gather keeps its own.
    void collapse();
    bool contiguous() const;
    bool gathers(std::size_t axis) const { return rows && axis == gather_axis; }
};

// The type in which operands of these types meet exactly: the common one, else F32, or F64 if any is F64. Integers
// meet only their own kind. F8 is read as BF16, which holds every value of it. With a gain, at least F32.
Dtype common_dtype(const std::vector<Operand>& operands);

// Writes elements [begin, begin + count) of `operand` (logical row-major order) as `dtype`.
void fill(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype, char* to);

// A pointer to elements [begin, begin + count) of `operand` as `dtype`: into the mapping where they lie contiguous in
// that type, else into `scratch`, which is filled.
const void* row(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype,
                std::vector<char>& scratch);

}  // namespace weightkin

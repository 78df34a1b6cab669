// Storage types, and how elements that lie apart become a contiguous run of a type that kernels read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels.h"

namespace weightkin {

// Storage types. The kernels' own four come first, so that the two enumerations agree on them.
enum class Dtype : int {
    bf16,
    f16,
    f32,
    f64,
    f8_e4m3,
    f8_e5m2,
    i8,
    i16,
    i32,
    i64
};  // iN: N bits, compared for equality

Dtype parse_dtype(const std::string& name);  // a safetensors name; throws std::invalid_argument
std::size_t item_size(Dtype dtype);
bool is_integer(Dtype dtype);

// `count` elements, `stride` bytes apart, as `to_dtype`: their own type, one that holds every value of it, or F32.
void pack_strided(const char* from, std::int64_t stride, std::int64_t count, Dtype from_dtype, Dtype to_dtype,
                  char* to);
// Likewise of the elements that lie rows[0], rows[1], ... strides from `from`.
void pack_gathered(const char* from, const std::int64_t* rows, std::int64_t stride, std::int64_t count,
                   Dtype from_dtype, Dtype to_dtype, char* to);

}  // namespace weightkin

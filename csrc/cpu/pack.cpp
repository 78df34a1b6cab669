#include "pack.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace weightkin {
namespace {

struct Name {
    const char* name;
    Dtype dtype;
};
constexpr Name kNames[] = {
    {"BF16", Dtype::bf16}, {"F16", Dtype::f16}, {"F32", Dtype::f32},         {"F64", Dtype::f64},
    {"I8", Dtype::i8},     {"U8", Dtype::i8},   {"F8_E4M3", Dtype::f8_e4m3}, {"F8_E5M2", Dtype::f8_e5m2},
    {"BOOL", Dtype::i8},   {"I16", Dtype::i16}, {"U16", Dtype::i16},         {"I32", Dtype::i32},
    {"U32", Dtype::i32},   {"I64", Dtype::i64}, {"U64", Dtype::i64},
};

std::uint16_t bf16_of(double value) {  // exact for every F8 value
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16);
}

// BF16 codes of all 256 values. NaNs keep their payload, so that different codes stay different.
struct F8Table {
    std::uint16_t code[256];
    F8Table(int mantissa_bits, int bias, bool has_infinity) {
        const int exponents = 1 << (7 - mantissa_bits), mantissas = 1 << mantissa_bits;
        for (int c = 0; c < 256; ++c) {
            const int exponent = (c & 127) >> mantissa_bits, mantissa = c & (mantissas - 1);
            const int sign = (c & 128) << 8;
            const bool top = exponent == exponents - 1;
            if (has_infinity ? top : (top && mantissa == mantissas - 1)) {
                code[c] = static_cast<std::uint16_t>(sign | 0x7f80 | (has_infinity ? mantissa << 5 : 0x40));
            } else {
                const double value = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                                   : std::ldexp(mantissas + mantissa, exponent - bias - mantissa_bits);
                code[c] = static_cast<std::uint16_t>(sign | bf16_of(value));
            }
        }
    }
};
const F8Table kE4M3(3, 7, false), kE5M2(2, 15, true);

template <class T>
T unaligned(const char* from) {
    T out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

struct F16Table {
    float value[65536];
    F16Table() {
        for (int c = 0; c < 65536; ++c) {
            const int exponent = (c >> 10) & 31, mantissa = c & 1023;
            const float special =
                mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
            const float finite =
                exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp(float(mantissa), -24);
            value[c] = std::copysign(exponent == 31 ? special : finite, c & 0x8000 ? -1.0f : 1.0f);
        }
    }
};

// Where the elements of a run lie, in bytes from its first one.
struct Strided {
    std::int64_t stride;
    std::int64_t operator()(std::int64_t i) const { return i * stride; }
};
template <std::int64_t stride>
struct Adjacent {  // a stride that the compiler knows: vector instructions
    std::int64_t operator()(std::int64_t i) const { return i * stride; }
};
struct Gathered {
    const std::int64_t* rows;
    std::int64_t stride;
    std::int64_t operator()(std::int64_t i) const { return rows[i] * stride; }
};

template <class T, class Place>
void copy_run(const char* from, Place place, std::int64_t count, char* to) {
    for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * sizeof(T), from + place(i), sizeof(T));
}

template <class To, class Place, class Read>
void widen_run(const char* from, Place place, std::int64_t count, Read read, char* to) {
    for (std::int64_t i = 0; i < count; ++i) {
        const To value = static_cast<To>(read(from + place(i)));
        std::memcpy(to + i * sizeof(To), &value, sizeof(To));
    }
}

template <class To, class Place>
void widen_run(const char* from, Place place, std::int64_t count, Dtype from_dtype, char* to) {
    static const F16Table f16;
    const auto bf16 = [](std::uint16_t code) { return std::bit_cast<float>(std::uint32_t(code) << 16); };
    const auto byte = [](const char* at) { return static_cast<unsigned char>(*at); };
    const auto run = [&](auto read) { widen_run<To>(from, place, count, read, to); };
    switch (from_dtype) {
        case Dtype::bf16: return run([&](const char* at) { return bf16(unaligned<std::uint16_t>(at)); });
        case Dtype::f16: return run([](const char* at) { return f16.value[unaligned<std::uint16_t>(at)]; });
        case Dtype::f32: return run([](const char* at) { return unaligned<float>(at); });
        case Dtype::f64: return run([](const char* at) { return unaligned<double>(at); });
        case Dtype::f8_e4m3: return run([&](const char* at) { return bf16(kE4M3.code[byte(at)]); });
        case Dtype::f8_e5m2: return run([&](const char* at) { return bf16(kE5M2.code[byte(at)]); });
        default: assert(false && "integers meet only themselves (common_dtype)");
    }
}

// `count` elements as `to_dtype`.
template <class Place>
void pack_run(const char* from, Place place, std::int64_t count, Dtype from_dtype, Dtype to_dtype, char* to) {
    if (from_dtype == to_dtype) {
        switch (item_size(from_dtype)) {
            case 1: return copy_run<std::uint8_t>(from, place, count, to);
            case 2: return copy_run<std::uint16_t>(from, place, count, to);
            case 4: return copy_run<std::uint32_t>(from, place, count, to);
            default: return copy_run<std::uint64_t>(from, place, count, to);
        }
    }
    if (to_dtype == Dtype::f64) return widen_run<double>(from, place, count, from_dtype, to);
    if (to_dtype == Dtype::f32) return widen_run<float>(from, place, count, from_dtype, to);
    assert(to_dtype == Dtype::bf16);
    const std::uint16_t* code = from_dtype == Dtype::f8_e4m3 ? kE4M3.code : kE5M2.code;
    for (std::int64_t i = 0; i < count; ++i) {
        std::memcpy(to + 2 * i, &code[static_cast<unsigned char>(from[place(i)])], 2);
    }
}

}  // namespace

Dtype parse_dtype(const std::string& name) {
    for (const Name& known : kNames) {
        if (name == known.name) return known.dtype;
    }
    throw std::invalid_argument("unsupported dtype " + name);
}

std::size_t item_size(Dtype dtype) {
    constexpr std::size_t sizes[] = {2, 2, 4, 8, 1, 1, 1, 2, 4, 8};
    return sizes[static_cast<int>(dtype)];
}

bool is_integer(Dtype dtype) { return dtype >= Dtype::i8; }

void pack_strided(const char* from, std::int64_t stride, std::int64_t count, Dtype from_dtype, Dtype to_dtype,
                  char* to) {
    const std::size_t item = item_size(from_dtype);
    if (stride == static_cast<std::int64_t>(item)) {
        if (from_dtype == to_dtype) {
            std::memcpy(to, from, static_cast<std::size_t>(count) * item);
            return;
        }
        if (item == 2) return pack_run(from, Adjacent<2>{}, count, from_dtype, to_dtype, to);
    }
    pack_run(from, Strided{stride}, count, from_dtype, to_dtype, to);
}

void pack_gathered(const char* from, const std::int64_t* rows, std::int64_t stride, std::int64_t count,
                   Dtype from_dtype, Dtype to_dtype, char* to) {
    pack_run(from, Gathered{rows, stride}, count, from_dtype, to_dtype, to);
}

}  // namespace weightkin

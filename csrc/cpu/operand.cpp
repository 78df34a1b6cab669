#include "operand.h"

#include <algorithm>
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

template <class T>
void apply_gain(const Operand& operand, std::int64_t begin, std::int64_t count, T* values) {
    std::int64_t entry = begin / operand.gain_inner % operand.gain_extent, left = begin % operand.gain_inner;
    for (std::int64_t i = 0; i < count; ++i) {
        values[i] = static_cast<T>(values[i] * operand.gain[entry]);
        if (++left < operand.gain_inner) continue;
        left = 0;
        entry = entry + 1 == operand.gain_extent ? 0 : entry + 1;
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

std::int64_t Operand::size() const {
    std::int64_t out = 1;
    for (const std::int64_t extent : shape) out *= extent;
    return out;
}

bool Operand::contiguous() const {
    if (rows) return false;
    return shape.empty() || (shape.size() == 1 && strides[0] == static_cast<std::int64_t>(item_size(dtype)));
}

void Operand::collapse() {
    std::vector<std::int64_t> merged_shape, merged_strides;
    std::size_t gathered = 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] == 1 && !gathers(axis)) continue;
        const std::size_t axes = merged_shape.size();
        const bool apart = gathers(axis) || (rows && axis > gather_axis && axes == gathered + 1);
        if (axes && !apart && merged_strides.back() == shape[axis] * strides[axis]) {
            merged_shape.back() *= shape[axis];
            merged_strides.back() = strides[axis];
        } else {
            if (gathers(axis)) gathered = axes;
            merged_shape.push_back(shape[axis]);
            merged_strides.push_back(strides[axis]);
        }
    }
    shape = std::move(merged_shape), strides = std::move(merged_strides), gather_axis = gathered;
}

Dtype common_dtype(const std::vector<Operand>& operands) {
    const auto meeting_type = [](const Operand& operand) {
        if (is_integer(operand.dtype) || operand.dtype == Dtype::f64) return operand.dtype;
        if (operand.gain) return Dtype::f32;
        return operand.dtype == Dtype::f8_e4m3 || operand.dtype == Dtype::f8_e5m2 ? Dtype::bf16 : operand.dtype;
    };
    Dtype out = meeting_type(operands.at(0));
    for (const Operand& operand : operands) {
        const Dtype other = meeting_type(operand);
        if (other == out) continue;
        if (is_integer(other) || is_integer(out)) throw std::invalid_argument("an integer type meets only itself");
        out = other == Dtype::f64 || out == Dtype::f64 ? Dtype::f64 : Dtype::f32;
    }
    return out;
}

const void* row(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype,
                std::vector<char>& scratch) {
    const std::int64_t item = static_cast<std::int64_t>(item_size(operand.dtype));
    if (operand.contiguous() && operand.dtype == dtype && !operand.gain) return operand.data + begin * item;
    scratch.resize(static_cast<std::size_t>(count) * item_size(dtype));
    const std::size_t axes = operand.shape.size();
    if (axes == 0) {
        pack_strided(operand.data, item, count, operand.dtype, dtype, scratch.data());
        return scratch.data();
    }
    const std::int64_t inner = operand.shape[axes - 1], inner_stride = operand.strides[axes - 1];
    const bool scattered = operand.gathers(axes - 1);
    for (std::int64_t done = 0; done < count;) {
        const char* from = operand.data;
        std::int64_t outer = (begin + done) / inner;
        const std::int64_t column = (begin + done) % inner, run = std::min(inner - column, count - done);
        for (std::size_t axis = axes - 1; axis-- > 0;) {
            const std::int64_t at = outer % operand.shape[axis];
            from += (operand.gathers(axis) ? operand.rows[at] : at) * operand.strides[axis];
            outer /= operand.shape[axis];
        }
        char* const to = scratch.data() + done * item_size(dtype);
        if (scattered) {
            pack_run(from, Gathered{operand.rows + column, inner_stride}, run, operand.dtype, dtype, to);
        } else {
            from += column * inner_stride;
            if (run == count && inner_stride == item && operand.dtype == dtype && !operand.gain) return from;
            pack_strided(from, inner_stride, run, operand.dtype, dtype, to);
        }
        done += run;
    }
    if (operand.gain) {
        if (dtype == Dtype::f32) apply_gain(operand, begin, count, reinterpret_cast<float*>(scratch.data()));
        if (dtype == Dtype::f64) apply_gain(operand, begin, count, reinterpret_cast<double*>(scratch.data()));
    }
    return scratch.data();
}

}  // namespace weightkin

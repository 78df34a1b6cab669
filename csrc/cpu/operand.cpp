#include "operand.h"

#include <algorithm>
#include <stdexcept>

namespace weightkin {
namespace {

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

// The first entry of the innermost axis at row-major position `outer` of the other axes.
const char* run_start(const Operand& operand, std::int64_t outer) {
    const char* from = operand.data;
    for (std::size_t axis = operand.shape.size(); axis-- > 1;) {
        const std::int64_t extent = operand.shape[axis - 1], at = outer % extent;
        from += (operand.gathers(axis - 1) ? operand.rows[at] : at) * operand.strides[axis - 1];
        outer /= extent;
    }
    return from;
}

// Where elements [begin, begin + count) lie next to each other as `dtype`; null if they do not.
const char* in_place(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype) {
    if (operand.dtype != dtype || operand.gain) return nullptr;
    const std::int64_t item = static_cast<std::int64_t>(item_size(dtype));
    if (operand.contiguous()) return operand.data + begin * item;
    const std::size_t axes = operand.shape.size();
    const std::int64_t inner = operand.shape[axes - 1];
    if (operand.strides[axes - 1] != item || operand.gathers(axes - 1) || begin % inner + count > inner) return nullptr;
    return run_start(operand, begin / inner) + begin % inner * item;
}

}  // namespace

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

void fill(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype, char* to) {
    const std::int64_t item = static_cast<std::int64_t>(item_size(operand.dtype));
    const std::size_t axes = operand.shape.size();
    const std::int64_t inner = axes ? operand.shape[axes - 1] : 1, stride = axes ? operand.strides[axes - 1] : item;
    const bool scattered = axes && operand.gathers(axes - 1);
    for (std::int64_t done = 0; done < count;) {
        const std::int64_t column = (begin + done) % inner, run = std::min(inner - column, count - done);
        const char* from = run_start(operand, (begin + done) / inner);
        char* const next = to + done * static_cast<std::int64_t>(item_size(dtype));
        if (scattered) {
            pack_gathered(from, operand.rows + column, stride, run, operand.dtype, dtype, next);
        } else {
            pack_strided(from + column * stride, stride, run, operand.dtype, dtype, next);
        }
        done += run;
    }
    if (operand.gain) {
        if (dtype == Dtype::f32) apply_gain(operand, begin, count, reinterpret_cast<float*>(to));
        if (dtype == Dtype::f64) apply_gain(operand, begin, count, reinterpret_cast<double*>(to));
    }
}

const void* row(const Operand& operand, std::int64_t begin, std::int64_t count, Dtype dtype,
                std::vector<char>& scratch) {
    if (const char* here = in_place(operand, begin, count, dtype)) return here;
    scratch.resize(static_cast<std::size_t>(count) * item_size(dtype));
    fill(operand, begin, count, dtype, scratch.data());
    return scratch.data();
}

}  // namespace weightkin

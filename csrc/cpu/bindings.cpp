#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cross_gram.h"
#include "histogram.h"
#include "lagged.h"
#include "sweep.h"

namespace py = pybind11;
using namespace weightkin;

namespace {

// (buffer, byte offset, safetensors dtype, shape, strides in bytes, rows to gather or none, gains or none, the gains'
// axis, the rows' axis)
using OperandArgument =
    std::tuple<py::buffer, std::int64_t, std::string, std::vector<std::int64_t>, std::vector<std::int64_t>,
               std::optional<py::array_t<std::int64_t, py::array::c_style>>,
               std::optional<py::array_t<float, py::array::c_style>>, std::size_t, std::size_t>;

// `wanted_by`: who asks, for the message.
void choose_instruction_set(const std::string& wanted_by, const std::string& name) {
    if (use_instruction_set(name.c_str())) return;
    std::string message = wanted_by + " '" + name + "' is not one of this machine's:";
    for (const Kernels* const* table = available_kernels(); *table; ++table) message.append(" ").append((*table)->name);
    throw std::invalid_argument(message);
}

// A buffer is taken as bytes from its first one on: it may have no gaps and not run backwards.
py::buffer_info bytes_of(const py::buffer& buffer) {
    py::buffer_info info = buffer.request();
    if (!PyBuffer_IsContiguous(info.view(), 'C')) throw std::invalid_argument("a buffer must be contiguous");
    return info;
}

std::int64_t last_row(const py::array_t<std::int64_t, py::array::c_style>& rows, const std::vector<std::int64_t>& shape,
                      std::size_t axis) {
    if (axis >= shape.size() || rows.ndim() != 1 || rows.size() != shape[axis]) {
        throw std::invalid_argument("rows must name one entry of their axis each");
    }
    const auto [least, most] = std::minmax_element(rows.data(), rows.data() + rows.size());
    if (rows.size() && *least < 0) throw std::invalid_argument("no row " + std::to_string(*least));
    return rows.size() ? *most : 0;
}

// Checks that every element lies inside the buffer; the kernels trust what comes out of here.
Operand checked_operand(const OperandArgument& argument, const py::buffer_info& buffer) {
    const auto& [_, offset, dtype, shape, strides, rows, gain, gain_axis, gather_axis] = argument;
    Operand operand{static_cast<const char*>(buffer.ptr) + offset, parse_dtype(dtype), shape, strides};
    if (shape.size() != strides.size()) throw std::invalid_argument("an operand's shape and strides differ in length");
    const __int128 bytes = static_cast<__int128>(buffer.size) * buffer.itemsize;
    const std::int64_t last_gathered = rows ? last_row(*rows, shape, gather_axis) : 0;
    __int128 elements = 1, last = offset;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] < 0 || strides[axis] < 0) throw std::invalid_argument("negative extent or stride");
        elements *= shape[axis];
        const std::int64_t reach =
            rows && axis == gather_axis ? last_gathered : std::max<std::int64_t>(shape[axis] - 1, 0);
        last += static_cast<__int128>(reach) * strides[axis];
        // A stride of 0 repeats elements: then only their number must stay countable.
        if (elements > (strides[axis] > 0 && !rows ? bytes : std::numeric_limits<std::int64_t>::max())) {
            throw std::invalid_argument("an operand is larger than its buffer");
        }
    }
    if (offset < 0 || (elements > 0 && last + static_cast<__int128>(item_size(operand.dtype)) > bytes)) {
        throw std::invalid_argument("an operand reaches outside its buffer");
    }
    if (rows) operand.rows = rows->data(), operand.gather_axis = gather_axis;
    if (gain) {
        if (gain_axis >= shape.size() || gain->ndim() != 1 || gain->size() != shape[gain_axis]) {
            throw std::invalid_argument("gains must have one value per entry of their axis");
        }
        operand.gain = gain->data(), operand.gain_extent = std::max<std::int64_t>(shape[gain_axis], 1);
        for (std::size_t axis = gain_axis + 1; axis < shape.size(); ++axis) operand.gain_inner *= shape[axis];
        operand.gain_inner = std::max<std::int64_t>(operand.gain_inner, 1);
    }
    return operand;
}

py::dict py_sweep(const std::vector<OperandArgument>& arguments, const std::vector<std::int64_t>& bounds,
                  std::size_t tile, bool gram, bool difference, bool whole_histogram) {
    SweepRequest request;
    request.gram = gram, request.difference = difference, request.whole_histogram = whole_histogram,
    request.bounds = bounds, request.tile = tile;
    std::vector<py::buffer_info> buffers;
    for (const OperandArgument& argument : arguments) {
        buffers.push_back(bytes_of(std::get<0>(argument)));
        request.operands.push_back(checked_operand(argument, buffers.back()));
        request.operands.back().collapse();
        if (request.operands.back().size() != request.operands[0].size()) {
            throw std::invalid_argument("operands differ in size");
        }
    }
    const auto count = static_cast<py::ssize_t>(arguments.size()), blocks = static_cast<py::ssize_t>(bounds.size()) - 1;
    if (count < 1 || count > kMaxRows) throw std::invalid_argument("1 to 16 operands, not " + std::to_string(count));
    if (tile == 0 || tile % kChunk) throw std::invalid_argument("tile must be a multiple of " + std::to_string(kChunk));
    if (blocks < 0 || bounds.front() < 0 || bounds.back() > request.operands[0].size() ||
        !std::is_sorted(bounds.begin(), bounds.end())) {
        throw std::invalid_argument("bounds must ascend within the operands");
    }
    const auto zeros = [](std::vector<py::ssize_t> shape, auto kind) {
        py::array_t<decltype(kind)> out(shape);
        std::fill_n(out.mutable_data(), out.size(), decltype(kind){});
        return out;
    };
    const py::ssize_t pairs = count * (count - 1) / 2, bins = difference ? static_cast<py::ssize_t>(kBins) : 0;
    auto grams = zeros({blocks, count, count}, 0.0), sums = zeros({blocks, count}, 0.0);
    auto quantiles = zeros({blocks, count}, 0.0);
    auto nans = zeros({blocks, count}, std::int64_t{}), infinities = zeros({blocks, count}, std::int64_t{});
    auto histogram = zeros({count, bins}, std::int64_t{});
    std::vector<Difference> differences(static_cast<std::size_t>(blocks * pairs));
    const SweepResult result{grams.mutable_data(),    sums.mutable_data(),       differences.data(),
                             nans.mutable_data(),     infinities.mutable_data(), quantiles.mutable_data(),
                             histogram.mutable_data()};
    {
        const py::gil_scoped_release release;
        sweep(request, result);
    }
    auto sum_abs = zeros({blocks, pairs}, 0.0), sum_square = zeros({blocks, pairs}, 0.0);
    auto max_abs = zeros({blocks, pairs}, 0.0);
    auto unequal = zeros({blocks, pairs}, std::int64_t{});
    for (std::size_t k = 0; k < differences.size(); ++k) {
        sum_abs.mutable_data()[k] = differences[k].sum_abs;
        sum_square.mutable_data()[k] = differences[k].sum_square;
        max_abs.mutable_data()[k] = differences[k].max_abs;
        unequal.mutable_data()[k] = differences[k].unequal;
    }
    using namespace py::literals;
    return py::dict("gram"_a = grams, "sum"_a = sums, "sum_abs"_a = sum_abs, "sum_square"_a = sum_square,
                    "max_abs"_a = max_abs, "unequal"_a = unequal, "nans"_a = nans, "infinities"_a = infinities,
                    "quantile"_a = quantiles, "histogram"_a = histogram);
}

py::array_t<double> py_lagged(const std::vector<OperandArgument>& arguments, std::size_t axis,
                              const std::vector<std::int64_t>& lines, const std::vector<std::uint32_t>& lags) {
    LaggedRequest request;
    request.axis = axis, request.lines = lines, request.lags = lags;
    std::vector<py::buffer_info> buffers;
    for (const OperandArgument& argument : arguments) {
        buffers.push_back(bytes_of(std::get<0>(argument)));
        request.operands.push_back(checked_operand(argument, buffers.back()));
        if (request.operands.back().shape != request.operands[0].shape) {
            throw std::invalid_argument("operands differ in shape");
        }
    }
    const auto count = static_cast<py::ssize_t>(arguments.size());
    if (count < 2 || count > kMaxRows) throw std::invalid_argument("2 to 16 operands, not " + std::to_string(count));
    const std::vector<std::int64_t>& shape = request.operands[0].shape;
    if (axis >= shape.size() || shape[axis] < 1) throw std::invalid_argument("no axis " + std::to_string(axis));
    if (is_integer(common_dtype(request.operands))) throw std::invalid_argument("integers have no lagged product");
    const std::int64_t limit = request.operands[0].size() / shape[axis];
    for (const std::int64_t line : lines) {
        if (line < 0 || line >= limit) throw std::invalid_argument("no line " + std::to_string(line));
    }
    for (const std::uint32_t lag : lags) {
        if (lag >= shape[axis]) throw std::invalid_argument("no lag " + std::to_string(lag));
    }
    py::array_t<double> out({count * (count - 1) / 2, static_cast<py::ssize_t>(lags.size())});
    std::fill_n(out.mutable_data(), out.size(), 0.0);
    const py::gil_scoped_release release;
    lagged(request, out.mutable_data());
    return out;
}

// Checked operands of one side of cross_gram; `depth` is -1 until the first row has told it.
std::vector<Operand> checked_rows(const std::vector<OperandArgument>& arguments, std::vector<py::buffer_info>& buffers,
                                  std::int64_t& depth, py::ssize_t& rows) {
    std::vector<Operand> operands;
    for (const OperandArgument& argument : arguments) {
        buffers.push_back(bytes_of(std::get<0>(argument)));
        operands.push_back(checked_operand(argument, buffers.back()));
        const std::vector<std::int64_t>& shape = operands.back().shape;
        if (shape.empty()) throw std::invalid_argument("an operand without axes has no rows");
        std::int64_t size = 1;
        for (std::size_t axis = 1; axis < shape.size(); ++axis) size *= shape[axis];
        if (depth >= 0 && size != depth) throw std::invalid_argument("rows differ in size");
        depth = size, rows += shape[0];
    }
    return operands;
}

py::tuple py_cross_gram(const std::vector<OperandArgument>& left, const std::vector<OperandArgument>& right,
                        bool symmetric, unsigned threads) {
    CrossGramRequest request;
    request.symmetric = symmetric, request.threads = threads;
    std::vector<py::buffer_info> buffers;
    std::int64_t depth = -1;
    py::ssize_t counts[2] = {};
    request.left = checked_rows(left, buffers, depth, counts[0]);
    request.right = checked_rows(right, buffers, depth, counts[1]);
    request.depth = std::max<std::int64_t>(depth, 0);
    if (symmetric && counts[0] != counts[1]) throw std::invalid_argument("symmetric, but not the same rows");
    if (threads == 0) throw std::invalid_argument("no threads");
    for (const Operand& operand : request.left) {
        if (is_integer(operand.dtype)) throw std::invalid_argument("integers have no inner products");
    }
    for (const Operand& operand : request.right) {
        if (is_integer(operand.dtype)) throw std::invalid_argument("integers have no inner products");
    }
    const auto zeros = [](std::vector<py::ssize_t> shape) {
        py::array_t<double> out(shape);
        std::fill_n(out.mutable_data(), out.size(), 0.0);
        return out;
    };
    auto product = zeros({counts[0], counts[1]});
    auto sum_left = zeros({counts[0]}), sum_right = zeros({counts[1]});
    auto square_left = zeros({counts[0]}), square_right = zeros({counts[1]});
    const CrossGramResult result{product.mutable_data(), sum_left.mutable_data(), sum_right.mutable_data(),
                                 square_left.mutable_data(), square_right.mutable_data()};
    {
        const py::gil_scoped_release release;
        cross_gram(request, result);
    }
    return py::make_tuple(product, sum_left, sum_right, square_left, square_right);
}

}  // namespace

void bind_cpu(py::module_& module) {
    module.attr("CHUNK") = kChunk;
    module.attr("MAX_ROWS") = kMaxRows;
    module.attr("BINS") = kBins;
    py::list names;
    for (const Kernels* const* table = available_kernels(); *table; ++table) names.append((*table)->name);
    module.attr("INSTRUCTION_SETS") = py::tuple(names);
    const char* forced = std::getenv("WEIGHTKIN_ISA");
    if (forced && *forced) choose_instruction_set("instruction set WEIGHTKIN_ISA =", forced);
    module.def("instruction_set", [] { return std::string(kernels().name); }, "Name of the kernels in use.");
    module.def(
        "use_instruction_set", [](const std::string& name) { choose_instruction_set("instruction set", name); },
        py::arg("name"));
    module.def("sweep", &py_sweep, py::arg("operands"), py::arg("bounds"), py::arg("tile"), py::arg("gram"),
               py::arg("difference"), py::arg("whole_histogram"));
    module.def("lagged", &py_lagged, py::arg("operands"), py::arg("axis"), py::arg("lines"), py::arg("lags"));
    module.def("cross_gram", &py_cross_gram, py::arg("left"), py::arg("right"), py::arg("symmetric"),
               py::arg("threads"));
    module.def(
        "read",
        [](const py::buffer& buffer, std::size_t begin, std::size_t end) {
            const py::buffer_info info = bytes_of(buffer);
            if (begin > end || end > static_cast<std::size_t>(info.size * info.itemsize))
                throw std::invalid_argument("range outside the buffer");
            const py::gil_scoped_release release;
            return kernels().read(static_cast<const char*>(info.ptr) + begin, end - begin);
        },
        py::arg("buffer"), py::arg("begin"), py::arg("end"), "XOR of all bytes: the roof of the memory-bound kernels.");
    module.def(
        "fma",
        [](std::uint64_t flops) {
            const py::gil_scoped_release release;
            return kernels().fma(flops);
        },
        py::arg("flops"), "At least so many operations (a multiply-add is two); how many: the roof of `lagged`.");
}

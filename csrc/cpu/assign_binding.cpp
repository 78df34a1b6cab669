#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "assign.h"

namespace py = pybind11;
using namespace weightkin;

namespace {

py::array_t<std::int64_t> py_assign(const py::array& scores, std::size_t threads) {
    const bool single = py::isinstance<py::array_t<float>>(scores);
    if (!single && !py::isinstance<py::array_t<double>>(scores)) {
        throw std::invalid_argument("scores must be float32 or float64, not " +
                                    py::str(scores.dtype()).cast<std::string>());
    }
    const py::ssize_t axes = scores.ndim();
    if (axes != 2 && axes != 3) {
        throw std::invalid_argument("scores must have 2 or 3 axes, not " + std::to_string(axes));
    }
    if (threads < 1) throw std::invalid_argument("threads must be at least 1");
    AssignRequest request{static_cast<const char*>(scores.data()), single ? kF32 : kF64};
    const bool batch = axes == 3;
    request.problems = batch ? static_cast<std::size_t>(scores.shape(0)) : 1;
    request.problem_stride = batch ? scores.strides(0) : 0;
    request.rows = static_cast<std::size_t>(scores.shape(axes - 2)), request.row_stride = scores.strides(axes - 2);
    request.columns = static_cast<std::size_t>(scores.shape(axes - 1)),
    request.column_stride = scores.strides(axes - 1);
    request.threads = threads;
    std::vector<py::ssize_t> shape;
    if (batch) shape.push_back(scores.shape(0));
    shape.push_back(scores.shape(axes - 1));
    py::array_t<std::int64_t> out(shape);
    std::int64_t* to = out.mutable_data();
    const py::gil_scoped_release release;
    assign(request, to);
    return out;
}

}  // namespace

void bind_assign(py::module_& module) { module.def("assign", &py_assign, py::arg("scores"), py::arg("threads")); }

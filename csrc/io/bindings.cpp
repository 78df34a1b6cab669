#include <pybind11/pybind11.h>

#include <memory>
#include <system_error>

#include "mapping.h"

namespace py = pybind11;
using weightkin::Mapping;

void bind_io(py::module_& module) {
    py::register_local_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const std::system_error& error) {  // as Python's own open() would say it
            errno = error.code().value();
            PyErr_SetFromErrnoWithFilename(PyExc_OSError, error.what());
        }
    });
    py::class_<Mapping, std::shared_ptr<Mapping>>(
        module, "Mapping", py::buffer_protocol(),
        "Read-only mapping of a file. A fault while reading sets `faulted` and reads as zeros.")
        .def(py::init<const std::string&>(), py::arg("path"))
        .def("__len__", &Mapping::size)
        .def_property_readonly("address",
                               [](const Mapping& self) { return reinterpret_cast<std::uintptr_t>(self.data()); })
        .def_property_readonly("faulted", &Mapping::faulted)
        .def("prefetch", &Mapping::prefetch, py::arg("begin"), py::arg("end"), py::call_guard<py::gil_scoped_release>())
        .def("release", &Mapping::release, py::arg("begin"), py::arg("end"), py::call_guard<py::gil_scoped_release>())
        .def_buffer([](Mapping& self) {
            return py::buffer_info(const_cast<char*>(self.data()), 1, py::format_descriptor<unsigned char>::format(),
                                   static_cast<py::ssize_t>(self.size()), /*readonly=*/true);
        });
}

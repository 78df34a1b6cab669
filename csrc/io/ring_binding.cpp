#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "ring.h"

namespace py = pybind11;
using namespace weightkin;

namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style>;

constexpr std::chrono::milliseconds kBetweenSignals(100);
std::vector<std::weak_ptr<Ring>> rings;  // guarded by the GIL

// Before modules and what they hold go away: a copy may still be on its way into some array.
void close_all() {
    const std::vector<std::weak_ptr<Ring>> all = rings;
    const py::gil_scoped_release release;
    for (const std::weak_ptr<Ring>& one : all) {
        if (const auto ring = one.lock()) ring->close();
    }
}

std::shared_ptr<Ring> make_ring(std::shared_ptr<Transport> transport, std::size_t threads) {
    if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be 1 to 1024");
    std::erase_if(rings, [](const std::weak_ptr<Ring>& ring) { return ring.expired(); });
    auto ring = std::make_shared<Ring>(std::move(transport), threads);
    rings.push_back(ring);
    return ring;
}

std::shared_ptr<Ring> make_host_ring(std::size_t slots, std::size_t slot_bytes, std::size_t threads) {
    if (slots < 1 || slot_bytes < 1) throw std::invalid_argument("a ring needs a slot of at least one byte");
    return make_ring(std::make_shared<HostTransport>(slots, slot_bytes), threads);
}

std::vector<std::size_t> sizes(const Integers& values, const char* what) {
    if (values.ndim() != 1) throw std::invalid_argument(std::string(what) + " must have one axis");
    std::vector<std::size_t> out;
    for (py::ssize_t at = 0; at < values.size(); ++at) {
        if (values.data()[at] < 0) throw std::invalid_argument(std::string("negative ") + what);
        out.push_back(static_cast<std::size_t>(values.data()[at]));
    }
    return out;
}

Ring::Ticket submit(Ring& ring, std::shared_ptr<Mapping> mapping, std::size_t offset, std::size_t bytes,
                    std::uintptr_t pointer, Transport::Stream stream) {
    return ring.submit(std::move(mapping), {offset}, {bytes}, reinterpret_cast<char*>(pointer), stream);
}

Ring::Ticket submit_ranges(Ring& ring, std::shared_ptr<Mapping> mapping, const Integers& offsets,
                           const std::variant<std::size_t, Integers>& lengths, std::uintptr_t pointer,
                           Transport::Stream stream) {
    const bool same = std::holds_alternative<std::size_t>(lengths);
    return ring.submit(std::move(mapping), sizes(offsets, "offsets"),
                       same ? std::vector{std::get<0>(lengths)} : sizes(std::get<1>(lengths), "lengths"),
                       reinterpret_cast<char*>(pointer), stream);
}

void until_finished(Ring& ring, const Ring::Ticket& ticket) {
    if (ticket->ring != &ring) throw std::invalid_argument("the ticket is of another ring");
    for (;;) {
        {
            const py::gil_scoped_release release;
            if (ring.finished_within(ticket, kBetweenSignals)) return;
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C
    }
}

void wait(Ring& ring, const Ring::Ticket& ticket, Transport::Stream stream) {
    until_finished(ring, ticket);
    const py::gil_scoped_release release;
    ring.join(ticket, stream);
}

void drain(Ring& ring) {
    const Ring::Ticket last = ring.last();
    if (!last) return;
    until_finished(ring, last);
    const py::gil_scoped_release release;
    ring.settle(last);
}

}  // namespace

void bind_ring(py::module_& module) {
    py::register_local_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const FileShrank& error) {
            PyErr_SetString(PyExc_OSError, error.what());
        }
    });
    py::class_<Transport, std::shared_ptr<Transport>>(module, "Transport",
                                                      "What copies the filled slots of a ring on.");
    py::class_<CopyRequest, std::shared_ptr<CopyRequest>>(module, "Ticket", "A copy that was submitted to a ring.");
    py::class_<Ring, std::shared_ptr<Ring>>(
        module, "Ring",
        "Threads copy ranges of mapped files into slots; each filled slot is copied on, to ordinary memory or by a "
        "transport to a device. Requests are copied in order; one that fails keeps its error for whoever waits.")
        .def(py::init(&make_host_ring), py::arg("slots") = kSlots, py::arg("slot_bytes") = kSlotBytes,
             py::arg("threads") = kReaders)
        .def(py::init(&make_ring), py::arg("transport").none(false), py::arg("threads") = kReaders)
        .def("submit", &submit, py::arg("mapping").none(false), py::arg("offset"), py::arg("nbytes"),
             py::arg("pointer"), py::arg("stream") = 0)
        .def("submit_ranges", &submit_ranges, py::arg("mapping").none(false), py::arg("offsets"), py::arg("lengths"),
             py::arg("pointer"), py::arg("stream") = 0)
        .def("wait", &wait, py::arg("ticket").none(false), py::arg("stream") = 0)
        .def("drain", &drain)
        .def("close", &Ring::close, py::call_guard<py::gil_scoped_release>());
    py::module_::import("atexit").attr("register")(py::cpp_function(&close_all));
}

// weightkin._cuda: what Python calls of NVIDIA devices. It can be imported where there is none.
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "assign.h"
#include "device.h"
#include "ring.h"

namespace py = pybind11;
using namespace weightkin;

namespace {

int device_count() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) {  // the latter also without a driver
        cudaGetLastError();
        return 0;
    }
    check(error, "cudaGetDeviceCount");
    return count;
}

void check_device(int device) {
    const int count = device_count();
    if (device >= 0 && device < count) return;
    throw std::runtime_error("CUDA: no device " + std::to_string(device) + ": there are " + std::to_string(count));
}

py::dict properties(int device) {
    check_device(device);
    cudaDeviceProp found{};
    std::size_t free = 0, total = 0;
    std::array<char, 32> bus{};
    {
        const py::gil_scoped_release release;  // the first use of a device takes its time
        const OnDevice here(device);
        check(cudaGetDeviceProperties(&found, device), "cudaGetDeviceProperties");
        check(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device), "cudaDeviceGetPCIBusId");
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    }
    py::dict out;
    out["name"] = found.name;
    out["total_memory"] = total, out["free_memory"] = free;
    out["capability"] = py::make_tuple(found.major, found.minor);
    out["processors"] = found.multiProcessorCount;
    out["pci_bus_id"] = bus.data();
    return out;
}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

// (runtime, driver); the driver's is what it supports at most, "" without one
py::tuple versions() {
    int runtime = 0, driver = 0;
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    return py::make_tuple(version(runtime), driver == 0 ? "" : version(driver));
}

py::object make_ring(int device, std::size_t slots, std::size_t slot_bytes, std::size_t threads) {
    check_device(device);
    if (slots < 1 || slot_bytes < 1) throw std::invalid_argument("a ring needs a slot of at least one byte");
    const py::object ring = py::module_::import("weightkin._core").attr("Ring");  // which also knows transports
    std::shared_ptr<Transport> transport;
    {
        const py::gil_scoped_release release;  // pinning memory takes its time
        transport = make_device_transport(device, slots, slot_bytes);
    }
    return ring(transport, threads);
}

void py_assign(std::uintptr_t scores, std::int64_t problems, std::int64_t rows, std::int64_t columns, bool is_double,
               std::uintptr_t out, std::uintptr_t stream) {
    if (problems < 0 || rows < 0 || columns < 0) throw std::invalid_argument("negative extent");
    assign({reinterpret_cast<const void*>(scores), is_double, problems, rows, columns,
            reinterpret_cast<std::int64_t*>(out), reinterpret_cast<cudaStream_t>(stream)});
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
    module.doc() = "What weightkin runs on NVIDIA devices besides Triton. Devices and streams are integers.";
    module.def("device_count", &device_count);
    module.def("properties", &properties, py::arg("device"));
    module.def("versions", &versions);
    module.def("Ring", &make_ring, py::arg("device"), py::arg("slots") = kSlots, py::arg("slot_bytes") = kSlotBytes,
               py::arg("threads") = kReaders);
    module.def("assign", &py_assign, py::arg("scores"), py::arg("problems"), py::arg("rows"), py::arg("columns"),
               py::arg("is_double"), py::arg("out"), py::arg("stream") = 0, py::call_guard<py::gil_scoped_release>());
}

// Rectangular linear assignment on a device: of many problems at once, each solved by one block.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace weightkin {

struct DeviceAssign {
    const void* scores = nullptr;  // [problems, rows, columns], contiguous, on the device
    bool is_double = false;        // float64, else float32
    std::int64_t problems = 0, rows = 0, columns = 0;
    std::int64_t* out = nullptr;  // [problems, columns], on the device: as in csrc/cpu/assign.h
    cudaStream_t stream = nullptr;
};

// Returns when `out` is there. Where rows > columns it needs room for a transposed copy, of at most 1 GiB or one
// problem. Throws std::invalid_argument if a score is not finite, std::runtime_error if the device fails.
void assign(const DeviceAssign& request);

}  // namespace weightkin

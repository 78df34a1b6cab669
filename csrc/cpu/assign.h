// Rectangular linear assignment: of many problems at once, each solved by one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace weightkin {

struct AssignRequest {
    const char* scores = nullptr;  // score (0, 0, 0)
    Element element = kF32;        // or kF64
    std::size_t problems = 0, rows = 0, columns = 0;
    std::ptrdiff_t problem_stride = 0, row_stride = 0, column_stride = 0;  // in bytes
    std::size_t threads = 1;
};

// out[problem, column]: the row that the column gets, -1 for none, so that the sum of scores is largest; min(rows,
// columns) of them get one. The same for any number of threads. Throws std::invalid_argument if a score is not finite.
//
// Shortest augmenting paths after Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
// assignment problems" (Computing 38, 1987), with prices in place of column duals, in float64; rectangular as in
// Crouse, "On implementing 2D rectangular assignment algorithms" (IEEE Trans. Aerospace and Electronic Systems 52,
// 2016).
void assign(const AssignRequest& request, std::int64_t* out);

}  // namespace weightkin

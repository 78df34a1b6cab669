// Inner products of many rows with many others, the matrix-bound regime of gram.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "operand.h"

namespace weightkin {

// An operand of shape [k, ...] is k rows, each flattened in logical order; rows of `left` and `right` have `depth`
// elements. Not collapsed.
struct CrossGramRequest {
    std::vector<Operand> left, right;
    bool symmetric = false;  // right is left: half of the work
    std::int64_t depth = 0;
    unsigned threads = 1;
};

// Of M left and N right rows; zero on entry.
struct CrossGramResult {
    double* product;               // [M, N]
    double *sum_left, *sum_right;  // [M], [N]
    double *square_left, *square_right;
};

// Errors are within 1e-6 of the sum of the magnitudes (cross_gram.inl). The result does not depend on `threads`: rows
// are cut into panels and panels into chunks by the shapes alone, and added in their order.
void cross_gram(const CrossGramRequest& request, const CrossGramResult& result);

}  // namespace weightkin

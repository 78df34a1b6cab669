// One pass over the same elements of several tensors, tile by tile, so that each byte is read from memory once
// whatever is computed from it. Blocks are ranges of elements fixed by the tensor; a block's numbers do not depend on
// the tile size, on the range of blocks in one call, or on what other threads do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "operand.h"

namespace weightkin {

struct SweepRequest {
    std::vector<Operand> operands;     // 2 to kMaxRows, all of one size
    std::vector<std::int64_t> bounds;  // block b is elements [bounds[b], bounds[b + 1])
    std::size_t tile = 4 * kChunk;     // elements in flight per operand; a multiple of kChunk
    bool gram = true, difference = true;
    double fraction = 0.99;        // the quantile of |x|
    bool whole_histogram = false;  // false: `histogram` may lump codes under the upper tenth into bin 0
};

// Outputs of B blocks of N operands, zero on entry; P = N (N - 1) / 2 pairs in the order (0,1), (0,2), ..., (1,2), ...
struct SweepResult {
    double* gram;              // [B, N, N] symmetric
    double* sum;               // [B, N]
    Difference* difference;    // [B, P]
    std::int64_t* nans;        // [B, N]
    std::int64_t* infinities;  // [B, N]
    double* quantile;          // [B, N]
    std::int64_t* histogram;   // [N, kBins], over all blocks of the call
};

// Integers get `difference.unequal` and nothing else.
void sweep(const SweepRequest& request, const SweepResult& result);

}  // namespace weightkin

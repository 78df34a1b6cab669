// The statistic of the relabelling null: <x, y rotated by k> along one axis, for many lags k.
#pragma once

#include <cstdint>
#include <vector>

#include "operand.h"

namespace weightkin {

struct LaggedRequest {
    std::vector<Operand> operands;    // of one shape; not collapsed
    std::size_t axis = 0;             // the axis that is rotated
    std::vector<std::int64_t> lines;  // which lines along that axis, numbered over the other axes in row-major order
    std::vector<std::uint32_t> lags;  // each below the axis' extent
};

// out[pair, l] = sum over the lines of <x, y rotated by lags[l]>: y[(j + k) mod n] against x[j], after both are
// balanced:
//   * each of the n channels is scaled to norm 1 over the lines,
//   * each line is centred by its mean and scaled to norm 1,
//   * each channel is centred by its mean over the lines and scaled to norm 1 again.
// Of one line, ranks take the place of all that; with more than 9 of 10 entries equal it has no statistic. Balancing
// commutes with the rotation, so it leaves the null exact. Without it a few channels of huge magnitude, which trained
// models have, would decide the statistic, and two models whose largest channels meet by chance would look akin. What a
// channel has in common over all lines goes too: the gates of every model lean to one side on such a channel.
// Many lags are computed together from spectra (spectrum.h), few one by one (lagged.inl); which, depends on the axis'
// extent and on the numbers of lines and lags alone. Pairs in the order of sweep.h; `out` is zero on entry.
void lagged(const LaggedRequest& request, double* out);

}  // namespace weightkin

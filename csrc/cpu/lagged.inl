// lagged: inner products of one line with another rotated by each of many lags.
//
// Every product needs a new vector of y, and one that straddles two cache lines costs two loads. So lags of one
// remainder modulo the vector width share a copy of y shifted by that remainder, where all their loads are aligned.

// Of ascending lags.
template <int lags>
inline void run_lags(const float* x, const float* y, std::size_t length, const std::uint32_t* lag, double* sums) {
    constexpr std::size_t lanes = kLanes<float>;
    f32v sum[lags] = {};
    const float* from[lags];
    UNROLL for (int l = 0; l < lags; ++l) from[l] = y + lag[l] / lanes * lanes;
    // From where the smallest lag has left the first copy of the line, all read that copy again: it is in cache.
    const std::size_t wrap = (length - lag[0] / lanes * lanes + lanes - 1) / lanes * lanes;
    for (std::size_t at = 0; at < length; at += lanes) {
        if (at == wrap) {
            UNROLL for (int l = 0; l < lags; ++l) from[l] -= length;
        }
        const f32v here = load<f32v>(x + at);
        UNROLL for (int l = 0; l < lags; ++l) sum[l] += here * load<f32v>(from[l] + at);
    }
    UNROLL for (int l = 0; l < lags; ++l) {
        double* to = sums + l * kLanes<double>;
        store(to, load<f64v>(to) + widen_floats(low_half(sum[l])) + widen_floats(high_half(sum[l])));
    }
}

// All of them, `most` at a time.
template <int most>
inline void run_all(const float* x, const float* y, std::size_t length, const std::uint32_t* lag, std::size_t count,
                    double* sums) {
    for (; count >= most; count -= most, lag += most, sums += most * kLanes<double>)
        run_lags<most>(x, y, length, lag, sums);
    if constexpr (most > 1) run_all<most - 1>(x, y, length, lag, count, sums);
}

void lagged(const float* x, const float* y, std::size_t length, const std::uint32_t* lag, std::size_t count,
            float* shifted, double* sums) {
    constexpr std::size_t lanes = kLanes<float>;
    for (std::size_t first = 0, last = 0; first < count; first = last) {
        const std::size_t remainder = lag[first] % lanes;
        while (last < count && lag[last] % lanes == remainder) ++last;
        const float* from = remainder ? shifted : y;
        for (std::size_t at = 0; remainder && at < length + lag[last - 1]; at += lanes) {
            store(shifted + at, load<f32v>(y + remainder + at));
        }
        run_all<8>(x, from, length, lag + first, last - first, sums + first * kLanes<double>);
    }
}

// lagged: inner products of one line with another rotated by each of many lags.
//
// Every product needs a new vector of y, and one that straddles two cache lines costs two loads. So lags of one
// remainder modulo the vector width share a copy of y shifted by that remainder, where all their loads are aligned.

template <int lags>
inline void run_lags(const float* x, const float* y, std::size_t length, const std::uint32_t* lag,
                     const std::uint32_t* slot, double* out) {
    constexpr std::size_t lanes = kLanes<float>;
    f32v sum[lags] = {};
    const float* from[lags];
    UNROLL for (int l = 0; l < lags; ++l) from[l] = y + lag[l] / lanes * lanes;
    for (std::size_t at = 0; at < length; at += lanes) {
        const f32v here = load<f32v>(x + at);
        UNROLL for (int l = 0; l < lags; ++l) sum[l] += here * load<f32v>(from[l] + at);
    }
    UNROLL for (int l = 0; l < lags; ++l) {
        f64v wide[kWide<float>] = {};
        add_wide(wide, sum[l]);
        out[slot[l]] += total(wide, kWide<float>);
    }
}

void lagged(const float* x, const float* y, std::size_t length, const std::uint32_t* lag, const std::uint32_t* slot,
            std::size_t count, float* shifted, double* out) {
    constexpr std::size_t lanes = kLanes<float>;
    const std::size_t padded = (length + lanes - 1) / lanes * lanes;
    for (std::size_t first = 0; first < count;) {
        const std::size_t remainder = lag[first] % lanes;
        std::size_t last = first + 1, reach = lag[first];
        for (; last < count && lag[last] % lanes == remainder; ++last) reach = lag[last] > reach ? lag[last] : reach;
        for (std::size_t at = 0; at < padded + reach; at += lanes) {
            store(shifted + at, load<f32v>(y + remainder + at));
        }
        for (; last - first >= 8; first += 8) run_lags<8>(x, shifted, padded, lag + first, slot + first, out);
        for (; last - first >= 4; first += 4) run_lags<4>(x, shifted, padded, lag + first, slot + first, out);
        for (; first < last; ++first) run_lags<1>(x, shifted, padded, lag + first, slot + first, out);
    }
}

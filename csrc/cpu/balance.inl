// balance: makes channels and lines count alike, before lagged (see lagged.h).
//
// Sums add kBalanceRun float32 numbers to a lane before float64 takes over: off by 5e-7 of the sum of the magnitudes at
// most. What is centred is centred first and squared then, so what is constant leaves nothing but rounding.

constexpr std::size_t kBalanceRun = 8;

inline f32v narrow(const f64v* wide) {
    const f32half halves[2] = {__builtin_convertvector(wide[0], f32half), __builtin_convertvector(wide[1], f32half)};
    return load<f32v>(halves);
}

// 1 / norm of what centring leaves of a sum of squares; 0 where that is rounding, or outside float32.
inline f32v inverse_norms(const f64v* centred, const f64v* square) {
    constexpr double resolved = 1e-10;
    f64v kept[2];
    for (int half = 0; half < 2; ++half) {
        kept[half] = centred[half] > resolved * square[half] ? centred[half] : f64v{};
    }
    const f32v norm = square_root(narrow(kept));
    return norm > 0 ? 1 / norm : f32v{};
}

inline float inverse_norm(double centred, double square) {
    const f64v wide[2][2] = {{f64v{} + centred}, {f64v{} + square}};
    return inverse_norms(wide[0], wide[1])[0];
}

// Sums over lines of of(vector, column), of `columns` vectors side by side.
template <int columns, class Of>
inline void sum_columns(const float* x, std::size_t lines, std::size_t stride, f64v (*wide)[2], Of of) {
    for (int column = 0; column < columns; ++column) wide[column][0] = wide[column][1] = f64v{};
    for (std::size_t line = 0; line < lines;) {
        const std::size_t end = lines - line < kBalanceRun ? lines : line + kBalanceRun;
        f32v sum[columns] = {};
        for (; line < end; ++line) {
            UNROLL for (int column = 0; column < columns; ++column) {
                const float* from = x + line * stride + static_cast<std::size_t>(column) * kLanes<float>;
                sum[column] += of(load<f32v>(from), column);
            }
        }
        UNROLL for (int column = 0; column < columns; ++column) add_wide(wide[column], sum[column]);
    }
}

// Of one vector of channels, in float64: no square of a finite float32 overflows or vanishes there.
inline void sum_squares(const float* x, std::size_t lines, std::size_t stride, f64v* wide) {
    wide[0] = wide[1] = f64v{};
    for (std::size_t line = 0; line < lines; ++line) {
        const f32v here = load<f32v>(x + line * stride);
        const f64v low = widen_floats(low_half(here)), high = widen_floats(high_half(here));
        wide[0] += low * low;
        wide[1] += high * high;
    }
}

inline bool all_between(const f64v* x, double low, double high) {
    bool out = true;
    for (int half = 0; half < 2; ++half) {
        for (std::size_t i = 0; i < kLanes<double>; ++i) out &= x[half][i] > low && x[half][i] < high;
    }
    return out;
}

// Scales that give `columns` vectors of channels norm 1. False if an element is not finite.
template <int columns>
inline bool channel_scales(const float* x, std::size_t lines, std::size_t stride, float* scale) {
    f64v square[columns][2];
    sum_columns<columns>(x, lines, stride, square, [](f32v here, int) { return here * here; });
    bool finite = true;
    for (int column = 0; column < columns; ++column) {
        const std::size_t at = static_cast<std::size_t>(column) * kLanes<float>;
        if (!all_between(square[column], 1e-25, 1e30)) {
            sum_squares(x + at, lines, stride, square[column]);
            finite &= all_between(square[column], -1, __builtin_inf());
        }
        const f64v nothing[2] = {};
        store(scale + at, inverse_norms(square[column], nothing));
    }
    return finite;
}

// Sum over a line of of(vector, its channels' scales).
template <class Of>
inline double sum_line(const float* line, const float* scale, std::size_t length, Of of) {
    constexpr std::size_t lanes = kLanes<float>, chains = 4;
    f64v wide[2] = {};
    std::size_t at = 0;
    while (at + chains * lanes <= length) {
        f32v sum[chains] = {};
        for (std::size_t run = 0; run < kBalanceRun && at + chains * lanes <= length; ++run, at += chains * lanes) {
            UNROLL for (std::size_t chain = 0; chain < chains; ++chain) {
                const std::size_t from = at + chain * lanes;
                sum[chain] += of(load<f32v>(line + from), load<f32v>(scale + from));
            }
        }
        UNROLL for (std::size_t chain = 0; chain < chains; ++chain) add_wide(wide, sum[chain]);
    }
    for (; at + lanes <= length; at += lanes) add_wide(wide, of(load<f32v>(line + at), load<f32v>(scale + at)));
    double out = total(wide, 2);
    if (at == length) return out;
    const f32v rest = of(load<f32v>(line + at), load<f32v>(scale + at));
    for (std::size_t i = 0; at + i < length; ++i) out += rest[i];
    return out;
}

// Scales the channels of a line, centres it and makes its norm 1. What it holds beyond `length` is of no use then.
inline void balance_line(float* line, const float* scale, std::size_t length) {
    const double size = static_cast<double>(length);
    const float mean = static_cast<float>(sum_line(line, scale, length, [](f32v x, f32v s) { return x * s; }) / size);
    const double centred = sum_line(line, scale, length, [mean](f32v x, f32v s) {
        const f32v gap = x * s - mean;
        return gap * gap;
    });
    const float factor = inverse_norm(centred, centred + size * mean * mean);
    for (std::size_t at = 0; at < length; at += kLanes<float>) {
        store(line + at, (load<f32v>(line + at) * load<f32v>(scale + at) - mean) * factor);
    }
}

// Centres `columns` vectors of channels and makes their norms 1; from channel `end` on they are zeros.
template <int columns>
inline void balance_channels(float* x, std::size_t lines, std::size_t stride, std::size_t end) {
    constexpr std::size_t lanes = kLanes<float>;
    f64v sum[columns][2], centred[columns][2];
    f32v mean[columns], factor[columns];
    sum_columns<columns>(x, lines, stride, sum, [](f32v here, int) { return here; });
    const double size = static_cast<double>(lines);
    for (int column = 0; column < columns; ++column) {
        for (int half = 0; half < 2; ++half) sum[column][half] /= size;
        mean[column] = narrow(sum[column]);
    }
    sum_columns<columns>(x, lines, stride, centred, [&mean](f32v here, int column) {
        const f32v gap = here - mean[column];
        return gap * gap;
    });
    for (int column = 0; column < columns; ++column) {
        f64v square[2];
        for (int half = 0; half < 2; ++half) {
            square[half] = centred[column][half] + size * sum[column][half] * sum[column][half];
        }
        factor[column] = inverse_norms(centred[column], square);
        const std::size_t first = static_cast<std::size_t>(column) * lanes;
        for (std::size_t i = 0; i < lanes; ++i) factor[column][i] = first + i < end ? factor[column][i] : 0;
    }
    for (std::size_t line = 0; line < lines; ++line) {
        UNROLL for (int column = 0; column < columns; ++column) {
            float* to = x + line * stride + static_cast<std::size_t>(column) * lanes;
            store(to, (load<f32v>(to) - mean[column]) * factor[column]);
        }
    }
}

bool balance(float* x, std::size_t lines, std::size_t length, std::size_t stride, float* scale) {
    constexpr std::size_t lanes = kLanes<float>;
    constexpr int columns = 4;
    std::size_t at = 0;
    bool finite = true;
    for (; at + columns * lanes <= stride; at += columns * lanes) {
        finite &= channel_scales<columns>(x + at, lines, stride, scale + at);
    }
    for (; at < stride; at += lanes) finite &= channel_scales<1>(x + at, lines, stride, scale + at);
    if (!finite) return false;
    for (std::size_t line = 0; line < lines; ++line) balance_line(x + line * stride, scale, length);
    for (at = 0; at + columns * lanes <= length; at += columns * lanes) {
        balance_channels<columns>(x + at, lines, stride, length - at);
    }
    for (; at < stride; at += lanes) balance_channels<1>(x + at, lines, stride, at < length ? length - at : 0);
    return true;
}

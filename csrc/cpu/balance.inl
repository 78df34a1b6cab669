// balance: makes channels and lines count alike, before lagged (see lagged.h).

inline void add_squares(f64v* to, f32v x) {
    const f64v low = widen_floats(low_half(x)), high = widen_floats(high_half(x));
    to[0] += low * low;
    to[1] += high * high;
}

// 1 / norm of what centring leaves of a sum of squares; 0 where that is rounding, or outside float32.
inline float inverse_norm(double centred, double square) {
    constexpr double resolved = 1e-10;
    const float norm = __builtin_sqrtf(static_cast<float>(centred));
    return centred > resolved * square && norm > 0 ? 1 / norm : 0.0f;
}

// Scales that give channels norm 1. False if an element is not finite: no sum of squares of finite float32s overflows.
inline bool channel_scales(const float* x, std::size_t lines, std::size_t stride, float* scale) {
    double finite = 0;
    for (std::size_t at = 0; at < stride; at += kLanes<float>) {
        f64v wide[2] = {};
        for (std::size_t line = 0; line < lines; ++line) add_squares(wide, load<f32v>(x + line * stride + at));
        double square[kLanes<float>];
        store(square, wide[0]);
        store(square + kLanes<double>, wide[1]);
        for (std::size_t i = 0; i < kLanes<float>; ++i) {
            finite += square[i] * 0;
            scale[at + i] = inverse_norm(square[i], 0);
        }
    }
    return finite == 0;
}

// What a line is shifted and then scaled by to be centred and of norm 1.
inline void line_factors(const float* line, std::size_t length, std::size_t stride, const float* scale, float* shift,
                         float* factor) {
    f64v sum[2] = {}, square[2] = {};
    for (std::size_t at = 0; at < stride; at += kLanes<float>) {
        const f32v scaled = load<f32v>(line + at) * load<f32v>(scale + at);
        add_wide(sum, scaled);
        add_squares(square, scaled);
    }
    const double mean = total(sum, 2) / static_cast<double>(length), all = total(square, 2);
    *shift = static_cast<float>(mean);
    *factor = inverse_norm(all - mean * mean * static_cast<double>(length), all);
}

bool balance(float* x, std::size_t lines, std::size_t length, std::size_t stride, float* room) {
    constexpr std::size_t lanes = kLanes<float>;
    float *const scale = room, *const shift = room + stride, *const factor = shift + lines;
    if (!channel_scales(x, lines, stride, scale)) return false;
    for (std::size_t line = 0; line < lines; ++line) {
        line_factors(x + line * stride, length, stride, scale, shift + line, factor + line);
    }
    for (std::size_t at = 0; at < stride; at += lanes) {
        const f32v channel_scale = load<f32v>(scale + at);
        const auto unit = [&](std::size_t line) {
            return (load<f32v>(x + line * stride + at) * channel_scale - shift[line]) * factor[line];
        };
        f64v sum[2] = {}, square[2] = {};
        for (std::size_t line = 0; line < lines; ++line) {
            const f32v here = unit(line);
            add_wide(sum, here);
            add_squares(square, here);
        }
        f32v mean, last_scale;
        for (std::size_t i = 0; i < lanes; ++i) {
            const std::size_t half = i / kLanes<double>, lane = i % kLanes<double>;
            const double channel_mean = sum[half][lane] / static_cast<double>(lines), all = square[half][lane];
            mean[i] = static_cast<float>(channel_mean);
            last_scale[i] = at + i < length ? inverse_norm(all - channel_mean * sum[half][lane], all) : 0;
        }
        for (std::size_t line = 0; line < lines; ++line) {
            store(x + line * stride + at, (unit(line) - mean) * last_scale);
        }
    }
    return true;
}

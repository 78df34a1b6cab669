// difference: sum and maximum of |x - y|, sum of (x - y)^2, and the count of elements whose bits differ.
//
// 16-bit types subtract in float32 (one rounding, none for close values), wider ones in float64; every sum is float64.

inline f32v magnitude(f32v x) { return (f32v)((u32v)x & 0x7fffffffu); }

inline f64v magnitude(f64v x) {
    typedef std::uint64_t u64v __attribute__((vector_size(kVectorBytes)));
    return (f64v)((u64v)x & 0x7fffffffffffffffull);
}

inline void add_square(f64v* to, f32v x) {
    const f64v low = widen_floats(low_half(x)), high = widen_floats(high_half(x));
    to[0] += low * low;
    to[1] += high * high;
}

inline void add_square(f64v* to, f64v x) { to[0] += x * x; }

// Differing codes among `count` elements: lanes of the codes' own width, so one comparison serves a whole vector.
template <class Code>
std::int64_t count_unequal(const char* x, const char* y, std::size_t count) {
    typedef Code codes __attribute__((vector_size(kVectorBytes)));
    constexpr std::size_t lanes = kVectorBytes / sizeof(Code);
    static_assert(kChunk / lanes < 65536, "a lane counts up to one per vector of a chunk");
    codes unequal = {};
    std::size_t at = 0;
    for (; at + lanes <= count; at += lanes) {
        unequal -= (codes)(load<codes>(x + at * sizeof(Code)) != load<codes>(y + at * sizeof(Code)));
    }
    std::int64_t out = 0;
    for (std::size_t i = 0; i < lanes; ++i) out += unequal[i];
    for (; at < count; ++at) out += load<Code>(x + at * sizeof(Code)) != load<Code>(y + at * sizeof(Code));
    return out;
}

template <Element element, class Lane>
void difference(const void* x, const void* y, std::size_t depth, Difference* out) {
    using Code = typename Source<element>::Code;
    constexpr std::size_t step = 2 * kLanes<Lane>;
    for (std::size_t chunk = 0; chunk < depth; chunk += kChunk) {
        const std::size_t size = depth - chunk < kChunk ? depth - chunk : kChunk;
        const char* from_x = static_cast<const char*>(x) + chunk * sizeof(Code);
        const char* from_y = static_cast<const char*>(y) + chunk * sizeof(Code);
        out->unequal += count_unequal<Code>(from_x, from_y, size);
        f64v sum_abs[kWide<Lane>] = {}, sum_square[kWide<Lane>] = {};
        Vector<Lane> max_abs = {};
        const auto add = [&](const char* a, const char* b) {
            Vector<Lane> left[2], right[2];
            Source<element>::widen(a, left);
            Source<element>::widen(b, right);
            for (int half = 0; half < 2; ++half) {
                const Vector<Lane> gap = magnitude(left[half] - right[half]);
                max_abs = gap > max_abs ? gap : max_abs;
                add_wide(sum_abs, gap);
                add_square(sum_square, gap);
            }
        };
        std::size_t at = 0;
        for (; at + step <= size; at += step) add(from_x + at * sizeof(Code), from_y + at * sizeof(Code));
        if (at < size) {
            Code tail_x[step] = {}, tail_y[step] = {};
            __builtin_memcpy(tail_x, from_x + at * sizeof(Code), (size - at) * sizeof(Code));
            __builtin_memcpy(tail_y, from_y + at * sizeof(Code), (size - at) * sizeof(Code));
            add(reinterpret_cast<const char*>(tail_x), reinterpret_cast<const char*>(tail_y));
        }
        out->sum_abs += total(sum_abs, kWide<Lane>);
        out->sum_square += total(sum_square, kWide<Lane>);
        for (std::size_t i = 0; i < kLanes<Lane>; ++i)
            out->max_abs = max_abs[i] > out->max_abs ? max_abs[i] : out->max_abs;
    }
}

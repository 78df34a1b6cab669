// cross_gram: inner products of a strip of rows with strips of others, all packed.
//
// A packed row is a run of slots: floats, doubles, or pairs of bf16 that are multiplied as they are. A left strip holds
// row after row, a right strip slot after slot, so that a step is one slot of a left row times a vector of right rows.
// A float32 lane adds at most 16 products (of bf16 or f16: exact) before it is added to float64: at most 16 roundings,
// so a sum is off by at most 16 * 2^-24 = 9.6e-7 of the sum of the magnitudes. No product overflows or loses bits for
// want of exponents, since packed elements lie between kLeast and kMost; cross_gram.cpp takes the others out.

constexpr std::uint32_t kLeast = (127 - 55) << 7, kMost = (127 + 60) << 7;  // 2^-55 and 2^60, codes of bf16

typedef std::uint16_t u16v __attribute__((vector_size(kVectorBytes)));
typedef std::uint64_t u64v __attribute__((vector_size(kVectorBytes)));

struct Pair {  // two codes of bf16
    std::uint32_t codes;
};

template <class Lane>
struct Slot {
    static constexpr std::size_t elements = 1;
    static constexpr std::size_t run = 16;  // slots between two additions to float64
    using Bits = u32v;
    using Codes = u32v;
    using Sum = f32v;
    using Factor = f32v;
};
template <>
struct Slot<double> {
    static constexpr std::size_t elements = 1;
    static constexpr std::size_t run = kSlotGrain;
    using Bits = u64v;
    using Codes = u64v;
    using Sum = f64v;
    using Factor = f64v;
};
template <>
struct Slot<Pair> {
    static constexpr std::size_t elements = 2;
    static constexpr std::size_t run = 8;
    using Bits = u32v;
    using Codes = u16v;
    using Sum = f32v;
    using Factor = u32v;
};

inline bool any(u32v bits) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)bits, (__m512i)bits);
#else
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < kLanes<float>; ++i) out |= bits[i];
    return out;
#endif
}

inline f64v widened(f32v x) { return widen_floats(low_half(x)) + widen_floats(high_half(x)); }
inline f64v widened(f64v x) { return x; }

// What is known of a row while it is packed: its sum and squared norm, in pairs of lanes that join float64 before one
// of them has added 16 products, and the range of its magnitudes as codes (zero does not count: less 1 it is the
// largest).
template <class Lane>
struct Seen {
    using Sum = typename Slot<Lane>::Sum;
    using Codes = typename Slot<Lane>::Codes;
    Sum sum{}, square{}, other_sum{}, other_square{};
    f64v wide_sum{}, wide_square{};
    Codes most{}, least = ~Codes{};

    void add(Sum x) { sum += x, square += x * x; }
    void add_other(Sum x) { other_sum += x, other_square += x * x; }

    void bound(Codes magnitude) {
        const Codes less = magnitude - 1;
        most = magnitude > most ? magnitude : most;
        least = less < least ? less : least;
    }

    void widen() {
        wide_sum += widened(sum) + widened(other_sum), wide_square += widened(square) + widened(other_square);
        sum = square = other_sum = other_square = Sum{};
    }

    bool usual() const {
        constexpr int shift = 8 * sizeof(most[0]) - 16;
        return !any((u32v)(Codes)(most > (kMost << shift)) | (u32v)(Codes)(least < (kLeast << shift) - 1));
    }
};

template <Element element>
inline void convert(const void* from, float* to, Seen<float>* seen) {
    f32v x;
    if constexpr (element == kBf16) x = (f32v)(widen_codes(load<u16half>(from)) << 16);
    if constexpr (element == kF16) x = widen_f16(load<u16half>(from));
    if constexpr (element == kF32) x = load<f32v>(from);
    seen->bound((u32v)x & 0x7fffffffu);
    seen->add(x);
    store(to, x);
}

template <Element>
inline void convert(const void* from, double* to, Seen<double>* seen) {  // nothing is too large or too small
    const f64v x = load<f64v>(from);
    seen->add(x);
    store(to, x);
}

template <Element element>
inline void convert(const void* from, Pair* to, Seen<Pair>* seen) {
    const u16v codes = load<u16v>(from);
    seen->bound(codes & std::uint16_t{0x7fff});
    f32v x[2];
    Source<element>::widen(from, x);
    seen->add(x[0]), seen->add_other(x[1]);
    store(to, codes);
}

template <Element element, class Lane>
bool pack(const void* row, std::size_t depth, std::size_t slots, void* packed, double* sum, double* square) {
    using Code = typename Source<element>::Code;
    constexpr std::size_t lanes = kLanes<Lane>, step = lanes * Slot<Lane>::elements;
    const char* from = static_cast<const char*>(row);
    Lane *to = static_cast<Lane*>(packed), *const end = to + slots;
    Seen<Lane> seen;
    for (std::size_t vector = 1; depth >= step; ++vector, depth -= step, from += step * sizeof(Code), to += lanes) {
        convert<element>(from, to, &seen);
        if (vector % 16 == 0) seen.widen();
    }
    seen.widen();
    if (depth) {
        Code tail[step] = {};
        __builtin_memcpy(tail, from, depth * sizeof(Code));
        convert<element>(tail, to, &seen);
        seen.widen();
        to += lanes;
    }
    __builtin_memset(static_cast<void*>(to), 0, static_cast<std::size_t>(end - to) * sizeof(Lane));
    *sum += total(&seen.wide_sum, 1);
    *square += total(&seen.wide_square, 1);
    if constexpr (sizeof(Lane) == sizeof(double)) {
        return true;
    } else {
        return seen.usual();
    }
}

template <int... index>
struct Indices {
    // a0 b0 a1 b1 ... of the halves of a and b that start at `first`.
    template <int first, class V>
    static V interleave(V a, V b) {
        constexpr int lanes = sizeof...(index);
        return __builtin_shufflevector(a, b, (first + index / 2 + index % 2 * lanes)...);
    }
};
template <int count, int... index>
struct Counted : Counted<count - 1, count - 1, index...> {};
template <int... index>
struct Counted<0, index...> {
    using type = Indices<index...>;
};

// Packed rows as a right strip. Squares of a vector by a vector are transposed in registers: log2 rounds, each of which
// interleaves the first half with the second.
template <class Lane, std::size_t right_rows>
void arrange(const void* rows, std::size_t slots, void* strip) {
    using V = typename Slot<Lane>::Bits;
    constexpr int lanes = kLanes<Lane>;
    using Lanes = typename Counted<lanes>::type;
    for (std::size_t row = 0; row < right_rows; row += lanes) {
        for (std::size_t slot = 0; slot < slots; slot += lanes) {
            V x[lanes], y[lanes];
            UNROLL for (int i = 0; i < lanes; ++i) {
                x[i] = load<V>(static_cast<const Lane*>(rows) + (row + i) * kPanelSlots + slot);
            }
            UNROLL for (int round = 1; round < lanes; round *= 2) {
                UNROLL for (int i = 0; i < lanes / 2; ++i) {
                    y[2 * i] = Lanes::template interleave<0>(x[i], x[i + lanes / 2]);
                    y[2 * i + 1] = Lanes::template interleave<lanes / 2>(x[i], x[i + lanes / 2]);
                }
                UNROLL for (int i = 0; i < lanes; ++i) x[i] = y[i];
            }
            UNROLL for (int i = 0; i < lanes; ++i) {
                store(static_cast<Lane*>(strip) + (slot + i) * right_rows + row, x[i]);
            }
        }
    }
}

inline f32v multiply_add(f32v sum, const float* left, f32v right) { return sum + *left * right; }
inline f64v multiply_add(f64v sum, const double* left, f64v right) { return sum + *left * right; }
#if defined(__AVX512BF16__)
inline f32v multiply_add(f32v sum, const Pair* left, u32v right) {
    const u32v both = u32v{} + left->codes;
    return (f32v)_mm512_dpbf16_ps((__m512)sum, (__m512bh)both, (__m512bh)right);
}
#endif

inline void add_to(double* to, f64v x) { store(to, load<f64v>(to) + x); }
inline void add_to(double* to, f32v x) {
    add_to(to, widen_floats(low_half(x)));
    add_to(to + kLanes<double>, widen_floats(high_half(x)));
}

// The rows of `height` fill the registers with two vectors of sums each.
template <class Lane, int height>
void multiply(const void* left, const void* right, std::size_t strips, std::size_t slots, double* out,
              std::size_t stride, const char* const*) {
    using Sum = typename Slot<Lane>::Sum;
    using Factor = typename Slot<Lane>::Factor;
    constexpr std::size_t lanes = kLanes<Lane>;
    const Lane* y = static_cast<const Lane*>(right);
    for (std::size_t strip = 0; strip < strips; ++strip, y += 2 * lanes * kPanelSlots, out += 2 * lanes) {
        for (std::size_t begin = 0; begin < slots; begin += Slot<Lane>::run) {
            Sum sum[height][2] = {};
            for (std::size_t slot = begin; slot < begin + Slot<Lane>::run; ++slot) {
                const Factor low = load<Factor>(y + slot * 2 * lanes),
                             high = load<Factor>(y + slot * 2 * lanes + lanes);
                UNROLL for (int i = 0; i < height; ++i) {
                    const Lane* x = static_cast<const Lane*>(left) + i * kPanelSlots + slot;
                    sum[i][0] = multiply_add(sum[i][0], x, low);
                    sum[i][1] = multiply_add(sum[i][1], x, high);
                }
            }
            UNROLL for (int i = 0; i < height; ++i) {
                add_to(out + i * stride, sum[i][0]);
                add_to(out + i * stride + lanes, sum[i][1]);
            }
        }
    }
}

template <Element element, class Lane, int height>
constexpr CrossGramKernel kCrossGram = {
    height,
    2 * kLanes<Lane>,
    Slot<Lane>::elements,
    sizeof(Lane),
    pack<element, Lane>,
    arrange<Lane, 2 * kLanes<Lane>>,
    multiply<Lane, height>,
};

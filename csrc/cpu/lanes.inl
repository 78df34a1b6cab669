// Vectors of kLanes floats or doubles and the loads that widen stored elements into them. Included once per
// instruction set, inside an anonymous namespace (so that no object exports inline code built for a newer machine),
// with kVectorBytes defined. Bodies use the compiler's vector types: one source for every width.

// Loops over a compile-time count whose arrays must live in registers.
#define UNROLL _Pragma("GCC unroll 16")

template <class Lane>
constexpr std::size_t kLanes = kVectorBytes / sizeof(Lane);

typedef float f32v __attribute__((vector_size(kVectorBytes)));
typedef double f64v __attribute__((vector_size(kVectorBytes)));
typedef float f32half __attribute__((vector_size(kVectorBytes / 2)));
typedef std::uint16_t u16half __attribute__((vector_size(kVectorBytes / 2)));
typedef std::uint32_t u32v __attribute__((vector_size(kVectorBytes)));

template <class Lane>
struct VectorOf;
template <>
struct VectorOf<float> {
    using type = f32v;
};
template <>
struct VectorOf<double> {
    using type = f64v;
};
template <class Lane>
using Vector = typename VectorOf<Lane>::type;

template <class V>
inline V load(const void* from) {
    V out;
    __builtin_memcpy(&out, from, sizeof out);
    return out;
}

template <class V>
inline void store(void* to, V value) {
    __builtin_memcpy(to, &value, sizeof value);
}

// The two conversions that gcc 12 splits into halves when it compiles __builtin_convertvector.
inline u32v widen_codes(u16half codes) {
#if defined(__AVX512F__)
    return (u32v)_mm512_cvtepu16_epi32((__m256i)codes);
#elif defined(__AVX2__)
    return (u32v)_mm256_cvtepu16_epi32((__m128i)codes);
#else
    return __builtin_convertvector(codes, u32v);
#endif
}

inline f64v widen_floats(f32half x) {
#if defined(__AVX512F__)
    return (f64v)_mm512_cvtps_pd((__m256)x);
#elif defined(__AVX2__)
    return (f64v)_mm256_cvtps_pd((__m128)x);
#else
    return __builtin_convertvector(x, f64v);
#endif
}

inline f32half low_half(f32v x) { return load<f32half>(&x); }

inline f32half high_half(f32v x) {
#if defined(__AVX512F__)
    return (f32half)_mm512_extractf32x8_ps((__m512)x, 1);
#elif defined(__AVX2__)
    return (f32half)_mm256_extractf128_ps((__m256)x, 1);
#else
    return load<f32half>(reinterpret_cast<const char*>(&x) + kVectorBytes / 2);
#endif
}

inline f32v square_root(f32v x) {
#if defined(__AVX512F__)
    return (f32v)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (f32v)_mm256_sqrt_ps((__m256)x);
#else
    for (std::size_t i = 0; i < kLanes<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

inline f32v widen_f16(u16half codes) {
#if defined(__AVX512F__)
    return (f32v)_mm512_cvtph_ps((__m256i)codes);
#elif defined(__F16C__)
    return (f32v)_mm256_cvtph_ps((__m128i)codes);
#else
    // Exponents are re-biased as integers; a subnormal is its mantissa's distance from 2^-14, so no denormal float32 is
    // ever an operand (they cost a hundred cycles each).
    const u32v wide = widen_codes(codes), magnitude = wide & 0x7fffu, shifted = magnitude << 13;
    const f32v subnormal = (f32v)(shifted + (113u << 23)) - (f32v)(u32v{} + (113u << 23));
    u32v out = magnitude >= 0x7c00u ? shifted | (255u << 23) : shifted + (112u << 23);
    out = magnitude < 0x0400u ? (u32v)subnormal : out;
    return (f32v)(out | ((wide & 0x8000u) << 16));
#endif
}

// Source<element>: its storage type, and widen(from, to), which reads two vectors' worth of elements exactly. Their
// order within the two vectors is the same for every row, and nothing here depends on it.
template <Element element>
struct Source;

template <>
struct Source<kBf16> {
    using Code = std::uint16_t;
    static void widen(const void* from, f32v* to) {  // even elements, odd elements: no shuffle
        const u32v pairs = load<u32v>(from);
        to[0] = (f32v)(pairs << 16);
        to[1] = (f32v)(pairs & 0xffff0000u);
    }
    static void widen(const void* from, f64v* to) {
        const f32v x = (f32v)(widen_codes(load<u16half>(from)) << 16);
        to[0] = widen_floats(low_half(x));
        to[1] = widen_floats(high_half(x));
    }
};

template <>
struct Source<kF16> {
    using Code = std::uint16_t;
    static void widen(const void* from, f32v* to) {
        to[0] = widen_f16(load<u16half>(from));
        to[1] = widen_f16(load<u16half>(static_cast<const char*>(from) + kVectorBytes / 2));
    }
    static void widen(const void* from, f64v* to) {
        const f32v x = widen_f16(load<u16half>(from));
        to[0] = widen_floats(low_half(x));
        to[1] = widen_floats(high_half(x));
    }
};

template <>
struct Source<kF32> {
    using Code = std::uint32_t;
    static void widen(const void* from, f64v* to) {
        const f32v x = load<f32v>(from);
        to[0] = widen_floats(low_half(x));
        to[1] = widen_floats(high_half(x));
    }
};

template <>
struct Source<kF64> {
    using Code = std::uint64_t;
    static void widen(const void* from, f64v* to) {
        to[0] = load<f64v>(from);
        to[1] = load<f64v>(static_cast<const char*>(from) + kVectorBytes);
    }
};

inline void add_wide(f64v* to, f32v x) {
    to[0] += widen_floats(low_half(x));
    to[1] += widen_floats(high_half(x));
}

inline void add_wide(f64v* to, f64v x) { to[0] += x; }

// float64 vectors that hold the running sums of one vector of Lanes.
template <class Lane>
constexpr std::size_t kWide = sizeof(double) / sizeof(Lane);

inline double total(const f64v* lanes, std::size_t count) {
    f64v sum = lanes[0];
    for (std::size_t v = 1; v < count; ++v) sum += lanes[v];
#if defined(__AVX512F__)
    return _mm512_reduce_add_pd((__m512d)sum);
#else
    double out = 0;
    for (std::size_t i = 0; i < kLanes<double>; ++i) out += sum[i];
    return out;
#endif
}

// tail: the magnitudes of 16-bit codes at or above a floor, side by side. Only instruction sets that can compress a
// vector have it; where it is missing (null), a histogram counts every code, which costs four times as much.

#if defined(__AVX512F__)

std::size_t tail(const void* codes, std::size_t count, std::uint32_t floor, std::uint32_t* out) {
    const char* from = static_cast<const char*>(codes);
    const __m512i sign = _mm512_set1_epi32(0x7fff), least = _mm512_set1_epi32(static_cast<int>(floor));
    std::uint32_t* to = out;
    std::size_t at = 0;
    for (; at + 16 <= count; at += 16) {
        const __m512i magnitude = _mm512_and_si512((__m512i)widen_codes(load<u16half>(from + 2 * at)), sign);
        const __mmask16 kept = _mm512_cmpge_epu32_mask(magnitude, least);
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(kept, magnitude));
        to += __builtin_popcount(kept);
    }
    for (; at < count; ++at) {
        const std::uint32_t magnitude = load<std::uint16_t>(from + 2 * at) & 0x7fffu;
        *to = magnitude;
        to += magnitude >= floor;
    }
    return static_cast<std::size_t>(to - out);
}

#else

constexpr TailKernel tail = nullptr;

#endif

// One instruction set's kernels: kVectorBytes, kStripRows (rows of a left strip of cross_gram: two vectors of
// sums for each, and some registers left) and WEIGHTKIN_KERNELS (the table's name) come from the including source.

namespace weightkin {
namespace {

#include "lanes.inl"

#include "assign.inl"
#include "balance.inl"
#include "cross_gram.inl"
#include "difference.inl"
#include "gram.inl"
#include "lagged.inl"
#include "spectrum.inl"
#include "tail.inl"

std::uint64_t read(const void* data, std::size_t bytes) {
    typedef std::uint64_t u64v __attribute__((vector_size(kVectorBytes)));
    const char* from = static_cast<const char*>(data);
    u64v seen[4] = {};
    std::size_t at = 0;
    for (; at + sizeof seen <= bytes; at += sizeof seen) {
        for (std::size_t i = 0; i < 4; ++i) seen[i] ^= load<u64v>(from + at + i * kVectorBytes);
    }
    seen[0] ^= (seen[1] ^ seen[2]) ^ seen[3];
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < kLanes<double>; ++i) out ^= seen[0][i];
    for (; at < bytes; ++at) out ^= static_cast<unsigned char>(from[at]);
    return out;
}

std::uint64_t fma(std::uint64_t flops) {
    constexpr std::uint64_t chains = 12, round = chains * kLanes<float> * 2;  // enough to keep two units busy
    const std::uint64_t rounds = (flops + round - 1) / round;
    f32v sum[chains];  // all different, or one would do for all; and what is multiplied changes from round to round
    for (std::uint64_t chain = 0; chain < chains; ++chain) sum[chain] = f32v{} + static_cast<float>(chain);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        UNROLL for (std::uint64_t chain = 0; chain < chains; ++chain) sum[chain] = sum[chain] * 0.75f + 1.0f;
    }
    bool used = true;  // always, but the compiler cannot know
    for (const f32v& one : sum) used &= one[0] >= 0;
    return used ? rounds * round : 0;
}

}  // namespace

const Kernels WEIGHTKIN_KERNELS = {
    WEIGHTKIN_NAME,
    {gram<kBf16, float>, gram<kF16, float>, gram<kF32, double>, gram<kF64, double>},
    {gram<kBf16, double>, gram<kF16, double>, gram<kF32, double>, gram<kF64, double>},
    {difference<kBf16, float>, difference<kF16, float>, difference<kF32, double>, difference<kF64, double>},
    {difference<kBf16, double>, difference<kF16, double>, difference<kF32, double>, difference<kF64, double>},
    {
        kCrossGram<kBf16, float, kStripRows>,
        kCrossGram<kF16, float, kStripRows>,
        kCrossGram<kF32, float, kStripRows>,
        kCrossGram<kF64, double, kStripRows>,
    },
    balance,
    lagged,
    transform,
    spectra,
    kLanes<float>,
    {bid<kF32>, bid<kF64>},
    {relax<kF32>, relax<kF64>},
    tail,
    read,
    fma,
};

}  // namespace weightkin

// AVX-512 BF16: bf16 multiplied in pairs, without widening. Everything else is avx512's.
#include "kernels.h"

#include <immintrin.h>
constexpr std::size_t kVectorBytes = 64;

namespace weightkin {
namespace {

#include "lanes.inl"

#include "cross_gram.inl"

}  // namespace

const CrossGramKernel kAvx512Bf16CrossGram = kCrossGram<kBf16, Pair, 12>;

}  // namespace weightkin

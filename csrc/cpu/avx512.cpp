#include "kernels.h"

#include <immintrin.h>
#define WEIGHTKIN_NAME "avx512"
#define WEIGHTKIN_KERNELS kAvx512Kernels
constexpr std::size_t kVectorBytes = 64;
constexpr int kStripRows = 12;

#include "kernels.inl"

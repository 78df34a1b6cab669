#include "kernels.h"

#include <immintrin.h>
#define WEIGHTKIN_NAME "avx2"
#define WEIGHTKIN_KERNELS kAvx2Kernels
constexpr std::size_t kVectorBytes = 32;
constexpr int kStripRows = 6;

#include "kernels.inl"

#include "kernels.h"

#define WEIGHTKIN_NAME "scalar"
#define WEIGHTKIN_KERNELS kScalarKernels
constexpr std::size_t kVectorBytes = 16;

#include "kernels.inl"

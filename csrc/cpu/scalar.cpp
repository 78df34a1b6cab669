#include "kernels.h"

#define WEIGHTKIN_NAME "scalar"
#define WEIGHTKIN_KERNELS kScalarKernels
constexpr std::size_t kVectorBytes = 16;
constexpr int kStripRows = 6;

#include "kernels.inl"

// Chooses the instruction set once: the best one here, or the one that WEIGHTKIN_ISA names.

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace weightkin {
namespace {

// Best first. __builtin_cpu_supports also asks whether the operating system saves the wide registers.
const Kernels* find(const char* name) {
    const auto wanted = [name](const Kernels& table) { return !name || std::strcmp(name, table.name) == 0; };
#ifdef WEIGHTKIN_X86
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512 && wanted(kAvx512Kernels)) return &kAvx512Kernels;
    if (avx2 && wanted(kAvx2Kernels)) return &kAvx2Kernels;
#endif
    return wanted(kScalarKernels) ? &kScalarKernels : nullptr;
}

std::atomic<const Kernels*> current{nullptr};

}  // namespace

const Kernels& kernels() {
    const Kernels* table = current.load(std::memory_order_relaxed);
    if (!table) {
        table = find(nullptr);
        current.store(table, std::memory_order_relaxed);
    }
    return *table;
}

bool use_instruction_set(const char* name) {
    const Kernels* table = find(name);
    if (table) current.store(table, std::memory_order_relaxed);
    return table != nullptr;
}

}  // namespace weightkin

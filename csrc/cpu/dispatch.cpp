// Finds the instruction sets of this machine once, and keeps the one in use.

#include <atomic>
#include <cstring>

#include "kernels.h"

namespace weightkin {
namespace {

struct Available {
    const Kernels* best_first[4] = {};
    Available() {
        const Kernels** next = best_first;
#ifdef WEIGHTKIN_X86
        // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
        const bool avx2 =
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
        if (avx512) *next++ = &kAvx512Kernels;
        if (avx2) *next++ = &kAvx2Kernels;
#endif
        *next = &kScalarKernels;
    }
};

std::atomic<const Kernels*> current{nullptr};

}  // namespace

const Kernels* const* available_kernels() {
    static const Available available;
    return available.best_first;
}

const Kernels& kernels() {
    const Kernels* table = current.load(std::memory_order_relaxed);
    return table ? *table : *available_kernels()[0];
}

bool use_instruction_set(const char* name) {
    for (const Kernels* const* table = available_kernels(); *table; ++table) {
        if (std::strcmp((*table)->name, name) != 0) continue;
        current.store(*table, std::memory_order_relaxed);
        return true;
    }
    return false;
}

}  // namespace weightkin

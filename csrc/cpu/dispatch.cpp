// Finds the instruction sets of this machine once, and keeps the one in use.

#include <atomic>
#include <cstring>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels.h"

namespace weightkin {
namespace {

#ifdef WEIGHTKIN_X86
// Linux saves tiles only for processes that ask; the permission holds for all their threads.
bool tiles_permitted() {
#ifdef __linux__
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

struct Available {
    Kernels amx, avx512_bf16;
    const Kernels* best_first[6] = {};
    Available() {
        const Kernels** next = best_first;
#ifdef WEIGHTKIN_X86
        // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
        const bool avx2 =
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
        avx512_bf16 = amx = kAvx512Kernels;
        avx512_bf16.name = "avx512_bf16", avx512_bf16.cross_gram[kBf16] = kAvx512Bf16CrossGram;
        amx.name = "amx", amx.cross_gram[kBf16] = kAmxCrossGram;
        if (avx512 && __builtin_cpu_supports("amx-bf16") && tiles_permitted()) *next++ = &amx;
        const bool pairs = avx512 && __builtin_cpu_supports("avx512bf16");
        const bool slow_pairs =
            __builtin_cpu_is("intel");  // half as many products a cycle as float32 (Sapphire Rapids)
        if (pairs && !slow_pairs) *next++ = &avx512_bf16;
        if (avx512) *next++ = &kAvx512Kernels;
        if (pairs && slow_pairs) *next++ = &avx512_bf16;
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

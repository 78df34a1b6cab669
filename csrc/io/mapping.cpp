#include "mapping.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <system_error>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older kernels answer EINVAL
#endif

namespace weightkin {
namespace {

// What the signal handler may look at: a fixed array of atomics, since a handler can neither lock nor allocate.
struct Guard {
    std::atomic<std::uintptr_t> begin{0}, end{0};
    std::atomic<bool> faulted{false};
};
constexpr int kGuards = 1 << 14;  // mapped shards at one time
Guard guards[kGuards];
std::atomic<int> guards_used{0};  // one past the highest guard ever taken
std::mutex guards_mutex;
struct sigaction previous_action;
const std::uintptr_t kPage = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));

void on_bus_error(int signal, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const int used = guards_used.load(std::memory_order_acquire);
    for (int i = 0; i < used; ++i) {
        Guard& guard = guards[i];
        if (at < guard.begin.load() || at >= guard.end.load()) continue;
        // All the rest at once: a shrunken file has lost its tail, and a mapping per page would exhaust the kernel's.
        const std::uintptr_t page = at / kPage * kPage;
        guard.faulted.store(true);
        if (mmap(reinterpret_cast<void*>(page), guard.end.load() - page, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
            return;
        }
    }
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(signal, info, context);
    } else {  // the default action: returning runs the faulting instruction again, now without us
        sigaction(SIGBUS, &previous_action, nullptr);
    }
}

int take_guard(std::uintptr_t begin, std::uintptr_t end) {
    const std::lock_guard lock(guards_mutex);
    static const bool installed = [] {
        struct sigaction action = {};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        return sigaction(SIGBUS, &action, &previous_action) == 0;
    }();
    if (!installed) throw std::system_error(errno, std::generic_category(), "sigaction(SIGBUS)");
    for (int i = 0; i < kGuards; ++i) {
        if (guards[i].end.load() != 0) continue;
        guards[i].faulted.store(false);
        guards[i].begin.store(begin);
        guards[i].end.store(end);
        guards_used.store(std::max(guards_used.load(), i + 1), std::memory_order_release);
        return i;
    }
    throw std::system_error(EMFILE, std::generic_category(), "too many mapped shards");
}

}  // namespace

Mapping::Mapping(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw std::system_error(errno, std::generic_category(), path);
    struct stat status = {};
    void* data = nullptr;
    int error = fstat(file, &status) != 0 ? errno : 0;
    size_ = static_cast<std::size_t>(status.st_size);
    if (!error && size_ > 0) {
        data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
        if (data == MAP_FAILED) error = errno;
    }
    close(file);
    if (error) throw std::system_error(error, std::generic_category(), path);
    if (!data) return;
    data_ = static_cast<const char*>(data);
    try {
        const auto begin = reinterpret_cast<std::uintptr_t>(data_);
        guard_ = take_guard(begin, begin + (size_ + kPage - 1) / kPage * kPage);
    } catch (...) {
        munmap(data, size_);
        throw;
    }
}

Mapping::~Mapping() {
    if (!data_) return;
    munmap(const_cast<char*>(data_), size_);
    guards[guard_].begin.store(0);
    guards[guard_].end.store(0);
}

bool Mapping::faulted() const { return data_ && guards[guard_].faulted.load(); }

void Mapping::prefetch(std::size_t begin, std::size_t end) const {
    end = std::min(end, size_);
    if (begin >= end) return;
    begin = begin / kPage * kPage;
    char* from = const_cast<char*>(data_) + begin;
    // A failure is no error here: whoever reads the bytes finds out (SIGBUS), and an old kernel reads them on demand.
    if (madvise(from, end - begin, MADV_POPULATE_READ) != 0) madvise(from, end - begin, MADV_WILLNEED);
}

void Mapping::release(std::size_t begin, std::size_t end) const {
    end = std::min(end, size_);
    begin = (begin + kPage - 1) / kPage * kPage;
    end = end == size_ ? end : end / kPage * kPage;
    if (begin < end && !faulted()) madvise(const_cast<char*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace weightkin

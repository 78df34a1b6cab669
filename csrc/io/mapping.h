// A read-only file mapping that survives what files do while they are read.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>

namespace weightkin {

// Reading past the end of a file that shrank, or from a failing disk, raises SIGBUS and would end the process. While a
// Mapping lives, such a fault inside it puts zero pages there and sets `faulted()`: whoever read must ask it
// afterwards.
class Mapping {
public:
    explicit Mapping(const std::string& path);  // throws std::system_error
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    const char* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool faulted() const;

    // Reads [begin, end) from storage into the page cache and this process's page tables; returns when it is there.
    void prefetch(std::size_t begin, std::size_t end) const;
    // Takes the whole pages inside [begin, end) out of this process's page tables; they stay in the page cache.
    void release(std::size_t begin, std::size_t end) const;

private:
    const char* data_ = nullptr;
    std::size_t size_ = 0;
    int guard_ = -1;
};

}  // namespace weightkin

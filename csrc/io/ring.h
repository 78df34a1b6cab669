// Bytes of mapped files on their way to a device: threads read them into a few slots, and each slot, once full, is
// copied on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "mapping.h"
#include "transport.h"

namespace weightkin {

struct FileShrank : std::runtime_error {
    FileShrank() : std::runtime_error("the file shrank while it was being read") {}
};

// Ranges of a file that shall lie one behind the other at `to`, and what became of them.
struct CopyRequest {
    const void* ring = nullptr;
    std::shared_ptr<const Mapping> source;
    std::vector<std::size_t> offsets, ends;  // where each range begins in the file, and ends at the destination
    char* to = nullptr;
    Transport::Event after;  // the destination is in use until then

    // Guarded by the ring's mutex.
    std::size_t cut = 0;    // bytes that have been given to tiles
    bool finished = false;  // every copy has begun, or will never
    Transport::Event arrived;
    std::exception_ptr error;

    std::size_t bytes() const { return ends.empty() ? 0 : ends.back(); }
    void read(std::size_t begin, std::size_t end, char* slot) const;  // bytes [begin, end) of all ranges together
};

// Requests are copied in the order of their submission. A request that fails keeps its error for whoever waits for it,
// and the next ones go on. Every member may be called from any thread.
class Ring {
public:
    using Ticket = std::shared_ptr<CopyRequest>;

    Ring(std::shared_ptr<Transport> transport, std::size_t threads);
    ~Ring() { close(); }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    // Never waits. The source is kept; the destination must last until the request has arrived or the ring is closed.
    // `stream`: what is on it now may still use the destination.
    Ticket submit(std::shared_ptr<const Mapping> source, std::vector<std::size_t> offsets,
                  const std::vector<std::size_t>& lengths, char* to, Transport::Stream stream);
    Ticket last() const;  // submitted, null if none

    // Whether all copies of a request have begun, or failed, within that time.
    bool finished_within(const Ticket& ticket, std::chrono::milliseconds time);
    // Of a request that finished: makes `stream`, or without one the caller, wait until it arrived; throws its error.
    void join(const Ticket& ticket, Transport::Stream stream);
    // Of the last request, once it finished: waits until all arrived; throws the first error that nobody was told.
    void settle(const Ticket& last);

    // Gives up what has not been copied, whose tickets then hold an error; afterwards nothing touches a destination.
    void close() noexcept;

private:
    struct Tile {  // what one slot takes; cut into parts, so that all readers work on the oldest one
        Ticket request;
        std::size_t slot = 0, begin = 0, end = 0, next = 0, unread = 0;
        bool open = false;  // its slot is no longer copied from
    };

    void read_parts() noexcept;
    void open_tile(std::unique_lock<std::mutex>& lock);
    void read_part(Tile& tile, std::unique_lock<std::mutex>& lock);
    void copy_tiles() noexcept;
    void copy_tile(std::unique_lock<std::mutex>& lock);
    void fail(const Ticket& request, std::exception_ptr error);
    void finish(const Ticket& request);

    mutable std::mutex mutex_;
    std::condition_variable work_, filled_, finished_;
    std::shared_ptr<Transport> transport_;
    std::deque<Ticket> requests_;  // not wholly cut into tiles
    std::deque<Tile> tiles_;       // oldest first; at most as many as slots
    std::size_t tile_number_ = 0;  // of the next one; they take the slots in turn
    std::vector<Ticket> unseen_;   // failed, and nobody was told
    Ticket last_;
    bool closing_ = false;
    std::mutex closing_mutex_;  // held while threads are joined
    std::vector<std::thread> threads_;
};

}  // namespace weightkin

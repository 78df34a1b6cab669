#include "ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weightkin {
namespace {

constexpr std::size_t kPart = std::size_t{1} << 20;      // bytes that one reader takes at a time
constexpr std::size_t kPopulate = std::size_t{1} << 16;  // shorter ranges cost less by page faults than by a call each

}  // namespace

void CopyRequest::read(std::size_t begin, std::size_t end, char* slot) const {
    auto range = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
    while (begin < end) {
        const std::size_t start = range == 0 ? 0 : ends[range - 1], stop = std::min(end, ends[range]);
        const std::size_t offset = offsets[range] + (begin - start), bytes = stop - begin;
        if (bytes >= kPopulate) source->prefetch(offset, offset + bytes);
        std::memcpy(slot, source->data() + offset, bytes);
        slot += bytes, begin = stop, ++range;
    }
    if (source->faulted()) throw FileShrank();
}

Ring::Ring(std::shared_ptr<Transport> transport, std::size_t threads) : transport_(std::move(transport)) {
    try {
        threads_.emplace_back([this] { copy_tiles(); });
        for (std::size_t reader = 0; reader < threads; ++reader) threads_.emplace_back([this] { read_parts(); });
    } catch (...) {
        close();
        throw;
    }
}

Ring::Ticket Ring::submit(std::shared_ptr<const Mapping> source, std::vector<std::size_t> offsets,
                          const std::vector<std::size_t>& lengths, char* to, Transport::Stream stream) {
    if (lengths.size() != 1 && lengths.size() != offsets.size()) {
        throw std::invalid_argument("there must be one length, or one for each offset");
    }
    auto request = std::make_shared<CopyRequest>();
    std::size_t bytes = 0;
    for (std::size_t range = 0; range < offsets.size(); ++range) {
        const std::size_t length = lengths.size() == 1 ? lengths[0] : lengths[range];
        if (length > source->size() || offsets[range] > source->size() - length) {
            throw std::invalid_argument("a range reaches outside the file");
        }
        request->ends.push_back(bytes += length);
    }
    request->ring = this, request->source = std::move(source), request->offsets = std::move(offsets), request->to = to;
    std::shared_ptr<Transport> transport;
    {
        const std::lock_guard lock(mutex_);
        if (closing_) throw std::runtime_error("the ring is closed");
        transport = transport_;
    }
    request->after = transport->mark(stream);
    const std::lock_guard lock(mutex_);
    if (closing_) throw std::runtime_error("the ring is closed");
    requests_.push_back(request);
    last_ = request;
    work_.notify_all();
    return request;
}

Ring::Ticket Ring::last() const {
    const std::lock_guard lock(mutex_);
    return last_;
}

bool Ring::finished_within(const Ticket& ticket, std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return finished_.wait_for(lock, time, [&] { return ticket->finished; });
}

void Ring::join(const Ticket& ticket, Transport::Stream stream) {
    std::unique_lock lock(mutex_);
    const std::shared_ptr<Transport> transport = transport_;  // null once closed: then everything has arrived
    const Transport::Event arrived = ticket->arrived;
    const std::exception_ptr error = ticket->error;
    std::erase(unseen_, ticket);
    lock.unlock();
    if (transport && !error) transport->wait(arrived, stream);
    if (transport && error) transport->await_all();  // before the error goes up and the destination away
    if (error) std::rethrow_exception(error);
}

void Ring::settle(const Ticket& last) {
    std::unique_lock lock(mutex_);
    const std::shared_ptr<Transport> transport = transport_;
    const Transport::Event arrived = last->arrived;
    const std::exception_ptr error = unseen_.empty() ? nullptr : unseen_.front()->error;
    if (error) unseen_.erase(unseen_.begin());
    lock.unlock();
    if (transport && error) transport->await_all();
    if (error) std::rethrow_exception(error);
    if (transport) transport->wait(arrived, std::nullopt);
}

void Ring::close() noexcept {
    const std::lock_guard closing(closing_mutex_);
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    work_.notify_all(), filled_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    if (transport_) transport_->await_all();
    const std::lock_guard lock(mutex_);
    const auto error = std::make_exception_ptr(std::runtime_error("the ring was closed before the copy was made"));
    for (const Tile& tile : tiles_) fail(tile.request, error), finish(tile.request);
    for (const Ticket& request : requests_) fail(request, error), finish(request);
    tiles_.clear(), requests_.clear();
    transport_.reset();
}

// Readers: a part of the oldest tile that has one left, else a new tile, else wait.
void Ring::read_parts() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
        const auto has_part = [](const Tile& tile) { return tile.open && tile.next < tile.end; };
        std::deque<Tile>::iterator tile;
        work_.wait(lock, [&] {
            tile = std::find_if(tiles_.begin(), tiles_.end(), has_part);
            return closing_ || tile != tiles_.end() || (!requests_.empty() && tiles_.size() < transport_->slots());
        });
        if (closing_) return;
        if (tile != tiles_.end()) {
            read_part(*tile, lock);
        } else {
            open_tile(lock);
        }
    }
}

void Ring::open_tile(std::unique_lock<std::mutex>& lock) {
    const Ticket request = requests_.front();
    const std::size_t slot = tile_number_++ % transport_->slots(), begin = request->cut;
    request->cut = std::min(request->bytes(), begin + transport_->slot_bytes());
    if (request->cut == request->bytes()) requests_.pop_front();
    tiles_.push_back({request, slot, begin, request->cut, begin, request->cut - begin});
    Tile& tile = tiles_.back();  // stays where it is while others come and go, and cannot go before it is open
    std::exception_ptr error;
    lock.unlock();
    try {
        transport_->await_slot(slot);
    } catch (...) {
        error = std::current_exception();
    }
    lock.lock();
    if (error) fail(request, error);
    tile.open = true;
    work_.notify_all();
    filled_.notify_one();  // it may be empty
}

void Ring::read_part(Tile& tile, std::unique_lock<std::mutex>& lock) {
    const std::size_t begin = tile.next, end = std::min(tile.end, begin + kPart);
    tile.next = end;
    const bool skip = tile.request->error != nullptr;
    std::exception_ptr error;
    lock.unlock();
    try {
        if (!skip) tile.request->read(begin, end, transport_->slot(tile.slot) + (begin - tile.begin));
    } catch (...) {
        error = std::current_exception();
    }
    lock.lock();
    if (error) fail(tile.request, error);
    tile.unread -= end - begin;
    if (tile.unread == 0) filled_.notify_one();
}

// The copier: begins the copies, tile by tile in their order.
void Ring::copy_tiles() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
        filled_.wait(
            lock, [&] { return closing_ || (!tiles_.empty() && tiles_.front().open && tiles_.front().unread == 0); });
        if (closing_) return;
        copy_tile(lock);
        tiles_.pop_front();
        work_.notify_all();
    }
}

void Ring::copy_tile(std::unique_lock<std::mutex>& lock) {
    const Tile tile = tiles_.front();
    const Ticket& request = tile.request;
    const bool skip = request->error || tile.begin == tile.end;
    const bool whole = tile.end == request->bytes();
    std::exception_ptr error;
    Transport::Event arrived;
    lock.unlock();
    try {
        if (!skip) {
            const Transport::Event after = tile.begin == 0 ? request->after : nullptr;
            transport_->copy(tile.slot, after, request->to + tile.begin, tile.end - tile.begin);
        }
        if (whole) arrived = transport_->finish();
    } catch (...) {
        error = std::current_exception();
    }
    lock.lock();
    if (error) fail(request, error);
    if (!whole) return;
    request->arrived = std::move(arrived);
    finish(request);
}

void Ring::fail(const Ticket& request, std::exception_ptr error) {
    if (request->error || request->finished) return;
    request->error = std::move(error);
    unseen_.push_back(request);
}

void Ring::finish(const Ticket& request) {
    request->finished = true;
    request->source.reset(), request->after.reset();  // a ticket may live long
    finished_.notify_all();
}

}  // namespace weightkin

// How the filled slots of a Ring reach their destination: by a device's copy engine, or by memcpy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

namespace weightkin {

// Unless the caller says otherwise: one slot is copied from while the others are filled, each large enough to hide what
// a copy costs besides its bytes, by as many threads as it takes to read faster than a link takes.
constexpr std::size_t kSlots = 3, kSlotBytes = std::size_t{32} << 20, kReaders = 8;

// A ring calls `copy` and `finish` from one thread, and `await_slot` never for a slot that is being copied from; `mark`
// and `wait` come from any thread. What fails throws.
class Transport {
public:
    using Event = std::shared_ptr<void>;           // a point on a stream; null: already passed
    using Stream = std::optional<std::uintptr_t>;  // a device's stream, 0 being its default one; or none

    virtual ~Transport() = default;
    virtual std::size_t slots() const = 0;
    virtual std::size_t slot_bytes() const = 0;
    virtual char* slot(std::size_t number) = 0;

    virtual Event mark(Stream stream) = 0;                     // after all that is on `stream` now
    virtual void wait(const Event& event, Stream stream) = 0;  // makes `stream` wait for it, or without one the caller

    virtual void copy(std::size_t slot, const Event& after, char* to,
                      std::size_t bytes) = 0;         // begins, once `after` passed
    virtual Event finish() = 0;                       // after all copies begun so far
    virtual void await_slot(std::size_t number) = 0;  // until nothing is copied from that slot any more
    virtual void await_all() noexcept = 0;            // until no copy is under way
};

// The destination is ordinary memory. There are no streams: a copy is over when `copy` returns.
class HostTransport final : public Transport {
public:
    HostTransport(std::size_t slots, std::size_t slot_bytes) : slot_bytes_(slot_bytes) {
        for (std::size_t number = 0; number < slots; ++number) slots_.emplace_back(new char[slot_bytes]);
    }

    std::size_t slots() const override { return slots_.size(); }
    std::size_t slot_bytes() const override { return slot_bytes_; }
    char* slot(std::size_t number) override { return slots_[number].get(); }
    Event mark(Stream) override { return nullptr; }
    void wait(const Event&, Stream) override {}
    void copy(std::size_t slot, const Event&, char* to, std::size_t bytes) override {
        std::memcpy(to, slots_[slot].get(), bytes);
    }
    Event finish() override { return nullptr; }
    void await_slot(std::size_t) override {}
    void await_all() noexcept override {}

private:
    std::size_t slot_bytes_;
    std::vector<std::unique_ptr<char[]>> slots_;
};

}  // namespace weightkin

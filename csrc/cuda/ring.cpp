#include "ring.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "device.h"

namespace weightkin {
namespace {

struct Unpin {
    void operator()(char* data) const { cudaFreeHost(data); }
};
using Pinned = std::unique_ptr<char, Unpin>;

Pinned pin(std::size_t bytes) {
    void* data = nullptr;
    check(cudaHostAlloc(&data, bytes, cudaHostAllocPortable), "pinned memory");
    return Pinned(static_cast<char*>(data));
}

// Who waits for an event sleeps rather than spins: the cores are busy reading.
std::shared_ptr<void> new_event() {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreate");
    return {event, [](void* one) { cudaEventDestroy(static_cast<cudaEvent_t>(one)); }};
}

cudaEvent_t raw(const std::shared_ptr<void>& event) { return static_cast<cudaEvent_t>(event.get()); }
cudaStream_t raw(std::uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

class DeviceTransport final : public Transport {
public:
    DeviceTransport(int device, std::size_t slots, std::size_t slot_bytes) : device_(device), slot_bytes_(slot_bytes) {
        const OnDevice here(device_);
        for (std::size_t number = 0; number < slots; ++number) {
            slots_.push_back(pin(slot_bytes));
            copied_.push_back(new_event());
        }
        // Last, for a constructor that throws runs no destructor. Non-blocking: no order with the default stream.
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    }
    ~DeviceTransport() override {
        await_all();
        cudaStreamDestroy(stream_);
    }

    std::size_t slots() const override { return slots_.size(); }
    std::size_t slot_bytes() const override { return slot_bytes_; }
    char* slot(std::size_t number) override { return slots_[number].get(); }

    Event mark(Stream stream) override {
        if (!stream) return nullptr;
        const OnDevice here(device_);  // stream 0 is that of the thread's device
        Event event = new_event();
        check(cudaEventRecord(raw(event), raw(*stream)), "cudaEventRecord");
        return event;
    }

    void wait(const Event& event, Stream stream) override {
        if (!event) return;
        const OnDevice here(device_);
        if (stream) {
            check(cudaStreamWaitEvent(raw(*stream), raw(event), 0), "cudaStreamWaitEvent");
        } else {
            check(cudaEventSynchronize(raw(event)), "copy to the device");
        }
    }

    void copy(std::size_t slot, const Event& after, char* to, std::size_t bytes) override {
        const OnDevice here(device_);
        if (after) check(cudaStreamWaitEvent(stream_, raw(after), 0), "cudaStreamWaitEvent");
        check(cudaMemcpyAsync(to, slots_[slot].get(), bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
        check(cudaEventRecord(raw(copied_[slot]), stream_), "cudaEventRecord");
    }

    Event finish() override {
        const OnDevice here(device_);
        Event event = new_event();
        check(cudaEventRecord(raw(event), stream_), "cudaEventRecord");
        return event;
    }

    void await_slot(std::size_t number) override {
        const OnDevice here(device_);
        check(cudaEventSynchronize(raw(copied_[number])), "copy to the device");
    }

    void await_all() noexcept override { cudaStreamSynchronize(stream_); }

private:
    int device_;
    std::size_t slot_bytes_;
    std::vector<Pinned> slots_;
    std::vector<Event> copied_;
    cudaStream_t stream_ = nullptr;
};

}  // namespace

std::shared_ptr<Transport> make_device_transport(int device, std::size_t slots, std::size_t slot_bytes) {
    return std::make_shared<DeviceTransport>(device, slots, slot_bytes);
}

}  // namespace weightkin

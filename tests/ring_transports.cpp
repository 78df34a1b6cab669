// The ring over a transport that copies later, in a thread of its own, as a device does, and that may fail:
// ring_transports FILE. Prints what is wrong, and ends with 1 if anything is.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../csrc/io/ring.h"

using namespace weightkin;
using Bytes = std::vector<char>;

constexpr std::size_t kFew = 3, kSmall = 5000;
int wrong = 0;

void expect(bool holds, const std::string& what) {
    if (holds) return;
    std::printf("not so: %s\n", what.c_str());
    wrong = 1;
}

class LateTransport final : public Transport {
public:
    enum Call { kNever, kCopy, kFinish, kAwaitSlot };
    LateTransport(Call failing, int after) : failing_(failing), after_(after), device_([this] { run(); }) {}
    ~LateTransport() override {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
        }
        changed_.notify_all();
        device_.join();
    }

    std::size_t slots() const override { return kFew; }
    std::size_t slot_bytes() const override { return kSmall; }
    char* slot(std::size_t number) override { return slots_[number]; }
    Event mark(Stream) override { return nullptr; }
    Event finish() override {
        fail_at(kFinish);
        const std::lock_guard lock(mutex_);
        return std::make_shared<std::size_t>(begun_);
    }
    void copy(std::size_t slot, const Event&, char* to, std::size_t bytes) override {
        fail_at(kCopy);
        const std::lock_guard lock(mutex_);
        begun_of_[slot] = ++begun_;
        queue_.push_back([=, this] { std::memcpy(to, slots_[slot], bytes); });
        expect(queue_.size() <= kFew, "no more copies are under way than there are slots");
        changed_.notify_all();
    }
    void await_slot(std::size_t number) override {
        fail_at(kAwaitSlot);
        await(begun_of_[number]);
    }
    void wait(const Event& event, Stream) override { await(*static_cast<std::size_t*>(event.get())); }
    void await_all() noexcept override { await(begun_); }

private:
    void fail_at(Call call) {
        if (call == failing_ && after_-- == 0) throw std::runtime_error("the device failed");
    }
    void await(const std::size_t& begun) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this, until = begun] { return ended_ >= until; });
    }
    void run() {
        std::minstd_rand random(1);
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
            if (queue_.empty()) return;
            lock.unlock();
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
            queue_.front()();  // nobody else takes from the front
            lock.lock();
            queue_.pop_front();
            ++ended_;
            changed_.notify_all();
        }
    }

    char slots_[kFew][kSmall] = {};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> queue_;
    std::size_t begun_ = 0, ended_ = 0, begun_of_[kFew] = {};
    bool ending_ = false;
    const Call failing_;
    std::atomic<int> after_;
    std::thread device_;
};

void await(Ring& ring, const Ring::Ticket& ticket) {
    while (!ring.finished_within(ticket, std::chrono::milliseconds(50))) {
    }
    ring.join(ticket, std::nullopt);
}

std::string error_of(const std::function<void()>& call) {
    try {
        call();
        return "";
    } catch (const std::exception& error) {
        return error.what();
    }
}

// Many requests of all sizes, waited for by two threads: each arrives whole, though every slot is used many times.
void copies_whole(const std::shared_ptr<Mapping>& mapping) {
    Ring ring(std::make_shared<LateTransport>(LateTransport::kNever, 0), 4);
    const auto work = [&](unsigned seed) {
        std::minstd_rand random(seed);
        std::vector<Bytes> out;
        std::vector<std::size_t> offsets;
        std::vector<Ring::Ticket> tickets;
        for (int request = 0; request < 60; ++request) {
            out.emplace_back(random() % (3 * kSmall));
            offsets.push_back(random() % (mapping->size() - out.back().size()));
            tickets.push_back(ring.submit(mapping, {offsets.back()}, {out.back().size()}, out.back().data(), 0));
        }
        for (std::size_t request = tickets.size(); request-- > 0;) {
            await(ring, tickets[request]);
            expect(std::memcmp(out[request].data(), mapping->data() + offsets[request], out[request].size()) == 0,
                   "a request arrives whole");
        }
    };
    std::thread other(work, 2);
    work(1);
    other.join();
}

// One request fails; those before and after it arrive, and its error is kept.
void fails_once(const std::shared_ptr<Mapping>& mapping, LateTransport::Call call) {
    Ring ring(std::make_shared<LateTransport>(call, 7), 3);
    std::vector<Bytes> out(10, Bytes(3 * kSmall));
    std::vector<Ring::Ticket> tickets;
    for (Bytes& one : out) tickets.push_back(ring.submit(mapping, {11}, {one.size()}, one.data(), 0));
    int failed = 0;
    for (std::size_t request = 0; request < tickets.size(); ++request) {
        const std::string error = error_of([&] { await(ring, tickets[request]); });
        expect(error == error_of([&] { await(ring, tickets[request]); }),
               "an error is said as often as it is asked for");
        failed += error == "the device failed";
        if (error.empty())
            expect(std::memcmp(out[request].data(), mapping->data() + 11, out[request].size()) == 0, "whole");
    }
    expect(failed == 1, "one request fails, not " + std::to_string(failed));
}

// After closing nothing is written any more, and who waits is told.
void closes_while_busy(const std::shared_ptr<Mapping>& mapping) {
    Ring ring(std::make_shared<LateTransport>(LateTransport::kNever, 0), 2);
    Bytes out(mapping->size());
    std::vector<Ring::Ticket> tickets;
    for (int request = 0; request < 20; ++request) {
        tickets.push_back(ring.submit(mapping, {0}, {out.size()}, out.data(), 0));
    }
    std::thread waiting([&] {
        expect(error_of([&] { await(ring, tickets.back()); }) == "the ring was closed before the copy was made",
               "told");
    });
    std::thread closing([&] { ring.close(); });
    ring.close();
    out.assign(out.size(), 7);
    closing.join(), waiting.join();
    expect(out == Bytes(out.size(), 7), "nothing is written after closing");
    expect(error_of([&] { ring.submit(mapping, {0}, {1}, out.data(), 0); }) == "the ring is closed", "closed");
}

int main(int, char** arguments) {
    Bytes content(100'000);
    for (std::size_t at = 0; at < content.size(); ++at) content[at] = static_cast<char>(at * at / 7);
    std::ofstream(arguments[1], std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    const auto mapping = std::make_shared<Mapping>(arguments[1]);
    copies_whole(mapping);
    for (const auto call : {LateTransport::kCopy, LateTransport::kFinish, LateTransport::kAwaitSlot}) {
        fails_once(mapping, call);
    }
    closes_while_busy(mapping);
    return wrong;
}

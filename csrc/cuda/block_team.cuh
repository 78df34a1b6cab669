// The threads of a block as a team: see team_assign.h. Their number is a multiple of 32.
#pragma once

#include <cstring>

namespace weightkin {

constexpr int kWarp = 32;

class BlockTeam {
public:
    struct alignas(16) Shared {
        unsigned char staged[2][kWarp][32];  // in turn: a quick warp may stage the next value while others still read
        int taken;
    };
    __device__ explicit BlockTeam(Shared& shared) : shared_(shared) {}

    __device__ int rank() const { return static_cast<int>(threadIdx.x); }
    __device__ int size() const { return static_cast<int>(blockDim.x); }
    __device__ void barrier() { __syncthreads(); }
    __device__ void lower(int* at, int value) { atomicMin(at, value); }
    __device__ int take(int* next) {  // whoever takes again has passed another barrier
        if (rank() == 0) shared_.taken = atomicAdd(next, 1);
        __syncthreads();
        return shared_.taken;
    }

    template <class Value>
    __device__ Value reduce(Value value) {
        static_assert(sizeof(Value) <= sizeof shared_.staged[0][0], "a staged value has 32 bytes");
        const int lane = rank() % kWarp, warps = size() / kWarp;
        turn_ ^= 1;
        value = within_warp(value);
        if (lane == 0) *reinterpret_cast<Value*>(shared_.staged[turn_][rank() / kWarp]) = value;
        __syncthreads();
        return within_warp(lane < warps ? *reinterpret_cast<const Value*>(shared_.staged[turn_][lane]) : Value());
    }

private:
    template <class Value>
    __device__ static Value within_warp(Value value) {
        constexpr int words = sizeof(Value) / sizeof(unsigned);
        for (int distance = kWarp / 2; distance > 0; distance /= 2) {
            unsigned word[words];
            memcpy(word, &value, sizeof value);
#pragma unroll
            for (int k = 0; k < words; ++k) word[k] = __shfl_xor_sync(~0u, word[k], distance);
            Value other;
            memcpy(&other, word, sizeof other);
            value = Value::combine(value, other);
        }
        return value;
    }

    Shared& shared_;
    int turn_ = 0;
};

}  // namespace weightkin

// AMX: bf16 multiplied in tiles of 16 x 16 sums. Everything else is avx512's.
#include "kernels.h"

#include <immintrin.h>
constexpr std::size_t kVectorBytes = 64;

namespace weightkin {
namespace {

#include "lanes.inl"

#include "cross_gram.inl"

// A tile product adds `kPairs` products to each of two float32 sums from zero, then one of these to the other and the
// result to the tile: kPairs roundings. Each of the kSteps - 1 products that follow costs one more: 15 in all.
constexpr std::size_t kTileRows = 16, kPairs = 12, kSteps = 4;
static_assert(kPairs * kSteps == kSlotGrain && kPairs + kSteps - 1 <= 16);

struct alignas(64) TileShapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 4 * kPairs, 4 * kPairs, 64, 64};  // sums, left, right
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, kPairs, kPairs};
};
constexpr TileShapes kTileShapes;

inline void add_tile(const float* tile, double* out, std::size_t stride) {
    UNROLL for (std::size_t i = 0; i < kTileRows; ++i) add_to(out + i * stride, load<f32v>(tile + i * kTileRows));
}

// Two tiles by two. While the tiles of one run are multiplied, the sums of the run before are added to float64, and
// what comes next is fetched: tiles are multiplied faster than the hardware's own prefetching brings them.
void multiply_tiles(const void* left, const void* right, std::size_t strips, std::size_t slots, double* out,
                    std::size_t stride, const char* const* ahead) {
    constexpr std::size_t left_bytes = kPanelSlots * sizeof(Pair), right_bytes = 2 * kTileRows * sizeof(Pair);
    const char* const upper = static_cast<const char*>(left);
    const char* const lower = upper + kTileRows * left_bytes;
    const char* strip = static_cast<const char*>(right);
    alignas(64) float sums[4][kTileRows * kTileRows];
    double* pending = nullptr;
    const auto add = [&](std::size_t tile) {
        add_tile(sums[tile], pending + tile / 2 * kTileRows * stride + tile % 2 * kTileRows, stride);
    };
    const std::size_t all_steps = strips * slots / kPairs;
    const std::size_t lines = ahead ? (kPanelSlots * right_bytes / 64 + all_steps - 1) / all_steps : 0;
    const char* next[2] = {ahead ? ahead[0] : nullptr, ahead ? ahead[1] : nullptr};
    _tile_loadconfig(&kTileShapes);
    for (const char* const end = strip + strips * kPanelSlots * right_bytes; strip != end;
         strip += kPanelSlots * right_bytes, out += 2 * kTileRows) {
        for (std::size_t begin = 0; begin < slots; begin += kSlotGrain) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (std::size_t step = 0; step < kSteps; ++step) {
                const std::size_t slot = begin + step * kPairs;
                _tile_loadd(4, upper + slot * sizeof(Pair), left_bytes);
                _tile_loadd(6, strip + slot * right_bytes, right_bytes);
                _tile_dpbf16ps(0, 4, 6);
                _tile_loadd(7, strip + slot * right_bytes + right_bytes / 2, right_bytes);
                _tile_dpbf16ps(1, 4, 7);
                _tile_loadd(5, lower + slot * sizeof(Pair), left_bytes);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
                for (std::size_t line = 0; line < lines; ++line) {
                    __builtin_prefetch(next[0], 0, 2), __builtin_prefetch(next[1], 0, 2);
                    next[0] += 64, next[1] += 64;
                }
                if (pending) add(step);
            }
            _tile_stored(0, sums[0], 64);
            _tile_stored(1, sums[1], 64);
            _tile_stored(2, sums[2], 64);
            _tile_stored(3, sums[3], 64);
            pending = out;
        }
    }
    _tile_release();
    for (std::size_t tile = 0; pending && tile < 4; ++tile) add(tile);
}

}  // namespace

const CrossGramKernel kAmxCrossGram = {
    2 * kTileRows, 2 * kTileRows, 2, sizeof(Pair), pack<kBf16, Pair>, arrange<Pair, 2 * kTileRows>, multiply_tiles,
};

}  // namespace weightkin

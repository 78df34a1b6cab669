// The table of CPU kernels: one instance per instruction set, chosen once (dispatch.cpp).
//
// Kernels know pointers, sizes and element types; no Python, no threads, no strides. Rows are contiguous but may start
// at any byte. Every kernel adds to its outputs, in an order fixed by the position from the start of the call in chunks
// of `kChunk` elements, so cutting a row at multiples of `kChunk` changes no bit of the result.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weightkin {

constexpr std::size_t kChunk = 4096;    // elements between two additions to an output
constexpr std::size_t kObjectPad = 16;  // two vectors of doubles of the widest instruction set
constexpr int kMaxRows = 16;            // rows of one gram call in the memory-bound regime

// Element types that kernels read. Other types are widened into one of these first (pack.cpp).
enum Element : int { kBf16 = 0, kF16 = 1, kF32 = 2, kF64 = 3, kElements = 4 };

struct Difference {
    double sum_abs = 0;        // sum |x - y|
    double sum_square = 0;     // sum (x - y)^2
    double max_abs = 0;        // max |x - y|, NaN differences left out (they show in sum_abs)
    std::int64_t unequal = 0;  // elements whose bits differ
};

// gram[i * count + j] += <x_i, x_j> for i <= j only; sum[i] += sum x_i.
using GramKernel = void (*)(const void* const* rows, int count, std::size_t depth, double* gram, double* sum);
using DifferenceKernel = void (*)(const void* x, const void* y, std::size_t depth, Difference* out);
// x: `lines` of `length` floats, `stride` apart, zeros between them; balanced in place (lagged.h) if all are finite,
// else false. `room`: stride floats.
using BalanceKernel = bool (*)(float* x, std::size_t lines, std::size_t length, std::size_t stride, float* room);
// The `lanes` / 2 sums from sums[lanes / 2 * l] on += parts of <x, y rotated by lag[l]>. x: `length` floats, then zeros
// to a whole vector; y: its line twice, then a vector of room; lags of equal remainder modulo `lanes` side by side,
// ascending; shifted: room for as much as y.
using LaggedKernel = void (*)(const float* x, const float* y, std::size_t length, const std::uint32_t* lag,
                              std::size_t count, float* shifted, double* sums);
// The discrete Fourier transform of a complex line of `vectors` vectors, each lane for itself, in place; then vector v
// holds the frequency that the stages' order gives it (spectrum.h).
struct TransformStage {
    std::uint32_t radix;   // 2, 3, 4, 5, 7, 11 or 13
    const float* roots;    // exp(-2 pi i k / radix): real part, imaginary part, for k < radix
    const float* factors;  // likewise exp(-2 pi i j q / size) for 1 <= q < radix, for each j < size / radix
};
using TransformKernel = void (*)(float* re, float* im, std::size_t vectors, const TransformStage* stages,
                                 std::size_t count);
// For each vector v and each residue r, from out[4 * (v * count + r)] on: real and imaginary part of the sum over
// complex lines (real parts in even lines, imaginary parts in odd ones, `stride` apart) of conj(x) * (y turned by
// residue[r] lanes), first over the lanes that stayed in their vector, then over those that passed its end.
using SpectraKernel = void (*)(const float* x, const float* y, std::size_t lines, std::size_t stride,
                               std::size_t vectors, const std::uint32_t* residue, std::size_t count, double* out);
// Writes the magnitudes (codes without sign) that are at least `floor`; returns how many. `out` has room for `count`
// + 16.
using TailKernel = std::size_t (*)(const void* codes, std::size_t count, std::uint32_t floor, std::uint32_t* out);
// What a person bids: the largest scores[j] - price[j], its object j (the first of equals), and the second largest.
struct Bid {
    double best, second;
    std::int64_t object;
};
// `scores`: one row, of one person; `price`, as all arrays over objects below, padded to kObjectPad, with infinity.
using BidKernel = Bid (*)(const void* scores, const double* price, std::size_t objects);
struct Reach {
    double distance;      // the least
    std::int64_t object;  // the first at that distance
};
// distance[j] = min(distance[j], offset - (scores[j] - price[j])), and from[j] = person wherever that lowers it. An
// object whose price and distance are infinite stays out.
using RelaxKernel = Reach (*)(const void* scores, const double* price, std::size_t objects, double offset,
                              std::int64_t person, double* distance, std::int64_t* from);
using ReadKernel = std::uint64_t (*)(const void* data, std::size_t bytes);
using FmaKernel = std::uint64_t (*)(std::uint64_t flops);

constexpr std::size_t kPanelSlots = 240;  // of every packed row of cross_gram; as many zeros as it is shorter
constexpr std::size_t kSlotGrain = 48;    // kernels work on multiples of so many

// How one element type meets itself in cross_gram (cross_gram.inl). A packed row is `kPanelSlots` slots; a left strip
// is `left_rows` of them, a right strip [kPanelSlots, right_rows] slots. `slots` are multiples of kSlotGrain.
struct CrossGramKernel {
    std::size_t left_rows, right_rows;
    std::size_t slot_elements;  // 1 of float32 or float64, or 2 of bf16
    std::size_t slot_bytes;
    // Adds to a row's sum and squared norm, and returns whether its elements suit `multiply`: zero, or of magnitude
    // 2^-55 to 2^60 where lanes are float32. If they do not, the sums do not count either.
    bool (*pack)(const void* row, std::size_t depth, std::size_t slots, void* packed, double* sum, double* square);
    void (*arrange)(const void* packed, std::size_t slots, void* strip);  // right_rows packed rows as a right strip
    // out[i * stride + j] += <row i of the left strip, row j of consecutive right strips>. `ahead`: a left and a right
    // strip that will be needed soon, or null.
    void (*multiply)(const void* left, const void* right, std::size_t strips, std::size_t slots, double* out,
                     std::size_t stride, const char* const* ahead);
};

struct Kernels {
    const char* name;
    GramKernel gram[kElements];       // sums within 5e-7 * sum |x y|: short runs of float32 (float64 for F32, F64)
    GramKernel gram_wide[kElements];  // float64 throughout: where cancellation or range would break that bound
    DifferenceKernel difference[kElements];
    DifferenceKernel difference_wide[kElements];  // float64: where a difference overflows float32
    CrossGramKernel cross_gram[kElements];
    BalanceKernel balance;
    LaggedKernel lagged;
    TransformKernel transform;
    SpectraKernel spectra;
    std::size_t lanes;     // floats of a vector
    BidKernel bid[2];      // of F32, F64
    RelaxKernel relax[2];  // of F32, F64
    TailKernel tail;       // null where it would not pay
    ReadKernel read;       // XOR of all bytes: the roof that the benchmarks measure against
    FmaKernel fma;         // at least so many operations in registers; how many: the roof of compute-bound kernels
};

extern const Kernels kScalarKernels;
#ifdef WEIGHTKIN_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
// What these have beyond avx512: their own way to multiply bf16.
extern const CrossGramKernel kAvx512Bf16CrossGram;
extern const CrossGramKernel kAmxCrossGram;
#endif

const Kernels* const* available_kernels();   // of this machine, best first, then a null
const Kernels& kernels();                    // the table in use: the best, until told otherwise
bool use_instruction_set(const char* name);  // false: unknown, or not on this machine

}  // namespace weightkin

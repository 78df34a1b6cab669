// gram: inner products of up to kMaxRows rows with each other, and the sum of each row.
//
// A float32 lane adds at most kRun products (of bf16 or f16: exact) and joins one other such lane before it is added to
// float64. That is at most 8 roundings, so a sum is off by at most 8 * 2^-24 = 4.8e-7 of the sum of the magnitudes.
// Double lanes run the same code. Up to 4 rows stay in registers; more are widened once into L1 and combined there in
// tiles of 4 x 4.

constexpr std::size_t kRun = 8;             // vectors that one lane adds up
constexpr std::size_t kSegment = 2 * kRun;  // vectors between two additions to float64
constexpr int kTile = 4;

template <class Lane>
constexpr std::size_t kStep = kSegment * kLanes<Lane>;  // elements of a segment

template <class Lane>
struct Sums {
    f64v gram[kMaxRows][kMaxRows][kWide<Lane>];
    f64v sum[kMaxRows][kWide<Lane>];
};

// A row's segment that starts at `at`; the last, short one is copied to `tail` and padded: zeros add nothing.
template <class Lane, class Code>
const char* segment_start(const void* row, std::size_t at, std::size_t end, Code* tail) {
    const char* from = static_cast<const char*>(row) + at * sizeof(Code);
    if (end - at >= kStep<Lane>) return from;
    __builtin_memset(tail, 0, kStep<Lane> * sizeof(Code));
    __builtin_memcpy(tail, from, (end - at) * sizeof(Code));
    return reinterpret_cast<const char*>(tail);
}

// One run of `rows` rows from `from` on, all sums in registers: the loops must unroll for that.
// The hardware's own prefetching follows a stream to the end of its 4 KiB page only; asking kAhead bytes on keeps every
// row coming while the sums are worked on. A prefetch past the end of a mapping is ignored.
constexpr std::size_t kAhead = 4096;

inline void prefetch_ahead(const char* from, std::size_t bytes) {
    for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + kAhead + line, 0, 3);
}

template <Element element, class Lane, int rows>
inline void run_few(const char* const* from, Vector<Lane> (*product)[rows], Vector<Lane>* sum) {
    for (std::size_t v = 0; v < kRun; v += 2) {
        Vector<Lane> x[rows][2];
        UNROLL for (int i = 0; i < rows; ++i) {
            Source<element>::widen(from[i] + v * kLanes<Lane> * sizeof(typename Source<element>::Code), x[i]);
        }
        UNROLL for (int half = 0; half < 2; ++half) {
            UNROLL for (int i = 0; i < rows; ++i) {
                sum[i] += x[i][half];
                UNROLL for (int j = i; j < rows; ++j) product[i][j] += x[i][half] * x[j][half];
            }
        }
    }
}

template <Element element, class Lane, int rows>
void add_few(const void* const* data, std::size_t begin, std::size_t end, Sums<Lane>* sums) {
    using Code = typename Source<element>::Code;
    for (std::size_t at = begin; at < end; at += kStep<Lane>) {
        Code tail[rows][kStep<Lane>];
        const char *first[rows], *second[rows];
        UNROLL for (int i = 0; i < rows; ++i) {
            first[i] = segment_start<Lane>(data[i], at, end, tail[i]);
            second[i] = first[i] + kRun * kLanes<Lane> * sizeof(Code);
            prefetch_ahead(static_cast<const char*>(data[i]) + at * sizeof(Code), kStep<Lane> * sizeof(Code));
        }
        Vector<Lane> product[rows][rows] = {}, sum[rows] = {}, product2[rows][rows] = {}, sum2[rows] = {};
        run_few<element, Lane, rows>(first, product, sum);
        run_few<element, Lane, rows>(second, product2, sum2);
        UNROLL for (int i = 0; i < rows; ++i) {
            add_wide(sums->sum[i], sum[i] + sum2[i]);
            UNROLL for (int j = i; j < rows; ++j) add_wide(sums->gram[i][j], product[i][j] + product2[i][j]);
        }
    }
}

template <class Lane>
using Segment = Vector<Lane>[kSegment];

template <class Lane, int height, int width, bool diagonal>
inline void run_tile(const Segment<Lane>* left, const Segment<Lane>* right, std::size_t v0, const char* const* ahead,
                     std::size_t row_bytes, Vector<Lane> (*product)[width]) {
    for (std::size_t v = v0; v < v0 + kRun; ++v) {
        if constexpr (diagonal) {  // each row stands in one diagonal tile: its next segment is asked for from there
            const std::size_t line = v * row_bytes / kSegment;
            UNROLL for (int i = 0; i < height; ++i) __builtin_prefetch(ahead[i] + line, 0, 3);
        }
        Vector<Lane> y[width];
        UNROLL for (int j = 0; j < width; ++j) y[j] = right[j][v];
        UNROLL for (int i = 0; i < height; ++i) {
            const Vector<Lane> x = diagonal ? y[i] : left[i][v];
            UNROLL for (int j = diagonal ? i : 0; j < width; ++j) product[i][j] += x * y[j];
        }
    }
}

template <class Lane, int height, int width, bool diagonal>
void add_tile(const Segment<Lane>* rows, int i0, int j0, const char* const* ahead, std::size_t row_bytes,
              Sums<Lane>* sums) {
    Vector<Lane> product[height][width] = {}, product2[height][width] = {};
    run_tile<Lane, height, width, diagonal>(rows + i0, rows + j0, 0, ahead + i0, row_bytes, product);
    run_tile<Lane, height, width, diagonal>(rows + i0, rows + j0, kRun, ahead + i0, row_bytes, product2);
    UNROLL for (int i = 0; i < height; ++i) {
        UNROLL for (int j = diagonal ? i : 0; j < width; ++j) {
            add_wide(sums->gram[i0 + i][j0 + j], product[i][j] + product2[i][j]);
        }
    }
}

template <class Lane, bool diagonal>
void add_tile(const Segment<Lane>* rows, int i, int j, int width, const char* const* ahead, std::size_t row_bytes,
              Sums<Lane>* sums) {
    switch (width) {  // a tile off the diagonal has a full 4 rows on its left
        case 1: return add_tile<Lane, diagonal ? 1 : kTile, 1, diagonal>(rows, i, j, ahead, row_bytes, sums);
        case 2: return add_tile<Lane, diagonal ? 2 : kTile, 2, diagonal>(rows, i, j, ahead, row_bytes, sums);
        case 3: return add_tile<Lane, diagonal ? 3 : kTile, 3, diagonal>(rows, i, j, ahead, row_bytes, sums);
        default: return add_tile<Lane, kTile, kTile, diagonal>(rows, i, j, ahead, row_bytes, sums);
    }
}

template <Element element, class Lane>
void add_many(const void* const* data, int count, std::size_t begin, std::size_t end, Sums<Lane>* sums) {
    using Code = typename Source<element>::Code;
    constexpr std::size_t step_bytes = kStep<Lane> * sizeof(Code);
    Segment<Lane> segment[kMaxRows];
    const char* ahead[kMaxRows];
    for (std::size_t at = begin; at < end; at += kStep<Lane>) {
        for (int i = 0; i < count; ++i) {
            Code tail[kStep<Lane>];
            const char* from = segment_start<Lane>(data[i], at, end, tail);
            ahead[i] = static_cast<const char*>(data[i]) + at * sizeof(Code) + 2 * step_bytes;
            Vector<Lane> sum[2] = {};
            for (std::size_t v = 0; v < kSegment; v += 2) {
                Source<element>::widen(from + v * kLanes<Lane> * sizeof(Code), &segment[i][v]);
                sum[0] += segment[i][v];
                sum[1] += segment[i][v + 1];
            }
            add_wide(sums->sum[i], sum[0] + sum[1]);
        }
        for (int i = 0; i < count; i += kTile) {
            add_tile<Lane, true>(segment, i, i, count - i, ahead, step_bytes, sums);
            for (int j = i + kTile; j < count; j += kTile) {
                add_tile<Lane, false>(segment, i, j, count - j, ahead, step_bytes, sums);
            }
        }
    }
}

template <Element element, class Lane>
void gram(const void* const* rows, int count, std::size_t depth, double* gram_out, double* sum_out) {
    static_assert(kChunk % kStep<Lane> == 0);
    Sums<Lane> sums;
    for (std::size_t begin = 0; begin < depth; begin += kChunk) {
        const std::size_t end = depth - begin < kChunk ? depth : begin + kChunk;
        for (int i = 0; i < count; ++i) {
            for (std::size_t w = 0; w < kWide<Lane>; ++w) sums.sum[i][w] = f64v{};
            for (int j = i; j < count; ++j) {
                for (std::size_t w = 0; w < kWide<Lane>; ++w) sums.gram[i][j][w] = f64v{};
            }
        }
        switch (count) {
            case 1: add_few<element, Lane, 1>(rows, begin, end, &sums); break;
            case 2: add_few<element, Lane, 2>(rows, begin, end, &sums); break;
            case 3: add_few<element, Lane, 3>(rows, begin, end, &sums); break;
            case 4: add_few<element, Lane, 4>(rows, begin, end, &sums); break;
            default: add_many<element, Lane>(rows, count, begin, end, &sums);
        }
        for (int i = 0; i < count; ++i) {
            sum_out[i] += total(sums.sum[i], kWide<Lane>);
            for (int j = i; j < count; ++j) gram_out[i * count + j] += total(sums.gram[i][j], kWide<Lane>);
        }
    }
}

#include "cross_gram.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <future>
#include <numeric>

#include "cross_gram_side.h"

namespace weightkin {
namespace {

constexpr std::size_t kBlockRows = 256;        // of left and of right, whose sums stay in the second-level cache
constexpr std::size_t kOddLine = 8;            // keeps rows of sums from sharing few sets of the first-level cache
constexpr std::size_t kShortest = 128;         // panels from which few rows are shared out by depth
constexpr std::size_t kMostChunks = 64;        // parts of the depth, each with sums of its own
constexpr std::size_t kPackedBytes = 1 << 25;  // held at once where rows are shared out

double* zeroed_sums(const Buffer& buffer, std::size_t bytes) {
    std::memset(buffer.get(), 0, bytes);
    return reinterpret_cast<double*>(buffer.get());
}

// An extreme element costs a scalar product with every row of the other side: of more than one in so many, the whole
// is faster in float64.
constexpr std::size_t kExtremesRare = 64;

struct Range {
    std::size_t begin, end;
};

class Product {
public:
    Product(const CrossGramRequest& request, Dtype dtype)
        : request_(request),
          kernel_(kernels().cross_gram[static_cast<int>(dtype)]),
          left_(request.left, request.depth, dtype, false),
          right_(request.right, request.depth, dtype, true),
          panel_(kPanelSlots * kernel_.slot_elements),
          panels_((static_cast<std::size_t>(request.depth) + panel_ - 1) / panel_) {}

    // False: a panel has too many extreme elements, and the result is of no use.
    bool operator()(const CrossGramResult& result) const {
        const std::size_t padded = left_.strips * left_.strip_rows * right_.strips * right_.strip_rows;
        if (panels_ >= kShortest && padded <= kBlockRows * kBlockRows) {
            if (!by_depth(result)) return false;
        } else {
            if (!by_rows(result)) return false;
        }
        if (!request_.symmetric) return true;
        for (std::size_t i = 0; i < left_.rows; ++i) {
            for (std::size_t j = 0; j < i; ++j)
                result.product[i * right_.rows + j] = result.product[j * right_.rows + i];
        }
        std::copy_n(result.sum_left, left_.rows, result.sum_right);
        std::copy_n(result.square_left, left_.rows, result.square_right);
        return true;
    }

private:
    const CrossGramRequest& request_;
    const CrossGramKernel& kernel_;
    Side left_, right_;
    std::size_t panel_, panels_;  // elements of a panel; how many there are

    std::int64_t begin(std::size_t panel) const { return static_cast<std::int64_t>(panel * panel_); }
    std::size_t count(std::size_t panel) const {
        return std::min(panel_, static_cast<std::size_t>(request_.depth) - panel * panel_);
    }

    bool rare(std::size_t extremes, std::size_t panel) const {
        return extremes <= (left_.rows + right_.rows) * count(panel) / kExtremesRare;
    }

    // Calls work(0), ..., work(tasks - 1), each by whichever thread is free.
    void share(std::size_t tasks, const std::function<void(std::size_t)>& work) const {
        std::atomic<std::size_t> next{0};
        const auto take = [&] {
            for (std::size_t task; (task = next++) < tasks;) work(task);
        };
        std::vector<std::future<void>> others;
        for (std::size_t t = 1; t < std::min<std::size_t>(request_.threads, tasks); ++t) {
            others.push_back(std::async(std::launch::async, take));
        }
        take();
        for (std::future<void>& other : others) other.get();
    }

    // out[0] is the product of the first rows of both ranges of strips. `more`: the next panel follows this one.
    void multiply(std::size_t panel, const char* packed_left, const char* packed_right, Range left, Range right,
                  Sums sums, bool more) const {
        const std::size_t slots = left_.padded_slots(count(panel)), first_column = right.begin * right_.strip_rows;
        for (std::size_t strip = left.begin; strip < left.end; ++strip) {
            const std::size_t row = strip * left_.strip_rows;
            const std::size_t from = request_.symmetric ? std::max(right.begin, row / right_.strip_rows) : right.begin;
            if (from >= right.end) continue;
            double* out = sums.out + (strip - left.begin) * left_.strip_rows * sums.stride;
            const std::size_t ahead_right = std::min(right.begin + strip - left.begin, right.end - 1);
            const char* const ahead[] = {packed_left + left_.panel_bytes + strip * left_.strip_bytes(),
                                         packed_right + right_.panel_bytes + ahead_right * right_.strip_bytes()};
            kernel_.multiply(packed_left + strip * left_.strip_bytes(), packed_right + from * right_.strip_bytes(),
                             right.end - from, slots, out + from * right_.strip_rows - first_column, sums.stride,
                             more ? ahead : nullptr);
        }
    }

    // Few and long rows: each chunk of panels has sums of its own, which are added in the end.
    bool by_depth(const CrossGramResult& result) const {
        const std::size_t chunks = std::min(kMostChunks, panels_ / 8);
        const std::size_t stride = right_.strips * right_.strip_rows + kOddLine;
        struct Chunk {
            Buffer product;
            std::vector<double> sum_left, sum_right, square_left, square_right;
        };
        std::vector<Chunk> found(chunks);
        std::atomic<bool> good{true};
        share(chunks, [&](std::size_t c) {
            Chunk& chunk = found[c];
            const std::size_t bytes = left_.strips * left_.strip_rows * stride * sizeof(double);
            chunk.product = aligned_buffer(bytes);
            chunk.sum_left.resize(left_.rows), chunk.square_left.resize(left_.rows);
            chunk.sum_right.resize(right_.rows), chunk.square_right.resize(right_.rows);
            const Buffer left = aligned_buffer(left_.panel_bytes), right = aligned_buffer(right_.panel_bytes);
            const Sums sums{zeroed_sums(chunk.product, bytes), stride};
            std::vector<Extreme> left_extremes, right_extremes;
            for (std::size_t panel = c * panels_ / chunks; good && panel < (c + 1) * panels_ / chunks; ++panel) {
                left_extremes.clear(), right_extremes.clear();
                for (std::size_t strip = 0; strip < left_.strips; ++strip) {
                    left_.pack(strip, begin(panel), count(panel), left.get(), chunk.sum_left.data(),
                               chunk.square_left.data(), left_extremes);
                }
                double* const sum_right = request_.symmetric ? nullptr : chunk.sum_right.data();
                for (std::size_t strip = 0; strip < right_.strips; ++strip) {
                    right_.pack(strip, begin(panel), count(panel), right.get(), sum_right, chunk.square_right.data(),
                                right_extremes);
                }
                if (!rare(left_extremes.size() + right_extremes.size(), panel)) {
                    good = false;
                    return;
                }
                settle(left_, right_, left.get(), right.get(), left_extremes, right_extremes, sums);
                multiply(panel, left.get(), right.get(), {0, left_.strips}, {0, right_.strips}, sums, false);
            }
        });
        if (!good) return false;
        const auto add = [](double* to, const std::vector<double>& from) {
            std::transform(from.begin(), from.end(), to, to, std::plus<>{});
        };
        for (const Chunk& chunk : found) {
            add_block(reinterpret_cast<const double*>(chunk.product.get()), stride, {0, left_.rows}, {0, right_.rows},
                      result.product);
            add(result.sum_left, chunk.sum_left), add(result.square_left, chunk.square_left);
            add(result.sum_right, chunk.sum_right), add(result.square_right, chunk.square_right);
        }
        return true;
    }

    // Many rows: as many panels as fit are packed, then blocks of the product are shared out.
    bool by_rows(const CrossGramResult& result) const {
        const std::size_t panel_bytes = left_.panel_bytes + right_.panel_bytes;
        const std::size_t most = std::min(panels_, std::max<std::size_t>(1, kPackedBytes / panel_bytes));
        const Buffer left = aligned_buffer(most * left_.panel_bytes), right = aligned_buffer(most * right_.panel_bytes);
        const auto strips_of_block = [](const Side& side) { return kBlockRows / side.strip_rows; };
        const std::size_t height = strips_of_block(left_), width = strips_of_block(right_);
        const std::size_t columns = (right_.strips + width - 1) / width;
        const std::size_t blocks = (left_.strips + height - 1) / height * columns;
        for (std::size_t first = 0; first < panels_; first += most) {
            const std::size_t last = std::min(panels_, first + most);
            std::vector<std::vector<Extreme>> extremes((left_.strips + right_.strips) * most);
            share(left_.strips + right_.strips, [&](std::size_t task) {
                const bool is_left = task < left_.strips;
                const Side& side = is_left ? left_ : right_;
                char* to = is_left ? left.get() : right.get();
                double* sum = is_left ? result.sum_left : request_.symmetric ? nullptr : result.sum_right;
                for (std::size_t panel = first; panel < last; ++panel, to += side.panel_bytes) {
                    side.pack(is_left ? task : task - left_.strips, begin(panel), count(panel), to, sum,
                              is_left ? result.square_left : result.square_right,
                              extremes[task * most + panel - first]);
                }
            });
            for (std::size_t panel = first; panel < last; ++panel) {
                std::vector<Extreme> of_side[2];
                for (std::size_t task = 0; task < left_.strips + right_.strips; ++task) {
                    const std::vector<Extreme>& some = extremes[task * most + panel - first];
                    std::vector<Extreme>& all = of_side[task < left_.strips ? 0 : 1];
                    all.insert(all.end(), some.begin(), some.end());
                }
                if (!rare(of_side[0].size() + of_side[1].size(), panel)) return false;
                settle(left_, right_, left.get() + (panel - first) * left_.panel_bytes,
                       right.get() + (panel - first) * right_.panel_bytes, of_side[0], of_side[1],
                       {result.product, right_.rows});
            }
            share(blocks, [&](std::size_t block) {
                const std::size_t i = block / columns * height, j = block % columns * width;
                const Range rows{i, std::min(left_.strips, i + height)}, across{j, std::min(right_.strips, j + width)};
                const std::size_t stride = (across.end - across.begin) * right_.strip_rows + kOddLine;
                const std::size_t bytes = (rows.end - rows.begin) * left_.strip_rows * stride * sizeof(double);
                const Buffer buffer = aligned_buffer(bytes);
                double* const sums = zeroed_sums(buffer, bytes);
                for (std::size_t panel = first; panel < last; ++panel) {
                    multiply(panel, left.get() + (panel - first) * left_.panel_bytes,
                             right.get() + (panel - first) * right_.panel_bytes, rows, across, {sums, stride},
                             panel + 1 < last);
                }
                add_block(sums, stride, {i * left_.strip_rows, std::min(left_.rows, rows.end * left_.strip_rows)},
                          {j * right_.strip_rows, std::min(right_.rows, across.end * right_.strip_rows)},
                          result.product);
            });
        }
        return true;
    }

    void add_block(const double* from, std::size_t stride, Range rows, Range columns, double* product) const {
        const std::size_t width = columns.end - columns.begin;
        for (std::size_t i = rows.begin; i < rows.end; ++i, from += stride) {
            double* to = product + i * right_.rows + columns.begin;
            std::transform(from, from + width, to, to, std::plus<>{});
        }
    }
};

}  // namespace

void cross_gram(const CrossGramRequest& request, const CrossGramResult& result) {
    if (request.left.empty() || request.right.empty() || request.depth == 0) return;
    std::vector<Operand> all = request.left;
    all.insert(all.end(), request.right.begin(), request.right.end());
    if (Product(request, common_dtype(all))(result)) return;
    const auto rows = [](const std::vector<Operand>& operands) {
        return std::accumulate(operands.begin(), operands.end(), std::int64_t{0},
                               [](std::int64_t sum, const Operand& operand) { return sum + operand.shape[0]; });
    };
    const std::int64_t left = rows(request.left), right = rows(request.right);
    std::fill_n(result.product, left * right, 0.0);
    std::fill_n(result.sum_left, left, 0.0), std::fill_n(result.square_left, left, 0.0);
    std::fill_n(result.sum_right, right, 0.0), std::fill_n(result.square_right, right, 0.0);
    Product(request, Dtype::f64)(result);
}

}  // namespace weightkin

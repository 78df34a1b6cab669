#include "cross_gram.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <new>

namespace weightkin {
namespace {

constexpr std::size_t kBlockRows = 256;        // of left and of right, whose sums stay in the second-level cache
constexpr std::size_t kOddLine = 8;            // keeps rows of sums from sharing few sets of the first-level cache
constexpr std::size_t kShortest = 128;         // panels from which few rows are shared out by depth
constexpr std::size_t kMostChunks = 64;        // parts of the depth, each with sums of its own
constexpr std::size_t kPackedBytes = 1 << 25;  // held at once where rows are shared out

struct FreeAligned {
    void operator()(char* data) const { ::operator delete[](data, std::align_val_t{64}); }
};
using Buffer = std::unique_ptr<char[], FreeAligned>;

Buffer aligned_buffer(std::size_t bytes) {
    return Buffer(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
}

double* zeroed_sums(const Buffer& buffer, std::size_t bytes) {
    std::memset(buffer.get(), 0, bytes);
    return reinterpret_cast<double*>(buffer.get());
}

// An element that float32 lanes cannot multiply: it counts in float64, and as zero in the packed panel.
struct Extreme {
    std::size_t row, place;  // element of the panel
    double value;
};

// Of one panel: out[i * stride + j].
struct Sums {
    double* out;
    std::size_t stride;
};

// The rows of one side, cut into strips, and their elements, cut into panels.
class Side {
public:
    std::size_t rows, strip_rows, strips, panel_bytes;

    Side(const std::vector<Operand>& operands, std::int64_t depth, Dtype dtype, bool right)
        : rows(0), depth_(depth), dtype_(dtype), kernel_(kernels().cross_gram[static_cast<int>(dtype)]), right_(right) {
        for (const Operand& operand : operands) {
            for (std::int64_t row = 0; row < operand.shape[0]; ++row)
                places_.emplace_back(operands_.size(), row * depth);
            operands_.push_back(operand);
            operands_.back().collapse();
        }
        rows = places_.size();
        strip_rows = right ? kernel_.right_rows : kernel_.left_rows;
        strips = (rows + strip_rows - 1) / strip_rows;
        panel_bytes = strips * strip_rows * row_bytes();
    }

    std::size_t row_bytes() const { return kPanelSlots * kernel_.slot_bytes; }
    std::size_t strip_bytes() const { return strip_rows * row_bytes(); }

    // One strip of a panel, at its place in `packed`. Adds to sum and square of its rows, if they are not null.
    void pack(std::size_t strip, std::int64_t begin, std::size_t count, char* packed, double* sum, double* square,
              std::vector<Extreme>& extremes) const {
        static thread_local std::vector<char> scratch;
        static thread_local Buffer unarranged = aligned_buffer(64 * kPanelSlots * sizeof(double));
        char* const to = packed + strip * strip_bytes();
        const std::size_t slots = padded_slots(count);
        for (std::size_t i = 0; i < strip_rows; ++i) {
            char* const slot = (right_ ? unarranged.get() : to) + i * row_bytes();
            const std::size_t row = strip * strip_rows + i;
            if (row >= rows) {
                std::memset(slot, 0, slots * kernel_.slot_bytes);
                continue;
            }
            const void* from = elements(row, begin, count, scratch);
            double row_sum = 0, row_square = 0;
            if (!kernel_.pack(from, count, slots, slot, &row_sum, &row_square)) {
                find_extremes(row, count, slot, extremes);
                row_sum = row_square = 0;
                kernels().gram_wide[static_cast<int>(dtype_)](&from, 1, count, &row_square, &row_sum);
            }
            if (sum) sum[row] += row_sum, square[row] += row_square;
        }
        if (right_) kernel_.arrange(unarranged.get(), slots, to);
    }

    std::size_t padded_slots(std::size_t count) const {
        const std::size_t grain = kSlotGrain * kernel_.slot_elements;
        return (count + grain - 1) / grain * kSlotGrain;
    }

    // The packed element of a row at a place of its panel.
    char* element(char* packed, std::size_t row, std::size_t place) const {
        const std::size_t slot = place / kernel_.slot_elements, i = row % strip_rows;
        const std::size_t at = right_ ? slot * strip_rows + i : i * kPanelSlots + slot;
        return packed + row / strip_rows * strip_bytes() + at * kernel_.slot_bytes + part(place);
    }

    double value(const char* element) const {
        if (kernel_.slot_elements == 1) {
            float out;
            std::memcpy(&out, element, sizeof out);
            return out;
        }
        std::uint16_t code;
        std::memcpy(&code, element, sizeof code);
        return std::bit_cast<float>(std::uint32_t{code} << 16);
    }

    void clear(char* element) const { std::memset(element, 0, kernel_.slot_bytes / kernel_.slot_elements); }

private:
    std::vector<Operand> operands_;
    std::vector<std::pair<std::size_t, std::int64_t>> places_;  // of each row: its operand, its first element
    std::int64_t depth_;
    Dtype dtype_;
    const CrossGramKernel& kernel_;
    bool right_;

    std::size_t part(std::size_t place) const {
        return place % kernel_.slot_elements * (kernel_.slot_bytes / kernel_.slot_elements);
    }

    const void* elements(std::size_t row, std::int64_t begin, std::size_t count, std::vector<char>& scratch) const {
        const auto [operand, first] = places_[row];
        const void* from =
            weightkin::row(operands_[operand], first + begin, static_cast<std::int64_t>(count), dtype_, scratch);
        if (from == scratch.data()) return from;
        // The next panel of this row comes while this panel is worked on. The hardware follows no hundred streams.
        const std::size_t bytes = count * item_size(dtype_);
        for (std::size_t line = 0; line < bytes; line += 64) {
            __builtin_prefetch(static_cast<const char*>(from) + bytes + line, 0, 2);
        }
        return from;
    }

    void find_extremes(std::size_t row, std::size_t count, const char* slots, std::vector<Extreme>& extremes) const {
        for (std::size_t place = 0; place < count; ++place) {
            const double x = value(slots + place / kernel_.slot_elements * kernel_.slot_bytes + part(place));
            const bool usual = x == 0 || (std::abs(x) >= 0x1p-55 && std::abs(x) <= 0x1p60);
            if (!usual) extremes.push_back({row, place, x});
        }
    }
};

// Adds the products of extreme elements and takes these out of the packed panels.
void settle(const Side& left, const Side& right, char* packed_left, char* packed_right,
            const std::vector<Extreme>& left_extremes, const std::vector<Extreme>& right_extremes, Sums sums) {
    for (const Extreme& one : left_extremes) {
        for (std::size_t j = 0; j < right.rows; ++j) {
            sums.out[one.row * sums.stride + j] += one.value * right.value(right.element(packed_right, j, one.place));
        }
    }
    for (const Extreme& one : left_extremes) left.clear(left.element(packed_left, one.row, one.place));
    for (const Extreme& one : right_extremes) {
        for (std::size_t i = 0; i < left.rows; ++i) {
            sums.out[i * sums.stride + one.row] += left.value(left.element(packed_left, i, one.place)) * one.value;
        }
    }
    for (const Extreme& one : right_extremes) right.clear(right.element(packed_right, one.row, one.place));
}

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

    void operator()(const CrossGramResult& result) const {
        const std::size_t padded = left_.strips * left_.strip_rows * right_.strips * right_.strip_rows;
        if (panels_ >= kShortest && padded <= kBlockRows * kBlockRows) {
            by_depth(result);
        } else {
            by_rows(result);
        }
        if (!request_.symmetric) return;
        for (std::size_t i = 0; i < left_.rows; ++i) {
            for (std::size_t j = 0; j < i; ++j)
                result.product[i * right_.rows + j] = result.product[j * right_.rows + i];
        }
        std::copy_n(result.sum_left, left_.rows, result.sum_right);
        std::copy_n(result.square_left, left_.rows, result.square_right);
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
    void by_depth(const CrossGramResult& result) const {
        const std::size_t chunks = std::min(kMostChunks, panels_ / 8);
        const std::size_t stride = right_.strips * right_.strip_rows + kOddLine;
        struct Chunk {
            Buffer product;
            std::vector<double> sum_left, sum_right, square_left, square_right;
        };
        std::vector<Chunk> found(chunks);
        share(chunks, [&](std::size_t c) {
            Chunk& chunk = found[c];
            const std::size_t bytes = left_.strips * left_.strip_rows * stride * sizeof(double);
            chunk.product = aligned_buffer(bytes);
            chunk.sum_left.resize(left_.rows), chunk.square_left.resize(left_.rows);
            chunk.sum_right.resize(right_.rows), chunk.square_right.resize(right_.rows);
            const Buffer left = aligned_buffer(left_.panel_bytes), right = aligned_buffer(right_.panel_bytes);
            const Sums sums{zeroed_sums(chunk.product, bytes), stride};
            std::vector<Extreme> left_extremes, right_extremes;
            for (std::size_t panel = c * panels_ / chunks; panel < (c + 1) * panels_ / chunks; ++panel) {
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
                settle(left_, right_, left.get(), right.get(), left_extremes, right_extremes, sums);
                multiply(panel, left.get(), right.get(), {0, left_.strips}, {0, right_.strips}, sums, false);
            }
        });
        const auto add = [](double* to, const std::vector<double>& from) {
            std::transform(from.begin(), from.end(), to, to, std::plus<>{});
        };
        for (const Chunk& chunk : found) {
            add_block(reinterpret_cast<const double*>(chunk.product.get()), stride, {0, left_.rows}, {0, right_.rows},
                      result.product);
            add(result.sum_left, chunk.sum_left), add(result.square_left, chunk.square_left);
            add(result.sum_right, chunk.sum_right), add(result.square_right, chunk.square_right);
        }
    }

    // Many rows: as many panels as fit are packed, then blocks of the product are shared out.
    void by_rows(const CrossGramResult& result) const {
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
    Product(request, common_dtype(all))(result);
}

}  // namespace weightkin

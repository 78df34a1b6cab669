#include "assign.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "block_team.cuh"
#include "device.h"
#include "team_assign.h"

namespace weightkin {
namespace {

constexpr int kMostThreads = 1024;
constexpr std::int64_t kTransposed = std::int64_t{1} << 30;  // bytes
constexpr int kSquare = 32;                                  // of what a block transposes

// `room`: for each block, where shared memory is too small; else null.
template <class Score>
__global__ void __launch_bounds__(kMostThreads)
    assign_kernel(const Score* scores, AssignProblems all, char* room, std::size_t room_bytes) {
    extern __shared__ __align__(16) char dynamic[];
    __shared__ BlockTeam::Shared shared;
    BlockTeam team(shared);
    solve_problems(team, scores, all, room ? room + blockIdx.x * room_bytes : dynamic);
}

// out[problem, column, row] = scores[problem, row, column]
template <class Score>
__global__ void __launch_bounds__(kSquare * 8)
    transpose_kernel(const Score* scores, int rows, int columns, Score* out) {
    __shared__ Score square[kSquare][kSquare + 1];  // one more: else a column would lie in one bank
    const std::int64_t problem = static_cast<std::int64_t>(blockIdx.z) * rows * columns;
    const int row = static_cast<int>(blockIdx.y) * kSquare, column = static_cast<int>(blockIdx.x) * kSquare;
    const int x = static_cast<int>(threadIdx.x);
    for (int y = static_cast<int>(threadIdx.y); y < kSquare; y += 8) {
        if (row + y < rows && column + x < columns) {
            square[y][x] = scores[problem + static_cast<std::int64_t>(row + y) * columns + column + x];
        }
    }
    __syncthreads();
    for (int y = static_cast<int>(threadIdx.y); y < kSquare; y += 8) {
        if (column + y < columns && row + x < rows) {
            out[problem + static_cast<std::int64_t>(column + y) * rows + row + x] = square[x][y];
        }
    }
}

class DeviceMemory {  // of a stream: what runs on it later may use it, and it is freed behind that
public:
    DeviceMemory(std::size_t bytes, cudaStream_t stream) : stream_(stream) {
        if (bytes) check(cudaMallocAsync(&data_, bytes, stream), "memory for assignment");
    }
    ~DeviceMemory() {
        if (data_) cudaFreeAsync(data_, stream_);
    }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    template <class Item>
    Item* as() const {
        return static_cast<Item*>(data_);
    }

private:
    cudaStream_t stream_;
    void* data_ = nullptr;
};

struct Launch {
    int threads, blocks;
    std::size_t shared, room;  // bytes of each block, one of them 0
};

template <class Score>
Launch plan(std::int64_t problems, int persons, int objects) {
    Launch out{};
    const int wanted = objects / 4 < 128 ? 128 : objects / 2;  // a few scores per thread hide the latency of reading
    out.threads = std::min(kMostThreads, (wanted + kWarp - 1) / kWarp * kWarp);
    int device = 0, processors = 0, most = 0, resident = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
    cudaFuncAttributes attributes{};
    check(cudaFuncGetAttributes(&attributes, assign_kernel<Score>), "cudaFuncGetAttributes");
    const std::size_t room = TeamRoom::bytes(persons, objects);
    const bool fits = room + attributes.sharedSizeBytes <= static_cast<std::size_t>(most);
    (fits ? out.shared : out.room) = room;
    if (fits) {  // the most, not what this launch needs: another thread may set it at the same time
        const int dynamic = most - static_cast<int>(attributes.sharedSizeBytes);
        check(cudaFuncSetAttribute(assign_kernel<Score>, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic),
              "cudaFuncSetAttribute");
    }
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, assign_kernel<Score>, out.threads, out.shared),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    out.blocks = static_cast<int>(std::min<std::int64_t>(problems, static_cast<std::int64_t>(processors) * resident));
    return out;
}

template <class Score>
void assign_all(const DeviceAssign& request) {
    const bool persons_are_rows = request.rows <= request.columns;
    const int rows = static_cast<int>(request.rows), columns = static_cast<int>(request.columns);
    const int persons = std::min(rows, columns), objects = std::max(rows, columns);
    const std::int64_t size = request.rows * request.columns, size_bytes = size * static_cast<int>(sizeof(Score));
    const std::int64_t most = 65535;  // blocks along the third axis of a grid
    const std::int64_t at_once =
        persons_are_rows ? request.problems
                         : std::min({request.problems, most, std::max<std::int64_t>(1, kTransposed / size_bytes)});
    const Launch launch = plan<Score>(at_once, persons, objects);
    const cudaStream_t stream = request.stream;
    const DeviceMemory transposed(persons_are_rows ? 0 : at_once * size_bytes, stream);
    const DeviceMemory room(launch.room * launch.blocks, stream);
    const DeviceMemory numbers((request.problems + 1) * sizeof(int), stream);
    int* next = numbers.as<int>();
    for (std::int64_t first = 0; first < request.problems; first += at_once) {
        const std::int64_t count = std::min(at_once, request.problems - first);
        const Score* scores = static_cast<const Score*>(request.scores) + first * size;
        if (!persons_are_rows) {
            const dim3 grid((columns + kSquare - 1) / kSquare, (rows + kSquare - 1) / kSquare,
                            static_cast<unsigned>(count));
            transpose_kernel<<<grid, dim3(kSquare, 8), 0, stream>>>(scores, rows, columns, transposed.as<Score>());
            check(cudaGetLastError(), "transposing scores");
            scores = transposed.as<Score>();
        }
        check(cudaMemsetAsync(next, 0, sizeof(int), stream), "cudaMemsetAsync");
        const AssignProblems all{
            count, persons, objects, persons_are_rows, request.out + first * request.columns, next + 1 + first, next};
        assign_kernel<<<launch.blocks, launch.threads, launch.shared, stream>>>(scores, all, room.as<char>(),
                                                                                launch.room);
        check(cudaGetLastError(), "assignment");
    }
    std::vector<int> status(static_cast<std::size_t>(request.problems));
    check(cudaMemcpyAsync(status.data(), next + 1, status.size() * sizeof(int), cudaMemcpyDeviceToHost, stream),
          "assignment");
    check(cudaStreamSynchronize(stream), "assignment");
    for (const int one : status) {
        if (one == kNotFinite) throw std::invalid_argument("scores must be finite, and at most 1e300 in magnitude");
        if (one != kAssigned) throw std::runtime_error("CUDA: assignment found no path");
    }
}

}  // namespace

void assign(const DeviceAssign& request) {
    if (request.problems == 0 || request.columns == 0) return;
    if (std::max(request.rows, request.columns) > 1 << 20 || request.problems > 1 << 30) {
        throw std::invalid_argument("an assignment problem is too large");
    }
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, request.out), "cudaPointerGetAttributes");
    if (attributes.type != cudaMemoryTypeDevice) throw std::invalid_argument("out must be memory of a device");
    const OnDevice here(attributes.device);
    if (request.rows == 0) {
        const std::size_t bytes = request.problems * request.columns * sizeof(std::int64_t);
        check(cudaMemsetAsync(request.out, 0xFF, bytes, request.stream), "cudaMemsetAsync");  // -1
        return check(cudaStreamSynchronize(request.stream), "assignment");
    }
    if (request.is_double) {
        assign_all<double>(request);
    } else {
        assign_all<float>(request);
    }
}

}  // namespace weightkin

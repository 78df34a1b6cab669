// The search of the GPU on threads of the CPU: what the tests can run anywhere.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "team_assign.h"

namespace py = pybind11;

namespace weightkin {
namespace {

struct Meeting {  // of the members of a team
    explicit Meeting(int members) : barrier(members), staged{Staged(members), Staged(members)} {}
    using Staged = std::vector<std::array<std::byte, 32>>;
    std::barrier<> barrier;
    Staged staged[2];  // in turn: who is quick may stage the next value while others still read this one
};

class ThreadTeam {
public:
    ThreadTeam(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}

    int rank() const { return rank_; }
    int size() const { return size_; }
    void barrier() { meeting_.barrier.arrive_and_wait(); }
    void lower(int* at, int value) {
        const std::atomic_ref<int> target(*at);
        int now = target.load();
        while (value < now && !target.compare_exchange_weak(now, value)) {
        }
    }
    template <class Value>
    Value reduce(Value value) {
        Meeting::Staged& staged = meeting_.staged[turn_ ^= 1];
        static_assert(sizeof value <= sizeof staged[0]);
        std::memcpy(&staged[rank_], &value, sizeof value);
        barrier();
        Value out;
        for (const auto& one : staged) {
            std::memcpy(static_cast<void*>(&value), &one, sizeof value);
            out = Value::combine(out, value);
        }
        return out;
    }

private:
    Meeting& meeting_;
    int rank_, size_, turn_ = 0;
};

template <class Score>
using Scores = py::array_t<Score, py::array::c_style>;

// scores: [problems, persons, objects]
template <class Score>
py::array_t<std::int64_t> assign_team(const Scores<Score>& scores, int size) {
    if (scores.ndim() != 3 || scores.shape(1) > scores.shape(2) || scores.shape(1) == 0 || size < 1) {
        throw std::invalid_argument("scores must be [problems, persons, objects], persons no more than objects");
    }
    const py::ssize_t problems = scores.shape(0), persons = scores.shape(1), objects = scores.shape(2);
    py::array_t<std::int64_t> out({problems, objects});
    const Score* from = scores.data();
    std::int64_t* to = out.mutable_data();
    Meeting meeting(size);
    const int rows = static_cast<int>(persons), columns = static_cast<int>(objects);
    std::vector<double> room(TeamRoom::bytes(rows, columns) / sizeof(double));
    AssignStatus worst = kAssigned;
    const auto work = [&](int rank) {
        ThreadTeam team(meeting, rank, size);
        for (py::ssize_t problem = 0; problem < problems; ++problem) {
            const Score* one = from + problem * persons * objects;
            TeamAssign<Score, ThreadTeam> search(team, one, rows, columns, reinterpret_cast<char*>(room.data()));
            const AssignStatus status = search.solve();
            if (rank == 0 && status != kAssigned) worst = status;
            search.write_owners(to + problem * objects);
        }
    };
    {
        const py::gil_scoped_release release;
        std::vector<std::jthread> others;
        for (int rank = 1; rank < size; ++rank) others.emplace_back(work, rank);
        work(0);
    }
    if (worst != kAssigned) throw std::invalid_argument("scores must be finite, and at most 1e300 in magnitude");
    return out;
}

}  // namespace
}  // namespace weightkin

void bind_assign_team(py::module_& module) {
    const char* doc = "What the GPU runs per problem, by a team of that many CPU threads; slow, for tests.";
    module.def("assign_team", &weightkin::assign_team<float>, py::arg("scores"), py::arg("team"), doc);
    module.def("assign_team", &weightkin::assign_team<double>, py::arg("scores"), py::arg("team"), doc);
}

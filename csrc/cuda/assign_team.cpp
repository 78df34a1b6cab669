// The search of the GPU on threads of the CPU: what the tests can run anywhere.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
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
    int taken = 0;
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
    int take(int* next) {
        if (rank_ == 0) meeting_.taken = (*next)++;
        barrier();
        return meeting_.taken;
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

// scores: [problems, rows, columns], or if transposed, [problems, columns, rows]
template <class Score>
py::array_t<std::int64_t> assign_team(const Scores<Score>& scores, int size, bool transposed) {
    if (scores.ndim() != 3 || scores.shape(1) > scores.shape(2) || scores.shape(1) == 0 || size < 1) {
        throw std::invalid_argument("scores must be [problems, persons, objects], persons no more than objects");
    }
    py::array_t<std::int64_t> out({scores.shape(0), scores.shape(transposed ? 1 : 2)});
    std::vector<int> status(static_cast<std::size_t>(scores.shape(0)));
    int next = 0;
    const AssignProblems all{scores.shape(0),
                             static_cast<int>(scores.shape(1)),
                             static_cast<int>(scores.shape(2)),
                             !transposed,
                             out.mutable_data(),
                             status.data(),
                             &next};
    Meeting meeting(size);
    std::vector<double> room(TeamRoom::bytes(all.persons, all.objects) / sizeof(double));
    const auto work = [&, from = scores.data()](int rank) {
        ThreadTeam team(meeting, rank, size);
        solve_problems(team, from, all, reinterpret_cast<char*>(room.data()));
    };
    {
        const py::gil_scoped_release release;
        std::vector<std::jthread> others;
        for (int rank = 1; rank < size; ++rank) others.emplace_back(work, rank);
        work(0);
    }
    if (std::any_of(status.begin(), status.end(), [](int one) { return one != kAssigned; })) {
        throw std::invalid_argument("scores must be finite, and at most 1e300 in magnitude");
    }
    return out;
}

}  // namespace
}  // namespace weightkin

void bind_assign_team(py::module_& module) {
    const char* doc = "What the GPU runs per problem, by a team of that many CPU threads; slow, for tests.";
    module.def("assign_team", &weightkin::assign_team<float>, py::arg("scores"), py::arg("team"),
               py::arg("transposed") = false, doc);
    module.def("assign_team", &weightkin::assign_team<double>, py::arg("scores"), py::arg("team"),
               py::arg("transposed") = false, doc);
}

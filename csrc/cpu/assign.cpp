#include "assign.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "assign_search.h"

namespace weightkin {
namespace {

constexpr double kLargest = 1e300;  // float64 holds sums of very many of these

// Lays the scores of each person side by side, by squares that stay in cache.
template <class Score>
void gather(const char* scores, std::ptrdiff_t person_stride, std::ptrdiff_t object_stride, std::size_t persons,
            std::size_t objects, Score* to) {
    constexpr std::size_t square = 32;
    for (std::size_t i = 0; i < persons; i += square) {
        for (std::size_t j = 0; j < objects; j += square) {
            for (std::size_t person = i; person < std::min(persons, i + square); ++person) {
                const char* from = scores + static_cast<std::ptrdiff_t>(person) * person_stride;
                for (std::size_t object = j; object < std::min(objects, j + square); ++object) {
                    to[person * objects + object] =
                        read_score<Score>(from + static_cast<std::ptrdiff_t>(object) * object_stride);
                }
            }
        }
    }
}

template <class Score>
void check_finite(const AssignProblem& problem) {
    constexpr double most = std::numeric_limits<Score>::max();
    constexpr auto limit = static_cast<Score>(std::min(most, kLargest));
    for (std::size_t person = 0; person < problem.persons; ++person) {
        const char* row = problem.row(static_cast<std::int64_t>(person));
        int wrong = 0;  // no early exit, so that the compiler can use vectors
        for (std::size_t j = 0; j < problem.objects; ++j) {
            wrong |= !(std::fabs(read_score<Score>(row + j * sizeof(Score))) <= limit);
        }
        if (wrong) throw std::invalid_argument("scores must be finite, and at most 1e300 in magnitude");
    }
}

// `room`: for a copy, if the scores of a person do not lie side by side.
template <class Score>
void solve(const AssignRequest& request, std::size_t number, AssignSearch& search, std::vector<Score>& room,
           std::int64_t* out) {
    constexpr std::ptrdiff_t size = sizeof(Score);
    const char* scores = request.scores + static_cast<std::ptrdiff_t>(number) * request.problem_stride;
    const bool by_rows = request.rows != request.columns ? request.rows < request.columns : request.row_stride != size;
    const std::size_t persons = by_rows ? request.rows : request.columns;
    const std::size_t objects = by_rows ? request.columns : request.rows;
    std::ptrdiff_t person_stride = by_rows ? request.row_stride : request.column_stride;
    const std::ptrdiff_t object_stride = by_rows ? request.column_stride : request.row_stride;
    if (object_stride != size) {
        room.resize(persons * objects);
        gather(scores, person_stride, object_stride, persons, objects, room.data());
        scores = reinterpret_cast<const char*>(room.data());
        person_stride = static_cast<std::ptrdiff_t>(objects) * size;
    }
    const AssignProblem problem{scores, person_stride, persons, objects, request.element};
    check_finite<Score>(problem);
    search.solve(problem);
    const std::vector<std::int64_t>& found = by_rows ? search.owner() : search.object();
    std::copy(found.begin(), found.end(), out + number * request.columns);
}

template <class Score>
void solve_all(const AssignRequest& request, std::int64_t* out) {
    std::vector<std::exception_ptr> failed(request.problems);
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        AssignSearch search;
        std::vector<Score> room;
        for (std::size_t number; (number = next++) < request.problems;) {
            try {
                solve(request, number, search, room, out);
            } catch (...) {
                failed[number] = std::current_exception();
                next = request.problems;  // those before it are under way, so the first error is always the same
            }
        }
    };
    {
        std::vector<std::jthread> others;
        const std::size_t threads = std::min(request.threads, request.problems);
        for (std::size_t other = 1; other < threads; ++other) others.emplace_back(work);
        work();
    }
    for (const std::exception_ptr& error : failed) {
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace

void assign(const AssignRequest& request, std::int64_t* out) {
    if (request.rows == 0) std::fill_n(out, request.problems * request.columns, -1);
    if (request.rows == 0 || request.columns == 0) return;
    if (request.element == kF32) {
        solve_all<float>(request, out);
    } else {
        solve_all<double>(request, out);
    }
}

}  // namespace weightkin

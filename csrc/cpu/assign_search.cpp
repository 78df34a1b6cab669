#include "assign_search.h"

#include <algorithm>
#include <limits>

namespace weightkin {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kBids = 2;  // per person: beyond, persons outbid each other by little, and paths cost less

std::vector<std::int64_t> places_of_none(const std::vector<std::int64_t>& partner) {
    std::vector<std::int64_t> out;
    for (std::size_t at = 0; at < partner.size(); ++at) {
        if (partner[at] < 0) out.push_back(static_cast<std::int64_t>(at));
    }
    return out;
}

}  // namespace

void AssignSearch::solve(const AssignProblem& problem) {
    problem_ = &problem;
    bid_ = kernels().bid[problem.element - kF32], relax_ = kernels().relax[problem.element - kF32];
    const std::size_t padded = problem.objects + kObjectPad;
    price_.assign(padded, kInfinity), distance_.assign(padded, kInfinity), from_.assign(padded, 0);
    std::fill_n(price_.begin(), problem.objects, 0.0);
    owner_.assign(problem.objects, -1), object_.assign(problem.persons, -1);
    const bool square = problem.persons == problem.objects;
    if (square) reduce_columns();
    std::vector<std::int64_t> left = places_of_none(object_);
    if (left.empty()) return;  // as where a permutation was planted
    if (square) transfer_reduction();
    left = bid_for_objects(left);
    unowned_ = places_of_none(owner_);
    for (const std::int64_t person : left) augment(person);
}

// Prices at which everyone breaks even at best; an object goes to a person who then wants it most.
void AssignSearch::reduce_columns() {
    const std::size_t objects = problem_->objects;
    for (std::size_t i = 0; i < objects; ++i) {
        const auto person = static_cast<std::int64_t>(i);
        relax_(problem_->row(person), price_.data(), objects, 0.0, person, distance_.data(), from_.data());
    }
    for (std::size_t object = 0; object < objects; ++object) {
        price_[object] = -distance_[object];
        if (object_[from_[object]] < 0) give(from_[object], static_cast<std::int64_t>(object));
    }
}

// Each owner raises the price to where the second best object would do as well.
void AssignSearch::transfer_reduction() {
    for (std::size_t person = 0; person < problem_->persons; ++person) {
        const std::int64_t object = object_[person];
        if (object < 0) continue;
        const Bid bid = bid_(problem_->row(static_cast<std::int64_t>(person)), price_.data(), problem_->objects);
        price_[object] += bid.best - bid.second;
    }
}

// An auction ("augmenting row reduction"): a person takes the best object and raises its price to where the second best
// would do as well; whom that drives out bids next. Returns who is left without.
std::vector<std::int64_t> AssignSearch::bid_for_objects(const std::vector<std::int64_t>& persons) {
    std::vector<std::int64_t> left;
    std::size_t bids = kBids * problem_->persons;
    for (std::int64_t person : persons) {
        while (person >= 0 && bids > 0) {
            --bids;
            const Bid bid = bid_(problem_->row(person), price_.data(), problem_->objects);
            const double price = price_[bid.object] + (bid.best - bid.second);
            const std::int64_t before = owner_[bid.object];
            if (before >= 0 && !(price > price_[bid.object])) break;  // driving out would not end
            price_[bid.object] = price;
            give(person, bid.object);
            if (before >= 0) object_[before] = -1;
            person = before;
        }
        if (person >= 0) left.push_back(person);
    }
    return left;
}

// Finds the nearest object that nobody owns, by Dijkstra's algorithm on what each move would cost, and moves everyone
// on the way there one on.
void AssignSearch::augment(std::int64_t person) {
    passed_.clear();
    std::fill_n(distance_.begin(), problem_->objects, kInfinity);
    double offset = 0.0, reached = kInfinity;
    std::int64_t object = -1;
    for (std::int64_t mover = person;; mover = owner_[object]) {
        if (object >= 0) {
            passed_.push_back({object, reached, price_[object]});
            offset = reached + (problem_->score(mover, object) - price_[object]);
            price_[object] = distance_[object] = kInfinity;  // so it stays out of the search from here on
        }
        const Reach next = relax_(problem_->row(mover), price_.data(), problem_->objects, offset, mover,
                                  distance_.data(), from_.data());
        object = next.object;
        // Of equally near objects the first is rarely free, and one that is ends the search.
        if (owner_[object] >= 0 && next.distance <= reached) object = unowned_at(next.distance, object);
        reached = next.distance;
        if (owner_[object] < 0) break;
    }
    for (const Passed& one : passed_) price_[one.object] = one.price + (reached - one.distance);
    unowned_.erase(std::lower_bound(unowned_.begin(), unowned_.end(), object));
    for (std::int64_t mover = -1; mover != person;) {
        mover = from_[object];
        const std::int64_t before = object_[mover];
        give(mover, object);
        object = before;
    }
}

std::int64_t AssignSearch::unowned_at(double distance, std::int64_t otherwise) const {
    const auto at = std::find_if(unowned_.begin(), unowned_.end(),
                                 [&](std::int64_t object) { return distance_[object] == distance; });
    return at == unowned_.end() ? otherwise : *at;
}

}  // namespace weightkin

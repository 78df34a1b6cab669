// One assignment problem, solved by shortest augmenting paths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels.h"

namespace weightkin {

template <class Score>
Score read_score(const char* from) {  // which may be unaligned
    Score out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

// The shorter side are persons, each of whom gets one object.
struct AssignProblem {
    const char* scores = nullptr;
    std::ptrdiff_t stride = 0;  // bytes from person to person; the scores of one lie side by side
    std::size_t persons = 0, objects = 0;
    Element element = kF32;  // or kF64

    const char* row(std::int64_t person) const { return scores + person * stride; }
    double score(std::int64_t person, std::int64_t object) const {
        const char* from = row(person);
        return element == kF32 ? read_score<float>(from + object * 4) : read_score<double>(from + object * 8);
    }
};

// A person is content with an object whose score less price is the largest of all. Prices only rise, what has an owner
// keeps one, and in the end everyone owns an object and is content, which by complementary slackness is the optimum. In
// a rectangular problem that needs price 0 where nobody owns, so prices start from there.
class AssignSearch {
public:
    void solve(const AssignProblem& problem);  // of finite scores

    const std::vector<std::int64_t>& owner() const { return owner_; }    // [objects], -1 for none
    const std::vector<std::int64_t>& object() const { return object_; }  // [persons]

private:
    void reduce_columns();
    void transfer_reduction();
    std::vector<std::int64_t> bid_for_objects(const std::vector<std::int64_t>& persons);
    void augment(std::int64_t person);
    std::int64_t unowned_at(double distance, std::int64_t otherwise) const;
    void give(std::int64_t person, std::int64_t object) { owner_[object] = person, object_[person] = object; }

    struct Passed {
        std::int64_t object;
        double distance, price;
    };

    const AssignProblem* problem_ = nullptr;
    BidKernel bid_ = nullptr;
    RelaxKernel relax_ = nullptr;
    std::vector<std::int64_t> owner_, object_, unowned_;  // unowned_: objects, ascending
    std::vector<double> price_, distance_;  // [objects], padded, as from_: the person whence that distance
    std::vector<std::int64_t> from_;
    std::vector<Passed> passed_;
};

}  // namespace weightkin

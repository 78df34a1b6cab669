// One assignment problem, solved by a team whose members all run the same program: the threads of a block on a GPU, or,
// in tests, threads of a CPU. See csrc/cpu/assign_search.h for the method; this one differs in what it does at once.
#pragma once

#include <cstdint>

#include "team.h"

namespace weightkin {

// Team: rank(), size(), barrier(), reduce(value) to the same value for all, lower(int*, int) for an atomic minimum,
// take(int*) for what a counter that teams share held before the team counted it up. All members take every branch that
// holds a barrier or a reduction alike: they branch on what is the same for all.
template <class Score, class Team>
class TeamAssign {
public:
    // `scores`: [persons, objects], contiguous; persons <= objects, both at least 1.
    WEIGHTKIN_TEAM TeamAssign(Team& team, const Score* scores, int persons, int objects, char* room)
        : team_(team), scores_(scores), persons_(persons), objects_(objects), room_(room, persons, objects) {}

    // Ends: every loop is over persons, objects, or a number of bids that is fixed beforehand.
    WEIGHTKIN_TEAM AssignStatus solve() {
        team_.barrier();  // the room may still be read
        if (!finite()) return kNotFinite;
        clear();
        if (persons_ == objects_) {
            reduce_columns();
            if (team_.reduce(without()).value == 0) return kAssigned;
            transfer_reduction();
        }
        bid_for_objects();
        for (int person = 0; person < persons_; ++person) {
            if (room_.object[person] < 0 && !augment(person)) return kNoPath;
        }
        return kAssigned;
    }

    WEIGHTKIN_TEAM void write_owners(std::int64_t* out) const {  // [objects]
        for (int j = team_.rank(); j < objects_; j += team_.size()) out[j] = room_.owner[j];
    }
    WEIGHTKIN_TEAM void write_objects(std::int64_t* out) const {  // [persons]
        for (int i = team_.rank(); i < persons_; i += team_.size()) out[i] = room_.object[i];
    }

private:
    static constexpr int kBids = 2;   // per person: beyond, persons outbid each other by little, and paths cost less
    static constexpr int kAhead = 4;  // scores that a member has under way at a time

    WEIGHTKIN_TEAM bool mine(int object) const { return object % team_.size() == team_.rank(); }
    WEIGHTKIN_TEAM const Score* row(int person) const { return scores_ + static_cast<std::int64_t>(person) * objects_; }

    // Calls visit(object, score) for the objects of this member.
    template <class Visit>
    WEIGHTKIN_TEAM void scan(int person, Visit visit) const {
        const Score* scores = row(person);
        const int step = team_.size();
        for (int at = team_.rank(); at < objects_; at += kAhead * step) {
            Score ahead[kAhead];
            WEIGHTKIN_UNROLL
            for (int k = 0; k < kAhead; ++k) ahead[k] = at + k * step < objects_ ? scores[at + k * step] : Score(0);
            WEIGHTKIN_UNROLL
            for (int k = 0; k < kAhead; ++k) {
                if (at + k * step < objects_) visit(at + k * step, static_cast<double>(ahead[k]));
            }
        }
    }

    WEIGHTKIN_TEAM bool finite() {
        constexpr double most = sizeof(Score) == sizeof(float) ? kLargestFloat : kLargestScore;
        TeamSum wrong;
        for (int person = 0; person < persons_; ++person) {
            scan(person, [&](int, double score) { wrong.value |= !(score >= -most && score <= most); });
        }
        return team_.reduce(wrong).value == 0;
    }

    WEIGHTKIN_TEAM TeamSum without() const {  // how many persons own nothing
        TeamSum out;
        for (int i = team_.rank(); i < persons_; i += team_.size()) out.value += room_.object[i] < 0;
        return out;
    }

    WEIGHTKIN_TEAM void clear() {
        for (int j = team_.rank(); j < objects_; j += team_.size()) {
            room_.price[j] = 0.0, room_.distance[j] = kUnreached;
            room_.from[j] = 0, room_.owner[j] = -1, room_.passed[j] = 0;
        }
        for (int i = team_.rank(); i < persons_; i += team_.size()) room_.object[i] = -1;
        team_.barrier();
    }

    // Prices at which everyone breaks even at best; of the objects that a person wants most she gets the first.
    WEIGHTKIN_TEAM void reduce_columns() {
        for (int i = team_.rank(); i < persons_; i += team_.size()) room_.object[i] = objects_;
        team_.barrier();
        for (int j = team_.rank(); j < objects_; j += team_.size()) {
            Score most = scores_[j];
            int person = 0;
            WEIGHTKIN_UNROLL
            for (int i = 1; i < persons_; ++i) {
                const Score score = row(i)[j];
                if (score > most) most = score, person = i;
            }
            room_.price[j] = static_cast<double>(most);
            team_.lower(room_.object + person, j);
        }
        team_.barrier();
        for (int i = team_.rank(); i < persons_; i += team_.size()) {
            if (room_.object[i] == objects_) {
                room_.object[i] = -1;
            } else {
                room_.owner[room_.object[i]] = i;
            }
        }
        team_.barrier();
    }

    WEIGHTKIN_TEAM TeamBid bid(int person) {
        TeamBid found;
        scan(person,
             [&](int j, double score) { found = TeamBid::combine(found, {score - room_.price[j], -kUnreached, j}); });
        return team_.reduce(found);
    }

    // Each owner raises the price to where the second best object would do as well.
    WEIGHTKIN_TEAM void transfer_reduction() {
        for (int person = 0; person < persons_; ++person) {
            const int object = room_.object[person];
            if (object < 0) continue;
            const TeamBid found = bid(person);
            if (mine(object)) room_.price[object] += found.best - found.second;
        }
    }

    // An auction: a person takes the best object and raises its price to where the second best would do as well; whom
    // that drives out bids next.
    WEIGHTKIN_TEAM void bid_for_objects() {
        int bids = kBids * persons_;
        for (int next = 0; next < persons_; ++next) {
            int person = room_.object[next] < 0 ? next : -1;
            while (person >= 0 && bids > 0) {
                --bids;
                const TeamBid found = bid(person);
                const int before = room_.owner[found.object];
                const double old = room_.price[found.object], price = old + (found.best - found.second);
                if (before >= 0 && !(price > old)) break;  // driving out would not end
                team_.barrier();                           // all have read them
                if (mine(found.object)) room_.price[found.object] = price, room_.owner[found.object] = person;
                if (team_.rank() == 0) {
                    room_.object[person] = found.object;
                    if (before >= 0) room_.object[before] = -1;
                }
                person = before;
            }
            team_.barrier();
        }
    }

    // Finds the nearest object that nobody owns, by Dijkstra's algorithm on what each move would cost, and moves
    // everyone on the way there one on.
    WEIGHTKIN_TEAM bool augment(int person) {
        double offset = 0.0;
        TeamReach next;
        int mover = person, object = -1;
        for (int passed = 0; passed < objects_; ++passed) {
            next = nearest(mover, offset);
            if (next.place == kNowhere) return false;  // none, which finite scores rule out
            object = next.place < objects_ ? next.place : next.place - objects_;
            if (next.place < objects_) break;
            mover = room_.owner[object];
            offset = next.distance + (static_cast<double>(row(mover)[object]) - room_.price[object]);
            if (mine(object)) room_.passed[object] = 1;
        }
        for (int j = team_.rank(); j < objects_; j += team_.size()) {
            if (room_.passed[j]) room_.price[j] += next.distance - room_.distance[j];
            room_.passed[j] = 0, room_.distance[j] = kUnreached;
        }
        if (team_.rank() == 0) move_along(person, object);
        team_.barrier();
        return true;
    }

    WEIGHTKIN_TEAM TeamReach nearest(int mover, double offset) {
        TeamReach found;
        scan(mover, [&](int j, double score) {
            if (room_.passed[j]) return;
            const double cost = offset - (score - room_.price[j]);
            double distance = room_.distance[j];
            if (cost < distance) room_.distance[j] = distance = cost, room_.from[j] = mover;
            found = TeamReach::combine(found, {distance, room_.owner[j] < 0 ? j : j + objects_});
        });
        return team_.reduce(found);
    }

    WEIGHTKIN_TEAM void move_along(int person, int object) {
        for (int mover = -1; mover != person;) {
            mover = room_.from[object];
            const int before = room_.object[mover];
            room_.owner[object] = mover, room_.object[mover] = object;
            object = before;
        }
    }

    Team& team_;
    const Score* scores_;
    int persons_, objects_;
    TeamRoom room_;
};

struct AssignProblems {
    std::int64_t problems;
    int persons, objects;
    bool persons_are_rows;
    std::int64_t* out;   // [problems, columns]: the row that each column gets, -1 for none
    int *status, *next;  // [problems]; the first problem that no team has taken
};

// What each team does until no problem is left.
template <class Score, class Team>
WEIGHTKIN_TEAM void solve_problems(Team& team, const Score* scores, const AssignProblems& all, char* room) {
    for (;;) {
        const std::int64_t problem = team.take(all.next);
        if (problem >= all.problems) return;
        const Score* one = scores + problem * all.persons * all.objects;
        TeamAssign<Score, Team> search(team, one, all.persons, all.objects, room);
        const AssignStatus status = search.solve();
        if (team.rank() == 0) all.status[problem] = status;
        if (status != kAssigned) continue;
        if (all.persons_are_rows) {
            search.write_owners(all.out + problem * all.objects);
        } else {
            search.write_objects(all.out + problem * all.persons);
        }
    }
}

}  // namespace weightkin

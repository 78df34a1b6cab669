// What the members of a team hand each other and share while they solve an assignment problem.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#define WEIGHTKIN_TEAM __host__ __device__
#define WEIGHTKIN_UNROLL _Pragma("unroll 4")
#else
#define WEIGHTKIN_TEAM
#define WEIGHTKIN_UNROLL _Pragma("GCC unroll 4")
#endif

namespace weightkin {

constexpr double kUnreached = std::numeric_limits<double>::infinity();
constexpr double kLargestScore = 1e300;  // float64 holds sums of very many of these
constexpr double kLargestFloat = std::numeric_limits<float>::max();
constexpr int kNowhere = std::numeric_limits<int>::max();

enum AssignStatus : int { kAssigned, kNotFinite, kNoPath };

// What members reduce; the default value is neutral.
struct TeamSum {
    int value = 0;
    WEIGHTKIN_TEAM static TeamSum combine(TeamSum x, TeamSum y) { return {x.value + y.value}; }
};

struct TeamBid {  // the best value of a person, where, and the second best
    double best = -kUnreached, second = -kUnreached;
    int object = kNowhere;
    WEIGHTKIN_TEAM static TeamBid combine(TeamBid x, TeamBid y) {
        if (y.best > x.best || (y.best == x.best && y.object < x.object)) {
            const TeamBid swapped = x;
            x = y, y = swapped;
        }
        const double rest = x.second > y.second ? x.second : y.second;
        return {x.best, y.best > rest ? y.best : rest, x.object};
    }
};

struct TeamReach {  // the nearest object; of equally near ones the first that nobody owns
    double distance = kUnreached;
    int place = kNowhere;  // the object, or if it is owned, that plus the number of objects
    WEIGHTKIN_TEAM static TeamReach combine(TeamReach x, TeamReach y) {
        return y.distance < x.distance || (y.distance == x.distance && y.place < x.place) ? y : x;
    }
};

// What a team needs while it solves a problem. Of the arrays over objects a member writes what is its own (`mine`), so
// that it may go on with it without waiting for the others.
struct TeamRoom {
    double *price, *distance;    // [objects]
    int *from, *owner, *object;  // [objects] the person whence that distance, [objects], [persons]; -1 for none
    unsigned char* passed;       // [objects] the present search has been there

    WEIGHTKIN_TEAM static std::size_t bytes(int persons, int objects) {
        const std::size_t all = 25 * static_cast<std::size_t>(objects) + 4 * static_cast<std::size_t>(persons);
        return (all + 15) / 16 * 16;
    }
    WEIGHTKIN_TEAM TeamRoom(char* base, int persons, int objects) {
        price = reinterpret_cast<double*>(base), distance = price + objects;
        from = reinterpret_cast<int*>(distance + objects), owner = from + objects, object = owner + objects;
        passed = reinterpret_cast<unsigned char*>(object + persons);
    }
};

}  // namespace weightkin

// assign: the two scans that linear assignment spends its time in. `scores` is one person's row; `price` is padded with
// infinities to a whole step, which no bid and no path can reach.

typedef std::int64_t i64v __attribute__((vector_size(kVectorBytes)));

// Calls take(two vectors of scores, their first object) along a row of `objects` scores, the last time past its end.
template <Element element, class Take>
inline void along(const void* scores, std::size_t objects, Take take) {
    using Code = typename Source<element>::Code;
    constexpr std::size_t step = 2 * kLanes<double>;
    f64v score[2];
    std::size_t at = 0;
    for (; at + step <= objects; at += step) {
        Source<element>::widen(static_cast<const Code*>(scores) + at, score);
        take(score, at);
    }
    if (at == objects) return;
    Code rest[step] = {};
    __builtin_memcpy(rest, static_cast<const Code*>(scores) + at, (objects - at) * sizeof(Code));
    Source<element>::widen(rest, score);
    take(score, at);
}

inline void number_lanes(i64v* object) {
    for (std::size_t lane = 0; lane < 2 * kLanes<double>; ++lane)
        object[lane / kLanes<double>][lane % kLanes<double>] = static_cast<std::int64_t>(lane);
}

template <Element element>
Bid bid(const void* scores, const double* price, std::size_t objects) {
    constexpr std::size_t lanes = kLanes<double>;
    const f64v none = f64v{} - __builtin_inf();
    f64v best[2] = {none, none}, second[2] = {none, none};
    i64v where[2] = {}, object[2];
    number_lanes(object);
    along<element>(scores, objects, [&](const f64v* score, std::size_t at) {
        UNROLL for (std::size_t v = 0; v < 2; ++v) {
            const f64v value = score[v] - load<f64v>(price + at + v * lanes);
            const f64v lesser = value > best[v] ? best[v] : value;
            second[v] = lesser > second[v] ? lesser : second[v];
            where[v] = value > best[v] ? object[v] : where[v];
            best[v] = value > best[v] ? value : best[v];
            object[v] += static_cast<std::int64_t>(2 * lanes);
        }
    });
    Bid out{best[0][0], second[0][0], where[0][0]};
    for (std::size_t lane = 1; lane < 2 * lanes; ++lane) {
        const std::size_t v = lane / lanes, l = lane % lanes;
        const double value = best[v][l];
        const bool wins = value > out.best || (value == out.best && where[v][l] < out.object);
        const double lesser = wins ? out.best : value, rest = second[v][l] > out.second ? second[v][l] : out.second;
        out.second = lesser > rest ? lesser : rest;
        if (wins) out.best = value, out.object = where[v][l];
    }
    return out;
}

template <Element element>
Reach relax(const void* scores, const double* price, std::size_t objects, double offset, std::int64_t person,
            double* distance, std::int64_t* from) {
    constexpr std::size_t lanes = kLanes<double>;
    const f64v none = f64v{} + __builtin_inf();
    const i64v here = i64v{} + person;
    f64v least[2] = {none, none};
    i64v where[2] = {}, object[2];
    number_lanes(object);
    along<element>(scores, objects, [&](const f64v* score, std::size_t at) {
        UNROLL for (std::size_t v = 0; v < 2; ++v) {
            const std::size_t j = at + v * lanes;
            const f64v cost = offset - (score[v] - load<f64v>(price + j)), before = load<f64v>(distance + j);
            const f64v now = cost < before ? cost : before;
            store(distance + j, now);
            store(from + j, cost < before ? here : load<i64v>(from + j));
            where[v] = now < least[v] ? object[v] : where[v];
            least[v] = now < least[v] ? now : least[v];
            object[v] += static_cast<std::int64_t>(2 * lanes);
        }
    });
    Reach out{least[0][0], where[0][0]};
    for (std::size_t lane = 1; lane < 2 * lanes; ++lane) {
        const double value = least[lane / lanes][lane % lanes];
        const std::int64_t at = where[lane / lanes][lane % lanes];
        if (value < out.distance || (value == out.distance && at < out.object)) out = {value, at};
    }
    return out;
}

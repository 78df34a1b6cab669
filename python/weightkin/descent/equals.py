"""Models that are the same but for rounding, in another order or on another scale: one stands for all in the tree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from .geometry import ROUNDING, Array


def equals(distance: Array, rank: Array, raw: Array) -> list[list[int]]:
    """Models by what differs by rounding alone, the one in the most common order first."""
    left, found = list(range(len(distance))), []
    while left:
        group = [left.pop(0)]
        for one in group:
            same = [other for other in left if distance[one, other] <= ROUNDING]
            group += same
            left = [other for other in left if other not in same]
        found.append(sorted(group, key=lambda one: (rank[one].sum(), raw[one].sum(), one)))
    return found


def within(group: Sequence[int], rank: Array, raw: Array) -> list[tuple[int, int]]:
    """Edges between equals: fewest edits, then the smallest difference as stored, from the first on."""
    done, edges = [group[0]], []
    for _ in group[1:]:
        pairs = product(done, (one for one in group if one not in done))
        a, b = min(pairs, key=lambda pair: (rank[pair], raw[pair], group.index(pair[0]), pair[1]))
        edges.append((a, b))
        done.append(b)
    return edges


def closest(
    groups: Sequence[Sequence[int]], heads: Sequence[int], a: int, b: int, rank: Array, raw: Array
) -> tuple[int, int]:
    """Of two groups of equals, the members that an edge between them joins: by edits, by the difference as stored where that
    clearly differs, else the first ones."""
    one, other = groups[heads.index(a)], groups[heads.index(b)]
    pairs = list(product(one, other))
    fewest = min(rank[pair] for pair in pairs)
    pairs = [pair for pair in pairs if rank[pair] == fewest]
    nearest = min(raw[pair] for pair in pairs)
    return next(pair for pair in pairs if raw[pair] <= 2 * nearest + ROUNDING)

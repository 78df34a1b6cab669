"""One family: from distances between its models to edges with support, doubts, and what else is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

import numpy as np

from .distances import RESAMPLES, Distances, Part
from .equals import closest, equals, within
from .geometry import ROUNDING, Array, Mixture, cosine, mixture, shared
from .kinship import Kin, Pair, pair_of
from .tree import COLLINEAR, SHARED, Tree, grow, spanning

Ranks = Mapping[Pair, int]
RESCALED, RAW = 10.0, 1e-3
"""Ratio of squared distances as stored and in balanced form, and least distance as stored, from which scales were changed."""
UNEVEN = 0.1
"""Standard deviation over layers of the overshoot of a descendant (tree.py) from which its place is in doubt: of independent
steps it is 0 but for chance, of siblings that were trained on the same data 0.15 of its mean and more."""


class Alternative(NamedTuple):
    """Another place for one end of a link."""

    outer: object
    """That end."""
    model: int
    """What it may hang under as well."""
    cosine: float
    """Of the increments of both from where they part."""
    overshoot: float
    """See tree.py."""


@dataclass(frozen=True)
class Link:
    """An edge between two nodes: models by their numbers, unobserved ancestors as ("unobserved", number)."""

    ends: tuple[object, object]
    distance: float | None
    """Squared."""
    support: float | None
    """Share of resampled trees that have it; None between models that are the same but for rounding, and without distances."""
    raw: float | None = None
    """As `distance`, but of matrices as they are stored."""
    secondary: bool = False
    alternatives: tuple[Alternative, ...] = ()
    mixture: Mixture | None = None
    """Of which the edge is a part."""

    @property
    def equal(self) -> bool:
        """Whether its ends are the same but for rounding."""
        return self.distance is not None and self.support is None

    @property
    def rescaled(self) -> bool:
        """Whether the difference as stored is mostly one of scales."""
        if self.raw is None or self.distance is None:
            return False
        return self.raw > RAW and self.raw > RESCALED * max(self.distance, ROUNDING)


@dataclass(frozen=True)
class Family:
    """Models of one descent and the edges between them."""

    members: tuple[int, ...]
    links: tuple[Link, ...]
    distances: Distances
    parts: frozenset[Part]
    """On which the distances rest."""
    angles: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    """Cosine of the increments from the first to the other two, of neighbours."""


def family(members: Sequence[int], distances: Distances, kin: Mapping[Pair, Kin], ranks: Ranks, seed: int) -> Family:
    """The tree of `members`.

    Distances are over matrices that all of them have, of the groups that match in all pairs; without any the tree is made
    from the sizes of the matches alone and has no support.
    """
    parts = _common_parts(members, kin) if len(members) > 1 else set()
    among = distances.among(members, parts)
    if not among.matrices or len(members) < 2:
        return Family(tuple(members), tuple(_without_distances(members, kin)), among, frozenset(parts))
    weights = among.weights(RESAMPLES, seed)
    pooled, raw = among.pooled(weights), among.pooled(weights[0], raw=True)
    rank = np.array([[0 if a == b else ranks.get(pair_of(a, b), 0) for b in members] for a in members], np.float64)
    groups = equals(pooled[0], rank, raw)
    heads = [group[0] for group in groups]
    links = [
        Link((members[a], members[b]), float(pooled[0][a, b]) if raw[a, b] else 0.0, None, float(raw[a, b]))
        for group in groups
        for a, b in within(group, rank, raw)
    ]
    mixtures = _mixtures(pooled[0], heads)
    nodes = [head for head in heads if head not in mixtures]
    index = np.ix_(nodes, nodes)
    allowed = np.array([[a == b or kin[pair_of(members[a], members[b])].related for b in nodes] for a in nodes])
    between = [[closest(groups, heads, a, b, rank, raw) for b in nodes] for a in nodes]
    node_rank = np.array([[rank[pair] for pair in row] for row in between])
    trees = [grow(np.where(allowed, sample[index], np.nan), node_rank) for sample in pooled]
    uneven = _uneven(trees[0], node_rank, among.by_layer()[:, nodes][:, :, nodes])
    links += _tree_links(trees, members, nodes, between, raw, uneven)
    for at, one in mixtures.items():
        links += _mixture_links(at, one, members, pooled, raw)
    return Family(tuple(members), tuple(links), among, frozenset(parts), _angles(trees[0], members, nodes))


def _common_parts(members: Sequence[int], kin: Mapping[Pair, Kin]) -> set[Part]:
    """Groups that match in every pair of kin; if there are none, in any."""
    found = [kin[pair_of(a, b)].parts for a in members for b in members if a < b and kin[pair_of(a, b)].related]
    return set.intersection(*found) or set.union(*found)


def _mixtures(distance: Array, heads: Sequence[int]) -> dict[int, Mixture]:
    """Models between others (weights of 0 or more): of several that explain each other, those best explained."""
    found: dict[int, Mixture] = {}
    for one in heads:
        rest = [head for head in heads if head != one and head not in found]
        mixed = mixture(distance, one, rest)
        if mixed is not None:
            found[one] = mixed
    return found


def _tree_links(
    trees: Sequence[Tree],
    members: Sequence[int],
    nodes: Sequence[int],
    between: Sequence[Sequence[tuple[int, int]]],
    raw: Array,
    uneven: Mapping[tuple[int, int], tuple[int, int, int]],
) -> list[Link]:
    tree, resampled = trees[0], trees[1:]
    splits = [{split for edge in one.edges for split in _splits(one, edge)} for one in resampled]
    found = []
    for a, b in sorted(tree.edges):
        observed = max(a, b) < tree.observed
        ends: list[object] = [("unobserved", a - tree.observed + 1), ("unobserved", b - tree.observed + 1)]
        if observed:
            ends = [members[one] for one in between[a][b]]
            support = np.mean([(a, b) in one.edges for one in resampled])
        else:
            for at, one in enumerate((a, b)):
                if one < tree.observed:
                    ends[at] = members[nodes[one]]
            support = np.mean([not _splits(tree, (a, b)).isdisjoint(one) for one in splits])
        others = [
            _alternative(tree, (a, b), ends, other, members[nodes[other]]) for other in tree.doubts.get((a, b), ())
        ]
        if (a, b) in uneven:
            inner, middle, outer = uneven[a, b]
            others.append(_of_chain(tree, ends[(a, b).index(outer)], inner, middle, outer, members[nodes[inner]]))
        stored = float(raw[between[a][b]]) if observed else None
        found.append(Link((ends[0], ends[1]), float(tree.distance[a, b]), float(support), stored, False, tuple(others)))
    return found


def _splits(tree: Tree, edge: tuple[int, int]) -> set[frozenset[int]]:
    """The observed nodes on either side."""
    return {tree.beyond(*edge), tree.beyond(edge[1], edge[0])}


def _alternative(tree: Tree, edge: tuple[int, int], ends: Sequence[object], other: int, model: int) -> Alternative:
    """`other`, which is `model`, branches off at the inner end of the edge, and shares the direction of its outer end."""
    at = 0 if other in tree.neighbours(edge[0]) else 1
    inner, outer = edge[at], edge[1 - at]
    overshoot = shared(tree.distance, inner, other, outer) / tree.distance[inner, other]
    return Alternative(ends[1 - at], model, cosine(tree.distance, inner, other, outer), float(overshoot))


def _uneven(tree: Tree, rank: Array, layers: Array) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Of edges b - c: paths a - b - c of observed nodes whose overshoot is not the same in all layers, where descent of c from
    b by independent steps makes it 1 in each.

    `layers`: [layers, n, n], squared distances.
    """
    found = {}
    for b in range(tree.observed):
        around = [node for node in tree.neighbours(b) if node < tree.observed]
        for a, c in permutations(around, 2):
            distance = tree.distance
            if rank[a, c] > rank[b, c] or not ROUNDING < distance[a, b] < distance[b, c]:
                continue
            if SHARED <= cosine(distance, a, b, c) < COLLINEAR:
                overshoot = [shared(one, a, b, c) / one[a, b] for one in layers if one[a, b] > ROUNDING]
                if np.std(overshoot) > UNEVEN:
                    found[min(b, c), max(b, c)] = a, b, c
    return found


def _of_chain(tree: Tree, end: object, a: int, b: int, c: int, model: int) -> Alternative:
    overshoot = shared(tree.distance, a, b, c) / tree.distance[a, b]
    return Alternative(end, model, cosine(tree.distance, a, b, c), float(overshoot))


def _mixture_links(at: int, one: Mixture, members: Sequence[int], pooled: Array, raw: Array) -> list[Link]:
    again = [mixture(sample, at, list(one.anchors)) for sample in pooled[1:]]
    support = float(np.mean([found is not None and set(found.parents) == set(one.parents) for found in again]))
    named = Mixture(tuple(members[anchor] for anchor in one.anchors), one.weights, one.unexplained)
    return [
        Link(
            (members[parent], members[at]),
            float(pooled[0][parent, at]),
            support,
            float(raw[parent, at]),
            number > 0,
            (),
            named,
        )
        for number, parent in enumerate(one.parents)
    ]


def _angles(tree: Tree, members: Sequence[int], nodes: Sequence[int]) -> dict[tuple[int, int, int], float]:
    out = {}
    for at in range(tree.observed):
        around = [node for node in tree.neighbours(at) if node < tree.observed]
        for number, b in enumerate(around):
            for c in around[number + 1 :]:
                names = members[nodes[at]], members[nodes[b]], members[nodes[c]]
                out[names] = cosine(tree.distance, at, b, c)
    return out


def _without_distances(members: Sequence[int], kin: Mapping[Pair, Kin]) -> list[Link]:
    """The strongest matches that connect all."""
    size = np.full((len(members), len(members)), np.nan)
    for i, a in enumerate(members):
        for j, b in enumerate(members):
            if a != b and kin[pair_of(a, b)].related:
                size[i, j] = -kin[pair_of(a, b)].parameters
    edges = spanning(size, np.zeros_like(size))
    return [Link((members[a], members[b]), None, None) for a, b in sorted(edges)]

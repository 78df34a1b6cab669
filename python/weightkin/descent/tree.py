"""A family tree from distances: the shortest tree, with its attachments corrected and unobserved ancestors added.

The frame is that of latent trees by Choi, Tan, Anandkumar and Willsky (2011): a minimum spanning tree first, which is the true
tree where all branching points are among the models, then hidden nodes within neighbourhoods whose distances ask for one.

Squared distances add up along branches only if increments are independent, and siblings that were trained on the same data
from the same start are not: in small models that were really trained their increments have cosines from 0.3 to 0.85. Then the
one that moved least seems to lie on the way to all its siblings, and a plain spanning tree hangs them under it. What gives this
away is that they go on in its direction by more than descent from it explains (`OVERSHOOT`). And whatever is an edit of the
structure comes first: a layout that two models share was not made twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .geometry import ROUNDING, Array, cosine, shared

Ranks = npt.NDArray[np.float64]

OVERSHOOT = 1.3
"""Of a path a - b - c: <b - a, c - a> / |b - a|^2 is 1 if c descends from b by steps independent of those before, 0 if both
descend from a so. Above this, b and c share more than a common path would explain: their steps are correlated, and
correlation alone, without descent from b, explains it all."""
COLLINEAR = 0.9
"""Cosine of increments from which b is on the way to c whatever the overshoot: of a checkpoint of the same training."""
SHARED = 0.25
"""Cosines at all three of three models from which an unobserved branching point is between them."""


@dataclass
class Tree:
    """Edges between nodes 0 to n-1; those from `observed` on are unobserved ancestors."""

    observed: int
    edges: set[tuple[int, int]]
    distance: Array
    """[n, n]: squared."""
    doubts: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    """Of an edge: other models that its outer end may hang under as well."""

    def neighbours(self, node: int) -> list[int]:
        return sorted({*(b for a, b in self.edges if a == node), *(a for a, b in self.edges if b == node)})

    def beyond(self, a: int, b: int) -> frozenset[int]:
        """The observed nodes on b's side of the edge a - b."""
        seen, waiting = {a, b}, [b]
        while waiting:
            for node in self.neighbours(waiting.pop()):
                if node not in seen:
                    seen.add(node)
                    waiting.append(node)
        return frozenset(node for node in seen - {a} if node < self.observed)


def grow(distance: Array, rank: Ranks) -> Tree:
    """The tree of n models, or the forest if some pairs have no distance.

    `distance`: [n, n], squared, NaN where a pair may not have an edge. `rank`: [n, n], how many edits of the structure are
    between two models; fewer come first, whatever the distance.
    """
    tree = _corrected(distance, rank, len(distance))
    for _ in range(len(distance)):
        trio = _asks_for_ancestor(tree, rank)
        if trio is None:
            break
        extended, rank = _with_ancestor(tree.distance, rank, trio)
        tree = _corrected(extended, rank, tree.observed)
    return _pruned(tree, rank)


def spanning(distance: Array, rank: Ranks) -> set[tuple[int, int]]:
    """Kruskal's minimum spanning forest by rank, then distance."""
    n = len(distance)
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if np.isfinite(distance[a, b])]
    group, edges = list(range(n)), set()
    for a, b in sorted(pairs, key=lambda pair: (rank[pair], distance[pair], pair)):
        if group[a] != group[b]:
            edges.add((a, b))
            old, new = group[b], group[a]
            group = [new if one == old else one for one in group]
    return edges


def _corrected(distance: Array, rank: Ranks, observed: int) -> Tree:
    """The spanning tree, with what overshoots a neighbour moved to where that neighbour branches off."""
    tree = Tree(observed, spanning(distance, rank), distance)
    for _ in range(len(distance) ** 2):
        move = _overshooting(tree, rank)
        if move is None:
            break
        a, b, c = move
        tree.edges.remove(_pair(b, c))
        tree.edges.add(_pair(a, c))
        doubted = tree.doubts.pop(_pair(b, c), ())
        tree.doubts[_pair(a, c)] = tuple(dict.fromkeys((*doubted, b)))
    return tree


def _overshooting(tree: Tree, rank: Ranks) -> tuple[int, int, int] | None:
    """A path a - b - c whose c should rather hang under a."""
    distance, found = tree.distance, []
    for b in range(len(distance)):
        around = tree.neighbours(b)
        for a in around:
            for c in around:
                if a == c or not np.isfinite(distance[a, c]) or rank[a, c] > rank[b, c]:
                    continue
                if not ROUNDING < distance[a, b] < distance[b, c]:
                    continue
                overshoot, angle = shared(distance, a, b, c) / distance[a, b], cosine(distance, a, b, c)
                if overshoot > OVERSHOOT and angle < COLLINEAR:
                    found.append((angle, a, b, c))
    return min(found)[1:] if found else None


def _asks_for_ancestor(tree: Tree, rank: Ranks) -> tuple[int, int, int] | None:
    """Three neighbouring models of one structure that share more with each other, at each of them, than any explains."""
    best, found = SHARED, None
    for a in range(len(tree.distance)):
        around = [node for node in tree.neighbours(a) if rank[a, node] == 0]
        for at, b in enumerate(around):
            for c in around[at + 1 :]:
                if rank[b, c] > 0 or not np.isfinite(tree.distance[b, c]):
                    continue
                trio = (a, b, c), (b, a, c), (c, a, b)
                least = min(cosine(tree.distance, *one) for one in trio)
                if least > best:
                    best, found = least, (a, b, c)
    return found


def _with_ancestor(distance: Array, rank: Ranks, trio: tuple[int, int, int]) -> tuple[Array, Ranks]:
    """One node more: where the ways between the three meet."""
    n = len(distance)
    a, b, c = trio
    arms = np.array([shared(distance, a, b, c), shared(distance, b, a, c), shared(distance, c, a, b)])
    wider, ranks = np.zeros((n + 1, n + 1)), np.zeros((n + 1, n + 1))
    wider[:n, :n], ranks[:n, :n] = distance, rank
    # Seen from a node beyond one of the three, the other two tell the way to where they meet: the median does.
    wider[n, :n] = np.maximum(np.median(distance[list(trio)] - arms[:, None], axis=0), 0.0)
    wider[n, list(trio)] = arms
    wider[:n, n] = wider[n, :n]
    ranks[n, :n] = ranks[:n, n] = rank[a]
    return wider, ranks


def _pruned(tree: Tree, rank: Ranks) -> Tree:
    """Without unobserved nodes of fewer than three neighbours, which say nothing."""
    for node in range(len(tree.distance) - 1, tree.observed - 1, -1):
        if len(tree.neighbours(node)) < 3:
            keep = [other for other in range(len(tree.distance)) if other != node]
            tree = _corrected(tree.distance[np.ix_(keep, keep)], rank[np.ix_(keep, keep)], tree.observed)
            rank = rank[np.ix_(keep, keep)]
    return tree


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)

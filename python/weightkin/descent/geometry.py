"""Geometry of models from their squared distances alone: increments, their angles, and what they are made of.

Why squared distances: steps of training that are independent of each other are nearly orthogonal in a space of so many
dimensions, so |step 1 + step 2|^2 = |step 1|^2 + |step 2|^2, and squared distances add up along the branches of a family tree
as evolutionary distances do. Angles come from distances by polarisation: <b - a, c - a> = (d(a,b) + d(a,c) - d(b,c)) / 2.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def shared(distance: Array, a: int, b: int, c: int) -> float:
    """<b - a, c - a>: how much of the way from `a` the ways to `b` and to `c` have in common, as a squared distance."""
    return float(distance[a, b] + distance[a, c] - distance[b, c]) / 2


def cosine(distance: Array, a: int, b: int, c: int) -> float:
    """Of the increments b - a and c - a; 0 where one of them is nothing."""
    size = float(np.sqrt(max(distance[a, b], 0.0) * max(distance[a, c], 0.0)))
    return float(np.clip(shared(distance, a, b, c) / size, -1, 1)) if size > 0 else 0.0


class Mixture(NamedTuple):
    """A model as a weighted sum of others: x = sum of weights[i] * anchors[i]; the weights add up to 1."""

    anchors: tuple[int, ...]
    weights: tuple[float, ...]
    unexplained: float
    """|x - sum|^2 as a share of the squared distance to the nearest anchor."""

    @property
    def parents(self) -> tuple[int, ...]:
        """Anchors that it holds something of, most first."""
        order = sorted(range(len(self.anchors)), key=lambda i: -self.weights[i])
        return tuple(self.anchors[i] for i in order if self.weights[i] > LEAST_WEIGHT)


UNEXPLAINED = 0.05
"""Most of a mixture that its anchors may leave unexplained. What is not a mixture has at least its own last steps of training
for itself: siblings that were trained on the same data explain up to 0.8 of each other's change in models that were tried."""
LEAST_WEIGHT = 0.1
ROUNDING = 1e-6
"""Squared distance between models that are the same but for rounding."""


def mixture(distance: Array, x: int, others: list[int]) -> Mixture | None:
    """`x` as a mean of two or three of `others`, if it is one; the one with fewest anchors.

    Weights must not be negative: of four models at the corners of a parallelogram (two, their common ancestor, and the sum
    of their changes) each is a mixture of the others with one negative weight, and distances do not tell which one is made
    of the others. The best weights solve the normal equations of x - a_0 = sum of w_i (a_i - a_0), whose inner products
    follow from distances.
    """
    for size in (2, 3):
        found = []
        for anchors in combinations(others, size):
            first, rest = anchors[0], anchors[1:]
            gram = np.array([[shared(distance, first, i, j) for j in rest] for i in rest])
            target = np.array([shared(distance, first, i, x) for i in rest])
            if min(distance[i, j] for i, j in combinations((*anchors, x), 2)) < 10 * ROUNDING:
                continue
            if np.linalg.cond(gram) > 1e6:
                continue
            weights = np.linalg.solve(gram, target)
            if min(*weights, 1 - weights.sum()) < -LEAST_WEIGHT / 2:
                continue
            left = max(float(distance[first, x] - weights @ target), 0.0)
            nearest = min(distance[i, x] for i in anchors)
            one = Mixture(anchors, (float(1 - weights.sum()), *map(float, weights)), left / float(nearest))
            if one.unexplained <= UNEXPLAINED and len(one.parents) > 1:
                found.append(one)
        if found:
            return min(found, key=lambda one: one.unexplained)
    return None

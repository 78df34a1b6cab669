"""The name of a layer map: how the layers of model B are arranged from those of model A."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

Arrangement = Literal[
    "identity", "pruned", "depth_upscaled", "repeated", "interleaved", "reordered", "partial", "mixed", "none"
]


class Run(NamedTuple):
    """Layers first_b, first_b + 1, ... of B that match first_a, first_a + 1, ... of A, or nothing (first_a = -1)."""

    first_b: int
    first_a: int
    length: int


def runs(assignment: Indices) -> list[Run]:
    """The longest runs that `assignment` (layer of B -> layer of A, -1 for none) consists of, in the order of B."""
    found: list[Run] = []
    for b, a in enumerate(assignment.tolist()):
        last = found[-1] if found else None
        if last and a == (last.first_a + last.length if last.first_a >= 0 else -1):
            found[-1] = last._replace(length=last.length + 1)
        else:
            found.append(Run(b, a, 1))
    return found


def arrangement(assignment: Indices, depth_a: int) -> Arrangement:
    """Names a map from the layers of B to the `depth_a` layers of A (-1: none).

    identity: every layer that matches does so in place. pruned: in order, layers of A missing. repeated: in order, layers
    doubled in place. interleaved: all of A in order, with layers between that match nothing. depth_upscaled: runs of A's
    layers, each begun again within the one before (0-23, then 8-31). reordered: no layer twice, out of order. partial: in
    order, but neither model's layers are all matched. mixed: none of these. none: nothing matches.
    """
    matched = assignment[assignment >= 0]
    if not matched.size:
        return "none"
    if len(assignment) == depth_a and (matched == np.flatnonzero(assignment >= 0)).all():
        return "identity"
    steps, whole, all_of_a = np.diff(matched), matched.size == len(assignment), len(set(matched.tolist())) == depth_a
    if (steps > 0).all():
        return "pruned" if whole else "interleaved" if all_of_a else "partial"
    if (steps >= 0).all():
        return "repeated"
    if _upscaled(matched):
        return "depth_upscaled"
    return "reordered" if len(set(matched.tolist())) == matched.size else "mixed"


def _upscaled(matched: Indices) -> bool:
    """Whether all runs go on, and the one before where they go back: neither begins nor ends before the last did."""
    spans = [(run.first_a, run.first_a + run.length - 1) for run in runs(matched)]
    return all(first <= start <= last + 1 <= end + 1 for (first, last), (start, end) in pairwise(spans))


def span(first: int, length: int) -> str:
    """Numbers of consecutive layers: 5; 0-3."""
    return str(first) if length == 1 else f"{first}-{first + length - 1}"

"""Of three models: is A closer to B than to C? Asked with the relabellings that both comparisons share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ..statistics.null import rank_p, z_score
from .evidence import PairEvidence, Place

TRIPLES = pa.schema(
    [("a", pa.int16()), ("b", pa.int16()), ("c", pa.int16()), ("component", pa.string()), ("group", pa.string()),
     ("aligned_b", pa.float64()), ("aligned_c", pa.float64()), ("difference", pa.float64()), ("z", pa.float64()),
     ("p", pa.float64())]
)  # fmt: skip
"""One row per model `a`, two others of which `b` is at least as close to it, and group: mean aligned cosine of each,
their difference, and how rare a difference as large is when B and C are relabelled (where that changes nothing: no `z`,
and `p` is 1)."""


def triples(evidence: Mapping[tuple[int, int], PairEvidence]) -> Iterator[dict[str, Any]]:
    """Rows of `triples`.

    Draw k relabels B and C by the same lag and leaves A alone, so what B and C have in common stays, and the differences
    at the draws are what the difference would be if neither had anything to do with A. Groups that one of the two pairs
    lacks are left out.
    """
    models = sorted({model for pair in evidence for model in pair})
    for a in models:
        others = [model for model in models if model != a]
        for first, b in enumerate(others):
            for c in others[first + 1 :]:
                left, right = (evidence[min(a, other), max(a, other)] for other in (b, c))
                for place in left.groups():
                    row = _row(a, b, c, place, left, right)
                    if row is not None:
                        yield row


def _row(a: int, b: int, c: int, place: Place, left: PairEvidence, right: PairEvidence) -> dict[str, Any] | None:
    of_b, of_c = left.turned(b, place), right.turned(c, place)
    if of_b is None or of_c is None or of_b.shape != of_c.shape:
        return None
    if of_c[0] > of_b[0]:
        b, c, of_b, of_c = c, b, of_c, of_b
    difference = of_b - of_c
    z = float(z_score(difference))
    # b and c change places where c is closer: the larger of two is in question, so both tails count.
    p = 1.0 if np.isnan(z) else min(1.0, 2 * float(rank_p(difference)))
    return {
        "a": a, "b": b, "c": c, "component": place.component, "group": place.group,
        "aligned_b": float(of_b[0]), "aligned_c": float(of_c[0]), "difference": float(difference[0]),
        "z": None if np.isnan(z) else z, "p": p,
    }  # fmt: skip

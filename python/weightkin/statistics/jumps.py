"""Whether a step of a training replaces weights instead of moving them. Pure functions of what pairs of checkpoints show.

Places count checkpoints from 0. Three questions, from the strongest answer to the weakest: do two checkpoints share anything
(the relabelling null); does the path go out to a checkpoint and come back; is a step out of proportion with those around it?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .verdict import Z_MATRIX

Array = npt.NDArray[np.float64]
Relation = Literal["match", "nothing", "unclear"]

Z_NOTHING = 5.0
"""Pooled z of a group below which two checkpoints are taken to share nothing. Independent trained models stay within 4.5; a
checkpoint and its continuation are at hundreds, as z grows with the root of the number of parameters."""

Z_TENSOR_MATCH, Z_TENSOR_NOTHING = 10.0, 4.0
"""The same of a single matrix, which must match beyond the first on the other side of a step that it seems to break at."""

TURN = -0.8
"""Cosine of a step and the next one, below which the path went out and came back. Steps of training rather agree (the
least in 20 small trainings was -0.46); checkpoints that only fluctuate about one point have -0.5; -0.8 takes a detour of
several steps' length."""

SMALLEST_MOVE = 0.08
"""Relative length of both steps of a detour. Storing one checkpoint in 8 bits moves weights by up to 0.05 and back."""

EXCESS = 2.5
"""Ratio of a step's length to the longest of the two before and the two after it, from which it is called unusual. Warm-up and
decay change steps gradually (in 20 small trainings, with warm restarts too, the largest ratio was 2.1), and the first step,
which has none before it, is never judged."""
EXCESS_DEVIATIONS = 4.0
"""Robust deviations of the logarithm of that ratio from the other steps' that it must have, too."""
SMALLEST_EXCESS = 0.02
"""Relative length of a step that is worth a word."""
NEIGHBOURS = 2
FEWEST_OTHERS = 3
EXPONENTS = (0.5, 1.0)
"""Powers of a step's duration that its length may grow with: a random walk, a straight line."""


def relation(z: float, above_all: bool) -> Relation:
    """Of one pair's pooled statistic. `above_all`: whether it exceeds every draw."""
    if z >= Z_MATRIX and above_all:
        return "match"
    return "nothing" if z < Z_NOTHING else "unclear"


def strands(count: int, relations: Mapping[tuple[int, int], Relation]) -> list[int]:
    """[count]: the strand that each checkpoint is on, numbered from 0; two are on one if a chain of matches links them.

    Neighbours are linked unless they share nothing; pairs further apart only if they match.
    """
    strand = list(range(count))
    for (a, b), found in relations.items():
        if found == "match" or (found == "unclear" and b - a == 1):
            strand = [strand[a] if each == strand[b] else each for each in strand]
    numbers = {each: number for number, each in enumerate(dict.fromkeys(strand))}
    return [numbers[each] for each in strand]


class Run(NamedTuple):
    """Checkpoints `first` to `last` that share nothing with the rest of the training."""

    first: int
    last: int


def foreign_runs(strand: Sequence[int]) -> list[Run]:
    """Runs off the main strand, which is the one with most checkpoints; of several, that of the last checkpoint."""
    counts = Counter(strand)
    most = max(counts.values())
    main = strand[-1] if counts[strand[-1]] == most else next(each for each in strand if counts[each] == most)
    runs, at = [], 0
    for each, held in groupby(strand):
        length = len(list(held))
        if each != main:
            runs.append(Run(at, at + length - 1))
        at += length
    return runs


def turns(gap: Array, around: Array) -> Array:
    """[..., M - 2]: cosine of the step to each inner checkpoint and the step from it.

    gap: [..., M - 1], squared lengths of steps; around: [..., M - 2], squared distances of the checkpoints before and after.
    """
    before, after = gap[..., :-1], gap[..., 1:]
    length = np.sqrt(before * after)
    both = around - before - after
    return np.asarray(np.divide(both, 2 * length, out=np.zeros_like(both), where=length > 0))


def detours(gap: Array, around: Array, square: Array) -> npt.NDArray[np.bool_]:
    """[..., M]: checkpoints to which the path goes far out, and from which it comes back. square: [..., M], of norms."""
    found = np.zeros(square.shape, dtype=bool)
    if square.shape[-1] > 2:
        smallest = SMALLEST_MOVE**2 * np.minimum(square[..., :-2], square[..., 2:])
        far = (gap[..., :-1] > smallest) & (gap[..., 1:] > smallest)
        found[..., 1:-1] = far & (turns(gap, around) < TURN)
    return found


def excesses(lengths: Array, intervals: Sequence[float] | None) -> Array:
    """[M - 1]: logarithm of each step's length by the longest of its neighbours'; -inf for the first and for no step at all.

    `intervals`: durations of the steps, if they are known. What is left is the least that any of `EXPONENTS` leaves.
    """
    powers = EXPONENTS if intervals is not None else (0.0,)
    duration = np.ones(len(lengths)) if intervals is None else np.asarray(intervals, dtype=np.float64)
    with np.errstate(divide="ignore"):
        rates = [np.log(lengths) - power * np.log(duration) for power in powers]
    out = np.full(len(lengths), -np.inf)
    for at in range(1, len(lengths)):
        others = [*range(max(0, at - NEIGHBOURS), at), *range(at + 1, min(len(lengths), at + 1 + NEIGHBOURS))]
        longest = [max(rate[other] for other in others) for rate in rates]
        if np.isfinite([*longest, *(rate[at] for rate in rates)]).all():
            out[at] = min(rate[at] - most for rate, most in zip(rates, longest, strict=True))
    return out


def unusual_steps(lengths: Array, intervals: Sequence[float] | None) -> list[int]:
    """Places that a step out of proportion leads to."""
    excess = excesses(lengths, intervals)
    found = []
    for at in np.flatnonzero((excess > np.log(EXCESS)) & (lengths > SMALLEST_EXCESS)):
        # A long step makes those around it look short, so the others are seen without it.
        others = excesses(np.delete(lengths, at), None if intervals is None else np.delete(intervals, at).tolist())
        others = others[np.isfinite(others)]
        if len(others) < FEWEST_OTHERS:
            continue
        middle = np.median(others)
        deviation = 1.4826 * float(np.median(np.abs(others - middle)))
        if excess[at] > middle + EXCESS_DEVIATIONS * deviation:
            found.append(int(at) + 1)
    return found


class Replaced(NamedTuple):
    """Of single tensors: [n, M] each."""

    alone: npt.NDArray[np.bool_]
    """Only in this checkpoint."""
    from_here: npt.NDArray[np.bool_]
    """From this checkpoint on. What the first step alone leaves no trace of may have been forgotten, so that is none."""


def replaced_tensors(before: Array, around: Array) -> Replaced:
    """before: [n, M - 1], z of each tensor in neighbours; around: [n, M - 2], z of the checkpoints before and after each inner
    one; NaN where there is no null."""
    nothing, match = before < Z_TENSOR_NOTHING, before > Z_TENSOR_MATCH
    alone, from_here = np.zeros((2, len(before), before.shape[1] + 1), dtype=bool)
    if before.shape[1] > 1:
        alone[:, 1:-1] = nothing[:, :-1] & nothing[:, 1:] & (around > Z_TENSOR_MATCH)
        from_here[:, 2:] = nothing[:, 1:] & match[:, :-1]
        from_here[:, 1:-1] &= match[:, 1:]
    return Replaced(alone, from_here & ~alone)

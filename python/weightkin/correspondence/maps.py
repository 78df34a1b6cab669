"""From scores of all pairs of layers, observed and under the null, to the map of B's layers and its evidence.

In every array of scores [LA, LB, 1 + R] the last axis holds lag 0 and then the R draws; NaN where two layers share no part
that could be compared. A search that is repeated for every draw has an exact null, however many layers it chose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from ..statistics.null import rank_p, z_score
from ..statistics.verdict import FEWEST_DRAWS, Z_LAYER_MATCH
from .arrangement import Arrangement, Indices, arrangement

Array = npt.NDArray[np.float64]

TIE = 0.9
"""Layers of A whose scores are at least this share of the best are as good: copies of one layer, as in a model that was
itself depth-upscaled. Which of them is meant, the neighbours decide. Other layers' scores lie far below."""

SPECIFIC = 0.75
"""The products of channels of all layers of related models are somewhat alike. So they show that a layer matches one layer
of A, rather than A as a whole, if those that are no tie reach at most this share of the best score: layers of continued
pretrainings reach about half, and a layer without a counterpart has 0.9."""

SPREAD = 0.9
"""Quantile of the absolute deviations that says how wide a null is: 1.645 standard deviations of a normal one. Lower ones are
close to 0 where a statistic takes few values; a standard deviation would be stretched by the match itself."""
ROUNDING = 1e-5
"""Spread that is nothing but rounding, relative to the largest value."""


@dataclass(frozen=True)
class LayerMap:
    """Which of A's `LA` layers each of B's `LB` layers matches."""

    assignment: Indices
    """[LB]: the best layer of A where its evidence suffices, else -1; not one to one. Ties go to what breaks fewest runs."""
    monotone: Indices
    """[LB]: the same among maps that never go back."""
    free: Indices
    """[LB]: the best layer of A whatever its evidence; -1 where there was nothing to compare."""
    arrangement: Arrangement
    scores: Array
    """[LA, LB]: observed, in deviations of the null."""
    cell_z: Array
    """[LA, LB]: z of each pair of layers among its own draws; NaN without a null."""
    cell_p: Array
    """[LA, LB]: and its rank, exact for a pair chosen beforehand."""
    second: Indices
    """[LB]: the second best layer of A; -1 if there is none."""
    margin: Array
    """[LB]: the score of the chosen (else best) layer less that of the second; NaN if there is none, below 0 after a tie."""
    margin_neighbours: Array
    """[LB]: the same over the better of the layers of A before and after the chosen one."""
    z: Array
    """[LB]: of the best score, among the best of every draw."""
    p: Array
    """[LB]: its rank, exact; NaN without a null."""
    total: tuple[float, float]
    """z and p of the sum of the best scores."""
    monotone_total: tuple[float, float]
    """z and p of the best sum of a monotone map."""
    draws: int
    in_place: bool
    """Whether weights were compared in place; else products of channels, which do not know the order of lines."""

    @property
    def chosen(self) -> Indices:
        """[LB]: the layer of A that scores and margins are of: the assigned one, or else the best."""
        return np.where(self.assignment >= 0, self.assignment, self.free)


def standard_scores(statistic: Array) -> Array:
    """The last axis less its median, in deviations of the null by a quantile; 0 where nothing varies.

    The observed value takes part like any draw, so that the scores stay exchangeable under the null.
    """
    centred = statistic - np.median(statistic, axis=-1, keepdims=True)
    scale = np.quantile(np.abs(centred), SPREAD, axis=-1, keepdims=True) / special.ndtri((1 + SPREAD) / 2)
    floor = ROUNDING * np.abs(statistic).max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(np.divide(centred, scale, out=np.zeros_like(centred), where=scale > floor))


def pool(scores: Sequence[npt.NDArray[np.floating]]) -> Array:
    """Sum over the parts that a pair of layers has, over the square root of their number."""
    total, count = np.zeros(scores[0].shape), np.zeros(scores[0].shape[:2])
    for one in scores:
        held = np.isfinite(one[..., 0])
        total += np.where(held[..., None], one, 0.0)
        count += held
    return np.where(count[..., None] > 0, total / np.sqrt(np.maximum(count, 1))[..., None], np.nan)


def layer_map(scores: Array, in_place: bool = True) -> LayerMap:
    """`scores`: [LA, LB, 1 + R]. Not `in_place`: of the products of channels, of which a match must be specific."""
    filled = np.where(np.isnan(scores), -np.inf, scores)
    comparable = np.asarray(np.isfinite(filled[..., 0]).any(axis=0))
    best = np.where(comparable[:, None], filled.max(axis=0), np.nan)
    z, p = _evidence(best)
    observed = filled[..., 0]
    free = np.where(comparable, observed.argmax(axis=0), -1)
    bar = _bar(best)
    path, monotone_best = monotone_map(np.nan_to_num(filled, neginf=0.0))
    tied = observed >= TIE * observed.max(axis=0)
    bar = bar if in_place else np.where(_specific(observed, tied), bar, np.inf)
    kept = (path >= 0) & (observed[path, np.arange(len(path))] > bar)
    assignment = _fewest_breaks(observed, tied & (observed > bar))
    chosen = np.where(assignment >= 0, assignment, free)
    second, margin = _second(observed, chosen)
    return LayerMap(
        assignment, np.where(kept, path, -1), free, arrangement(assignment, scores.shape[0]), scores[..., 0],
        *_evidence(scores), second, margin, _neighbours(observed, chosen), z, p,
        _pooled(np.nansum(best, axis=0)), _pooled(monotone_best), scores.shape[-1] - 1, in_place,
    )  # fmt: skip


def monotone_map(scores: Array) -> tuple[Indices, Array]:
    """[LB] and [1 + R]: the map with the largest sum among those that never go back, for lag 0, and that sum for each draw.

    Layers of B may share a layer of A, skip any number of them, or match nothing (-1, which adds 0). Dynamic programming
    over the layers of B; `scores`: [LA, LB, 1 + R], finite.
    """
    depth_a, depth_b, width = scores.shape
    value, origin = np.zeros((depth_a, width)), np.empty((depth_b, depth_a), np.int64)
    for b in range(depth_b):
        reached = np.maximum.accumulate(value, axis=0)
        rises = np.diff(reached[:, 0], prepend=-1.0) > 0
        origin[b] = np.maximum.accumulate(np.where(rises, np.arange(depth_a), 0))
        value = reached + np.maximum(scores[:, b], 0.0)
    path = np.full(depth_b, -1, np.int64)
    a = int(value[:, 0].argmax())
    for b in reversed(range(depth_b)):
        path[b] = a if scores[a, b, 0] > 0 else -1
        a = int(origin[b, a])
    return path, value.max(axis=0)


def _fewest_breaks(observed: Array, candidates: npt.NDArray[np.bool_]) -> Indices:
    """[LB]: of the candidates [LA, LB] of each layer of B (-1: it has none), those that go on as the one before did, as far
    as that can be; then those of the highest scores."""
    assignment = np.full(observed.shape[1], -1, np.int64)
    cost: dict[int, tuple[float, float, list[int]]] = {}
    before = -1
    columns = np.flatnonzero(candidates.any(axis=0))
    for b in columns.tolist():
        reached = {}
        for a in np.flatnonzero(candidates[:, b]).tolist():
            ways = [
                (breaks + (a not in (last + 1, last + b - before)), total - observed[a, b], [*path, a])
                for last, (breaks, total, path) in cost.items()
            ]
            reached[a] = min(ways) if cost else (0.0, -observed[a, b], [a])
        cost, before = reached, b
    if cost:
        assignment[columns] = min(cost.values())[2]
    return assignment


def _evidence(statistic: Array) -> tuple[Array, Array]:
    """z and p along the last axis; NaN where there is no null."""
    with np.errstate(invalid="ignore"):
        z = z_score(statistic)
    return z, np.where(np.isnan(z), np.nan, rank_p(statistic))


def _pooled(statistic: Array) -> tuple[float, float]:
    z, p = _evidence(statistic[None])
    return float(z[0]), float(p[0])


def _bar(best: Array) -> Array:
    """[LB]: what a score must exceed to be a match: every draw's best, and their mean by `Z_LAYER_MATCH` deviations."""
    draws = best[:, 1:]
    if draws.shape[1] < FEWEST_DRAWS:
        return np.full(len(best), np.inf)
    by_z = draws.mean(axis=1) + Z_LAYER_MATCH * draws.std(axis=1, ddof=1)
    return np.asarray(np.where(np.isnan(by_z), np.inf, np.maximum(draws.max(axis=1), by_z)))


def _specific(observed: Array, tied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[LB]: whether all layers of A that do not tie lie far below the best; not where there are none to tell."""
    rest = np.where(tied, -np.inf, observed).max(axis=0)
    return np.asarray(np.isfinite(rest) & (rest <= SPECIFIC * observed.max(axis=0)))


def _second(observed: Array, free: Indices) -> tuple[Indices, Array]:
    columns = np.arange(observed.shape[1])
    rest = observed.copy()
    rest[free, columns] = -np.inf
    second = np.where(np.isfinite(rest.max(axis=0)), rest.argmax(axis=0), -1)
    with np.errstate(invalid="ignore"):
        margin = observed[free, columns] - rest.max(axis=0)
    return second, np.where(second >= 0, margin, np.nan)


def _neighbours(observed: Array, free: Indices) -> Array:
    columns = np.arange(observed.shape[1])
    padded = np.pad(observed, ((1, 1), (0, 0)), constant_values=-np.inf)
    beside = np.maximum(padded[free, columns], padded[free + 2, columns])
    with np.errstate(invalid="ignore"):
        margin = observed[free, columns] - beside
    return np.where(np.isfinite(beside) & (free >= 0), margin, np.nan)

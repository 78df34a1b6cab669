"""`assign`: the neurons of all experts of a layer at once, and single problems of many sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from math import ceil, isqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from weightkin import ops, reference

from .registry import Case, Run, Settings, Target, Work

Scores = npt.NDArray[np.float32]

EXPERTS, NEURONS = 128, 1408
"""Of a layer of GLM-4.5-Air."""
PLANTED = 0.6
"""Correlation of a vector with the one that it belongs to."""
CHECKED = 4
"""Problems that scipy solves again."""
REPEATS = {128: 128, 256: 64, 512: 16, 1408: 4, 4096: 1}
"""Size of a problem: how many of them are one run."""
MEMORY_SHARE = 16
"""A run of one size has this part of the memory that a case may have."""


@contextmanager
def experts(settings: Settings, correlation: float) -> Iterator[Work]:
    """A problem per expert, shared by all threads."""
    side = min(NEURONS, isqrt(settings.nbytes // (4 * EXPERTS)))
    scores = problems(EXPERTS, side, correlation, settings.seed)
    share = scores[: ceil(EXPERTS / settings.threads)]
    yield work(scores, settings.threads, {"scipy, share of a core": partial(by_scipy, share)})


@contextmanager
def one_by_one(settings: Settings, side: int, correlation: float) -> Iterator[Work]:
    """Problems of one size, on one thread."""
    count = REPEATS[side]
    side = min(side, isqrt(settings.nbytes // (4 * MEMORY_SHARE * count)))
    scores = problems(count, side, correlation, settings.seed)
    yield work(scores, 1, {"scipy": partial(by_scipy, scores)})


def work(scores: Scores, threads: int, peers: dict[str, Run]) -> Work:
    """`scores`: [K, n, n]"""
    return Work(
        ours=lambda: ops.assign(scores, threads),
        check=lambda: error(scores[:CHECKED], ops.assign(scores, threads)),
        peers={**peers, "lapx lapjvs": by_lapx(scores, threads)},
        nbytes=scores.nbytes,
    )


def problems(count: int, side: int, correlation: float, seed: int) -> Scores:
    """[count, side, side]: correlations of as many random vectors, each of which belongs to one of the other side."""
    random = np.random.default_rng(seed)
    scores = np.empty((count, side, side), np.float32)
    for one in scores:
        rows, noise = (random.standard_normal((side, side), np.float32) for _ in range(2))
        columns = correlation * rows[random.permutation(side)] + np.sqrt(1 - correlation**2).astype(np.float32) * noise
        np.matmul(_unit(rows), _unit(columns).T, out=one)
    return scores


def error(scores: Scores, found: npt.NDArray[np.int64]) -> float:
    """Largest gap between the sum of scores and the optimum, relative to that."""
    gaps = []
    for one, assignment in zip(scores, found, strict=False):
        expected = _total(one, reference.assign(one))
        gaps.append(abs(_total(one, assignment) - expected) / abs(expected))
    return float(np.max(gaps))


def by_scipy(scores: Scores) -> None:
    """One problem after the other; it holds the interpreter lock."""
    for one in scores:
        linear_sum_assignment(one, maximize=True)


def by_lapx(scores: Scores, threads: int) -> Run | None:
    """By its fastest solver, which minimises, and works in float32."""
    if find_spec("lap") is None:
        return None
    import lap

    costs: Any = -scores
    return lambda: lap.lapjvs_batch(costs, return_cost=False, n_threads=threads)


def _total(scores: Scores, assignment: npt.NDArray[np.int64]) -> float:
    return float(scores[assignment, np.arange(len(assignment))].sum(dtype=np.float64))


def _unit(rows: Scores) -> Scores:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


KINDS = {"random": 0.0, "planted": PLANTED}

CASES = (
    *(
        Case(
            f"assign/experts-{kind}",
            f"{EXPERTS} {kind} problems of {NEURONS}, all threads",
            partial(experts, correlation=correlation),
            tolerance=1e-12,
            targets=(Target("scipy, share of a core", 1), Target("lapx lapjvs", 1)),
            rounds=3,
        )
        for kind, correlation in KINDS.items()
    ),
    *(
        Case(
            f"assign/{kind}-{side}",
            f"{count} {kind} problem{'s' if count > 1 else ''} of {side}, one thread",
            partial(one_by_one, side=side, correlation=correlation),
            tolerance=1e-12,
            targets=(Target("scipy", 1),),
            rounds=3,
        )
        for side, count in REPEATS.items()
        for kind, correlation in KINDS.items()
    ),
)

"""How good a matching is, without the bias of having searched for it: choose on one part, score on another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Assignment = npt.NDArray[np.int64]


class PermutationScore(NamedTuple):
    """Sum of a score matrix along a permutation, with its mean and variance under a random one."""

    score: float
    mean: float
    variance: float

    @property
    def z(self) -> float:
        return (self.score - self.mean) / self.variance**0.5 if self.variance > 0 else float("nan")


def permutation_score(scores: npt.NDArray[np.floating], assignment: Assignment) -> PermutationScore:
    """sum of scores[assignment[j], j] for a permutation that was chosen without looking at `scores`.

    `scores`: [A, B]; `assignment`: [B], as `ops.assign` returns it: the row that each column gets, -1 for none. With D
    the doubly centred matrix, the sum over a uniform random permutation of n has mean n * mean(S) and variance
    sum(D^2) / (n - 1) (Hoeffding, A combinatorial central limit theorem, 1951). A rectangular matrix is padded with
    zeros to a square. Sums are float64.
    """
    size = max(scores.shape)
    padded = np.zeros((size, size))
    padded[: scores.shape[0], : scores.shape[1]] = scores
    columns = np.flatnonzero(assignment >= 0)
    score = float(padded[assignment[columns], columns].sum())
    doubly_centred = padded - padded.mean(0) - padded.mean(1, keepdims=True) + padded.mean()
    variance = float((doubly_centred**2).sum() / (size - 1)) if size > 1 else 0.0
    return PermutationScore(score, float(size * padded.mean()), variance)


class Agreement(NamedTuple):
    """Places where two assignments, found on separate evidence, say the same."""

    agreeing: int
    expected: float
    p: float


def agreement(first: Assignment, second: Assignment, rows: int) -> Agreement:
    """Number of columns that both assign to one row, and the chance of as many for independent random assignments.

    `first`, `second`: [B], as `ops.assign` returns them; `rows`: A.
    Each column agrees with chance 1 / max(A, B), so the count is nearly Poisson with mean min(A, B) / max(A, B): 1 for
    permutations (the matching problem of Montmort; Poisson limit by Barbour, Holst & Janson 1992, 4.2).
    """
    columns = len(first)
    count = int(np.count_nonzero((first == second) & (first >= 0)))
    expected = min(rows, columns) / max(rows, columns)
    return Agreement(count, expected, float(special.pdtrc(count - 1, expected) if count else 1.0))

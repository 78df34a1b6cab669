"""Each op in float64 numpy: the definition that every kernel is tested against."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .similarity import RESOLVED

Rows = npt.NDArray[np.float64]


class Gram(NamedTuple):
    """gram[i, j] = <x_i, x_j> and sum[i] = sum of x_i's elements, of N rows."""

    gram: npt.NDArray[np.float64]
    """[N, N]; its diagonal holds the squared norms."""
    sum: npt.NDArray[np.float64]
    """[N]"""


class Difference(NamedTuple):
    """How two rows differ, element by element."""

    sum_abs: float
    sum_square: float
    max_abs: float
    unequal: int
    """Elements that are not equal as bits (a NaN equals itself, -0 is not 0)."""


def gram(rows: Rows) -> Gram:
    """`rows`: [N, n]."""
    return Gram(rows @ rows.T, rows.sum(axis=1))


class CrossGram(NamedTuple):
    """Inner products of M rows with N others, and each row's sum and squared norm."""

    product: npt.NDArray[np.float64]
    """[M, N]"""
    sum_left: npt.NDArray[np.float64]
    """[M]"""
    sum_right: npt.NDArray[np.float64]
    """[N]"""
    square_left: npt.NDArray[np.float64]
    """[M]"""
    square_right: npt.NDArray[np.float64]
    """[N]"""


def cross_gram(left: Rows, right: Rows) -> CrossGram:
    """`left`: [M, n], `right`: [N, n]."""
    return CrossGram(
        left @ right.T, left.sum(axis=1), right.sum(axis=1), np.square(left).sum(axis=1), np.square(right).sum(axis=1)
    )


def assign(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """[B]: the row that each column gets, -1 for none, so that the sum of `scores` [A, B] is largest and no row serves
    twice. min(A, B) columns get one."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, columns = linear_sum_assignment(scores, maximize=True)
    found = np.full(scores.shape[1], -1, np.int64)
    found[columns] = rows
    return found


def difference(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Difference:
    """`x`, `y`: [n], of one dtype."""
    gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
    bits = np.dtype(f"u{x.dtype.itemsize}")
    unequal = int(np.count_nonzero(x.view(bits) != y.view(bits)))
    return Difference(float(gap.sum()), float((gap * gap).sum()), float(gap.max(initial=0.0)), unequal)


def quantile(x: npt.NDArray[np.generic], fraction: float) -> float:
    """Quantile of |x|, linear between order statistics (method 7 of Hyndman & Fan 1996, numpy's default)."""
    return float(np.quantile(np.abs(x.astype(np.float64)), fraction))


def balance(x: Rows) -> Rows:
    """[lines, n]: channels (columns) of norm 1, then lines centred and of norm 1, then channels centred and of norm 1.

    One line: its ranks, centred and of norm 1; zeros if more than 9 of 10 entries are equal.
    """
    if len(x) == 1:
        from scipy.stats import rankdata  # slow to import, and only the definition needs it

        varies = np.unique(x, return_counts=True)[1].max() <= 0.9 * x.size
        return np.asarray(_unit(rankdata(x, axis=1), axis=1) * varies)
    norm = np.linalg.norm(x, axis=0)
    x = np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
    return _unit(_unit(x, axis=1), axis=0)


def _unit(x: Rows, axis: int) -> Rows:
    """Centred and of norm 1; zeros where nothing but rounding is left."""
    centred = x - x.mean(axis=axis, keepdims=True)
    square = np.square(centred).sum(axis=axis, keepdims=True)
    resolved = square > RESOLVED * np.square(x).sum(axis=axis, keepdims=True)
    return np.asarray(np.divide(centred, np.sqrt(square), out=np.zeros_like(centred), where=resolved))


def lagged(x: Rows, y: Rows, lags: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """[len(lags)]: sum over lines of <x, y rotated by the lag>, both balanced: x[j] against y[(j + lag) mod n].

    `x`, `y`: [lines, n].
    """
    x, y = balance(x), balance(y)
    return np.array([(x * np.roll(y, -int(lag), axis=1)).sum() for lag in lags])

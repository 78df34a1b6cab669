"""Does a tensor look like a draw of independent, equally distributed entries, as a random initialisation is?

Every statistic is a number of deviations that independent entries of any distribution with a finite fourth moment would give,
near 0 for them and far above for a trained tensor. All are one-sided: orthogonal and row-normalised initialisations are more
even than chance, which is no sign of training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]

ROWS, COLUMNS = 256, 4096
"""Of a tensor, spread evenly over it, that are looked at: part of independent entries are independent entries."""
ENTRIES = 4096
"""Whose distribution is held against the families. More would see the steps of 8-bit mantissas."""
FEWEST_ENTRIES = 64
FEWEST_LINES = 8
"""Rows and columns that a matrix needs for the tests of its lines."""
SKETCH = 1024
"""Entries by which tensors of one shape are correlated with one another."""
SHUFFLES = 4
EDGE_WITHOUT_DOUBT = 3.0
"""Deviations of the largest singular value below which there is nothing to explain."""
FLAT = 0.01
"""Kurtosis this close to that of one magnitude for all entries leaves their lines no chance to differ."""
TIE = 0.3
"""Difference of distances from two families that says nothing."""
TRUNCATIONS = (2.0, 3.0)
"""Deviations at which truncated normals are cut in the libraries that have them."""


class Structure(NamedTuple):
    """Deviations from independent entries; NaN where the matrix is too small."""

    rows: float
    """Of the spread of the rows' norms."""
    columns: float
    edge: float
    """Of the largest singular value beyond the edge of Marchenko and Pastur."""
    correlation: float
    """Of the squared correlations of all pairs of lines along the shorter side."""


def without_empty_lines(matrix: Array) -> Array:
    """Rows and columns that are zero were set so on purpose (padding tokens): they are no draw."""
    return matrix[np.any(matrix != 0, axis=1)][:, np.any(matrix != 0, axis=0)]


def without_repeated_lines(matrix: Array) -> Array:
    """Each row and each column once: blocks that several devices drew with one seed repeat one another. Short lines may be
    alike by chance, so matrices of few lines stay as they are."""
    if min(matrix.shape) < FEWEST_LINES:
        return matrix
    _, rows = np.unique(matrix, axis=0, return_index=True)
    once = matrix[np.sort(rows)]
    _, columns = np.unique(once, axis=1, return_index=True)
    return np.asarray(once[:, np.sort(columns)])


def structure(matrix: Array, random: np.random.Generator) -> Structure:
    """Of [m, n] entries with mean 0, without empty lines.

    Heavy tails alone push the largest singular value over the edge, and shuffled entries keep the tails and lose the rest: only
    what exceeds shuffled copies counts.
    """
    found = _structure(matrix)
    if not found.edge > EDGE_WITHOUT_DOUBT:
        return found
    copies = [_structure(random.permuted(matrix.ravel()).reshape(matrix.shape)).edge for _ in range(SHUFFLES)]
    return found._replace(edge=found.edge - max(0.0, *copies))


def _structure(matrix: Array) -> Structure:
    if min(matrix.shape) < FEWEST_LINES:
        return Structure(*[float("nan")] * 4)
    square = matrix**2
    kurtosis = float((square**2).mean() / square.mean() ** 2)
    even = (
        spread(square.mean(axis=1), matrix.shape[1], kurtosis),
        spread(square.mean(axis=0), matrix.shape[0], kurtosis),
    )
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    products = wide @ wide.T
    return Structure(*even, _edge(products, wide.shape[1], float(square.mean())), _correlation(products, wide.shape[1]))


def spread(mean_squares: Array, entries: float, kurtosis: float) -> float:
    """Deviations by which mean squares of so many entries each differ more than those of independent entries.

    sum (s / mean s - 1)^2 is then chi-squared by the variance of a mean square, (kurtosis - 1) / entries; its cube root is
    nearly normal (Wilson & Hilferty 1931).
    """
    freedom = len(mean_squares) - 1
    if freedom < 1 or not mean_squares.mean() > 0:
        return float("nan")
    if kurtosis < 1 + FLAT:
        return 0.0
    chi = float(((mean_squares / mean_squares.mean() - 1) ** 2).sum()) * entries / (kurtosis - 1)
    return _deviations(chi, freedom)


def _deviations(chi: float, freedom: int) -> float:
    """Of a chi-squared number."""
    return float(((chi / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / (2 / (9 * freedom)) ** 0.5)


def _edge(products: Array, columns: int, variance: float) -> float:
    """Largest eigenvalue of x x', in the centre and scale that make it Tracy and Widom's, to second order (Ma 2012).

    Its law has mean -1.2, deviation 1.3 and, of independent entries, a value beyond 8 once in millions of matrices.
    """
    m, n = len(products) - 0.5, columns - 0.5
    scale = (n**0.5 + m**0.5) * (n**-0.5 + m**-0.5) ** (1 / 3)
    return float((np.linalg.eigvalsh(products)[-1] / variance - (n**0.5 + m**0.5) ** 2) / scale)


def _correlation(products: Array, columns: int) -> float:
    """Sum of squared cosines of all pairs of lines, by its mean and variance for independent ones (Schott 2005)."""
    m, n = len(products), columns
    norms = np.sqrt(np.diagonal(products))
    cosines = products / norms[:, None] / norms
    total = (float((cosines**2).sum()) - m) / 2
    variance = m * (m - 1) * (n - 1) / (n**2 * (n + 2))
    return float((total - m * (m - 1) / (2 * n)) / variance**0.5)


class Fit(NamedTuple):
    """The family of distributions that entries are closest to."""

    family: str
    distance: float
    """Kolmogorov's, times the root of the number of entries: beyond 3 once in 30 million samples."""


def fit(entries: Array) -> Fit | None:
    """Of [n] entries with mean 0, by their own scale; None where there are too few."""
    scale = float(np.sqrt((entries**2).mean()))
    if len(entries) < FEWEST_ENTRIES or not scale > 0:
        return None
    ordered = np.sort(entries) / scale
    steps = np.arange(len(ordered) + 1) / len(ordered)
    candidates = []
    for family, law in _laws().items():
        expected = law(ordered)
        distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
        candidates.append(Fit(family, distance * len(ordered) ** 0.5))
    nearest = min(one.distance for one in candidates)
    return next(one for one in candidates if one.distance <= nearest + TIE)  # the simplest of those that fit as well


@cache
def _laws() -> dict[str, Callable[[Array], Array]]:
    """Distribution functions of mean 0 and variance 1."""

    def truncated(cut: float) -> Callable[[Array], Array]:
        inside = 2 * special.ndtr(cut) - 1
        width = (1 - 2 * cut * np.exp(-(cut**2) / 2) / (2 * np.pi) ** 0.5 / inside) ** 0.5
        return lambda x: (special.ndtr(np.clip(x * width, -cut, cut)) - special.ndtr(-cut)) / inside

    return {
        "normal": special.ndtr,
        **{f"normal, cut at {cut:g} deviations": truncated(cut) for cut in TRUNCATIONS},
        "uniform": lambda x: np.clip(0.5 + x / 12**0.5, 0, 1),
    }


def copies(sketches: Array) -> tuple[float, float]:
    """Of [k, n] entries of k tensors at the same places: the largest correlation of two, and how many deviations that is."""
    norms = np.linalg.norm(sketches, axis=1, keepdims=True)
    held = (sketches / np.where(norms > 0, norms, 1))[norms[:, 0] > 0]
    if len(held) < 2 or held.shape[1] < FEWEST_ENTRIES:
        return float("nan"), float("nan")
    cosines = held @ held.T
    largest = float(cosines[np.triu_indices(len(held), 1)].max())
    return largest, largest * held.shape[1] ** 0.5


def depth_spread(mean_squares: Array, depths: Array, entries: float, kurtosis: float) -> float:
    """Deviations by which layers' scales differ from a power of their depth, which is how initialisations scale them."""
    if len(mean_squares) < 4 or not (mean_squares > 0).all():
        return float("nan")
    logs = np.log(mean_squares)
    slope = np.polynomial.polynomial.polyfit(np.log(depths + 1), logs, 1)
    residual = logs - np.polynomial.polynomial.polyval(np.log(depths + 1), slope)
    # Two of the layers' degrees of freedom are the line's.
    freedom = len(logs) - 2
    if kurtosis < 1 + FLAT:
        return 0.0
    chi = float((residual**2).sum()) * entries / (kurtosis - 1)
    return _deviations(chi, freedom)

"""Closed forms for vectors (norm gains, biases): a cross-check of the relabelling null, and the published arithmetic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]


def correlation_z(pearson: Array, size: Array) -> Array:
    """r * sqrt(n - 1): over all permutations of a vector, r has mean 0 and variance exactly 1/(n-1) (Pitman 1937)."""
    return np.asarray(pearson * np.sqrt(np.maximum(size - 1, 0)))


class Baseline(NamedTuple):
    """Similarity across models against similarity within one model at the same distance between layers."""

    lag: int
    mean: float
    deviation: float
    pairs: int


def lag_matched_baseline(similarity: Array, first: int = 1) -> list[Baseline]:
    """Mean and deviation of within-model similarity of layer l to layer l + k, for each lag k.

    `similarity`: [L, L] of one model's layers. Layers before `first` are left out: layer 0 is unlike all others, so a
    baseline from layer 0 (0.377 where neighbours have 0.99) makes any other pair look special.
    """
    layers = similarity.shape[0]
    out = []
    for lag in range(1, layers - first):
        values = np.diagonal(similarity[first:, first:], lag)
        values = values[np.isfinite(values)]
        if values.size:
            out.append(
                Baseline(lag, float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else 0.0, values.size)
            )
    return out


def shuffled_cosine(mean_a: float, deviation_a: float, mean_b: float, deviation_b: float) -> float:
    """Cosine of two vectors after one is shuffled: that of uncorrelated vectors with these moments."""
    scale = np.sqrt((mean_a**2 + deviation_a**2) * (mean_b**2 + deviation_b**2))
    return float(mean_a * mean_b / scale) if scale > 0 else float("nan")


def two_sided_p(z: float) -> float:
    """Of a standard normal z."""
    return float(2 * special.ndtr(-abs(z)))

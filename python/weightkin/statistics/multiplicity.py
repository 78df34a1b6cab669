"""Corrections for asking many questions at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def holm(p: Array) -> Array:
    """Holm's step-down adjustment (1979): controls the chance of any false rejection, under any dependence. NaN stays."""
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    out = np.full(p.shape, np.nan)
    out[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return out


def benjamini_hochberg(p: Array) -> Array:
    """Benjamini and Hochberg's step-up adjustment (1995): controls the false discovery rate. NaN stays."""
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    ranks = 1 + np.arange(len(order))
    scaled = p[order] * len(order) / ranks
    out = np.full(p.shape, np.nan)
    out[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return out

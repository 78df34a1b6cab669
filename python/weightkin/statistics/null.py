"""The relabelling null: what a statistic does when the channels of one model are relabelled.

Training from a random initialisation treats all residual channels alike, all neurons of an MLP alike, all experts
alike. If model B is independent of model A, relabelling B's channels leaves the law of the comparison unchanged, so the
statistics of relabelled copies of B are exact draws from the null (a randomisation test: Lehmann & Romano, Testing
Statistical Hypotheses, 15.2). Rotations by a lag form a subgroup of the relabellings. The same draws serve all tensors,
which keeps the dependence between tensors and layers: pooled statistics are compared with equally pooled draws.

In every array here the last axis holds the observed statistic (lag 0) and then the R draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import gcd

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]

DRAWS = 256
"""Lags of the null unless the caller says otherwise: ranks resolve p down to 1/257."""
ROUNDING = 1e-6
"""Spread of a statistic that counts as none, as a share of its largest possible value.

Kernels add in float32, so a statistic that is the same at every lag (of channels with a period, say) comes out with
spreads up to 1e-8 of that. Those of trained models are above 1e-2."""
VECTOR = 16
"""Floats of the widest vector that the kernels load."""


def generator(seed: int, *names: object) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, and on nothing else."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def draw_lags(extent: int, draws: int, seed: int, *names: object) -> npt.NDArray[np.uint32]:
    """[1 + draws]: lag 0, then `draws` random lags of an axis of `extent` entries.

    Without replacement where there are enough: multiples of `step`, which form a subgroup of the rotations, as many as
    any. They keep vectors of floats whole, which saves the kernels a spectrum (or a copy) per remainder. A shorter axis
    draws with replacement from all its lags, 0 among them: its draws then tie with the observed value now and then,
    which can only raise p.
    """
    random = generator(seed, "lags", extent, *names)
    if draws < extent:
        step = gcd(extent, VECTOR)
        while extent // step <= draws:
            step //= 2
        lags = step * (1 + random.choice(extent // step - 1, draws, replace=False))
    else:
        lags = random.integers(0, extent, draws)
    return np.concatenate([[0], lags]).astype(np.uint32)


def draw_lines(lines: int, wanted: int, seed: int, *names: object, run: int = 32) -> npt.NDArray[np.int64]:
    """About `wanted` of `lines` lines, in random runs of `run` neighbours (whole cache lines); all if there are fewer."""
    if lines <= wanted:
        return np.arange(lines)
    runs = -(-lines // run)
    chosen = np.sort(generator(seed, "lines", lines, *names).choice(runs, max(1, wanted // run), replace=False))
    found = (chosen[:, None] * run + np.arange(run)).ravel()
    return found[found < lines]


def rank_p(statistic: Array) -> Array:
    """(1 + number of draws at or above the observed value) / (1 + R): exact, at any law of the statistic."""
    draws = statistic[..., 1:]
    above = np.count_nonzero(draws >= statistic[..., :1], axis=-1)
    return np.asarray((1.0 + above) / (1.0 + draws.shape[-1]))


def z_score(statistic: Array, largest: float = 1.0) -> Array:
    """(observed - mean) / standard deviation over the draws; NaN if they do not vary.

    `largest`: the value of the statistic for a tensor and itself.
    """
    draws = statistic[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (statistic[..., 0] - draws.mean(axis=-1)) / draws.std(axis=-1, ddof=1)
    spread = np.ptp(draws, axis=-1) if draws.shape[-1] else np.zeros(statistic.shape[:-1])
    return np.where(spread > ROUNDING * largest, z, np.nan)


def standardise(statistic: Array, largest: float = 1.0) -> Array:
    """Each row to mean 0 and variance 1 over the observed value and the draws together; 0 where nothing varies.

    The observed value takes part like any draw. So under the null all columns of a sum of such rows stay exchangeable,
    and the rank of the pooled statistic is as exact as that of one tensor. `largest`: as in `z_score`.
    """
    centred = statistic - statistic.mean(axis=-1, keepdims=True)
    scale = centred.std(axis=-1, keepdims=True)
    return np.asarray(np.divide(centred, scale, out=np.zeros_like(centred), where=scale > ROUNDING * largest))


def pool(statistics: Sequence[Array] | Array) -> Array:
    """Sum of standardised statistics, draw by draw: [1 + R]. Dependence between the rows is in the draws too."""
    return np.asarray(standardise(np.asarray(statistics)).sum(axis=0))


def extrapolated_p(p: Array, z: Array, draws: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """p, but from the normal tail of z where the rank is at its floor of 1/(R+1); and which ones those are.

    A normal tail is an assumption that the rank does not make: say so wherever such a p is shown.
    """
    at_floor = (p <= 1.0 / (draws + 1)) & np.isfinite(z)
    tail = np.minimum(special.ndtr(-z), p)
    return np.where(at_floor, tail, p), at_floor & (tail < p)

"""Similarity measures from sums. Pure functions of arrays; sums of parts add up to sums of wholes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RESOLVED = 1e-10
"""Smallest variance, as a share of the mean square, that float64 sums resolve well enough for a Pearson within 1e-6.

What is left of a constant tensor after rounding lies far below. A smaller variance counts as none."""


@dataclass(frozen=True, slots=True)
class PairSums:
    """What is known of one pair of tensors (or blocks: every field is an array over them), in quantities that add up.

    Centred quantities are centred by each tensor's own mean *before* they are added over tensors. Otherwise a set of
    norms whose means grow with depth in both models would correlate, whatever models they come from.
    """

    elements: Array
    product: Array
    """sum x y"""
    square_a: Array
    square_b: Array
    sum_a: Array
    sum_b: Array
    covariance: Array
    """sum x y - (sum x)(sum y)/n"""
    variance_a: Array
    variance_b: Array
    uncorrelated: Array
    """(sum x)(sum y)/n: what sum x y would be if the two were uncorrelated"""
    sum_abs: Array
    sum_square: Array
    unequal: Array

    @classmethod
    @np.errstate(invalid="ignore")  # infinite elements: inf - inf
    def of(
        cls, elements: Array, product: Array, square: tuple[Array, Array], total: tuple[Array, Array], gaps: Array
    ) -> PairSums:
        """From raw sums; `gaps` is [3, ...]: sum |x-y|, sum (x-y)^2, unequal elements."""
        n = np.maximum(elements, 1)
        uncorrelated = total[0] * total[1] / n
        variance_a, variance_b = (_resolved(q - s**2 / n, q) for q, s in zip(square, total, strict=True))
        return cls(
            elements, product, *square, *total, product - uncorrelated, variance_a, variance_b, uncorrelated, *gaps
        )

    @classmethod
    def concatenated(cls, parts: Sequence[PairSums]) -> PairSums:
        """The entries of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @np.errstate(invalid="ignore")  # infinite tensors: inf - inf
    def pooled(self) -> PairSums:
        """One entry: the sum over all."""
        return PairSums(*(np.asarray(getattr(self, field.name)).sum(keepdims=True) for field in fields(self)))

    @np.errstate(invalid="ignore")
    def without_each(self) -> PairSums:
        """Entry i: the sum over all but i."""
        parts = (np.asarray(getattr(self, field.name)) for field in fields(self))
        return PairSums(*(part.sum() - part for part in parts))

    def take(self, rows: npt.NDArray[np.intp] | slice) -> PairSums:
        """A subset of the entries."""
        return PairSums(*(getattr(self, field.name)[rows] for field in fields(self)))


def _resolved(variance: Array, square: Array) -> Array:
    # NaN and infinity stay what they are.
    return np.where(variance < RESOLVED * square, 0.0, variance)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where the denominator is 0: an undefined measure is not a zero one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _normalised(product: Array, square_a: Array, square_b: Array) -> Array:
    """product / sqrt(square_a square_b), in [-1, 1]."""
    with np.errstate(invalid="ignore"):  # an infinite tensor and a zero one
        return np.clip(_ratio(product, np.sqrt(square_a) * np.sqrt(square_b)), -1, 1)


def cosine(sums: PairSums) -> Array:
    """<x, y> / (|x| |y|), in [-1, 1]."""
    return _normalised(sums.product, sums.square_a, sums.square_b)


def pearson(sums: PairSums) -> Array:
    """Correlation of elements, each tensor centred by its own mean; in [-1, 1], NaN for a constant tensor."""
    return _normalised(sums.covariance, sums.variance_a, sums.variance_b)


def cosine_if_uncorrelated(sums: PairSums) -> Array:
    """The cosine that Pearson = 0 would give: (mA mB) / sqrt((mA^2 + sA^2)(mB^2 + sB^2)), m means, s deviations."""
    return _normalised(sums.uncorrelated, sums.square_a, sums.square_b)


def relative_l2(sums: PairSums) -> tuple[Array, Array]:
    """|x - y| / |x| and |x - y| / |y|: the measure is not symmetric, so both are given."""
    gap = np.sqrt(sums.sum_square)
    return _ratio(gap, np.sqrt(sums.square_a)), _ratio(gap, np.sqrt(sums.square_b))


@np.errstate(invalid="ignore")
def coefficient_of_variation(elements: Array, total: Array, square: Array) -> Array:
    """Standard deviation / |mean| of all elements (population form)."""
    mean = total / np.maximum(elements, 1)
    deviation = np.sqrt(np.maximum(square / np.maximum(elements, 1) - mean**2, 0))
    return _ratio(deviation, np.abs(mean))


def measures(sums: PairSums) -> dict[str, Array]:
    """Every measure that follows from sums, by its column name."""
    relative_a, relative_b = relative_l2(sums)
    cv_a = coefficient_of_variation(sums.elements, sums.sum_a, sums.square_a)
    cv_b = coefficient_of_variation(sums.elements, sums.sum_b, sums.square_b)
    return {
        "cosine": cosine(sums),
        "pearson": pearson(sums),
        "cosine_if_uncorrelated": cosine_if_uncorrelated(sums),
        "relative_l2_a": relative_a,
        "relative_l2_b": relative_b,
        "mean_abs_difference": _ratio(sums.sum_abs, sums.elements),
        "cv_a": cv_a,
        "cv_b": cv_b,
        "cv_difference": np.abs(cv_a - cv_b),
        "changed_fraction": _ratio(sums.unequal, sums.elements),
    }


@cache
def magnitude_values(dtype: str) -> Array:
    """Value of each of the 32,768 bins of a histogram of |x| (ops.Sweep.histogram); F32 and F64: the lower edge."""
    codes = np.arange(1 << 15, dtype=np.uint32)
    floats = codes.astype(np.uint16).view(np.float16) if dtype == "F16" else (codes << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # the codes of NaNs
        values = floats.astype(np.float64)
    values.flags.writeable = False
    return values


def weighted_quantile(values: Array, counts: npt.NDArray[np.int64], fraction: float) -> float:
    """Quantile of `values` repeated `counts` times, linear between order statistics; NaN if there are none or a NaN."""
    present = counts > 0
    values, counts = values[present], counts[present]
    if values.size == 0 or np.isnan(values).any():
        return float("nan")
    order = np.argsort(values, kind="stable")
    values, last = values[order], np.cumsum(counts[order])
    position = fraction * float(last[-1] - 1)
    lower = int(np.floor(position))
    ranks = lower, min(lower + 1, last[-1] - 1)
    low, high = (float(values[np.searchsorted(last, rank, side="right")]) for rank in ranks)
    return low + (position - lower) * (high - low)

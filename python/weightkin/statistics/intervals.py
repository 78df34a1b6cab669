"""Confidence intervals of effect sizes, from the spread over groups (layers, tensors or blocks)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from ..similarity import Array, PairSums


def jackknife(sums: PairSums, measure: Callable[[PairSums], Array], confidence: float = 0.95) -> tuple[float, float]:
    """Delete-one-group jackknife interval of a pooled measure; `sums` has one entry per group (at least 3, else NaN).

    Groups need not be alike in size; elements within one may depend on each other (Efron & Stein 1981). Student's t with
    one degree of freedom less than there are groups.
    """
    groups = len(sums.elements)
    if groups < 3:  # two points give a t with one degree of freedom, which says nothing
        return float("nan"), float("nan")
    estimate = float(measure(sums.pooled())[0])
    left_out = measure(sums.without_each())
    error = np.sqrt((groups - 1) / groups * np.sum((left_out - left_out.mean()) ** 2))
    reach = float(special.stdtrit(groups - 1, 0.5 + confidence / 2) * error)
    return estimate - reach, estimate + reach

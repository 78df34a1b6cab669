"""What a search of one layer found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..statistics.null import rank_p, z_score
from .alignment import Indices
from .mlps import MlpViews
from .neurons import NeuronMatch

Array = npt.NDArray[np.float64]
By = Literal["probe", "router", "weights"]
"""What experts are matched by: their answers to random inputs, their router rows, or their weights in place."""


@dataclass(frozen=True)
class LayerMatch:
    """One layer of B against one of A. Index b runs over `b`, a over `a`; every statistic begins with the observed one,
    followed by those of the m - 1 relabellings of B."""

    component: str
    layer_a: int
    layer_b: int
    by: By
    a: tuple[MlpViews, ...]
    b: tuple[MlpViews, ...]
    routed: tuple[int, int]
    """Routed experts in `a` and in `b`; they come first."""
    scores: Array
    """[A, B]: correlation of descriptors."""
    statistic: Array
    """[m]: sum over b of the best score."""
    best: Array
    """[m, B]: of b with any a."""
    deviation: Array
    """[B]: standard deviation of a single score of b over all a and all relabelled copies."""
    assignment: Indices
    """[B]: the a that b is, -1 where nothing stands out."""
    router: Array | None
    """[m]: agreement of router rows through the assignment, which is searched for anew in every copy."""
    router_scores: Array | None
    """[A, B] of routed experts."""
    router_z: float
    """Hoeffding's z of the observed assignment: the router took no part in choosing it, unless `by` says so."""
    neurons: Mapping[int, NeuronMatch] = field(default_factory=dict)
    """By b."""
    not_searched: str | None = None
    """Why neurons were not searched for."""

    @property
    def z(self) -> float:
        return float(z_score(self.statistic))

    @property
    def p(self) -> float:
        return float(rank_p(self.statistic))

    @property
    def matched(self) -> Indices:
        """The b that have a counterpart."""
        return np.flatnonzero(self.assignment >= 0)

    @property
    def background(self) -> float:
        """Mean score of pairs that were not matched."""
        others = np.ones(self.scores.shape, bool)
        others[self.assignment[self.matched], self.matched] = False
        return float(self.scores[others].mean()) if others.any() else float("nan")

    @property
    def baseline(self) -> tuple[float, float]:
        """Mean and deviation of the neurons' scores in relabelled copies; NaN where there are none."""
        draws = np.concatenate([np.empty(0), *(one.scores[1:] for one in self.neurons.values())])
        return (float(draws.mean()), float(draws.std(ddof=1))) if draws.size > 1 else (float("nan"), float("nan"))

    def neuron_z(self, neurons: Iterable[NeuronMatch] | None = None) -> float:
        """Of the mean score of `neurons` (default: all), in deviations of a single pair: they may depend on each other."""
        chosen = [one.scores[0] for one in (self.neurons.values() if neurons is None else neurons)]
        mean, deviation = self.baseline
        return float((np.mean(chosen) - mean) / deviation) if chosen and deviation > 0 else float("nan")

"""Which axis of each unit is relabelled for the null, by which lags, on which lines of the tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .plan import Plan
from .statistics.null import draw_lags, draw_lines
from .units import Unit

EXCHANGEABLE = ("residual", "neuron", "rank", "expert")
"""Axes whose entries training from a random initialisation treats alike, in order of preference.

Not `head`: rotary embedding gives each channel of a head its own frequency, so trained models agree there for reasons
that are no kinship. Not `vocab`, `position` or `pixel`: their entries differ in the data.
"""
FIXED = "position"
"""An axis whose tensors may be the same in all models (sinusoids, whose channels are frequencies): never relabelled."""
ELEMENTS = 1 << 18
"""Elements of a tensor that take part: at R = 256 that costs less than reading an expert of a 100B model, and 2^18
elements still show a correlation of 0.01 at z = 5 in one tensor alone."""


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Of one unit: draw r rotates `axis` of its views by lags[r]; lags[0] is 0."""

    axis: int
    lags: npt.NDArray[np.uint32]
    """[1 + R], or [1 + 2 R] with the opposite of each draw's lag behind."""
    draws: int
    """R"""
    lines: npt.NDArray[np.int64]
    """Lines along `axis` that take part, numbered row-major over the other axes."""


class Relabellings:
    """The shared draws of a comparison. Draw r is one relabelling of everything: every axis of that name and extent in a
    component is rotated by the same lag, so statistics of different tensors can be added draw by draw."""

    def __init__(self, plan: Plan, draws: int, seed: int) -> None:
        """`draws`: how many, R; fewer where a component's residual axis has no more than R channels."""
        self._seed, self._wanted = seed, draws
        # A pair's draw turns its second model. For a third model to turn alike against either, it must go both ways.
        self._both_ways = len(plan.models) > 2
        self._draws: dict[str, int] = {}
        self.extend(plan)

    def extend(self, plan: Plan) -> None:
        """Takes in the components of another plan of the same models; those that are known keep their draws."""
        extents: dict[str, dict[bool, int]] = defaultdict(dict)
        for unit in plan.units:
            axis = null_axis(unit)
            if axis is not None:
                found, residual = extents[unit.address.component], unit.axes[axis] == "residual"
                found[residual] = max(found.get(residual, 0), unit.views[0].shape[axis])
        for component, found in extents.items():
            self._draws.setdefault(component, min(self._wanted, found.get(True, found.get(False, 1)) - 1))

    def draws(self, component: str) -> int:
        """R of a component; 0 if it has no null."""
        return self._draws.get(component, 0)

    def of(self, unit: Unit) -> Relabelling | None:
        """None if no axis of the unit can be relabelled, if its match was chosen on it, or if no draws were asked for."""
        axis, draws = null_axis(unit), self.draws(unit.address.component)
        if axis is None or draws < 1 or unit.chosen is not None:
            return None
        extent = unit.views[0].shape[axis]
        lags = draw_lags(extent, draws, self._seed, unit.address.component, unit.axes[axis])
        if self._both_ways:
            lags = np.concatenate([lags, (extent - lags[1:]) % extent]).astype(np.uint32)
        lines = unit.parameters // extent
        chosen = draw_lines(lines, max(1, ELEMENTS // extent), self._seed, unit.address)
        return Relabelling(axis, lags, draws, chosen)


def largest_statistic(unit: Unit) -> float:
    """The statistic of a unit's tensor with itself: one per channel, or 1 for a vector (csrc/cpu/lagged.h)."""
    axis = null_axis(unit)
    assert axis is not None
    extent = unit.views[0].shape[axis]
    return float(extent) if unit.parameters > extent else 1.0


def null_axis(unit: Unit) -> int | None:
    """Number of the axis that is relabelled."""
    return exchangeable_axis(unit.axes, unit.views[0].shape) if unit.is_float else None


def exchangeable_axis(axes: Sequence[str], shape: Sequence[int]) -> int | None:
    """The same of a tensor. An axis that occurs twice (mtp.eh_proj) would have to turn in both places."""
    if FIXED in axes:
        return None
    for name in EXCHANGEABLE:
        if axes.count(name) == 1:
            axis = axes.index(name)
            return axis if shape[axis] > 1 else None
        if axes.count(name) > 1:
            return None
    return None

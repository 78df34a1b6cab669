"""The host's cores as a device: native kernels on mapped bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core, ops, slabs
from ..similarity import magnitude_values, weighted_quantile
from ..slabs import Slab, slabs_of
from ..units import Unit
from .device import Device, Part
from .weights import Weights


class HostDevice(Device):
    """`threads` lanes, each a core. Accepts every unit and does not fail."""

    name = "cpu"

    def __init__(self, threads: int, spare: bool = False) -> None:
        super().__init__()
        self.lanes, self.spare = threads, spare
        self.kind = f"cpu {_core.instruction_set()}"

    def accepts(self, unit: Unit) -> bool:  # noqa: ARG002
        return True

    def slab(self, unit: Unit) -> int:  # noqa: ARG002
        return slabs.SLAB

    def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
        return [
            Part(ops.sweep(weights.operands(slab.unit), slab.unit.bounds[slab.first : slab.last + 1])) for slab in batch
        ]

    def finish(self, weights: Weights, unit: Unit, parts: Sequence[Part]) -> ops.Sweep:
        found = ops.concatenate([part.sweep for part in parts])
        return with_null(weights, unit, with_quantile(weights, unit, found))

    def facts(self) -> dict[str, Any]:
        return {"kind": "cpu", "instruction_set": _core.instruction_set(), "threads": self.lanes}


def with_quantile(weights: Weights, unit: Unit, found: ops.Sweep) -> ops.Sweep:
    """Sets the percentile of the whole tensor, which is all that its histogram is for."""
    if not unit.is_float:
        return found
    quantile = ops.tensor_quantiles(found, unit.meeting_dtype)
    if quantile is None:  # a tensor of very uneven blocks, or nearly all zeros: count it once more
        values = magnitude_values(unit.meeting_dtype)
        counts = _whole_histogram(weights, unit)
        quantile = np.array([weighted_quantile(values, one, ops.QUANTILE) for one in counts])
    return replace(found, tensor_quantile=quantile, histogram=found.histogram[:, :0])


def _whole_histogram(weights: Weights, unit: Unit) -> npt.NDArray[np.int64]:
    """[N, 32768]: of all magnitudes."""
    counts = np.zeros((len(unit.members), 1), np.int64)
    for slab in slabs_of(unit, slabs.SLAB):
        bounds = unit.bounds[slab.first : slab.last + 1]
        counts = counts + ops.sweep(weights.operands(unit), bounds, gram=False, whole_histogram=True).histogram
        weights.release(unit.members, slab.views())
    return counts


def with_null(weights: Weights, unit: Unit, found: ops.Sweep) -> ops.Sweep:
    """Adds the null, from pages that the sweep has just brought in: storage is not asked again."""
    relabelling = weights.relabelling(unit)
    if relabelling is None:
        return found
    statistic = ops.lagged(weights.operands(unit), relabelling.axis, relabelling.lines, relabelling.lags)
    weights.release_unit(unit)
    columns = 1 + relabelling.draws
    return replace(found, lagged=statistic[:, :columns], opposite=statistic[:, columns:])

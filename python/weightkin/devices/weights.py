"""The mapped weights of a plan's models, as devices read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .. import ops
from ..checkpoint.mapping import Shards
from ..plan import Plan
from ..relabelling import Relabelling, Relabellings
from ..slabs import Slab
from ..units import Unit
from ..view import View

READ = 4 << 20
"""Bytes that a reader asks for at a time."""


class Weights:
    """The shards of all models of a plan and the draws of its null. Safe to share between threads."""

    def __init__(self, plan: Plan, relabellings: Relabellings) -> None:
        self.shards = [Shards(model.checkpoint) for model in plan.models]
        self._relabellings = relabellings

    def read(self, slab: Slab) -> None:
        """Brings a slab into memory."""
        if slab.unit.rows and slab.unit.gather_axis == 0:
            return  # scattered: to ask for the range around them would read much more than they are
        for model, view in zip(slab.unit.members, slab.views(), strict=True):
            begin, end = view.extent
            for at in range(begin, end, READ):
                self.shards[model][view.shard].prefetch(at, min(at + READ, end))

    def operands(self, unit: Unit) -> list[ops.Operand]:
        """The whole of a unit, as the native ops take it."""
        none = (None,) * len(unit.members)
        gains = self.gains(unit)
        return [
            ops.Operand(
                self.shards[model][view.shard], view.offset, view.dtype, view.shape, view.strides,
                rows, gain, unit.gain_axis, unit.gather_axis,
            )
            for model, view, rows, gain in zip(unit.members, unit.views, unit.rows or none, gains, strict=True)
        ]  # fmt: skip

    def gains(self, unit: Unit) -> list[npt.NDArray[np.float32] | None]:
        """Of each member, what its entries along `unit.gain_axis` are multiplied by."""
        given = unit.gains or (None,) * len(unit.members)
        return [
            None if gain is None else self.shards[model].array(gain).astype(np.float32)
            for model, gain in zip(unit.members, given, strict=True)
        ]

    def relabelling(self, unit: Unit) -> Relabelling | None:
        """How the null turns a unit; None if it has none."""
        return self._relabellings.of(unit)

    def release(self, members: Sequence[int], views: Sequence[View]) -> None:
        """Gives the pages back, and refuses what was computed from a file that shrank meanwhile."""
        for model, view in zip(members, views, strict=True):
            mapping = self.shards[model][view.shard]
            if mapping.faulted:
                self.shards[model].check()
            mapping.release(*view.extent)

    def release_unit(self, unit: Unit) -> None:
        """The same of all of a unit, gathered entries too."""
        self.release(unit.members, [slot.view for slot in unit.slots if slot.view is not None])

    def check(self) -> None:
        """Refuses everything computed if a file was written to meanwhile."""
        for shards in self.shards:
            shards.check()

"""Slabs: consecutive blocks of one unit, which a device computes in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .units import Unit
from .view import View

SLAB = 16 << 20
"""Bytes of all members together that one call computes on a CPU; a slab is at least one block."""


@dataclass(frozen=True, slots=True)
class Slab:
    unit: Unit
    first: int
    """Blocks [first, last) of the unit."""
    last: int

    @property
    def size(self) -> int:
        """Elements of each member."""
        return int(self.unit.bounds[self.last] - self.unit.bounds[self.first])

    @property
    def nbytes(self) -> int:
        return self.size * self.unit.nbytes // self.unit.parameters

    @property
    def rows(self) -> tuple[int, int]:
        """First entry of axis 0 that the slab covers, and one past the last; (0, 1) of a unit without axes."""
        shape = self.unit.views[0].shape
        row = self.unit.parameters // shape[0] if shape else 1
        start, stop = (int(self.unit.bounds[block]) // row for block in (self.first, self.last))
        return start, stop

    def views(self) -> Sequence[View]:
        """The rows of axis 0 that the slab covers, of each member."""
        start, stop = self.rows
        return [view.narrow(0, start, stop - start) if view.shape else view for view in self.unit.views]


def slabs_of(unit: Unit, size: int) -> list[Slab]:
    """The unit's blocks in runs of about `size` bytes."""
    limit = size * unit.parameters // unit.nbytes
    edges = [0]
    for block in range(1, len(unit.bounds) - 1):
        if unit.bounds[block + 1] - unit.bounds[edges[-1]] > limit:
            edges.append(block)
    edges.append(len(unit.bounds) - 1)
    return [Slab(unit, first, last) for first, last in pairwise(edges)]

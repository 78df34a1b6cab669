"""What is computed of one part of all checkpoints, slab by slab, while its bytes are in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .. import ops
from ..units import Unit
from ..view import View

Array = npt.NDArray[np.float64]
Pairs = Sequence[tuple[int, int]]

SLAB = 32 << 20
"""Bytes of all checkpoints together that one call computes; at least one row of each."""
WINDOW = 5
"""Neighbours that meet in one call, with the last checkpoint: neighbouring windows share two, so each pair of neighbours, also
with one left out between them, is in some window, and a fifth of the products of all 16 operands are computed."""


@dataclass(frozen=True)
class Slab:
    """Rows [first, last) of axis 0 of a unit."""

    unit: Unit
    first: int
    last: int

    def views(self) -> list[View]:
        return [view.narrow(0, self.first, self.last - self.first) if view.shape else view for view in self.unit.views]

    @property
    def ends_unit(self) -> bool:
        return not self.unit.views[0].shape or self.last == self.unit.views[0].shape[0]

    @property
    def nbytes(self) -> int:
        return sum(view.nbytes for view in self.views())


def slabs_of(unit: Unit) -> list[Slab]:
    """Fixed by the unit alone, so that sums do not depend on the machine."""
    rows = unit.views[0].shape[0] if unit.views[0].shape else 1
    step = max(1, SLAB * rows // unit.nbytes)
    return [Slab(unit, first, min(first + step, rows)) for first in range(0, rows, step)]


@dataclass
class Sums:
    """Of M checkpoints and P pairs of them; sums over slabs are sums over the unit."""

    square: Array
    """[M]: sum x^2"""
    total: Array
    """[M]: sum x"""
    product: Array
    """[P]: sum x y"""
    gap: Array
    """[M - 1]: sum (x - y)^2 of each checkpoint and the one before it"""
    unequal: Array
    """[M - 1]: elements that differ in bits"""
    not_finite: Array
    """[M]: NaNs and infinities"""

    @np.errstate(invalid="ignore")  # infinite tensors: inf - inf
    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Sums)))


def windows(members: int) -> list[list[int]]:
    """Places of the members that meet in one call."""
    last = members - 1
    found = []
    for first in range(0, max(1, members - 2), WINDOW - 2):
        held = list(range(first, min(first + WINDOW, members)))
        found.append(held if held[-1] == last else [*held, last])
        if held[-1] == last:
            break
    return found


@np.errstate(invalid="ignore")
def slab_sums(operands: Sequence[ops.Operand], size: int, pairs: Pairs) -> Sums:
    """Of `size` elements of each checkpoint."""
    members = len(operands)
    square, total, bad = np.zeros(members), np.zeros(members), np.zeros(members)
    product = dict[tuple[int, int], float]()
    for held in windows(members):
        found = ops.sweep([operands[at] for at in held], [0, size], difference=False)
        square[held], total[held] = np.diagonal(found.gram[0]), found.sum[0]
        product |= {(a, b): found.gram[0, i, j] for i, a in enumerate(held) for j, b in enumerate(held) if a < b}
    gap, unequal = np.zeros(members - 1), np.zeros(members - 1)
    for at, (before, after) in enumerate(pairwise(operands)):
        found = ops.sweep([before, after], [0, size], gram=False)
        gap[at], unequal[at] = found.sum_square[0, 0], found.unequal[0, 0]
        bad[at : at + 2] = found.nans[0] + found.infinities[0]
    return Sums(square, total, np.array([product[pair] for pair in pairs]), gap, unequal, bad)


def null_statistics(
    operands: Sequence[ops.Operand], pairs: Pairs, axis: int, lines: npt.NDArray[np.int64], lags: npt.NDArray[np.uint32]
) -> Array:
    """[P, 1 + R]: the statistic of the relabelling null of each pair, at lag 0 and at every draw."""
    found = dict[tuple[int, int], Array]()
    for held in windows(len(operands)):
        statistic = ops.lagged([operands[at] for at in held], axis, lines, lags)
        couples = [(a, b) for i, a in enumerate(held) for b in held[i + 1 :]]
        found |= dict(zip(couples, statistic, strict=True))
    return np.stack([found[pair] for pair in pairs])


def pack(sums: Sums, statistic: Array, start: dict[str, Array]) -> bytes:
    """As a journal holds them. The null is kept as float32, which is finer than its draws need."""
    arrays = {field.name: getattr(sums, field.name) for field in fields(Sums)}
    file = io.BytesIO()
    np.savez(
        file,
        allow_pickle=False,
        statistic=statistic.astype(np.float32),
        **arrays,
        **{f"start_{name}": array for name, array in start.items()},
    )
    return file.getvalue()


def unpack(payload: bytes) -> tuple[Sums, Array, dict[str, Array]]:
    """What `pack` packed."""
    with np.load(io.BytesIO(payload)) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    sums = Sums(*(held[field.name] for field in fields(Sums)))
    start = {name.removeprefix("start_"): array for name, array in held.items() if name.startswith("start_")}
    return sums, held["statistic"].astype(np.float64), start

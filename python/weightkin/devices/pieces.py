"""How a slab's bytes come to a device: which ranges of a shard are copied, and how the elements then lie there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..slabs import Slab
from ..units import Unit
from ..view import ITEM_SIZES, View

SHORTEST = 512
"""Bytes of a range that is worth being copied alone; shorter ones come with the gaps between them."""
GAPS = 1.25
"""A range may be so many times as long as what is wanted of it."""
FAR = 2.5
"""A slab whose ranges are so many times as long as itself is stored in another order than it is read: then the whole unit
is one slab, so that its bytes are copied once."""

Rows = npt.NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one member's part of a slab is copied from, and a strided tensor over the copy."""

    shard: int
    offsets: npt.NDArray[np.int64]
    """Of ranges in the shard, which lie one behind the other in the copy; element 0 comes first."""
    length: int
    """Bytes of each range."""
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In bytes of the copy."""
    gather: tuple[int, npt.NDArray[np.int64]] | None = None
    """Axis of the copy and its entries that take part."""

    @property
    def nbytes(self) -> int:
        return len(self.offsets) * self.length


def piece_of(unit: Unit, member: int, start: int, stop: int) -> Piece:
    """Of rows [start, stop) of axis 0 of a unit's member."""
    view = unit.views[member]
    taken = unit.rows[member] if unit.rows else None
    if not view.shape:
        return Piece(view.shard, np.array([view.offset]), view.nbytes, view.dtype, (), ())
    if taken is None:
        return piece_of_view(view.narrow(0, start, stop - start))
    axis = unit.gather_axis
    if axis == 0:
        taken = taken[start:stop]
        row = view.index(0, 0)
        begin, end = row.extent
        if end - begin <= GAPS * row.nbytes:  # whole rows, each where it is
            offsets = view.offset + taken * view.strides[0]
            strides = (end - begin, *view.strides[1:])
            return Piece(view.shard, offsets, end - begin, view.dtype, (len(taken), *row.shape), strides)
    whole = replace(view, shape=_with(view.shape, axis, int(taken.max(initial=0)) + 1))
    return replace(piece_of_view(whole if axis == 0 else whole.narrow(0, start, stop - start)), gather=(axis, taken))


def piece_of_view(view: View) -> Piece:
    """A strided view by its longest runs, or, if those are short or nearly everything, from its first byte to its last."""
    begin, end = view.extent
    axes = sorted((axis for axis, extent in enumerate(view.shape) if extent > 1), key=lambda axis: view.strides[axis])
    run = ITEM_SIZES[view.dtype]
    while axes and view.strides[axes[0]] == run:
        run *= view.shape[axes.pop(0)]
    if end - begin <= GAPS * view.nbytes or run < SHORTEST:
        return Piece(view.shard, np.array([begin]), end - begin, view.dtype, view.shape, view.strides)
    offsets, strides, packed = np.zeros(1, np.int64), list(view.strides), run
    for axis in axes:
        offsets = (np.arange(view.shape[axis]) * view.strides[axis])[:, None] + offsets
        offsets = offsets.reshape(-1)
        strides[axis] = packed
        packed *= view.shape[axis]
    return Piece(view.shard, begin + offsets, run, view.dtype, view.shape, tuple(strides))


def _with(shape: tuple[int, ...], axis: int, extent: int) -> tuple[int, ...]:
    return (*shape[:axis], extent, *shape[axis + 1 :])


def pieces_of(slab: Slab) -> list[Piece]:
    """Of each member."""
    start, stop = slab.rows
    return [piece_of(slab.unit, member, start, stop) for member in range(len(slab.unit.members))]


def copied(slab: Slab) -> int:
    """Bytes that are copied for it."""
    return sum(piece.nbytes for piece in pieces_of(slab))

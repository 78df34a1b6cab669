"""The unit of work: one address in several models, cut into blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from .schema import Address, Slot
from .view import FLOAT_DTYPES, View

BLOCK = 1 << 20
"""Elements that a block aims at: small enough to localise a change, large enough that tables stay small."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of two or more models, of one shape: read once, every pair of members compared."""

    index: int
    address: Address
    group: str
    axes: tuple[str, ...]
    members: tuple[int, ...]
    """Numbers of the models, ascending."""
    slots: tuple[Slot, ...]
    views: tuple[View, ...]
    """As the slots', with axes in the order of storage where all members store them alike."""
    bounds: npt.NDArray[np.int64]
    """[B + 1]: block b is elements [bounds[b], bounds[b+1]) of each view; whole rows of axis 0."""
    rows: tuple[npt.NDArray[np.int64] | None, ...] = ()
    """Of each member, the entries of `gather_axis` that take part, if not all in order (tokens matched by string,
    neurons of matched experts)."""
    gains: tuple[View | None, ...] = ()
    """Of each member, the norm gain that is folded into it (canonical form)."""
    gain_axis: int = 0
    gather_axis: int = 0
    chosen: str | None = None
    """Why the similarity of its members is no evidence: something was chosen on it."""

    @property
    def parameters(self) -> int:
        return self.views[0].size

    @property
    def nbytes(self) -> int:
        """Bytes to read, of all members."""
        return sum(view.nbytes for view in self.views)

    @property
    def meeting_dtype(self) -> str:
        """The type in which elements of all members are exact (csrc/cpu/operand.h)."""
        dtypes = {"BF16" if view.dtype.startswith("F8") else view.dtype for view in self.views}
        return "F32" if len(dtypes) > 1 or any(gain is not None for gain in self.gains) else dtypes.pop()

    def in_place(self, a: int, b: int) -> bool:
        """Whether elements of models `a` and `b` meet that have the same place in both."""
        if self.slots[self.members.index(a)].address != self.slots[self.members.index(b)].address:
            return False
        if not self.rows:
            return True
        given = [self.rows[self.members.index(model)] for model in (a, b)]
        of_a, of_b = (np.arange(self.views[0].shape[self.gather_axis]) if rows is None else rows for rows in given)
        return np.array_equal(of_a, of_b)

    @property
    def is_float(self) -> bool:
        return self.views[0].dtype in FLOAT_DTYPES


def make_unit(
    index: int,
    address: Address,
    members: Mapping[int, Slot],
    rows: Sequence[npt.NDArray[np.int64] | None] = (),
    gains: Mapping[int, tuple[View, str]] | None = None,
    gather_axis: int = 0,
    chosen: str | None = None,
) -> Unit:
    """`members`: model -> slot, of one shape unless `rows` picks entries of the slots' `gather_axis`; `gains`: model ->
    norm gain and axis it scales; `chosen`: see `Unit`."""
    numbers = tuple(sorted(members))
    slots = tuple(members[number] for number in numbers)
    views = [slot.view for slot in slots if slot.view is not None]
    axes = slots[0].axes
    if rows:
        views = [
            view
            if taken is None
            else replace(view, shape=(*view.shape[:gather_axis], len(taken), *view.shape[gather_axis + 1 :]))
            for view, taken in zip(views, rows, strict=True)
        ]
    orders = {tuple(np.argsort([-stride for stride in view.strides], kind="stable").tolist()) for view in views}
    if len(orders) == 1:
        order = orders.pop()
        views, axes = [view.permute(order) for view in views], tuple(axes[axis] for axis in order)
        gather_axis = order.index(gather_axis) if rows else 0
    snap = max(slot.snap for slot in slots) if axes == slots[0].axes else 1
    folded = [(gains or {}).get(number) for number in numbers]
    names = {given[1] for given in folded if given is not None}
    return Unit(
        index,
        address,
        slots[-1].group,
        axes,
        numbers,
        slots,
        tuple(views),
        block_bounds(views[0].shape, snap),
        tuple(rows),
        tuple(given[0] if given is not None else None for given in folded) if names else (),
        axes.index(names.pop()) if names else 0,
        gather_axis,
        chosen,
    )


def block_bounds(shape: Sequence[int], snap: int = 1) -> npt.NDArray[np.int64]:
    """Block boundaries in elements: about `BLOCK` each, whole rows of axis 0, a multiple of `snap` rows if those fit."""
    rows, row = (shape[0], prod(shape[1:])) if len(shape) > 1 else (prod(shape), 1)
    step = max(1, BLOCK // row)
    step -= step % snap if step >= snap else 0
    return np.append(np.arange(0, rows, step, dtype=np.int64), rows) * row

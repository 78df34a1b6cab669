"""Every layer of A against every layer of B over whole tensors: cosine and Pearson of a role's tensors, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np

from .. import reference
from ..checkpoint.mapping import Shards
from ..schema import Slot
from ..similarity import PairSums
from ..view import View
from .compute import Compute
from .layer_units import LayerUnit

READERS = 4


@np.errstate(invalid="ignore")  # infinite tensors: inf - inf
def add(one: PairSums, other: PairSums) -> PairSums:
    """Field by field."""
    return PairSums(*(getattr(one, field.name) + getattr(other, field.name) for field in fields(PairSums)))


def nothing(depths: tuple[int, int]) -> PairSums:
    """Sums [LA, LB] over no tensor."""
    return PairSums(*np.zeros((len(fields(PairSums)), *depths)))


@np.errstate(invalid="ignore")
def unit_sums(
    unit: LayerUnit, shards: tuple[Shards, Shards], depths: tuple[int, int], compute: Compute,
    on_read: Callable[[int], None] = lambda _: None,
) -> PairSums:  # fmt: skip
    """[LA, LB]: what follows from inner products, each tensor centred by its own mean, summed over experts; 0 elements where
    a layer lacks the role. Differences (sum_abs, sum_square, unequal) are left 0."""
    found = nothing(depths)
    with ThreadPoolExecutor(READERS) as readers:
        for expert in unit.experts:
            layers = unit.layers(0, expert), unit.layers(1, expert)
            cells = np.ix_(*(list(held) for held in layers))
            sums = _sums(tuple(list(held.values()) for held in layers), shards, readers, compute, on_read)
            for field in fields(PairSums):
                getattr(found, field.name)[cells] += getattr(sums, field.name)
    return found


@np.errstate(invalid="ignore")
def _sums(
    slots: Sequence[Sequence[Slot]], shards: tuple[Shards, Shards], readers: ThreadPoolExecutor, compute: Compute,
    on_read: Callable[[int], None],
) -> PairSums:  # fmt: skip
    """[layers of A, layers of B] of one role's tensors, slab by slab."""
    sides = (0,) if shards[0] is shards[1] else (0, 1)
    held = [(side, slot.view) for side in sides for slot in slots[side] if slot.view is not None]
    elements, count = held[0][1].size, len(slots[0])
    product = np.zeros((count, len(slots[1])))
    sums, squares = ([np.zeros(len(side)) for side in slots] for _ in range(2))
    waiting = iter(_slabs(held, compute.slab))
    slab = next(waiting)
    reading = readers.map(lambda each: _read(shards, *each), slab)
    while slab:
        list(reading)
        ahead = next(waiting, [])
        reading = readers.map(lambda each: _read(shards, *each), ahead)
        part = _inner_products(shards, slab[:count], slab if len(sides) == 1 else slab[count:], compute)
        product += part.product
        for number, found in enumerate(((part.sum_left, part.square_left), (part.sum_right, part.square_right))):
            sums[number] += found[0]
            squares[number] += found[1]
        for side, view in slab:
            shards[side][view.shard].release(*view.extent)
        on_read(sum(view.nbytes for _, view in slab))
        slab = ahead
    shape = product.shape
    square, total = (
        (np.broadcast_to(kind[0][:, None], shape), np.broadcast_to(kind[1][None], shape)) for kind in (squares, sums)
    )
    return PairSums.of(np.full(shape, float(elements)), product, square, total, np.zeros((3, *shape)))


def _slabs(held: Sequence[tuple[int, View]], size: int) -> Iterator[list[tuple[int, View]]]:
    """The same rows of axis 0 of all tensors, about `size` bytes at a time. Two are mapped: one is read while the other is
    computed."""
    rows = held[0][1].shape[0]
    step = max(1, size * rows // sum(view.nbytes for _, view in held))
    for first in range(0, rows, step):
        yield [(side, view.narrow(0, first, min(step, rows - first))) for side, view in held]


def _read(shards: tuple[Shards, Shards], side: int, view: View) -> None:
    shards[side][view.shard].prefetch(*view.extent)


def _inner_products(
    shards: tuple[Shards, Shards], left: Sequence[tuple[int, View]], right: Sequence[tuple[int, View]], compute: Compute
) -> reference.CrossGram:
    """Of every tensor of `left`, as one row, with every one of `right`."""
    if len(left[0][1].shape) == 1:
        # Gains vary by a tenth of their mean: their Pearson would show a hundred times the kernel's rounding.
        x, y = (
            np.stack([shards[side].array(view).astype(np.float64) for side, view in each]) for each in (left, right)
        )
        return reference.cross_gram(x, y)
    rows = [(shards[side], view) for side, view in left]
    return compute.cross_gram(rows, rows if left == right else [(shards[side], view) for side, view in right])

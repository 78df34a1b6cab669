"""What will be compared, before a weight is read: which parts pair up, in which blocks, and what cannot be tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations
from math import prod

import numpy as np
import numpy.typing as npt

from .errors import PlanError
from .schema import Address, Model, Slot
from .view import FLOAT_DTYPES, ITEM_SIZES, View

BLOCK = 1 << 20
"""Elements that a block aims at: small enough to localise a change, large enough that tables stay small."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One address in two or more models with one shape: read once, every pair of members compared."""

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

    @property
    def parameters(self) -> int:
        return self.views[0].size

    @property
    def nbytes(self) -> int:
        """Bytes to read, of all members."""
        return sum(view.nbytes for view in self.views)

    @property
    def is_float(self) -> bool:
        return self.views[0].dtype in FLOAT_DTYPES


@dataclass(frozen=True, slots=True)
class Row:
    """One address of one pair of models: compared in a unit, or untested for a reason."""

    address: Address
    group: str
    slots: tuple[Slot | None, Slot | None]
    unit: Unit | None
    reason: str | None

    @property
    def parameters(self) -> int:
        """Of the larger side: every address counts once."""
        return max(slot.parameters for slot in self.slots if slot is not None)


@dataclass(frozen=True)
class Plan:
    """The work on `models` and what is left out of it."""

    models: tuple[Model, ...]
    units: tuple[Unit, ...]
    """In the order of the first member's bytes, so that storage sees sequential reads."""
    excluded: frozenset[Address]

    @cached_property
    def nbytes(self) -> int:
        """Bytes to read."""
        return sum(unit.nbytes for unit in self.units)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(combinations(range(len(self.models)), 2))

    def compared(self, unit: Unit) -> Iterator[tuple[int, int, Row]]:
        """Every pair of models that `unit` compares, and its row."""
        for (a, left), (b, right) in combinations(zip(unit.members, unit.slots, strict=True), 2):
            yield a, b, Row(unit.address, unit.group, (left, right), unit, None)

    def untested(self, a: int, b: int) -> Iterator[Row]:
        """Every address of models `a` and `b` that no unit compares, once, with the reason."""
        slots_a, slots_b = self._slots(a), self._slots(b)
        compared = {unit.address for unit in self.units if a in unit.members and b in unit.members}
        for address in [*slots_a, *(address for address in slots_b if address not in slots_a)]:
            if address not in compared:
                left, right = slots_a.get(address), slots_b.get(address)
                group = (left or right).group  # type: ignore[union-attr]  # one of them has it
                yield Row(address, group, (left, right), None, self._reason(address, left, right))

    def _slots(self, model: int) -> dict[Address, Slot]:
        return {slot.address: slot for slot in self.models[model].slots}

    def _reason(self, address: Address, a: Slot | None, b: Slot | None) -> str:
        if address in self.excluded:
            return "excluded"
        if a is None or b is None:
            return f"missing in {'A' if a is None else 'B'}"
        for slot in (a, b):
            if slot.untested is not None:
                return slot.untested
        assert a.view is not None and b.view is not None
        if a.view.shape != b.view.shape:
            return "shape"
        return f"dtype {a.view.dtype} against {b.view.dtype}" if a.view.size else "no elements"


def make_plan(models: Sequence[Model], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Plan:
    """Pairs the parts of 2 to 16 models by address and shape.

    `include` and `exclude` are globs over role names and raw tensor names. Raises `PlanError` if a glob matches nothing
    or if no two models have anything in common that can be compared.
    """
    slots: dict[Address, dict[int, Slot]] = defaultdict(dict)
    for number, model in enumerate(models):
        for slot in model.slots:
            slots[slot.address][number] = slot
    excluded = _excluded(slots, include, exclude)
    groups = [
        (address, members)
        for address, owners in slots.items()
        if address not in excluded
        for members in _comparable(owners)
    ]
    if not groups:
        names = ", ".join(model.checkpoint.name for model in models)
        hint = "`weightkin inspect MODEL` lists what each one holds"
        raise PlanError(f"nothing to compare: {names} share no tensor of one role (or name) and shape", hint)
    groups.sort(key=lambda group: _place(group[1]))
    return Plan(tuple(models), tuple(_unit(i, *group) for i, group in enumerate(groups)), excluded)


def _excluded(
    slots: dict[Address, dict[int, Slot]], include: Sequence[str], exclude: Sequence[str]
) -> frozenset[Address]:
    names = {address: {address.role, *(slot.name for slot in owners.values())} for address, owners in slots.items()}

    def matching(glob: str) -> set[Address]:
        found = {address for address, given in names.items() if any(fnmatchcase(name, glob) for name in given)}
        if not found:
            raise PlanError(f"{glob!r} matches no role and no tensor name", "roles look like attn.q, tensors like *.q_proj.*")
        return found

    kept = set().union(*map(matching, include)) if include else set(slots)
    return frozenset(set(slots) - kept | set().union(*map(matching, exclude)))


def _comparable(owners: dict[int, Slot]) -> Iterator[dict[int, Slot]]:
    """The owners of one address, by what can meet element by element: shape, and kind of number."""
    kinds: dict[object, dict[int, Slot]] = defaultdict(dict)
    for number, slot in owners.items():
        if slot.untested is None and slot.view is not None and slot.view.size:
            kind = "float" if slot.view.dtype in FLOAT_DTYPES else ITEM_SIZES[slot.view.dtype]
            kinds[slot.view.shape, kind][number] = slot
    return (members for members in kinds.values() if len(members) > 1)


def _place(members: dict[int, Slot]) -> tuple[int, int, int]:
    first = min(members)
    view = members[first].view
    assert view is not None
    return first, view.shard, view.offset


def _unit(index: int, address: Address, members: dict[int, Slot]) -> Unit:
    numbers = tuple(sorted(members))
    slots = tuple(members[number] for number in numbers)
    views = [slot.view for slot in slots if slot.view is not None]
    axes = slots[0].axes
    orders = {tuple(np.argsort([-stride for stride in view.strides], kind="stable").tolist()) for view in views}
    if len(orders) == 1:
        order = orders.pop()
        views, axes = [view.permute(order) for view in views], tuple(axes[axis] for axis in order)
    snap = max(slot.snap for slot in slots) if axes == slots[0].axes else 1
    return Unit(index, address, slots[0].group, axes, numbers, slots, tuple(views), block_bounds(views[0].shape, snap))


def block_bounds(shape: Sequence[int], snap: int = 1) -> npt.NDArray[np.int64]:
    """Block boundaries in elements: about `BLOCK` each, whole rows of axis 0, a multiple of `snap` rows if those fit."""
    rows, row = (shape[0], prod(shape[1:])) if len(shape) > 1 else (prod(shape), 1)
    step = max(1, BLOCK // row)
    step -= step % snap if step >= snap else 0
    return np.append(np.arange(0, rows, step, dtype=np.int64), rows) * row

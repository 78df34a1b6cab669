"""What a series compares: the checkpoints of one architecture, and the parts that all of them have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import PlanError
from ..plan import Row
from ..schema import Address, Model, Slot
from ..selection import excluded
from ..units import Unit, make_unit
from ..view import FLOAT_DTYPES

FITTING = 0.5
"""Share of a checkpoint's parameters that must have the shapes that most checkpoints have. With less it is of another
architecture, and is left out; with more, only the parts that differ are."""

Owners = Mapping[int, Slot]


@dataclass(frozen=True)
class Course:
    """The work on a series."""

    models: tuple[Model, ...]
    """As given."""
    members: tuple[int, ...]
    """Numbers of those that are compared."""
    units: tuple[Unit, ...]
    """One part of all members each, numbered by place in `members`; in the order of the first one's bytes."""
    untested: tuple[Row, ...]

    @property
    def nbytes(self) -> int:
        return sum(unit.nbytes for unit in self.units)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Places of the members that meet."""
        return pairs_of(len(self.members))


def pairs_of(count: int) -> tuple[tuple[int, int], ...]:
    """Places of checkpoints that meet: neighbours, those before and after one, and each with the last."""
    found = {(at, at + 1) for at in range(count - 1)} | {(at, at + 2) for at in range(count - 2)}
    return tuple(sorted(found | {(at, count - 1) for at in range(count - 1)}))


def plan_course(models: Sequence[Model], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Course:
    """Raises `PlanError` if a glob matches nothing or no two checkpoints have anything in common."""
    slots: dict[Address, dict[int, Slot]] = defaultdict(dict)
    for number, model in enumerate(models):
        for slot in model.slots:
            slots[slot.address][number] = slot
    shapes = {address: _usual_shape(owners) for address, owners in slots.items()}
    members = tuple(number for number, model in enumerate(models) if _fits(model, shapes))
    left_out = excluded(slots, include, exclude)
    meeting: dict[Address, dict[int, Slot]] = {}
    untested = []
    for address, owners in slots.items():
        reason = "excluded" if address in left_out else _why_not(owners, members)
        if reason is None:
            meeting[address] = {place: owners[number] for place, number in enumerate(members)}
        else:
            largest = max(owners.values(), key=lambda slot: slot.parameters)
            untested.append(Row(address, largest.group, (largest, None), None, reason))
    if len(members) < 2 or not meeting:
        names = ", ".join(model.checkpoint.name for model in models)
        hint = "`weightkin inspect MODEL` lists what each one holds"
        raise PlanError(f"nothing to compare: {names} share no tensor of one role (or name) and shape", hint)
    order = sorted(meeting, key=lambda address: _place(meeting[address][0]))
    units = tuple(make_unit(index, address, meeting[address]) for index, address in enumerate(order))
    return Course(tuple(models), members, units, tuple(untested))


def _place(slot: Slot) -> tuple[int, int]:
    assert slot.view is not None
    return slot.view.shard, slot.view.offset


def _shape(slot: Slot) -> tuple[int, ...] | None:
    """None for what cannot be compared as numbers."""
    if slot.untested is not None or slot.view is None or not slot.view.size or slot.view.dtype not in FLOAT_DTYPES:
        return None
    return slot.view.shape


def _usual_shape(owners: Owners) -> tuple[int, ...] | None:
    """The shape that most checkpoints have; of several, that of the earliest. None if only one has the part."""
    counts = Counter(shape for shape in map(_shape, owners.values()) if shape is not None)
    shape, count = counts.most_common(1)[0] if counts else (None, 0)
    return shape if count > 1 else None


def _fits(model: Model, shapes: Mapping[Address, tuple[int, ...] | None]) -> bool:
    held = [(slot, _shape(slot)) for slot in model.slots]
    fitting = sum(slot.parameters for slot, shape in held if shape is not None and shape == shapes[slot.address])
    return fitting >= FITTING * sum(slot.parameters for slot, _ in held)


def _why_not(owners: Owners, members: Sequence[int]) -> str | None:
    """Why a part is not compared; None if all members have it alike."""
    missing = [number for number in members if number not in owners]
    if missing:
        return f"not in checkpoint {missing[0] + 1}" if len(missing) < len(members) else "in another architecture only"
    for number in members:
        slot = owners[number]
        if slot.untested is not None:
            return slot.untested
        if _shape(slot) is None:
            return "no elements" if slot.view is not None and not slot.view.size else "not a float type"
        if _shape(slot) != _shape(owners[members[0]]):
            return f"another shape in checkpoint {number + 1} than in checkpoint {members[0] + 1}"
    return None

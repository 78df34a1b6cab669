"""Several models in the order of one of them, so that every pair of them can be compared in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from ..correspondence.alignment import Alignment, Indices
from ..correspondence.pairing import Pairing, Pairings
from ..meetings import VOCABULARY_ROLES, Meeting, kind_of
from ..plan import Plan, Row, with_units
from ..schema import Address, Slot
from ..units import Unit

NOT_IN_FRAME = "no counterpart in all models of the family"
KEPT = 0.5
"""A model whose part holds a smaller share of the entries of the reference's part is left out of that part."""


@dataclass(frozen=True)
class FramePlan(Plan):
    """The work on some of `models`, each part of which meets the part of the reference model that it matches.

    Of a part's entries (neurons, experts, heads) those that all members have take part, and where several parts match one of
    the reference (repeated layers, upcycled experts), the first does.
    """

    chosen: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Of units: members whose order was chosen on it, so that their similarity is no evidence."""

    def untested(self, a: int, b: int) -> Iterator[Row]:
        """What of models `a` and `b` no unit compares."""
        for model, other in ((a, b), (b, a)):
            compared = {
                unit.slots[unit.members.index(model)].address
                for unit in self.units
                if {model, other} <= {*unit.members}
            }
            for slot in self.models[model].slots:
                if slot.address not in compared:
                    slots = (slot, None) if model == a else (None, slot)
                    yield Row(slot.address, slot.group, slots, None, slot.untested or NOT_IN_FRAME)


def frame(plan: Plan, reference: int, alignments: Mapping[int, Alignment]) -> FramePlan:
    """The plan of the models in `alignments` and of `reference`, whose parts theirs are compared with.

    Numbers of units go on from those of `plan`, so that both may share a journal.
    """
    partners: dict[Address, dict[int, Pairing]] = defaultdict(dict)
    for model, alignment in alignments.items():
        for pairing in Pairings(plan.models[reference], plan.models[model], alignment).pairs():
            if pairing.a is not None and _same_tokens(plan, reference, model, pairing.a):
                partners[pairing.a.address].setdefault(model, pairing)
    meetings, chosen = [], {}
    for slot in plan.models[reference].slots:
        meeting = _meeting(slot, reference, partners.get(slot.address, {}))
        if meeting is not None:
            meetings.append(meeting)
            picked = {model for model in meeting.members if model != reference}
            chosen[meeting.key] = frozenset(model for model in picked if partners[slot.address][model].chosen)
    found = with_units(plan, meetings)
    found = replace(found, units=tuple(replace(unit, group=_group(unit)) for unit in found.units))
    return FramePlan(
        **{one.name: getattr(found, one.name) for one in fields(Plan)},
        chosen={found.numbers[key]: members for key, members in chosen.items() if key in found.numbers},
    )


def _group(unit: Unit) -> str:
    """Where experts meet the dense MLP that they are copies of: that of the experts, whichever comes first."""
    return "experts" if any(slot.group == "experts" for slot in unit.slots) else unit.group


def _same_tokens(plan: Plan, one: int, other: int, slot: Slot) -> bool:
    return slot.address.role not in VOCABULARY_ROLES or (min(one, other), max(one, other)) not in plan.vocabularies


def _meeting(slot: Slot, reference: int, partners: Mapping[int, Pairing]) -> Meeting | None:
    """The reference's part and those that match it, over the entries that all of them have; None if there are no two."""
    if kind_of(slot) is None or slot.view is None:
        return None
    axis = next((pairing.axis for pairing in partners.values() if pairing.rows is not None), 0)
    extent = slot.view.shape[axis] if slot.view.shape else 1
    places: dict[int, Indices] = {}
    for model, pairing in partners.items():
        if kind_of(pairing.b) == kind_of(slot) and _fits(slot, pairing, axis):
            places[model] = _places(pairing, extent)
    kept = np.ones(extent, bool)
    for model in sorted(places, key=lambda one: -np.count_nonzero(places[one] >= 0)):
        remaining = kept & (places[model] >= 0)
        if np.count_nonzero(remaining) < KEPT * extent:
            del places[model]
        else:
            kept = remaining
    if not places:
        return None
    entries = np.flatnonzero(kept)
    owners = {reference: slot} | {model: partners[model].b for model in places}
    taken = {reference: entries} | {model: place[entries] for model, place in places.items()}
    rows = [_or_none(taken[model], owners[model], axis) for model in sorted(owners)]
    if all(one is None for one in rows):
        return Meeting(slot.address, owners)
    return Meeting(slot.address, owners, rows, axis)


def _fits(slot: Slot, pairing: Pairing, axis: int) -> bool:
    assert slot.view is not None and pairing.b.view is not None
    shapes = slot.view.shape, pairing.b.view.shape
    if pairing.rows is None:
        return shapes[0] == shapes[1]
    return len(shapes[0]) == len(shapes[1]) and all(
        left == right for at, (left, right) in enumerate(zip(*shapes, strict=True)) if at != axis
    )


def _places(pairing: Pairing, extent: int) -> Indices:
    """[extent]: the entry of B for each entry of the reference, -1 for none."""
    if pairing.rows is None:
        return np.arange(extent)
    of_a, of_b = pairing.rows
    if of_a is None:
        of_a = np.arange(extent)
    found = np.full(extent, -1, np.int64)
    found[of_a] = np.arange(len(of_a)) if of_b is None else of_b
    return found


def _or_none(rows: Indices, slot: Slot, axis: int) -> Indices | None:
    """None for all entries in order."""
    assert slot.view is not None
    whole = slot.view.shape[axis] if slot.view.shape else 1
    return None if len(rows) == whole and np.array_equal(rows, np.arange(whole)) else rows

"""What will be compared, before a weight is read: which parts pair up, in which blocks, and what cannot be tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

from .correspondence.alignment import Alignment
from .correspondence.pairing import Pairing, Pairings, address_of
from .errors import PlanError
from .meetings import VOCABULARY_ROLES, Meeting, aligned, in_place
from .schema import Address, Model, Slot
from .schema.canonical import FOLDED, gains
from .selection import excluded
from .units import Unit, make_unit
from .view import View
from .vocabulary import Vocabulary, vocabularies_of

NO_LAYER = "its layer has no counterpart"
NO_COUNTERPART = "no counterpart found"
"""Reasons of parts that an alignment pairs with nothing."""

Gains = Mapping[Address, tuple[Slot, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One part of each of two models: compared in a unit, or untested for a reason."""

    address: Address
    """Under an alignment: the layer and expert of A, the role of B."""
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
    left_out: Mapping[Address, str]
    """Addresses that are not compared by choice, and why."""
    vocabularies: Mapping[tuple[int, int], Vocabulary]
    """Of the pairs of models whose tokens are matched by string."""
    gains: Sequence[Gains]
    """Of each model, what is folded into what (canonical form)."""
    numbers: Mapping[tuple[object, ...], int]
    """Of this plan's units and those of the plans before it, by `Meeting.key`: the same unit keeps its number."""
    alignment: Alignment | None = None
    pairings: Sequence[Pairing] = field(default=(), repr=False)
    """Of each part of model 1, under `alignment`."""

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
        """Every part of models `a` and `b` that no unit compares, once, with the reason."""
        compared = [
            {unit.slots[unit.members.index(model)].address for unit in self.units if {a, b} <= {*unit.members}}
            for model in (a, b)
        ]
        partners: dict[Address, list[Pairing]] = defaultdict(list)
        alone = []
        for pairing in self.pairings or self._in_place(a, b):
            if pairing.a is None:
                alone.append(pairing)
            else:
                partners[pairing.a.address].append(pairing)
        for slot in self.models[a].slots:
            found = partners.get(slot.address)
            if found is None and slot.address not in compared[0]:
                yield self._untested(slot, None, self._without(slot, a, b))
            for pairing in found or ():
                if pairing.b.address not in compared[1]:
                    yield self._untested(slot, pairing.b, None)
        for pairing in alone:
            yield self._untested(None, pairing.b, self._without(pairing.b, b, a))

    def _in_place(self, a: int, b: int) -> Iterator[Pairing]:
        slots = self._slots(a)
        return (Pairing(slots.get(slot.address), slot) for slot in self.models[b].slots)

    def _slots(self, model: int) -> dict[Address, Slot]:
        return {slot.address: slot for slot in self.models[model].slots}

    @cached_property
    def _addresses(self) -> list[set[Address]]:
        return [{slot.address for slot in model.slots} for model in self.models]

    def _without(self, slot: Slot, model: int, other: int) -> str:
        """Why a part of `model` has no counterpart in `other`."""
        component, layer, _, _ = slot.address
        if self.alignment is not None and layer is not None and component in self.alignment.layers:
            layers = self.alignment.layers[component]
            if layer not in (layers if model else layers.values()):
                return NO_LAYER
        if self.alignment is not None and slot.address in self._addresses[other]:
            return NO_COUNTERPART
        return f"missing in {'A' if other < model else 'B'}"

    def _untested(self, a: Slot | None, b: Slot | None, reason: str | None) -> Row:
        address, group = address_of(a, b), (b or a).group  # type: ignore[union-attr]  # one is there
        found = (self.left_out.get(slot.address) for slot in (a, b) if slot is not None)
        return Row(address, group, (a, b), None, next(filter(None, found), None) or reason or _reason(a, b))


def _reason(a: Slot | None, b: Slot | None) -> str:
    """Why two parts cannot meet."""
    assert a is not None and b is not None
    for slot in (a, b):
        if slot.untested is not None:
            return slot.untested
    assert a.view is not None and b.view is not None
    if a.view.shape != b.view.shape:
        return "shape"
    return f"dtype {a.view.dtype} against {b.view.dtype}" if a.view.size else "no elements"


def make_plan(
    models: Sequence[Model], include: Sequence[str] = (), exclude: Sequence[str] = (), canonical: bool = False
) -> Plan:
    """Pairs the parts of 2 to 16 models by address and shape, and tokens of different vocabularies by string.

    `include` and `exclude` are globs over role names and raw tensor names. `canonical` folds norm gains into the matrices
    that read them. Raises `PlanError` if a glob matches nothing or if no two models have anything in common that can be
    compared, `CheckpointError` if a tokenizer.json is damaged.
    """
    slots: dict[Address, dict[int, Slot]] = defaultdict(dict)
    for number, model in enumerate(models):
        for slot in model.slots:
            slots[slot.address][number] = slot
    left_out = dict.fromkeys(excluded(slots, include, exclude), "excluded")
    folded = [gains(model) if canonical else {} for model in models]
    left_out |= {norm.address: FOLDED for found in folded for norm, _ in found.values()}
    checkpoints, embedded = [model.checkpoint for model in models], [_embedded(model) for model in models]
    plan = Plan(tuple(models), (), left_out, vocabularies_of(checkpoints, embedded), folded, {})
    plan = with_units(plan, in_place(slots, plan.vocabularies))
    if not plan.units:
        names = ", ".join(model.checkpoint.name for model in models)
        hint = f"{_unlike(models, slots)}`weightkin inspect MODEL` lists what each one holds"
        raise PlanError(f"nothing to compare: {names} share no tensor of one role (or name) and shape", hint)
    return plan


def _unlike(models: Sequence[Model], slots: Mapping[Address, Mapping[int, Slot]]) -> str:
    """An example of one role in different shapes, which mostly are different hidden sizes; empty if there is none."""
    for address, owners in slots.items():
        shapes = {number: slot.view.shape for number, slot in owners.items() if slot.view is not None}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(
                f"{'x'.join(map(str, shape))} in {models[number].checkpoint.name}" for number, shape in shapes.items()
            )
            return f"{address.role} is {listed}; "
    return ""


def realign(plan: Plan, alignment: Alignment) -> Plan:
    """The plan of a pair of models with its parts paired through `alignment`.

    Units that compare what they did keep their numbers, and so their place in a journal; the others get new ones. Raises
    `AlignmentError` if the alignment names entries that a tensor lacks.
    """
    pairings = tuple(Pairings(plan.models[0], plan.models[1], alignment).pairs())
    return with_units(replace(plan, alignment=alignment, pairings=pairings), aligned(pairings, plan.vocabularies))


def with_units(plan: Plan, meetings: Iterable[Meeting]) -> Plan:
    """The plan with a unit for each of `meetings` instead. Units that compare what they did keep their numbers."""
    numbers, units = dict(plan.numbers), []
    kept = (one for one in meetings if not any(slot.address in plan.left_out for slot in one.members.values()))
    for meeting in sorted(kept, key=lambda one: one.place):
        index = numbers.setdefault(meeting.key, len(numbers))
        folded = _gains_of(meeting.members, plan.gains)
        units.append(
            make_unit(index, meeting.address, meeting.members, meeting.rows, folded, meeting.axis, meeting.chosen)
        )
    return replace(plan, units=tuple(units), numbers=numbers)


def _embedded(model: Model) -> int:
    """How many tokens have a row in some embedding."""
    slots = (slot for slot in model.slots if slot.address.role in VOCABULARY_ROLES)
    return max((slot.view.shape[0] for slot in slots if slot.view is not None and slot.view.shape), default=0)


def _gains_of(members: Mapping[int, Slot], folded: Sequence[Gains]) -> dict[int, tuple[View, str]]:
    out = {}
    for number, slot in members.items():
        if slot.address in folded[number]:
            norm, axis = folded[number][slot.address]
            assert norm.view is not None
            out[number] = norm.view, axis
    return out

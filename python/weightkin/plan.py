"""What will be compared, before a weight is read: which parts pair up, in which blocks, and what cannot be tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

from .errors import PlanError
from .schema import Address, Model, Slot
from .schema.canonical import FOLDED, gains
from .units import Unit, make_unit
from .view import FLOAT_DTYPES, ITEM_SIZES, View
from .vocabulary import Vocabulary, match_tokens, token_ids

VOCABULARY_ROLES = ("embed", "unembed")
"""Roles whose axis 0 is tokens."""

Rows = Sequence[npt.NDArray[np.int64] | None]


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
    left_out: Mapping[Address, str]
    """Addresses that are not compared by choice, and why."""
    vocabularies: Mapping[tuple[int, int], Vocabulary]
    """Of the pairs of models whose tokens are matched by string."""

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
        if address in self.left_out:
            return self.left_out[address]
        if a is None or b is None:
            return f"missing in {'A' if a is None else 'B'}"
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
    left_out = dict.fromkeys(_excluded(slots, include, exclude), "excluded")
    folded = [gains(model) if canonical else {} for model in models]
    left_out |= {norm.address: FOLDED for found in folded for norm, _ in found.values()}
    vocabularies = _vocabularies(models)
    groups: list[tuple[Address, dict[int, Slot], Rows]] = []
    for address, owners in slots.items():
        if address not in left_out:
            by_token = vocabularies and address.role in VOCABULARY_ROLES
            found = _by_token(owners, vocabularies) if by_token else ((each, ()) for each in _comparable(owners))
            groups += [(address, members, rows) for members, rows in found]
    if not groups:
        names = ", ".join(model.checkpoint.name for model in models)
        hint = "`weightkin inspect MODEL` lists what each one holds"
        raise PlanError(f"nothing to compare: {names} share no tensor of one role (or name) and shape", hint)
    groups.sort(key=lambda group: _place(group[1]))
    units = [
        make_unit(index, address, members, rows, _gains_of(address, members, folded))
        for index, (address, members, rows) in enumerate(groups)
    ]
    return Plan(tuple(models), tuple(units), left_out, vocabularies)


def _gains_of(
    address: Address, members: Mapping[int, Slot], folded: Sequence[Mapping[Address, tuple[Slot, str]]]
) -> dict[int, tuple[View, str]]:
    out = {}
    for number in members:
        if address in folded[number]:
            norm, axis = folded[number][address]
            assert norm.view is not None
            out[number] = norm.view, axis
    return out


def _vocabularies(models: Sequence[Model]) -> dict[tuple[int, int], Vocabulary]:
    """Of each pair of models with a tokenizer each, unless the two give every token the same id: tokens with embeddings."""
    ids, rows = [token_ids(model.checkpoint) for model in models], [_embedded(model) for model in models]
    out = {}
    for a, b in combinations(range(len(models)), 2):
        left, right = ids[a], ids[b]
        if left is not None and right is not None and left != right:
            out[a, b] = match_tokens(left, right).within(rows[a], rows[b])
    return out


def _embedded(model: Model) -> int:
    """How many tokens have a row in some embedding."""
    slots = (slot for slot in model.slots if slot.address.role in VOCABULARY_ROLES)
    return max((slot.view.shape[0] for slot in slots if slot.view is not None and slot.view.shape), default=0)


def _by_token(
    owners: Mapping[int, Slot], vocabularies: Mapping[tuple[int, int], Vocabulary]
) -> Iterator[tuple[dict[int, Slot], Rows]]:
    """Every pair on its own: rows of shared tokens where the vocabularies differ, all rows in order where they do not."""
    for a, b in combinations(sorted(owners), 2):
        pair = {a: owners[a], b: owners[b]}
        left, right = owners[a].view, owners[b].view
        if left is None or right is None or (a, b) not in vocabularies:
            yield from ((members, ()) for members in _comparable(pair))
        elif left.shape[1:] == right.shape[1:] and not any(slot.untested for slot in pair.values()):
            rows = vocabularies[a, b].within(left.shape[0], right.shape[0]).rows
            if len(rows[0]):
                yield pair, rows


def _excluded(
    slots: dict[Address, dict[int, Slot]], include: Sequence[str], exclude: Sequence[str]
) -> frozenset[Address]:
    names = {address: {address.role, *(slot.name for slot in owners.values())} for address, owners in slots.items()}

    def matching(glob: str) -> set[Address]:
        found = {address for address, given in names.items() if any(fnmatchcase(name, glob) for name in given)}
        if not found:
            raise PlanError(
                f"{glob!r} matches no role and no tensor name", "roles look like attn.q, tensors like *.q_proj.*"
            )
        return found

    kept = set().union(*map(matching, include)) if include else set(slots)
    return frozenset(set(slots) - kept | set().union(*map(matching, exclude)))


def _comparable(owners: Mapping[int, Slot]) -> Iterator[dict[int, Slot]]:
    """The owners of one address, by what can meet element by element: shape, and kind of number."""
    kinds: dict[object, dict[int, Slot]] = defaultdict(dict)
    for number, slot in owners.items():
        if slot.untested is None and slot.view is not None and slot.view.size:
            kind = "float" if slot.view.dtype in FLOAT_DTYPES else ITEM_SIZES[slot.view.dtype]
            kinds[slot.view.shape, kind][number] = slot
    return (members for members in kinds.values() if len(members) > 1)


def _place(members: Mapping[int, Slot]) -> tuple[int, int, int]:
    first = min(members)
    view = members[first].view
    assert view is not None
    return first, view.shard, view.offset

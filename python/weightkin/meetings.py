"""Which parts of models meet element by element: by address and shape, by token, or through an alignment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .correspondence.pairing import Pairing
from .schema import Address, Slot
from .view import FLOAT_DTYPES, ITEM_SIZES
from .vocabulary import Vocabulary

VOCABULARY_ROLES = ("embed", "unembed")
"""Roles whose axis 0 is tokens."""

Rows = Sequence[npt.NDArray[np.int64] | None]
Vocabularies = Mapping[tuple[int, int], Vocabulary]


class Meeting(NamedTuple):
    """Slots of two or more models, one each, of one shape once `rows` of their `axis` are taken."""

    address: Address
    members: Mapping[int, Slot]
    """By number of the model."""
    rows: Rows = ()
    axis: int = 0
    chosen: str | None = None
    """Why their similarity is no evidence."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Where the first of them is stored."""
        first = min(self.members)
        view = self.members[first].view
        assert view is not None
        return first, view.shard, view.offset

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for what would give the same numbers."""
        rows = tuple(None if chosen is None else blake2b(chosen.tobytes()).digest() for chosen in self.rows)
        return *((number, slot.address) for number, slot in sorted(self.members.items())), rows, self.axis


def in_place(slots: Mapping[Address, Mapping[int, Slot]], vocabularies: Vocabularies) -> Iterator[Meeting]:
    """Of each address, its owners."""
    for address, owners in slots.items():
        if vocabularies and address.role in VOCABULARY_ROLES:
            yield from _by_token(address, owners, vocabularies)
        else:
            yield from (Meeting(address, members) for members in _comparable(owners))


def aligned(pairings: Iterable[Pairing], vocabularies: Vocabularies) -> Iterator[Meeting]:
    """Of models 0 and 1, each part of 1 with its counterpart."""
    for pairing in pairings:
        if pairing.a is None:
            continue
        owners = {0: pairing.a, 1: pairing.b}
        if pairing.rows is None:
            yield from in_place({pairing.address: owners}, vocabularies)
        elif kind_of(pairing.a) == kind_of(pairing.b) is not None and _across(pairing.a, pairing) == _across(
            pairing.b, pairing
        ):
            yield Meeting(pairing.address, owners, pairing.rows, pairing.axis, pairing.chosen)


def _across(slot: Slot, pairing: Pairing) -> list[int]:
    """Extents of the axes along which nothing is chosen."""
    assert slot.view is not None
    return [extent for axis, extent in enumerate(slot.view.shape) if axis != pairing.axis]


def _by_token(address: Address, owners: Mapping[int, Slot], vocabularies: Vocabularies) -> Iterator[Meeting]:
    """Every pair on its own: rows of shared tokens where the vocabularies differ, all rows in order where they do not."""
    for a, b in combinations(sorted(owners), 2):
        pair = {a: owners[a], b: owners[b]}
        left, right = owners[a].view, owners[b].view
        if left is None or right is None or (a, b) not in vocabularies:
            yield from (Meeting(address, members) for members in _comparable(pair))
        elif left.shape[1:] == right.shape[1:] and not any(slot.untested for slot in pair.values()):
            rows = vocabularies[a, b].within(left.shape[0], right.shape[0]).rows
            if len(rows[0]):
                yield Meeting(address, pair, rows)


def _comparable(owners: Mapping[int, Slot]) -> Iterator[dict[int, Slot]]:
    """The owners of one address, by what can meet element by element: shape, and kind of number."""
    kinds: dict[object, dict[int, Slot]] = defaultdict(dict)
    for number, slot in owners.items():
        kind = kind_of(slot)
        if kind is not None and slot.view is not None:
            kinds[slot.view.shape, kind][number] = slot
    return (members for members in kinds.values() if len(members) > 1)


def kind_of(slot: Slot) -> object:
    """What only meets its like; None for what cannot be compared."""
    if slot.untested is not None or slot.view is None or not slot.view.size:
        return None
    return "float" if slot.view.dtype in FLOAT_DTYPES else ITEM_SIZES[slot.view.dtype]

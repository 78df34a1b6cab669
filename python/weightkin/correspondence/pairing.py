"""From an alignment to pairs of parts: what each part of B is compared with, and which of their entries meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import AlignmentError
from ..schema import Address, Model, Slot
from .alignment import Alignment, HeadMatch, Indices, Mlp, MlpMatch

KINDS = ("expert", "shared_expert", "mlp")
"""Prefixes of the roles of MLPs."""
CHOSEN_GATE = "its neurons were matched on it"
CHOSEN_HEADS = "its attention heads were matched on it"
HEADS: Mapping[str, str] = {
    "attn.q": "queries", "attn.o": "queries", "attn.sinks": "queries", "attn.k": "groups", "attn.v": "groups",
}  # fmt: skip
"""Roles (and their biases) whose axis of heads is re-ordered, and by which map of `HeadMatch`."""


class Pairing(NamedTuple):
    """One part of B and its counterpart."""

    a: Slot | None
    """None if A has none."""
    b: Slot
    rows: tuple[Indices | None, Indices | None] | None = None
    """The entries of axis `axis` of A's and of B's view that meet; None: all, in order."""
    axis: int = 0
    chosen: str | None = None
    """Why the similarity of the two is no evidence: the order of entries was chosen on it."""
    apart: bool = False
    """Whether B's whole layer has no counterpart."""

    @property
    def address(self) -> Address:
        """What the pair goes by: the layer and expert of A, the component and role of B."""
        return address_of(self.a, self.b)


def address_of(a: Slot | None, b: Slot | None) -> Address:
    """What two parts go by: the layer and expert of A, the component and role of B; those of the only one there is."""
    if a is None or b is None:
        one = a or b
        assert one is not None
        return one.address
    return b.address._replace(layer=a.address.layer, expert=a.address.expert)


@dataclass(frozen=True)
class Pairings:
    """The counterparts of the parts of `b` in `a`, under an alignment."""

    a: Model
    b: Model
    alignment: Alignment

    def pairs(self) -> Iterator[Pairing]:
        """One for each slot of B. Raises `AlignmentError` if the alignment names entries that a tensor lacks."""
        slots = {slot.address: slot for slot in self.a.slots}
        experts = self._experts()
        for slot in self.b.slots:
            address, match = self._counterpart(slot.address, experts)
            found = slots.get(address) if address is not None else None
            if found is None:
                yield Pairing(None, slot, apart=self._apart(slot.address))
            else:
                yield self._entries(Pairing(found, slot), match, experts)

    def _apart(self, address: Address) -> bool:
        return address.layer is not None and self.alignment.layer_of(address.component, address.layer) is None

    def _experts(self) -> dict[tuple[str, int], dict[int, int]]:
        """Of each layer of B whose routed experts were matched with routed ones of its layer of A: expert of B -> of A."""
        out: dict[tuple[str, int], dict[int, int]] = {}
        for mlp, match in self.alignment.mlps.items():
            if mlp.expert is None:
                continue
            found = out.setdefault((mlp.component, mlp.layer), {})
            same_layer = match.mlp.layer == self.alignment.layer_of(mlp.component, mlp.layer)
            if match.mlp.expert is not None and same_layer:
                found[mlp.expert] = match.mlp.expert
        return out

    def _counterpart(
        self, address: Address, experts: Mapping[tuple[str, int], object]
    ) -> tuple[Address | None, MlpMatch | None]:
        component, layer, role, expert = address
        if layer is None:
            return address, None
        kind, _, part = role.partition(".")
        if kind in KINDS:
            match = self.alignment.mlps.get(Mlp(component, layer, kind, expert))
            if match is not None:
                found = match.mlp
                return Address(found.component, found.layer, f"{found.kind}.{part}", found.expert), match
            if expert is not None and (component, layer) in experts:  # the others of its layer were matched
                return None, None
        place = self.alignment.layer_of(component, layer)
        return None if place is None else address._replace(layer=place), None

    def _entries(
        self, pairing: Pairing, match: MlpMatch | None, experts: Mapping[tuple[str, int], Mapping[int, int]]
    ) -> Pairing:
        """The pairing with the entries that meet."""
        component, layer, role, _ = pairing.b.address
        if layer is None or pairing.a is None or pairing.a.view is None or pairing.b.view is None:
            return pairing
        stem = role.removesuffix(".bias")
        if match is not None:
            if match.neurons is None:
                return pairing
            chosen = CHOSEN_GATE if stem.endswith(".gate") else None
            return _gathered(pairing, "neuron", match.neurons, 1, chosen)
        if stem.split(".")[0] == "router" and stem != "router.shared":
            found = experts.get((component, layer))
            if found is None or "expert" not in pairing.b.axes:
                return pairing
            count = pairing.b.view.shape[pairing.b.axes.index("expert")]
            order = np.array([found.get(expert, -1) for expert in range(count)], np.int64)
            return _gathered(pairing, "expert", order, 1, None)
        heads = self.alignment.heads.get((component, layer))
        if heads is not None and stem in HEADS:
            return _by_head(pairing, stem, heads)
        return pairing


def _by_head(pairing: Pairing, role: str, heads: HeadMatch) -> Pairing:
    order: Indices = getattr(heads, HEADS[role])
    if role == "attn.sinks":
        return _gathered(pairing, "heads", order, 1, None)
    assert pairing.b.view is not None
    channels, rest = divmod(pairing.b.view.shape[pairing.b.axes.index("head")], len(order))
    if rest:
        raise AlignmentError(
            f"{pairing.b.name}: does not divide into {len(order)} attention heads, as the alignment says"
        )
    chosen = CHOSEN_HEADS if role in ("attn.q", "attn.k") else None
    return _gathered(pairing, "head", order, channels, chosen)


def _gathered(pairing: Pairing, axis: str, order: Indices, run: int, chosen: str | None) -> Pairing:
    """`order`: the entry of A for each entry of B, -1 for none; an entry is `run` positions of `axis`."""
    a, b = pairing.a, pairing.b
    assert a is not None and a.view is not None and b.view is not None
    if axis not in a.axes or axis not in b.axes:
        return pairing
    place = b.axes.index(axis)
    extent_a, extent_b = a.view.shape[a.axes.index(axis)], b.view.shape[place]
    kept = np.flatnonzero(order >= 0)
    if len(order) * run != extent_b or (len(kept) and (order.max() + 1) * run > extent_a):
        given = f"{len(order)} x {run} entries, up to number {order.max(initial=-1)} of A"
        raise AlignmentError(
            f"{b.name}: the alignment names {given}, but there are {extent_b} in B and {extent_a} in A"
        )
    if extent_a == extent_b and np.array_equal(order, np.arange(len(order))):
        return pairing
    if not len(kept):
        return Pairing(None, b)
    whole = len(kept) == len(order)  # then `order` itself serves: the neurons of 10,000 experts are much memory
    rows_a, rows_b = _positions(order if whole else order[kept], run), None if whole else _positions(kept, run)
    return pairing._replace(rows=(rows_a, rows_b), axis=place, chosen=chosen)


def _positions(entries: Indices, run: int) -> Indices:
    return entries if run == 1 else (entries[:, None] * run + np.arange(run)).ravel()

"""The attention of one layer as heads: which slots it has, and how their rows divide into heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..schema import Address, Model, Slot

MATRICES = ("attn.q", "attn.k", "attn.v", "attn.o")
LATENT = ("attn.q_b", "attn.kv_b")
"""Of multi-head latent attention, whose heads read a low-rank projection with a basis of its own."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Query heads in groups of `per_group` neighbours, each group with one key and one value head."""

    slots: Mapping[str, Slot]
    """Of the four `MATRICES`."""
    rows: int
    """Channels of a head."""
    queries: int
    groups: int

    @property
    def per_group(self) -> int:
        return self.queries // self.groups


def attention_of(slots: Mapping[Address, Slot], component: str, layer: int) -> Attention | str:
    """The heads of a layer, or why they cannot be told apart. `slots`: of the whole model."""
    found = {role: slots.get(Address(component, layer, role, None)) for role in MATRICES}
    if any(Address(component, layer, role, None) in slots for role in LATENT):
        return "latent attention"
    matrices = {role: slot for role, slot in found.items() if slot is not None and slot.view is not None}
    if lacking := [role for role in MATRICES if role not in matrices]:
        return f"no {' and no '.join(lacking)} that can be read by element"
    if reason := next((slot.untested for slot in matrices.values() if slot.untested), None):
        return reason
    q, k, v, o = (matrices[role].view for role in MATRICES)
    assert q is not None and k is not None and v is not None and o is not None
    rows = matrices["attn.q"].snap
    if rows == 1 or matrices["attn.k"].snap != rows:
        return "config.json does not give the rows of a head"
    queries, groups = q.shape[0] // rows, k.shape[0] // rows
    if queries % groups or v.shape != k.shape or o.shape != (q.shape[1], q.shape[0]):
        return f"shapes {q.shape}, {k.shape}, {v.shape}, {o.shape} of q, k, v, o are not those of heads of {rows} rows"
    return Attention(matrices, rows, queries, groups)


def slots_by_address(model: Model) -> dict[Address, Slot]:
    return {slot.address: slot for slot in model.slots}

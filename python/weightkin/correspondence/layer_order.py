"""What changes places inside one layer, so that its parts come to stand where their counterparts stand in A.

Only what leaves the function of the layer as it is: experts with their router rows, neurons inside an MLP, key/value heads
with the query heads that read them, and query heads among those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import AlignmentError
from ..schema import Slot
from .alignment import HeadMatch, Indices, Mlp, MlpMatch
from .attention import Attention

ROUTER = ("router", "router.bias", "router.logit_bias")
"""Roles with an entry for each routed expert."""
QUERIES, GROUPS = ("attn.q", "attn.o", "attn.q_norm", "attn.sinks"), ("attn.k", "attn.v", "attn.k_norm")
"""Roles with an entry for each head, or with the rows of each. A norm that has the rows of one head is shared by all."""

Note = Callable[[str, tuple[int, int] | None], None]
"""Takes what is left as it is and why, and of how many out of how many that is said."""


@dataclass(frozen=True)
class LayerOrder:
    """Entry i of each order is what comes to place i."""

    experts: Indices | None = None
    neurons: Mapping[tuple[str, int | None], Indices] = field(default_factory=dict)
    """By kind and expert of the MLP, as it is numbered before experts change places."""
    heads: Mapping[str, Indices] = field(default_factory=dict)
    """By role: of its axis of heads, or of the rows of heads."""

    def gathers(self, slot: Slot) -> tuple[tuple[int, Indices], ...]:
        """Which entries of which axes of `slot` its copy takes, where that is not all in order."""
        role = slot.address.role.removesuffix(".bias")
        found = {
            "expert": self.experts if slot.address.role in ROUTER else None,
            "neuron": self.neurons.get((role.partition(".")[0], slot.address.expert)),
            "head": self.heads.get(role),
            "heads": self.heads.get(role),
        }
        orders = ((axis, found.get(name)) for axis, name in enumerate(slot.axes))
        return tuple((axis, order) for axis, order in orders if order is not None)


def places(matches: Indices) -> Indices:
    """[n]: which of n entries comes to each place, from the entry of A that each matches (-1: none).

    What matches entry i of A comes to place i; the others take what places are left, in their order.
    """
    fits = np.flatnonzero((matches >= 0) & (matches < len(matches)))
    out = np.full(len(matches), -1, np.int64)
    out[matches[fits]] = fits
    out[out < 0] = np.setdiff1d(np.arange(len(matches)), out)
    return out


def is_identity(order: Indices) -> bool:
    return bool((order == np.arange(len(order))).all())


def order_experts(
    slots: Sequence[Slot],
    mlps: Mapping[Mlp, MlpMatch],
    target: tuple[str, int | None],
    router_groups: int,
    note: Note,
) -> Indices | None:
    """`target`: component and layer of A; `router_groups`: into how many runs of neighbours a router divides the experts to
    choose among those first."""
    experts = {slot.address.expert for slot in slots if slot.address.expert is not None}
    concerned = [slot for slot in slots if slot.address.expert is not None or slot.address.role in ROUTER]
    rows = {slot.view.shape[0] for slot in concerned if slot.address.role in ROUTER and slot.view is not None}
    found = {mlp.expert: match.mlp for mlp, match in mlps.items() if mlp.expert is not None}
    if not found:
        return None
    if experts != set(range(len(experts))) or rows - {len(experts)}:
        note("experts stay in place: they are not those of the router", None)
        return None
    matches = np.full(len(experts), -1, np.int64)
    for expert, match in found.items():
        assert expert is not None
        if match.expert is not None and (match.component, match.layer) == target:
            matches[expert] = match.expert
    matched = matches[matches >= 0]
    if len(matched) < len(experts):
        note("experts match none of A's experts in the same layer", (len(experts) - len(matched), len(experts)))
    order = places(matches)
    if is_identity(order):
        return None
    reason = unmovable(concerned)
    if reason is None and not _same_forms(slots):
        reason = "their tensors differ in shape or dtype"
    if reason is None and len(set(matched.tolist())) < len(matched):
        reason = "several match the same one of A"
    if reason is None and not _keeps_groups(order, router_groups):
        reason = "some match one in another group of the router"
    if reason is not None:
        note(f"experts stay in place: {reason}", None)
        return None
    return order


def _same_forms(slots: Sequence[Slot]) -> bool:
    """Whether all experts have the same parts."""
    forms: dict[int, set[object]] = {}
    for slot in slots:
        if slot.address.expert is not None and slot.view is not None:
            forms.setdefault(slot.address.expert, set()).add((slot.address.role, slot.view.dtype, slot.view.shape))
    return all(one == next(iter(forms.values())) for one in forms.values())


def _keeps_groups(order: Indices, groups: int) -> bool:
    if groups < 2 or len(order) % groups:
        return True
    found = order.reshape(groups, -1) // (len(order) // groups)
    return bool((found == found[:, :1]).all())


def order_neurons(
    slots: Sequence[Slot], mlps: Mapping[Mlp, MlpMatch], target: tuple[str, int | None], note: Note
) -> dict[tuple[str, int | None], Indices]:
    """By kind and expert of the MLPs that match one of their kind in their layer. Raises `AlignmentError`."""
    out = {}
    parts: dict[tuple[str, int | None], list[Slot]] = {}
    for slot in slots:
        parts.setdefault((slot.address.role.partition(".")[0], slot.address.expert), []).append(slot)
    for mlp, (match, neurons) in mlps.items():
        if neurons is None or (match.component, match.layer) != target or match.kind != mlp.kind:
            continue
        own = [slot for slot in parts[mlp.kind, mlp.expert] if "neuron" in slot.axes]
        widths = {slot.view.shape[slot.axes.index("neuron")] for slot in own if slot.view is not None}
        if widths - {len(neurons)}:
            raise AlignmentError(
                f"the alignment gives {mlp.name} {len(neurons)} neurons, {own[0].name} has {widths.pop()}"
            )
        order = places(neurons)
        if is_identity(order):
            continue
        if reason := unmovable(own):
            note(f"neurons stay in place: {reason}", None)
        else:
            out[mlp.kind, mlp.expert] = order
    return out


def order_heads(
    slots: Sequence[Slot], match: HeadMatch, a: Attention | str, b: Attention | str, note: Note
) -> dict[str, Indices]:
    """By role. Raises `AlignmentError`."""
    if isinstance(a, str) or isinstance(b, str):
        note(f"attention heads stay in place: {b if isinstance(b, str) else a}", None)
        return {}
    if (len(match.groups), len(match.queries)) != (b.groups, b.queries):
        given = f"{len(match.groups)} key/value heads and {len(match.queries)} query heads"
        name = b.slots["attn.q"].name
        raise AlignmentError(f"the alignment gives {given} to {name}, which has {b.groups} and {b.queries}")
    inside = match.queries.reshape(b.groups, b.per_group) - a.per_group * match.groups[:, None]
    inside = np.where((match.groups[:, None] >= 0) & (inside >= 0) & (inside < a.per_group), inside, -1)
    groups = places(match.groups)
    queries = np.concatenate([group * b.per_group + places(inside[group]) for group in groups])
    if is_identity(queries):
        return {}
    out, reason = {}, None
    for slot in slots:
        role = slot.address.role.removesuffix(".bias")
        axis = next((axis for axis, name in enumerate(slot.axes) if name in ("head", "heads")), None)
        if role not in QUERIES + GROUPS or axis is None or (slot.view is not None and slot.view.shape == (b.rows,)):
            continue
        order = queries if role in QUERIES else groups
        if slot.axes[axis] == "head":
            order = (order[:, None] * b.rows + np.arange(b.rows)).ravel()
        reason = reason or unmovable([slot])
        if slot.view is not None and slot.view.shape[axis] != len(order):
            reason = f"{slot.name} has {slot.view.shape[axis]} entries, not {len(order)}"
        out[role] = order
    if reason is not None:
        note(f"attention heads stay in place: {reason}", None)
        return {}
    return out


def unmovable(slots: Iterable[Slot]) -> str | None:
    """Why some of `slots` cannot be re-ordered by element."""
    stuck = next((slot for slot in slots if slot.view is None or slot.untested is not None), None)
    return None if stuck is None else stuck.untested or f"{stuck.name} cannot be read by element"

"""From an alignment to a copy of B in the order of A: where each part of the copy comes from, and what stays in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..checkpoint.copying import Move
from ..errors import AlignmentError
from ..schema import Address, Model, Slot
from ..schema import config as sizes
from .alignment import Alignment, Mlp, MlpMatch
from .attention import attention_of, slots_by_address
from .layer_order import LayerOrder, order_experts, order_heads, order_neurons, unmovable

Place = tuple[str, int]
"""Component and layer."""


class Note(NamedTuple):
    """What is left as it is, and why."""

    component: str
    layer: int | None
    text: str
    part: tuple[int, int] | None = None
    """Of how many, out of how many, the text speaks."""


@dataclass
class Reordering:
    """What makes a copy of B out of B."""

    moves: list[Move] = field(default_factory=list)
    """Of all parts that are not in place."""
    moved: dict[str, int] = field(default_factory=dict)
    """How many layers and experts come to another place, and in how many MLPs and layers neurons and heads do."""
    notes: list[Note] = field(default_factory=list)


def reorder(a: Model, b: Model, alignment: Alignment) -> Reordering:
    """Raises `AlignmentError` if the alignment is of other models."""
    out, slots = Reordering(), slots_by_address(b)
    layers: dict[Place, list[Slot]] = defaultdict(list)
    for slot in b.slots:
        if slot.address.layer is not None:
            layers[slot.address.component, slot.address.layer].append(slot)
    _check(alignment, a, layers)
    sources = {place: place for place in layers}
    for component in dict.fromkeys(component for component, _ in layers):
        sources |= _layer_sources(component, layers, alignment, out.notes)
    mlps: dict[Place, dict[Mlp, MlpMatch]] = defaultdict(dict)
    for mlp, match in alignment.mlps.items():
        mlps[mlp.component, mlp.layer][mlp] = match
    slots_a = slots_by_address(a)
    orders = {
        place: _order(place, layers[place], mlps[place], (slots_a, slots), b, alignment, out.notes) for place in layers
    }
    out.moves += _moves(layers, slots, sources, orders)
    out.moved = _count(sources, orders)
    return out


def _moves(
    layers: Mapping[Place, Sequence[Slot]],
    slots: Mapping[Address, Slot],
    sources: Mapping[Place, Place],
    orders: Mapping[Place, LayerOrder],
) -> Iterator[Move]:
    for place, targets in layers.items():
        order = orders[sources[place]]
        for target in targets:
            expert = target.address.expert
            if expert is not None and order.experts is not None:
                expert = int(order.experts[expert])
            source = slots[target.address._replace(layer=sources[place][1], expert=expert)]
            gathers = order.gathers(source)
            if source is not target or gathers:
                assert target.view is not None and source.view is not None
                yield Move(target.view, source.view, gathers)


def _layer_sources(
    component: str, layers: Mapping[Place, Sequence[Slot]], alignment: Alignment, notes: list[Note]
) -> dict[Place, Place]:
    """Of each layer of the copy, the layer of B that comes there; empty if all stay in place."""
    numbers = [layer for name, layer in layers if name == component]
    found = {alignment.layer_of(component, layer): layer for layer in numbers}
    if found.keys() != set(numbers):
        elsewhere = None not in found and len(found) == len(numbers)
        reason = (
            "some match layers whose numbers B does not have"
            if elsewhere
            else "their map to those of A is not one to one"
        )
        notes.append(Note(component, None, f"layers stay in place: {reason}"))
        return {}
    sources = {(component, to): (component, layer) for to, layer in found.items() if to is not None}
    for place, source in sources.items():
        if place != source and not _alike(layers[place], layers[source]):
            text = f"layers stay in place: the tensors of {source[1]} do not have the shapes of those of {place[1]}"
            notes.append(Note(component, None, text))
            return {}
    return sources


def _alike(some: Sequence[Slot], others: Sequence[Slot]) -> bool:
    """Whether two layers have the same parts, all of which can be moved by element."""

    def forms(slots: Sequence[Slot]) -> dict[tuple[str, int | None], object]:
        return {
            (slot.address.role, slot.address.expert): slot.view and (slot.view.dtype, slot.view.shape) for slot in slots
        }

    return forms(some) == forms(others) and unmovable((*some, *others)) is None


def _order(
    place: Place,
    slots: Sequence[Slot],
    mlps: Mapping[Mlp, MlpMatch],
    models: tuple[Mapping[Address, Slot], Mapping[Address, Slot]],
    b: Model,
    alignment: Alignment,
    notes: list[Note],
) -> LayerOrder:
    """What changes places inside one layer of B."""
    component, layer = place
    heads, target = alignment.heads.get(place), alignment.layer_of(component, layer)
    if not mlps and heads is None:
        return LayerOrder()

    def note(text: str, part: tuple[int, int] | None) -> None:
        notes.append(Note(component, layer, text, part))

    unknown = next((slot.name for slot in slots if slot.address.role.startswith("other:")), None)
    if unknown is not None:
        note(f"all parts stay in place: whether {unknown} would have to move with them is not known", None)
        return LayerOrder()
    router_groups = sizes.positive(sizes.section(b.checkpoint.config, component), "n_group") or 1
    experts = order_experts(slots, mlps, (component, target), router_groups, note)
    neurons = order_neurons(slots, mlps, (component, target), note)
    if heads is None or target is None:
        return LayerOrder(experts, neurons)
    attentions = attention_of(models[0], component, target), attention_of(models[1], component, layer)
    return LayerOrder(experts, neurons, order_heads(slots, heads, *attentions, note))


def _count(sources: Mapping[Place, Place], orders: Mapping[Place, LayerOrder]) -> dict[str, int]:
    experts = [order.experts for order in orders.values() if order.experts is not None]
    return {
        "layers": sum(place != source for place, source in sources.items()),
        "experts": sum(int(np.count_nonzero(order != np.arange(len(order)))) for order in experts),
        "mlps_with_neurons": sum(len(order.neurons) for order in orders.values()),
        "layers_with_heads": sum(bool(order.heads) for order in orders.values()),
    }


def _check(alignment: Alignment, a: Model, layers: Mapping[Place, Sequence[Slot]]) -> None:
    """Whether everything that the alignment names is there."""
    layers_a = {(slot.address.component, slot.address.layer) for slot in a.slots}
    held = {
        place: {(slot.address.role.partition(".")[0], slot.address.expert) for slot in slots}
        for place, slots in layers.items()
    }
    for component, found in alignment.layers.items():
        for layer, target in found.items():
            for name, number, there in (("B", layer, layers), ("A", target, layers_a)):
                if (component, number) not in there:
                    raise AlignmentError(
                        f"the alignment speaks of {component} layer {number} of {name}, which has none"
                    )
    for mlp in alignment.mlps:
        if (mlp.kind, mlp.expert) not in held.get((mlp.component, mlp.layer), ()):
            raise AlignmentError(f"the alignment speaks of {mlp.name} of B, which has none")
    for component, layer in alignment.heads:
        if (component, layer) not in layers:
            raise AlignmentError(f"the alignment speaks of heads in {component} layer {layer} of B, which has none")

"""What two stacks of layers have in common: roles whose tensors have one shape in layers of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import PlanError
from ..schema import Model, Slot, display_order
from ..view import FLOAT_DTYPES

MATRIX_GROUPS = ("attention", "mlp", "experts", "router")
"""Groups that decide a map. Norm gains are shown: neighbouring layers have nearly the same ones, in any model."""

MOST_LAYERS = 256
"""Twice as many as any model has. Memory grows with their square, and a name may hold any number."""

Place = tuple[int, int | None]
"""Layer and expert."""


@dataclass(frozen=True)
class LayerUnit:
    """One role of one component in one shape: compared between all layers of A and of B that have it."""

    index: int
    component: str
    group: str
    role: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    slots: tuple[Mapping[Place, Slot], Mapping[Place, Slot]]

    @property
    def experts(self) -> list[int | None]:
        """Numbers of the experts that both models have; [None] for what is no expert."""
        held = [{expert for _, expert in slots} for slots in self.slots]
        return sorted(held[0] & held[1], key=lambda expert: -1 if expert is None else expert)

    def layers(self, side: int, expert: int | None) -> dict[int, Slot]:
        """Of model `side` (0: A, 1: B), the layers that have the role (of that expert), ascending."""
        found = {layer: slot for (layer, number), slot in self.slots[side].items() if number == expert}
        return dict(sorted(found.items()))

    @property
    def nbytes(self) -> int:
        """Of both models; once if they are one."""
        slots = [slot for side in self.slots for slot in side.values()]
        return sum({id(slot): slot.view.nbytes for slot in slots if slot.view is not None}.values())


def layer_units(a: Model, b: Model, experts: bool) -> list[LayerUnit]:
    """Every role and shape that layers of both have, in the order in which they are shown.

    Vectors take part in norms only, routed experts (by their number) only with `experts`. Raises `PlanError` if nothing is
    left, or if there are too many layers.
    """
    held = [_by_role(model, experts) for model in (a, b)]
    keys = sorted(held[0].keys() & held[1].keys(), key=lambda key: (display_order(key[:3]), key[3]))
    units = [
        LayerUnit(index, *key[:3], next(iter(held[0][key].values())).axes, key[3], (held[0][key], held[1][key]))
        for index, key in enumerate(keys)
    ]
    if not any(unit.group in MATRIX_GROUPS for unit in units):
        raise _nothing_in_common(a, b)
    return units


def depth(model: Model, component: str) -> int:
    """Layers of a component, counted by their numbers."""
    layers = [slot.address.layer for slot in model.slots if slot.address.component == component]
    return 1 + max((layer for layer in layers if layer is not None), default=-1)


Key = tuple[str, str, str, tuple[int, ...]]


def _by_role(model: Model, experts: bool) -> dict[Key, dict[Place, Slot]]:
    found: dict[Key, dict[Place, Slot]] = defaultdict(dict)
    for slot in model.slots:
        component, layer, role, expert = slot.address
        if layer is not None and layer >= MOST_LAYERS:
            raise PlanError(
                f"{model.checkpoint.name}: tensor {slot.name!r}: only layers 0 to {MOST_LAYERS - 1} can be mapped"
            )
        if layer is None or slot.view is None or slot.untested is not None or slot.view.dtype not in FLOAT_DTYPES:
            continue
        matrix = len(slot.axes) == 2 and slot.group in MATRIX_GROUPS and (experts or slot.group != "experts")
        if (matrix or (len(slot.axes) == 1 and slot.group == "norms")) and slot.view.size:
            found[component, slot.group, role, slot.view.shape][layer, expert] = slot
    return found


def _nothing_in_common(a: Model, b: Model) -> PlanError:
    widths = [_residual_width(model) for model in (a, b)]
    names = f"{a.checkpoint.name} and {b.checkpoint.name}"
    hint = "`weightkin inspect MODEL` lists what each one holds"
    if None not in widths and widths[0] != widths[1]:
        return PlanError(
            f"{names}: residual streams of {widths[0]} and {widths[1]} channels, so no layer can be compared"
        )
    return PlanError(f"{names}: no layers have a matrix of one role and shape in common", hint)


def _residual_width(model: Model) -> int | None:
    """Channels of the residual stream of the text component, from its layers' matrices."""
    for slot in model.slots:
        in_layer = slot.address.component == "text" and slot.address.layer is not None
        if in_layer and slot.view is not None and "residual" in slot.axes:
            return slot.view.shape[slot.axes.index("residual")]
    return None

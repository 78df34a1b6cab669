"""From tensors and the rules for their names to slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..checkpoint import TensorEntry
from ..view import ITEM_SIZES, View
from . import config as sizes
from .family import Family, Rule
from .fused import Part, opaque_parts, parts_of
from .model import Address, Slot
from .names import Place, take_numbers
from .packed import Packed
from .roles import UNKNOWN_GROUP, group_of

MAX_STACKED = 500_000
"""Parts of stacked experts beyond this many stay whole, because a few bytes of header could ask for any number."""


class Reading(NamedTuple):
    """One tensor and what its name says."""

    entry: TensorEntry
    packed: Packed | None
    place: Place
    layer: int | None
    expert: int | None
    rule: Rule | None


class Layout(NamedTuple):
    """What all tensors of one name, dtype and shape have in common, with the group and snap of each part."""

    parts: tuple[tuple[Part, str, int], ...]
    misfit: str | None
    """Why the rule for the name does not fit; there are no parts then."""


@dataclass
class SlotBuilder:
    """Collects the slots of one checkpoint, with no address twice."""

    config: Mapping[str, Any]
    family: Family
    residual_widths: Mapping[str, int]
    """Channels of each component's residual stream, where known."""
    slots: list[Slot] = field(default_factory=list)
    _taken: set[Address] = field(default_factory=set)
    _layouts: dict[tuple[object, ...], Layout] = field(default_factory=dict)
    _stacked: int = 0

    def add(self, reading: Reading) -> None:
        """Appends the slots of one tensor, which cover it exactly. Without a rule that fits: one by its raw name."""
        slots = [self._unknown(reading, None)] if reading.rule is None else self._known(reading, reading.rule)
        addresses = [slot.address for slot in slots]
        if not self._taken.isdisjoint(addresses):
            slots = [self._unknown(reading, "its address is that of another tensor", by_raw_name=True)]
            addresses = [slots[0].address]
        self._taken.update(addresses)
        self.slots += slots

    def _known(self, reading: Reading, rule: Rule) -> list[Slot]:
        entry, form = reading.entry, reading.packed
        key = (reading.place, entry.dtype, entry.shape, form and (form.is_scale, form.by_element))
        stacked = entry.shape[0] * len(rule.parts) if rule.stacked and entry.shape else 0
        if self._stacked + stacked > MAX_STACKED:
            return [self._unknown(reading, f"over {MAX_STACKED:,} parts of stacked experts in all")]
        self._stacked += stacked
        if key not in self._layouts:
            self._layouts[key] = self._layout(reading, rule)
        layout = self._layouts[key]
        if layout.misfit is not None:
            return [self._unknown(reading, f"not read as {' and '.join(rule.parts)}: {layout.misfit}")]
        untested, component = _untested(reading), reading.place.component
        return [
            Slot(
                Address(component, reading.layer, part.role, reading.expert if part.expert is None else part.expert),
                entry.name,
                part.view and _in_file(part.view, entry),
                part.axes,
                group,
                untested,
                part.parameters,
                snap,
            )
            for part, group, snap in layout.parts
        ]

    def _layout(self, reading: Reading, rule: Rule) -> Layout:
        entry, form, component = reading.entry, reading.packed, reading.place.component
        section = sizes.section(self.config, component)
        try:
            if entry.parameters == 0:
                raise ValueError(f"no elements in shape {entry.shape}")
            if _has_elements(reading):
                shares = sizes.shares(section, rule.shares) if rule.shares else ()
                parts = parts_of(entry.dtype, entry.shape, rule, shares)
                self._check_residual(component, parts[0])
            else:
                parts = opaque_parts(entry.shape, rule, ".scale" if form and form.is_scale else "")
        except ValueError as error:
            return Layout((), str(error))
        snaps = {role: self._snap(section, role) for role in rule.parts}
        rows = {part.role: part.view.shape[0] for part in parts if part.view and part.axes[:1] == ("head",)}
        fitting = {role: snaps[role] if extent % snaps[role] == 0 else 1 for role, extent in rows.items()}
        return Layout(tuple((part, group_of(part.role), fitting.get(part.role, 1)) for part in parts), None)

    def _snap(self, section: Mapping[str, Any], role: str) -> int:
        return sizes.head_rows(section, self.family.head_rows.get(role.removesuffix(".bias"), ())) or 1

    def _check_residual(self, component: str, part: Part) -> None:
        """All parts of a tensor have the same axes, so one of them tells whether the rule has them right."""
        width = self.residual_widths.get(component)
        if part.view is None or width is None:
            return
        for axis, extent in zip(part.axes, part.view.shape, strict=True):
            if axis == "residual" and extent != width:
                raise ValueError(f"the residual axis has {extent:,} channels instead of {width:,}")

    def _unknown(self, reading: Reading, note: str | None, by_raw_name: bool = False) -> Slot:
        entry, component = reading.entry, reading.place.component
        template = take_numbers(entry.name).template.replace("{layer}", "{}").replace("{expert}", "{}")
        address = Address(component, reading.layer, f"other:{template}", reading.expert)
        if by_raw_name:
            address = Address(component, None, f"other:{entry.name}", None)
        view = entry.view() if _has_elements(reading) else None
        axes = tuple(f"axis{number}" for number in range(len(view.shape))) if view else ()
        return Slot(address, entry.name, view, axes, UNKNOWN_GROUP, _untested(reading), entry.parameters, note=note)


def _in_file(view: View, entry: TensorEntry) -> View:
    """`replace` would say the same, but this runs once per slot."""
    return View(entry.shard, entry.begin + view.offset, view.dtype, view.shape, view.strides)


def _has_elements(reading: Reading) -> bool:
    """Whether single elements of the tensor can be read, and in the shape that its name promises."""
    return reading.entry.dtype in ITEM_SIZES and (reading.packed is None or reading.packed.by_element)


def _untested(reading: Reading) -> str | None:
    if reading.packed:
        return reading.packed.reason
    return None if reading.entry.dtype in ITEM_SIZES else f"unsupported dtype {reading.entry.dtype}"

"""From the names, shapes and dtypes of a checkpoint's tensors to its slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..checkpoint import Checkpoint
from . import config as sizes
from .family import Family, Rule, choose, model_types
from .model import Model
from .names import Numbers, Place, place, take_numbers, wrappers_of
from .packed import packed
from .roles import axes_of, group_of
from .slots import Reading, SlotBuilder

Places = Mapping[tuple[str, bool], Place]
"""Place of (template, whether it has a layer number)."""


def resolve(checkpoint: Checkpoint) -> Model:
    """Gives every tensor its address, axes and views. Never fails: what has no role gets an address by its raw name."""
    config, tensors = checkpoint.config, checkpoint.tensors
    formats = [packed(entry, tensors, config) for entry in tensors.values()]
    names = [
        take_numbers(form.base if form else entry.name) for entry, form in zip(tensors.values(), formats, strict=True)
    ]
    templates = {(numbers.template, numbers.layer is not None) for numbers in names}
    wrappers = wrappers_of(template for template, layered in templates if layered)
    places = {(template, layered): place(template, layered, wrappers) for template, layered in templates}
    family, name, known = choose(config, places.values())
    first_mtp = _first_mtp_layer(config, family, names, places)

    rules: dict[Place, Rule | None] = {}
    readings: list[Reading] = []
    for entry, form, numbers in zip(tensors.values(), formats, names, strict=True):
        layer, where = _apart_from_mtp(numbers.layer, places[numbers.template, numbers.layer is not None], first_mtp)
        if where not in rules:
            rules[where] = family.rule(where)
        readings.append(Reading(entry, form, where, layer, numbers.expert, rules[where]))
    builder = SlotBuilder(config, family, _residual_widths(config, readings))
    for reading in readings:
        builder.add(reading)
    return Model(checkpoint, name, tuple(builder.slots), known, known and not model_types(config))


def _first_mtp_layer(config: Mapping[str, Any], family: Family, names: Sequence[Numbers], places: Places) -> int | None:
    """Number of the first layer after the decoder's, if this family appends any."""
    if family.mtp_marker is None:
        return None
    if layers := sizes.positive(sizes.section(config, "text"), "num_hidden_layers"):
        return layers
    marked = {key for key, where in places.items() if where.layered and where.tail.startswith(f"{family.mtp_marker}.")}
    return min((n.layer for n in names if n.layer is not None and (n.template, True) in marked), default=None)


def _apart_from_mtp(layer: int | None, where: Place, first_mtp: int | None) -> tuple[int | None, Place]:
    """Layers after the last decoder layer are layers of mtp. What stands in mtp outside of layers is of its layer 0."""
    if where.component == "text" and layer is not None and first_mtp is not None and layer >= first_mtp:
        return layer - first_mtp, where._replace(component="mtp")
    if where.component == "mtp" and layer is None:
        return 0, where
    return layer, where


def _residual_widths(config: Mapping[str, Any], readings: Iterable[Reading]) -> dict[str, int]:
    """Channels of each component's residual stream. Its norms show them, whatever the order of axes is elsewhere."""
    counts: dict[str, Counter[int]] = {}
    for reading in readings:
        rule, shape = reading.rule, reading.entry.shape
        if rule and len(shape) == 1 and group_of(rule.parts[0]) == "norms" and axes_of(rule.parts[0]) == ("residual",):
            counts.setdefault(reading.place.component, Counter())[shape[0]] += 1
    widths = {component: count.most_common(1)[0][0] for component, count in counts.items()}
    text = widths.get("text") or sizes.positive(sizes.section(config, "text"), "hidden_size")
    return ({"mtp": text, "projector": text, "text": text} if text else {}) | widths

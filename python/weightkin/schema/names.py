"""Raw tensor names, taken apart without knowing the family: component, layer, expert and what is left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from functools import cache
from typing import Any, NamedTuple

from .roles import read_data

# Six digits: nothing has a million layers, and a larger number would not fit the result tables.
LAYER = re.compile(r"(?:^|\.)(?:layers|blocks)\.([0-9]{1,6})(?=\.)")
EXPERT = re.compile(r"(?:^|\.)experts\.([0-9]{1,6})(?=\.)")


class Numbers(NamedTuple):
    """A name with its layer and expert numbers taken out, so that few templates stand for many names."""

    template: str
    layer: int | None
    expert: int | None


class Place(NamedTuple):
    """Where a template belongs. `tail` is the name within its layer, or without the modules that only wrap."""

    component: str
    layered: bool
    tail: str


@cache
def conventions() -> dict[str, Any]:
    """names.toml."""
    return read_data("names.toml")


def take_numbers(name: str) -> Numbers:
    """ "a.layers.3.mlp.experts.7.b" -> "a.layers.{layer}.mlp.experts.{expert}.b", 3, 7."""
    layer = expert = None
    if match := EXPERT.search(name):
        expert = int(match[1])
        name = f"{name[: match.start(1)]}{{expert}}{name[match.end(1) :]}"
    if match := LAYER.search(name):
        layer = int(match[1])
        name = f"{name[: match.start(1)]}{{layer}}{name[match.end(1) :]}"
    return Numbers(name, layer, expert)


def wrappers_of(layered: Iterable[str]) -> frozenset[str]:
    """Leading segments that say nothing but the component: the usual ones, and what precedes `layers` in `layered`."""
    known = conventions()
    before_layers = {segment for template in layered for segment in template.partition("{layer}")[0].split(".")[:-2]}
    towers = {marker for markers in known["components"].values() for marker in markers}
    return frozenset(before_layers.union(towers, known["wrappers"]).difference(known["components"]["projector"]))


def place(template: str, layered: bool, wrappers: Set[str]) -> Place:
    """Component and tail of a template."""
    if layered:
        before, _, tail = template.partition("{layer}.")
        return Place(_component(before.split(".")), True, tail)
    segments = template.split(".")
    first = next((i for i, segment in enumerate(segments) if segment not in wrappers), 0)
    return Place(_component(segments), False, ".".join(segments[first:]))


def _component(segments: list[str]) -> str:
    for component, markers in conventions()["components"].items():
        if not set(markers).isdisjoint(segments):
            return str(component)
    return "text"

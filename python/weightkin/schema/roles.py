"""The vocabulary of roles.toml: groups, roles and their axes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

UNKNOWN_GROUP = "other"


class Role(NamedTuple):
    group: str
    axes: tuple[str, ...]


def read_data(file: str) -> dict[str, Any]:
    """A TOML file of this package."""
    return tomllib.loads((files(__package__) / file).read_text("utf-8"))


@cache
def load_roles() -> dict[str, Role]:
    """Every role without suffix, in the order of its file."""
    return {
        name: Role(group, tuple(axes))
        for group, roles in read_data("roles.toml").items()
        for name, axes in roles.items()
    }


GROUPS: tuple[str, ...] = tuple(dict.fromkeys(role.group for role in load_roles().values()))
"""Every group, in the order in which they are shown."""

COMPONENTS = ("text", "mtp", "vision", "audio", "projector")
"""Every component, in the order in which they are shown."""


_PLACES = {name: place for place, name in reversed([*enumerate([*COMPONENTS, *GROUPS, *load_roles()])])}


def display_order(key: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Sorts by component, group and role as they are shown, and by letter what is none of them."""
    return tuple((_PLACES.get(part, len(_PLACES)), part) for part in key)


@cache
def group_of(role: str) -> str:
    """Group of a role, with or without ".bias" or ".scale"; "other" for unknown ones."""
    roles = load_roles()
    known = roles.get(role) or roles.get(role.removesuffix(".scale").removesuffix(".bias"))
    return known.group if known else UNKNOWN_GROUP


@cache
def axes_of(role: str) -> tuple[str, ...]:
    """Axes of a role's views in canonical order; () for scales and unknown roles, whose axes nobody knows."""
    roles = load_roles()
    if role in roles:
        return roles[role].axes
    biased = roles.get(role.removesuffix(".bias")) if role.endswith(".bias") else None
    return biased.axes[:1] if biased else ()

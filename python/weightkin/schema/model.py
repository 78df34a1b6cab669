"""A checkpoint whose parts have addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..checkpoint import Checkpoint
from ..view import View


class Address(NamedTuple):
    """What two models' parts are paired by. `layer` and `expert` count from 0; None where there is no such number."""

    component: str
    """text, vision, audio, projector or mtp."""
    layer: int | None
    role: str
    """A role of roles.toml, one with ".bias" or ".scale" added, or "other:" and the raw name without its numbers."""
    expert: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """One addressable part of a checkpoint: a whole tensor, or one of several fused into a tensor."""

    address: Address
    name: str
    """Raw name of the tensor that it lies in."""
    view: View | None
    """Its elements with axes in canonical order; None if the format or the dtype cannot be viewed by element."""
    axes: tuple[str, ...]
    """Names of the view's axes (roles.toml), or axis0, axis1, ... for unknown roles; () without a view."""
    group: str
    untested: str | None
    """Why it cannot be compared; None if it can."""
    parameters: int
    """Elements as the header counts them. Over all slots they sum to those of the checkpoint."""
    snap: int = 1
    """Rows of axis 0 that belong together: those of one attention head, else 1."""
    note: str | None = None
    """Why a name that has a role was taken for an unknown one."""


@dataclass(frozen=True)
class Model:
    """A checkpoint and its slots, which cover every tensor exactly."""

    checkpoint: Checkpoint
    family: str
    """The model type of config.json, or the family file whose names fit, or "generic"."""
    slots: tuple[Slot, ...]
    known: bool
    """Whether a family file matched; else the names were read by the generic one."""
    guessed: bool
    """Whether one matched by its names alone, because no config.json says the model type."""

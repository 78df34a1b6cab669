"""inspect: what a checkpoint holds, from its headers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .checkpoint import open_checkpoint
from .schema import Slot, display_order, resolve


@dataclass
class Part:
    """The slots of one role, or of a whole group."""

    component: str
    group: str
    role: str | None
    """None: all roles of the group."""
    slots: int = 0
    parameters: int = 0
    nbytes: int = 0


@dataclass
class Extent:
    """How far the numbers of a component go."""

    layers: int = 0
    """Layers that occur (not the highest number)."""
    experts: int = 0
    """Most experts that one layer has."""


@dataclass
class Untested:
    """Slots that no comparison can use, and why."""

    component: str
    role: str
    reason: str
    slots: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's contents. Slots are tensors, or the parts of fused ones."""

    name: str
    path: Path
    family: str
    known_family: bool
    """Whether a family file knows the names; else they were read by general rules."""
    guessed_family: bool
    """Whether it was found by the names alone, because no config.json says the model type."""
    parameters: int
    nbytes: int
    tensors: int
    shards: int
    dtypes: dict[str, int]
    """Parameters per safetensors dtype, most first."""
    groups: list[Part]
    roles: list[Part]
    extents: dict[str, Extent]
    """By component."""
    untested: list[Untested]
    problems: list[str] = field(default_factory=list)
    """What is odd, but no error: about files, and about names or shapes that fit no role."""

    def to_dict(self) -> dict[str, Any]:
        """As `inspect --json` prints it."""
        return asdict(self) | {"path": str(self.path)}


def inspect(path: str | Path) -> Inspection:
    """Reads a checkpoint's headers and says what it holds; no weight is read. Raises `CheckpointError`."""
    checkpoint = open_checkpoint(path)
    model = resolve(checkpoint)
    sizes = {name: (entry.nbytes, entry.parameters) for name, entry in checkpoint.tensors.items()}

    def tally(key: Callable[[Slot], tuple[str, str, str | None]]) -> list[Part]:
        parts: dict[tuple[str, str, str | None], Part] = {}
        for slot in model.slots:
            place = key(slot)
            part = parts.get(place) or parts.setdefault(place, Part(*place))
            nbytes, parameters = sizes[slot.name]
            part.slots += 1
            part.parameters += slot.parameters
            part.nbytes += nbytes * slot.parameters // parameters if parameters else 0
        return sorted(parts.values(), key=lambda part: display_order((part.component, part.group, part.role or "")))

    return Inspection(
        checkpoint.name, checkpoint.path, model.family, model.known, model.guessed, checkpoint.parameters, checkpoint.nbytes,
        len(checkpoint.tensors), len(checkpoint.shards), checkpoint.dtypes,
        groups=tally(lambda slot: (slot.address.component, slot.group, None)),
        roles=tally(lambda slot: (slot.address.component, slot.group, slot.address.role)),
        extents=_extents(model.slots), untested=_untested(model.slots),
        problems=[*checkpoint.problems, *_notes(model.slots)],
    )  # fmt: skip


def _extents(slots: Iterable[Slot]) -> dict[str, Extent]:
    layers: dict[str, set[int]] = {}
    experts: dict[tuple[str, int | None], set[int]] = {}
    for slot in slots:
        component, layer, _, expert = slot.address
        held = layers.setdefault(component, set())
        if layer is not None:
            held.add(layer)
        if expert is not None:
            experts.setdefault((component, layer), set()).add(expert)
    return {
        component: Extent(
            len(held), max((len(of) for (owner, _), of in experts.items() if owner == component), default=0)
        )
        for component, held in layers.items()
    }


def _untested(slots: Iterable[Slot]) -> list[Untested]:
    found: dict[tuple[str, str, str], Untested] = {}
    for slot in slots:
        if slot.untested is not None:
            place = (slot.address.component, slot.address.role, slot.untested)
            entry = found.setdefault(place, Untested(*place))
            entry.slots += 1
            entry.parameters += slot.parameters
    return sorted(found.values(), key=lambda entry: -entry.parameters)


def _notes(slots: Sequence[Slot]) -> list[str]:
    """Why names that have a role were taken for unknown ones: one line per reason, with the first tensor."""
    names: dict[str, list[str]] = {}
    for slot in slots:
        if slot.note is not None:
            names.setdefault(slot.note, []).append(slot.name)
    return [
        f"{held[0]!r}{f' and {len(held) - 1:,} more tensors' if len(held) > 1 else ''}: {note}"
        for note, held in names.items()
    ]

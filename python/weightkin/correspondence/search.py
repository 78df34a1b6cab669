"""What of B is what of A: layers, then experts with their neurons, then attention heads, in one alignment.

Why an alignment that was searched for does not bias the verdict that is drawn through it: a map is applied only where it
is significant by itself, against a null that searches as well. Layers and MLPs are searched anew in every copy of B whose
residual channels were relabelled, and so are the heads; a match must exceed the best of all copies, by a margin
(statistics/verdict.py). Neurons are matched on gate and must be confirmed by up and down, heads are matched on q and k and
must be confirmed by v and o. Two independent models therefore get no map but by an accident that those thresholds make
rare, and their comparison stays the one in place, whose null is exact. Where a map is applied, the tensors on which the
order of entries was chosen (gate; q and k) carry no evidence afterwards; the others keep the residual-axis null.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Protocol

from ..errors import PlanError
from ..schema import Model
from .alignment import Alignment, Mlp, MlpMatch
from .applied import applied_mlps
from .compute import Compute, OnBytes
from .descriptors import Side
from .experts import match_layer, unsearchable
from .heads import LayerHeads, find_head_matches
from .layer_match import LayerMatch
from .layer_units import depth
from .layers import find_layer_maps
from .maps import LayerMap
from .workers import Workers

KINDS = ("layers", "experts", "heads")
"""What is searched for, in this order; "experts" are all gated MLPs."""

Wanted = Collection[tuple[str, str]]
"""Component and kind."""
Progress = Callable[[str, int, int], None]


class Memory(Protocol):
    """Where what is found of each pair of layers goes, by its number; a pair that is held already is not searched."""

    def holds(self, number: int) -> bool: ...

    def keep(self, number: int, match: LayerMatch) -> None: ...

    def mlps(self, number: int) -> Mapping[Mlp, MlpMatch]:
        """What of its matches is needed: `applied_mlps`."""
        ...


class _InMemory:
    """A `Memory` that begins empty."""

    def __init__(self) -> None:
        self.matches: dict[int, LayerMatch] = {}

    def holds(self, number: int) -> bool:
        return number in self.matches

    def keep(self, number: int, match: LayerMatch) -> None:
        self.matches[number] = match

    def mlps(self, number: int) -> Mapping[Mlp, MlpMatch]:
        return applied_mlps(self.matches[number])


@dataclass(frozen=True)
class Found:
    """An alignment and how sure it is."""

    alignment: Alignment
    layers: Mapping[str, LayerMap] = field(default_factory=dict)
    """Of each component that was searched."""
    mlps: tuple[LayerMatch, ...] = ()
    heads: Mapping[tuple[str, int], LayerHeads] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What could not be searched, and why."""


def find_alignment(
    a: Model,
    b: Model,
    *,
    seed: int,
    workers: Workers,
    draws: int,
    progress: Progress = lambda *_: None,
    wanted: Wanted | None = None,
    start: Alignment | None = None,
    memory: Memory | None = None,
) -> Found:
    """Everything significant that is not in place. `wanted` (default: all) and what is known already, `start`.

    With `memory`, the result's `mlps` hold nothing. Of layers and heads `draws` copies are searched besides the original;
    of experts, as many as experts.py says.
    """
    components = {slot.address.component for model in (a, b) for slot in model.slots}
    wanted = {(component, kind) for component in components for kind in KINDS} if wanted is None else set(wanted)
    found = Found(start or Alignment())
    if _components(wanted, "layers"):
        progress("searching layers", 0, 0)
        found = _layers(found, a, b, _components(wanted, "layers"), seed, draws, workers.threads)
    if _components(wanted, "experts"):
        found = _experts(found, a, b, _components(wanted, "experts"), seed, workers, progress, memory)
    if _components(wanted, "heads"):
        progress("searching heads", 0, 0)
        pairs = _pairs(found.alignment, a, b, _components(wanted, "heads"))
        heads = find_head_matches(a, b, pairs, seed=seed, draws=draws, threads=workers.threads)
        applied = {place: one.match for place, one in heads.items() if one.match is not None and not one.identity}
        found = replace(found, alignment=replace(found.alignment, heads=applied), heads=heads)
    return found


def _components(wanted: Wanted, kind: str) -> set[str]:
    return {component for component, one in wanted if one == kind}


def _pairs(alignment: Alignment, a: Model, b: Model, components: Iterable[str]) -> list[tuple[str, int, int]]:
    """Component, layer of A, layer of B: what is compared with what."""
    out = []
    for component in sorted(components):
        for layer_b in range(depth(b, component)):
            layer_a = alignment.layer_of(component, layer_b)
            if layer_a is not None and layer_a < depth(a, component):
                out.append((component, layer_a, layer_b))
    return out


def _layers(found: Found, a: Model, b: Model, components: set[str], seed: int, draws: int, threads: int) -> Found:
    try:
        maps = find_layer_maps(a, b, seed=seed, draws=draws, threads=threads)
    except PlanError as error:
        return replace(found, notes=(*found.notes, f"layers were not searched: {error}"))
    maps = {component: one for component, one in maps.items() if component in components}
    applied = {
        component: {layer: int(match) for layer, match in enumerate(one.assignment) if match >= 0}
        for component, one in maps.items()
        if one.arrangement not in ("none", "identity")
    }
    return replace(found, alignment=replace(found.alignment, layers=applied), layers=maps)


def _experts(
    found: Found,
    a: Model,
    b: Model,
    components: set[str],
    seed: int,
    workers: Workers,
    progress: Progress,
    memory: Memory | None,
) -> Found:
    try:
        sides = Side(a), Side(b)
    except PlanError as error:
        return replace(found, notes=(*found.notes, f"experts were not searched: {error}"))
    pairs = list[tuple[str, int, int]]()
    for component, layer_a, layer_b in _pairs(found.alignment, a, b, components):
        if unsearchable(*sides, (component, layer_a, layer_b)) is None:
            pairs.append((component, layer_a, layer_b))
    held = _InMemory()
    memory = held if memory is None else memory
    waiting = [number for number in range(len(pairs)) if not memory.holds(number)]

    def nbytes(number: int) -> int:
        component, *layers = pairs[number]
        return sum(side.layers[component, layer].nbytes for side, layer in zip(sides, layers, strict=True))

    on_bytes = _counted(progress, sum(map(nbytes, waiting)))

    def match(compute: Compute, number: int) -> LayerMatch:
        return match_layer(*sides, pairs[number], seed=seed, compute=compute, on_bytes=on_bytes)

    for number, one in workers.spread(waiting, match, nbytes):
        memory.keep(number, one)
    for side in sides:
        side.weights.check()
    mlps: dict[Mlp, MlpMatch] = {}
    for number in range(len(pairs)):
        mlps |= memory.mlps(number)
    matches = tuple(held.matches[number] for number in sorted(held.matches))
    return replace(found, alignment=replace(found.alignment, mlps=mlps), mlps=matches)


def _counted(progress: Progress, total: int) -> OnBytes:
    """Reports the sum of what all devices read."""
    done, lock = 0, Lock()

    def on_bytes(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            progress("searching experts", min(done, total), total)

    on_bytes(0)
    return on_bytes

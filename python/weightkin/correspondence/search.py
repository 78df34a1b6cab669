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
from functools import partial

import numpy as np

from ..errors import PlanError
from ..schema import Model
from ..statistics.verdict import Z_MATRIX
from .alignment import Alignment, Mlp, MlpMatch
from .descriptors import Side
from .experts import match_layer, unsearchable
from .heads import LayerHeads, find_head_matches
from .layer_match import LayerMatch
from .layer_units import depth
from .layers import find_layer_maps
from .maps import LayerMap
from .neurons import NeuronMatch

KINDS = ("layers", "experts", "heads")
"""What is searched for, in this order; "experts" are all gated MLPs."""

SIBLING = 0.5
"""Score of a child as a share of that of its parent's best child."""

Wanted = Collection[tuple[str, str]]
"""Component and kind."""
Progress = Callable[[str, int, int], None]
Remember = Callable[[int, Callable[[], LayerMatch]], Mapping[Mlp, MlpMatch]]
"""From a number of a pair of layers and its search: what of its matches is needed. A caller that has it need not search."""


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
    threads: int,
    draws: int,
    progress: Progress = lambda *_: None,
    wanted: Wanted | None = None,
    start: Alignment | None = None,
    remember: Remember | None = None,
) -> Found:
    """Everything significant that is not in place. `wanted` (default: all) and what is known already, `start`.

    With `remember`, the result's `mlps` hold nothing. Of layers and heads `draws` copies are searched besides the original;
    of experts, as many as experts.py says.
    """
    components = {slot.address.component for model in (a, b) for slot in model.slots}
    wanted = {(component, kind) for component in components for kind in KINDS} if wanted is None else set(wanted)
    found = Found(start or Alignment())
    if _components(wanted, "layers"):
        progress("searching layers", 0, 0)
        found = _layers(found, a, b, _components(wanted, "layers"), seed, draws, threads)
    if _components(wanted, "experts"):
        found = _experts(found, a, b, _components(wanted, "experts"), seed, threads, progress, remember)
    if _components(wanted, "heads"):
        progress("searching heads", 0, 0)
        pairs = _pairs(found.alignment, a, b, _components(wanted, "heads"))
        heads = find_head_matches(a, b, pairs, seed=seed, draws=draws, threads=threads)
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
    threads: int,
    progress: Progress,
    remember: Remember | None,
) -> Found:
    try:
        sides = Side(a), Side(b)
    except PlanError as error:
        return replace(found, notes=(*found.notes, f"experts were not searched: {error}"))
    pairs = []
    for component, layer_a, layer_b in _pairs(found.alignment, a, b, components):
        if unsearchable(*sides, (component, layer_a, layer_b)) is None:
            pairs.append((component, layer_a, layer_b))
    total = sum(
        side.layers[place].nbytes
        for component, layer_a, layer_b in pairs
        for side, place in zip(sides, ((component, layer_a), (component, layer_b)), strict=True)
    )
    done, matches = 0, list[LayerMatch]()

    def keep(_: int, run: Callable[[], LayerMatch]) -> Mapping[Mlp, MlpMatch]:
        matches.append(run())
        return applied_mlps(matches[-1])

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        progress("searching experts", done, total)

    progress("searching experts", 0, total)
    mlps: dict[Mlp, MlpMatch] = {}
    for number, pair in enumerate(pairs):
        run = partial(match_layer, *sides, pair, seed=seed, threads=threads, on_bytes=on_bytes)
        mlps |= (remember or keep)(number, run)
    for side in sides:
        side.weights.check()
    return replace(found, alignment=replace(found.alignment, mlps=mlps), mlps=tuple(matches))


def children(match: LayerMatch) -> list[int]:
    """The MLPs of B that have a counterpart. Several may have the same one, if they are about equally like it: an expert
    whose own counterpart is missing is a little like some other one, as all experts of a model are."""
    scores, chosen = match.scores[match.assignment, np.arange(len(match.b))], match.assignment
    best = {a: scores[chosen == a].max() for a in set(chosen.tolist())}
    return [int(at) for at in match.matched if scores[at] >= SIBLING * best[int(chosen[at])]]


def applied_mlps(match: LayerMatch) -> dict[Mlp, MlpMatch]:
    """The matches of one layer that an alignment needs: none if all are in place."""
    out, moved = {}, False
    for at in children(match):
        one, other = match.a[match.assignment[at]].mlp, match.b[at].mlp
        neurons = match.neurons.get(at)
        order = None
        if neurons is not None and confirmed(match, neurons):
            in_place = np.array_equal(neurons.permutation, np.arange(match.a[match.assignment[at]].neurons))
            order = None if in_place else neurons.permutation
        moved |= order is not None or one[2:] != other[2:]
        moved |= other.expert is not None and match.routed[0] != match.routed[1]  # router rows without a counterpart
        out[other] = MlpMatch(one, order)
    return out if moved else {}


def confirmed(match: LayerMatch, neurons: NeuronMatch) -> bool:
    """Whether up and down agree with the order found on gate, above every relabelled copy of the layer's experts and by a
    margin: the same search in those copies is the null, because gate, up and down of one neuron depend on each other."""
    draws = np.concatenate([one.scores[1:] for one in match.neurons.values()])
    mean, deviation = match.baseline
    return bool(draws.size > 1 and neurons.scores[0] > draws.max() and neurons.scores[0] >= mean + Z_MATRIX * deviation)

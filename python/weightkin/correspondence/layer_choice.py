"""Which layer of A each layer of B is searched in: the same number, where the rest of the layer matches, or wherever its
experts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..errors import PlanError
from ..statistics.null import generator
from .compute import Compute, OnBytes
from .descriptors import Side
from .layers import find_layer_maps
from .maps import layer_map, standard_scores
from .mlps import Place
from .orbit import Array, Floats
from .workers import Workers

Layers = Literal["auto", "same", "all-pairs"]

SKETCH = 64
"""Numbers that are kept of an expert's answer to each input: 2 MB for a layer of 128 experts."""


class LayerPair(NamedTuple):
    component: str
    layer_a: int
    layer_b: int
    how: str
    """ "same number", "layer map" or "best of all"."""
    p: float | None
    """Rank of the best of all layers among the best in each relabelled copy; None where there was no choice."""


class Choice(NamedTuple):
    pairs: list[LayerPair]
    untested: list[tuple[str, int, str]]
    """Component, layer of B and the reason, of layers that have MLPs but no counterpart."""


def choose_layers(
    a: Side, b: Side, layers: Layers, *, seed: int, workers: Workers, on_bytes: OnBytes,
    say: Callable[[str], None] = lambda _: None,
) -> Choice:  # fmt: skip
    """Every layer of B that has gated MLPs ends in a pair or among the untested. Raises `PlanError`."""
    maps: dict[tuple[str, int], LayerPair] = {}
    if layers == "auto":
        say("mapping layers")
        maps = _from_layer_maps(a, b, seed, workers.threads)
    elif layers == "all-pairs":
        maps = _from_all_pairs(a, b, seed, workers, on_bytes)
    pairs, untested = [], []
    for component, layer in b.layers:
        if (component, layer) in maps:
            pairs.append(maps[component, layer])
        elif (component, layer) in a.layers:
            pairs.append(LayerPair(component, layer, layer, "same number", None))
        else:
            untested.append((component, layer, "A has no gated MLP in a layer of that number"))
    return Choice(pairs, untested)


def _from_layer_maps(a: Side, b: Side, seed: int, threads: int) -> dict[Place, LayerPair]:
    try:
        maps = find_layer_maps(a.model, b.model, seed=seed, threads=threads)
    except PlanError:  # nothing but experts in common
        return {}
    return {
        (component, layer): LayerPair(component, int(found), layer, "layer map", None)
        for component, one in maps.items()
        for layer, found in enumerate(one.assignment)
        if found >= 0 and found != layer and (component, int(found)) in a.layers
    }


def _from_all_pairs(a: Side, b: Side, seed: int, workers: Workers, on_bytes: OnBytes) -> dict[Place, LayerPair]:
    """The best layer of A for each layer of B, by sketches of all descriptors; the choice is made anew in every copy."""
    out: dict[Place, LayerPair] = {}
    for component in dict.fromkeys(component for component, _ in b.layers):
        numbers = [sorted(layer for name, layer in side.layers if name == component) for side in (a, b)]
        places = [(component, layer) for layer in numbers[0]], [(component, layer) for layer in numbers[1]]
        widths = {side.layers[place].width for side, held in zip((a, b), places, strict=True) for place in held}
        if not numbers[0] or len(widths) > 1:
            continue
        left, right = (
            _sketches(side, held, seed, workers, on_bytes) for side, held in zip((a, b), places, strict=True)
        )
        found = layer_map(standard_scores(_all_scores(left, right, workers)))
        for at, layer in enumerate(numbers[1]):
            if found.assignment[at] >= 0:
                chosen = numbers[0][found.assignment[at]]
                out[component, layer] = LayerPair(component, chosen, layer, "best of all", float(found.p[at]))
    return out


def _sketches(side: Side, places: Sequence[Place], seed: int, workers: Workers, on_bytes: OnBytes) -> list[Floats]:
    """[E, m, SKETCH] of each layer: some of the numbers of each descriptor, the same for every layer of that width."""

    def sketch(compute: Compute, place: Place) -> Floats:
        try:
            _, whole = side.descriptors(place, "probe", seed, compute, on_bytes)
            size = whole.shape[2]
            chosen = np.sort(generator(seed, "sketch", size).permutation(size)[:SKETCH])
            return compute.sketch(whole, chosen)
        finally:
            compute.forget()

    found = dict(workers.spread(places, sketch, lambda place: side.layers[place].nbytes))
    return [found[place] for place in places]


def _all_scores(left: Sequence[Floats], right: Sequence[Floats], workers: Workers) -> Array:
    """[LA, LB, m]: of each layer of A with each of B, under every relabelling: the sum over B's MLPs of the best score."""

    def scores(compute: Compute, at: int) -> Array:
        return np.array([compute.lag_scores(left[at], y).max(axis=1).sum(axis=1) for y in right])

    found = dict(workers.spread(range(len(left)), scores))
    return np.array([found[at] for at in range(len(left))])

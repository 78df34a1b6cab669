"""Which layer of A each layer of B matches, per component."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from ..checkpoint.mapping import Shards
from ..schema import Model
from ..statistics.null import DRAWS
from .layer_scores import Scores, draws_of, unit_scores
from .layer_units import MATRIX_GROUPS, LayerUnit, depth, layer_units
from .maps import Array, LayerMap, layer_map, pool

__all__ = ["LayerMap", "find_layer_maps"]

ALL = "all"
"""The pool of all matrix groups, which decides."""
UNORDERED = "unordered"
"""Their products of channels, where nothing matches in place."""
SMALLEST = 2
"""Roles of a group whose products of channels are computed."""


def find_layer_maps(
    a: Model, b: Model, *, seed: int = 0, draws: int = DRAWS, threads: int = 1, experts: bool = False
) -> dict[str, LayerMap]:
    """The map of every component that both models have layers of, from attention, mlp, router (and, if asked for, experts).

    Reads up to 2^18 elements of each tensor, compared in place. Where a component has no match in place, reads some of its
    roles whole for what does not know the order of neurons, heads and experts. Raises `PlanError` if nothing can be compared.
    """
    units = layer_units(a, b, experts)
    counts = draws_of(units, draws)
    shards = (Shards(a.checkpoint), Shards(b.checkpoint))

    def found(chosen: Sequence[LayerUnit], in_place: bool) -> dict[str, LayerMap]:
        scores: dict[tuple[str, str], list[Scores]] = defaultdict(list)
        for unit in chosen:
            depths = depth(a, unit.component), depth(b, unit.component)
            one = unit_scores(unit, shards, depths, counts.get(unit.component, 0), seed, threads, in_place)
            if one is not None:
                scores[unit.component, unit.group].append(one[0])
        for side in shards:
            side.check()
        return {
            component: layer_map(stacked, in_place)
            for (component, group), stacked in pool_groups(scores).items()
            if group == ALL
        }

    maps = found(units, True)
    unordered = found(out_of_order(units, maps), False)
    return maps | {component: one for component, one in unordered.items() if one.arrangement != "none"}


def out_of_order(units: Sequence[LayerUnit], maps: Mapping[str, LayerMap]) -> list[LayerUnit]:
    """What is left to try: of the components that have no match in place, the smallest matrices of each group. Unlike in
    place, no sample of lines will do, and those are enough."""
    groups: dict[tuple[str, str], list[LayerUnit]] = defaultdict(list)
    for unit in units:
        if unit.group in MATRIX_GROUPS and unit.component in maps and maps[unit.component].arrangement == "none":
            groups[unit.component, unit.group].append(unit)
    chosen = [sorted(group, key=lambda unit: prod(unit.shape))[:SMALLEST] for group in groups.values()]
    return [unit for group in chosen for unit in group]


def pool_groups(scores: Mapping[tuple[str, str], list[Scores]]) -> dict[tuple[str, str], Array]:
    """Roles pooled into groups, and a component's matrix groups into `ALL`: each group counts the same.

    `scores`: by component and group, of its roles, [LA, LB, 1 + R].
    """
    groups = {place: pool(roles) for place, roles in scores.items()}
    deciding: dict[str, list[Array]] = defaultdict(list)
    for (component, group), stacked in groups.items():
        if group in MATRIX_GROUPS:
            deciding[component].append(stacked)
    return groups | {(component, ALL): pool(found) for component, found in deciding.items()}


def without_itself(scores: Array) -> Array:
    """The scores of one model's layers with each other, but for each layer with itself."""
    found = scores.copy()
    found[np.diag_indices(scores.shape[0])] = np.nan
    return found

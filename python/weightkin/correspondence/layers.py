"""Which layer of A each layer of B matches, per component."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ..checkpoint.mapping import Shards
from ..schema import Model
from ..statistics.null import DRAWS
from .layer_scores import draws_of, unit_scores
from .layer_units import MATRIX_GROUPS, depth, layer_units
from .maps import Array, LayerMap, layer_map, pool

__all__ = ["LayerMap", "find_layer_maps"]

ALL = "all"
"""The pool of all matrix groups, which decides."""


def find_layer_maps(
    a: Model, b: Model, *, seed: int = 0, draws: int = DRAWS, threads: int = 1, experts: bool = False
) -> dict[str, LayerMap]:
    """The map of every component that both models have layers of, from attention, mlp, router (and, if asked for, experts).

    Reads up to 2^18 elements of each tensor. Raises `PlanError` if nothing can be compared.
    """
    units = layer_units(a, b, experts)
    counts = draws_of(units, draws)
    shards = (Shards(a.checkpoint), Shards(b.checkpoint))
    scores: dict[tuple[str, str], list[Array]] = defaultdict(list)
    for unit in units:
        depths = depth(a, unit.component), depth(b, unit.component)
        found = unit_scores(unit, shards, depths, counts.get(unit.component, 0), seed, threads)
        if found is not None:
            scores[unit.component, unit.group].append(found[0])
    for one in shards:
        one.check()
    pooled = pool_groups(scores)
    return {component: layer_map(stacked) for (component, group), stacked in pooled.items() if group == ALL}


def pool_groups(scores: Mapping[tuple[str, str], list[Array]]) -> dict[tuple[str, str], Array]:
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

"""An alignment and how sure it is, as summary.json has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..schema import Model
from ..statistics.null import pool, rank_p, z_score
from .alignment import Alignment, HeadMatch, Indices, Mlp, MlpMatch
from .applied import applied_mlps, children, confirmed
from .arrangement import arrangement
from .layer_match import LayerMatch
from .layer_units import depth
from .search import Found

Record = dict[str, Any]

IN_ORDER = 0.1
"""Share of neurons that may go back and be called in order: a few similar ones change places by chance."""


def describe(found: Found, experts: Sequence[Record]) -> Record:
    """What a search found, whether it had to be applied or is in place. `experts`: of `describe_layer`."""
    alignment = found.alignment
    return {
        "layers": {
            component: {
                "assignment": one.assignment.tolist(), "arrangement": one.arrangement,
                "applied": component in alignment.layers, "z": one.total[0], "p": one.total[1], "draws": one.draws,
            }
            for component, one in found.layers.items()
            if one.arrangement != "none"
        },
        "experts": [
            {key: value for key, value in one.items() if key not in ("statistic", "searched", "parameters")}
            for one in experts
            if one["mlps"]
        ],
        "heads": [
            _heads(component, one.layer_a, layer_b, one.match) | {
                "applied": (component, layer_b) in alignment.heads,
                "z": one.confirmed.z, "p": one.confirmed.p, "draws": one.confirmed.draws,
            }
            for (component, layer_b), one in found.heads.items()
            if one.match is not None and one.confirmed is not None
        ],
        "tested": _tested(found, experts),
        "notes": list(found.notes),
    }  # fmt: skip


def _tested(found: Found, experts: Sequence[Record]) -> list[Record]:
    """What the search as a whole says, of each component: also where nothing was found, which is a result."""
    out: list[Record] = [
        {"component": component, "kind": "layers", "z": one.total[0], "p": one.total[1], "draws": one.draws}
        for component, one in found.layers.items()
    ]
    for component in sorted({one["component"] for one in experts}):
        own = [one for one in experts if one["component"] == component]
        statistic = pool([np.array(one["statistic"]) for one in own])
        z = float(z_score(statistic))
        out.append({
            "component": component, "kind": "experts", "z": None if np.isnan(z) else z, "p": float(rank_p(statistic)),
            "draws": len(statistic) - 1, "layers": len(own),
            "experts": max(sum(one[side] for one in own) for side in ("experts_a", "experts_b")),
            "mlps": [sum(one["searched"][side] for one in own) for side in (0, 1)],
            "parameters": sum(one["parameters"] for one in own),
        })  # fmt: skip
    return out


def describe_given(alignment: Alignment, a: Model, b: Model) -> Record:
    """The same of an alignment that was given: nothing is known of how sure it is."""
    unknown = {"applied": True, "z": None, "p": None, "draws": 0}
    layers = {}
    for component, found in alignment.layers.items():
        assignment = np.array([found.get(layer, -1) for layer in range(depth(b, component))], np.int64)
        name = arrangement(assignment, depth(a, component))
        layers[component] = {"assignment": assignment.tolist(), "arrangement": name} | unknown
        layers[component]["applied"] = name != "identity"
    by_layer: dict[tuple[str, int, int], dict[Mlp, MlpMatch]] = defaultdict(dict)
    for mlp, match in alignment.mlps.items():
        by_layer[mlp.component, match.mlp.layer, mlp.layer][mlp] = match
    return {
        "layers": layers,
        "experts": [
            _assigned(place, matches, _routed(a, place[0], place[1]), _routed(b, place[0], place[2])) | unknown
            for place, matches in by_layer.items()
        ],
        "heads": [
            _heads(component, layer_a, layer, match) | unknown
            for (component, layer), match in alignment.heads.items()
            if (layer_a := alignment.layer_of(component, layer)) is not None
        ],
        "tested": [],
        "notes": alignment.other_files(a, b),
    }


def _heads(component: str, layer_a: int, layer_b: int, match: HeadMatch) -> Record:
    return {
        "component": component, "layer_a": layer_a, "layer_b": layer_b,
        "groups": match.groups.tolist(), "queries": match.queries.tolist(),
    }  # fmt: skip


def describe_layer(match: LayerMatch) -> Record:
    """The MLPs of one layer."""
    applied, matched = applied_mlps(match), children(match)
    pairs = {match.b[at].mlp: MlpMatch(match.a[match.assignment[at]].mlp, None) for at in matched}
    neurons = [match.neurons[at] for at in matched if at in match.neurons and confirmed(match, match.neurons[at])]
    routed = [[one.mlp.expert for one in side if one.mlp.expert is not None] for side in (match.a, match.b)]
    record = _assigned((match.component, match.layer_a, match.layer_b), pairs | applied, *routed)
    record |= {
        "statistic": match.statistic.tolist(), "searched": [len(match.a), len(match.b)],
        "parameters": max(sum(one.parameters for one in side) for side in (match.a, match.b)),
    }  # fmt: skip
    if not matched:
        return record
    return record | {
        "applied": bool(applied), "z": match.z, "p": match.p, "draws": len(match.statistic) - 1,
        "matched": float(match.scores[match.assignment[matched], matched].mean()), "background": match.background,
        "neuron_z": match.neuron_z(neurons) if neurons else None,
        "neuron_pearson": float(np.mean([one.neuron_pearson["up"] for one in neurons])) if neurons else None,
    }  # fmt: skip


def _assigned(
    place: tuple[str, int, int], matches: Mapping[Mlp, MlpMatch], routed_a: Sequence[int], routed_b: Sequence[int]
) -> Record:
    """`assignment`: of each routed expert of B, that of A; -1 for none, and for a parent that is not a routed expert."""
    parents = {mlp.expert: match.mlp.expert for mlp, match in matches.items() if mlp.expert is not None}
    assignment = [-1 if parents.get(expert) is None else parents[expert] for expert in routed_b]
    return {
        "component": place[0], "layer_a": place[1], "layer_b": place[2], "assignment": assignment,
        "experts_a": len(routed_a), "experts_b": len(assignment), "mlps": len(matches),
        "unmatched": sum(expert not in parents for expert in routed_b),
        "moved": sum(match.mlp[2:] != mlp[2:] for mlp, match in matches.items()),
        "neurons_moved": sum(match.neurons is not None for match in matches.values()),
        "neurons_reordered": sum(_reordered(match.neurons) for match in matches.values()),
        "from_dense": sum(mlp.expert is not None and match.mlp.expert is None for mlp, match in matches.items()),
        "identity_fraction": sum(match.mlp[2:] == mlp[2:] for mlp, match in matches.items()) / max(len(matches), 1),
    }  # fmt: skip


def _reordered(neurons: Indices | None) -> bool:
    """Whether neurons are in another order, not merely fewer: in a random order half of them go back."""
    if neurons is None:
        return False
    steps = np.diff(neurons[neurons >= 0])
    return bool(steps.size and np.mean(steps < 0) > IN_ORDER)


def _routed(model: Model, component: str, layer: int) -> list[int]:
    """Numbers of a layer's routed experts."""
    found = {
        slot.address.expert
        for slot in model.slots
        if slot.address[:2] == (component, layer) and slot.address.expert is not None
    }
    return sorted(found)

"""The tables of `experts` and the numbers of its summary, from what the search of each layer found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..correspondence.layer_choice import LayerPair
from ..correspondence.layer_match import LayerMatch
from ..correspondence.mlps import PARTS
from ..statistics.null import rank_p, z_score
from ..statistics.verdict import PEARSON, Z_EXPERT

MEASURED = (*PARTS, "all")

LAYERS = pa.schema(
    [("component", pa.string()), ("layer_a", pa.int64()), ("layer_b", pa.int64()), ("how", pa.string()),
     ("p_choice", pa.float64()), ("experts_a", pa.int64()), ("experts_b", pa.int64()), ("mlps_a", pa.int64()),
     ("mlps_b", pa.int64()), ("parameters", pa.int64()), ("matched_mlps", pa.int64()), ("matched_experts", pa.int64()),
     ("parents", pa.int64()), ("pattern", pa.string()), ("identity_fraction", pa.float64()), ("matched", pa.float64()),
     ("background", pa.float64()), ("z", pa.float64()), ("p", pa.float64()),
     ("p_adjusted", pa.float64()), ("draws", pa.int64()),
     ("router_z", pa.float64()), ("router_p", pa.float64()), ("router_z_hoeffding", pa.float64()),
     ("neurons_searched", pa.int64()), ("neurons_not_searched", pa.string()), ("neuron_z", pa.float64()),
     ("neuron_pearson", pa.float64()), ("neurons_in_place", pa.float64()), ("neuron_agreement", pa.float64()),
     ("pearson", pa.float64()), ("statistic", pa.list_(pa.float64()))]
)  # fmt: skip
"""One row per pair of layers. `statistic`: sum over B's MLPs of their best score, observed and in every relabelled copy.

`p` is a rank, `p_adjusted` by Benjamini and Hochberg over the rows. `matched`, `background`: mean score of matched pairs
and of all others. `router_z`: of router rows through the assignment, against copies whose assignment was searched for
anew; `router_z_hoeffding`: of the observed assignment among permutations.
`neuron_z`: of up and down through permutations found on gate, against searches in relabelled copies, in deviations of a
single pair. `neuron_pearson`: mean of up's and down's, `pearson`: of whole experts, both through those permutations.
"""

EXPERTS = pa.schema(
    [("component", pa.string()), ("layer_a", pa.int64()), ("layer_b", pa.int64()), ("kind_b", pa.string()),
     ("expert_b", pa.int64()), ("kind_a", pa.string()), ("expert_a", pa.int64()), ("best_kind_a", pa.string()),
     ("best_expert_a", pa.int64()), ("parameters", pa.int64()), ("score", pa.float64()), ("best", pa.float64()),
     ("second", pa.float64()), ("margin", pa.float64()), ("background", pa.float64()), ("z", pa.float64()),
     ("p", pa.float64()), ("router", pa.float64()), *((f"cosine_{part}", pa.float64()) for part in MEASURED),
     *((f"pearson_{part}", pa.float64()) for part in MEASURED),
     *((f"neuron_pearson_{part}", pa.float64()) for part in PARTS), ("neurons_a", pa.int64()), ("neurons_b", pa.int64()),
     ("neurons_in_place", pa.float64()), ("neuron_agreement", pa.int64()), ("neuron_agreement_p", pa.float64()),
     ("neuron_z", pa.float64())]
)  # fmt: skip
"""One row per MLP of B. `kind_a`, `expert_a`: the MLP of A that it matches, null if none stands out; `best_...`: the one of
the highest score, whether or not that means anything. `score`: of the match; `best`, `second`: the two highest; `margin`:
`score` - the highest of the others. `z`, `p`: of `best` among the best of each relabelled copy."""

NEURONS = pa.schema(
    [("component", pa.string()), ("layer_a", pa.int64()), ("layer_b", pa.int64()), ("kind_a", pa.string()),
     ("expert_a", pa.int64()), ("kind_b", pa.string()), ("expert_b", pa.int64()), ("matched", pa.bool_()),
     ("permutation", pa.list_(pa.int32()))]
)  # fmt: skip
"""`permutation`: for each neuron of B the neuron of A, -1 for none. `matched`: whether the two MLPs stand out as a match."""

SCHEMAS = {"layers": LAYERS, "experts": EXPERTS, "neurons": NEURONS}


def pack(match: LayerMatch, pair: LayerPair) -> bytes:
    """The rows of one layer pair, as the journal keeps them."""
    return json.dumps({
        "layers": [_without_nans(_layer_row(match, pair))],
        "experts": [_without_nans(_expert_row(match, at)) for at in range(len(match.b))],
        "neurons": [_neuron_row(match, at) for at in match.neurons],
        "assignment": _assignment(match),
    }).encode()  # fmt: skip


def unpack(payload: bytes) -> dict[str, Any]:
    """What `pack` packed."""
    found: dict[str, Any] = json.loads(payload)
    return found


def _assignment(match: LayerMatch) -> list[int]:
    """For each routed expert of B its expert of A; 0 for the dense MLP of a layer without experts; -1: none, or A's shared
    expert."""
    dense = match.routed[0] == 0
    return [
        -1
        if at < 0 or (at >= match.routed[0] and not (dense and match.a[at].mlp.kind == "mlp"))
        else _number(match, at)
        for at in match.assignment[: match.routed[1]].tolist()
    ]


def _number(match: LayerMatch, at: int) -> int:
    return match.a[at].mlp.expert or 0


def _layer_row(match: LayerMatch, pair: LayerPair) -> dict[str, Any]:
    routed_a, routed_b = match.routed
    matched = match.matched
    parents = set(match.assignment[matched].tolist())
    in_place = [match.a[match.assignment[at]].mlp[2:] == match.b[at].mlp[2:] for at in matched]
    experts = [held for at, held in zip(matched, in_place, strict=True) if at < routed_b]
    searched = [one for at, one in match.neurons.items() if match.assignment[at] >= 0] or list(match.neurons.values())
    known = match.router is not None
    return {
        "component": match.component, "layer_a": match.layer_a, "layer_b": match.layer_b, "how": pair.how,
        "p_choice": pair.p, "experts_a": routed_a, "experts_b": routed_b, "mlps_a": len(match.a), "mlps_b": len(match.b),
        "parameters": sum(one.parameters for one in match.b), "matched_mlps": len(matched),
        "matched_experts": len(experts), "parents": len(parents), "pattern": pattern(match),
        "identity_fraction": float(sum(experts) / routed_b) if routed_b else None,
        "matched": float(match.scores[match.assignment[matched], matched].mean()) if len(matched) else None,
        "background": match.background, "z": match.z, "p": match.p, "draws": len(match.statistic) - 1,
        "router_z": float(z_score(match.router)) if match.router is not None else None,
        "router_p": float(rank_p(match.router)) if match.router is not None else None,
        "router_z_hoeffding": match.router_z if known else None,
        "neurons_searched": len(match.neurons), "neurons_not_searched": match.not_searched,
        "neuron_z": match.neuron_z(searched),
        "neuron_pearson": _mean([(one.neuron_pearson["up"] + one.neuron_pearson["down"]) / 2 for one in searched]),
        "neurons_in_place": _mean([one.in_place for one in searched]),
        "neuron_agreement": _mean([one.agreement.agreeing / len(one.permutation) for one in searched]),
        "pearson": _mean([one.pearson["all"] for one in searched]), "statistic": match.statistic.tolist(),
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def pattern(match: LayerMatch) -> str:
    """What the assignment of routed experts (of a layer without any: of its MLPs) looks like, in a few words."""
    count = match.routed[1] or len(match.b)
    columns = match.matched[match.matched < count]
    if not len(columns):
        return "none" if not len(match.matched) else "shared expert only"
    parents = match.assignment[columns]
    if count == 1 and match.a[parents[0]].mlp[2:] != match.b[0].mlp[2:]:
        least = max(match.best[1:].max(), Z_EXPERT * match.deviation[0], PEARSON)
        return "several alike" if (match.scores[:, 0] > least).sum() > 1 else "one of several"
    children = np.bincount(parents)
    words = []
    if children.max() > max(1, len(columns) // 2) or (len(match.a) == 1 and len(columns) > 1):
        words.append("upcycled")
    elif all(match.a[a].mlp[2:] == match.b[b].mlp[2:] for a, b in zip(parents, columns, strict=True)):
        words.append("in place")
    else:
        words.append("permuted")
    if len(columns) < count:
        words.append("in part")
    elif match.routed[1] < match.routed[0] and "upcycled" not in words:
        words.append("pruned")
    return ", ".join(words)


def _expert_row(match: LayerMatch, at: int) -> dict[str, Any]:
    parent, best = int(match.assignment[at]), int(match.scores[:, at].argmax())
    mlp, scores = match.b[at].mlp, match.scores[:, at]
    ordered = np.sort(scores)[::-1]
    chosen = parent if parent >= 0 else best
    others = np.delete(scores, chosen)
    neurons = match.neurons.get(at)
    row: dict[str, Any] = {
        "component": match.component, "layer_a": match.layer_a, "layer_b": match.layer_b,
        "kind_b": mlp.kind, "expert_b": mlp.expert,
        "kind_a": match.a[parent].mlp.kind if parent >= 0 else None,
        "expert_a": match.a[parent].mlp.expert if parent >= 0 else None,
        "best_kind_a": match.a[best].mlp.kind, "best_expert_a": match.a[best].mlp.expert,
        "parameters": match.b[at].parameters, "score": float(scores[parent]) if parent >= 0 else None,
        "best": float(ordered[0]), "second": float(ordered[1]) if len(ordered) > 1 else None,
        "margin": float(scores[chosen] - others.max()) if len(others) else None,
        "background": float(others.mean()) if len(others) else None,
        "z": float(z_score(match.best[:, at])), "p": float(rank_p(match.best[:, at])),
        "router": _router(match, chosen, at), "neurons_a": match.a[chosen].neurons, "neurons_b": match.b[at].neurons,
    }  # fmt: skip
    if neurons is not None:
        for name, values in {
            "cosine": neurons.cosine,
            "pearson": neurons.pearson,
            "neuron_pearson": neurons.neuron_pearson,
        }.items():
            row |= {f"{name}_{part}": value for part, value in values.items()}
        row |= {
            "neurons_in_place": neurons.in_place, "neuron_agreement": neurons.agreement.agreeing,
            "neuron_agreement_p": neurons.agreement.p, "neuron_z": match.neuron_z([neurons]),
        }  # fmt: skip
    return row


def _router(match: LayerMatch, a: int, b: int) -> float | None:
    if match.router_scores is None or a >= match.routed[0] or b >= match.routed[1]:
        return None
    return float(match.router_scores[a, b])


def _neuron_row(match: LayerMatch, at: int) -> dict[str, Any]:
    parent = int(match.assignment[at])
    a, b = match.a[parent if parent >= 0 else int(match.scores[:, at].argmax())].mlp, match.b[at].mlp
    return {
        "component": match.component, "layer_a": match.layer_a, "layer_b": match.layer_b, "kind_a": a.kind,
        "expert_a": a.expert, "kind_b": b.kind, "expert_b": b.expert, "matched": parent >= 0,
        "permutation": match.neurons[at].permutation.tolist(),
    }  # fmt: skip


def _without_nans(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in row.items()}

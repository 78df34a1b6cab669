"""summary.json of `experts`: layers, components, and one statement that says what was tested, found and not tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..statistics.null import pool, rank_p, z_score
from ..statistics.verdict import FEWEST_DRAWS, Z_MATRIX
from .verdict import layers_text, percent

Row = Mapping[str, Any]


def summarise(
    names: Sequence[str],
    by: str,
    layers: str,
    found: Sequence[Mapping[str, Any]],
    untested: Sequence[tuple[str, int, str]],
    parameters: int,
) -> dict[str, Any]:
    """The entry "experts". `by`, `layers`: as asked for; `found`: unpacked records of layer pairs; `parameters`: of all of
    B's gated MLPs."""
    rows = [record["layers"][0] for record in found]
    components = [_component(name, rows) for name in dict.fromkeys(row["component"] for row in rows)]
    tested = sum(row["parameters"] for row in rows)
    entry: dict[str, Any] = {
        "by": by,
        "layers": [_layer(record) for record in found],
        "components": components,
        "untested": [dict(zip(("component", "layer_b", "reason"), one, strict=True)) for one in untested],
        "parameters": parameters, "parameters_tested": tested,
        "parameters_matched": sum(component["parameters_matched"] for component in components),
    }  # fmt: skip
    first = components[0] if components else {}
    entry |= {name: first.get(name) for name in ("z", "p", "draws")}
    matched = [record for record in found if record["layers"][0]["matched_mlps"]]
    entry["statement"] = _statement(names, (by, layers), entry, rows, [record["layers"][0] for record in matched])
    return entry


def _layer(record: Mapping[str, Any]) -> dict[str, Any]:
    row = record["layers"][0]
    kept = (
        "component", "layer_a", "layer_b", "how", "pattern", "identity_fraction", "matched", "background", "z", "p",
        "neuron_pearson", "neuron_z", "router_z", "pearson", "matched_mlps", "mlps_b", "matched_experts", "experts_b",
    )  # fmt: skip
    return {name: row[name] for name in kept} | {"assignment": record["assignment"]}


def _component(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Layers pooled draw by draw: the relabellings are the same in all of them, and so is what layers share."""
    own = [row for row in rows if row["component"] == name]
    statistic = pool([np.array(row["statistic"]) for row in own])
    share = [row["parameters"] * row["matched_mlps"] / row["mlps_b"] for row in own]
    return {
        "component": name, "layers": len(own), "layers_matched": sum(row["matched_mlps"] > 0 for row in own),
        "mlps": sum(row["mlps_b"] for row in own), "mlps_matched": sum(row["matched_mlps"] for row in own),
        "experts": sum(row["experts_b"] for row in own), "experts_matched": sum(row["matched_experts"] for row in own),
        "parameters": sum(row["parameters"] for row in own), "parameters_matched": round(sum(share)),
        "z": float(z_score(statistic)), "p": float(rank_p(statistic)), "draws": len(statistic) - 1,
    }  # fmt: skip


def _statement(
    names: Sequence[str], how: tuple[str, str], entry: Mapping[str, Any], rows: Sequence[Row], matched: Sequence[Row]
) -> str:
    a, b = names
    sentences = []
    for component in entry["components"]:
        own = [row for row in matched if row["component"] == component["component"]]
        sentences += _found(a, b, component, own) if own else [_nothing(a, b, component)]
    if not entry["components"]:
        sentences.append(f"No MLP of {b} could be tested.")
    if matched and any(row["neuron_z"] is not None for row in matched):
        sentences.append(_neurons(matched))
    mlps = "experts" if any(row["experts_a"] or row["experts_b"] for row in rows) else "MLPs"
    sentences += _limits(a, b, mlps, how, entry, bool(matched))
    return " ".join(sentences)


def _found(a: str, b: str, component: Row, rows: Sequence[Row]) -> list[str]:
    mlps = "experts and other MLPs" if component["experts"] else "MLPs"
    if component["experts"] == component["mlps"]:
        mlps = "experts"
    where = "" if component["component"] == "text" else f" in the {component['component']} part"
    mean = np.average([row["matched"] for row in rows], weights=[row["matched_mlps"] for row in rows])
    backgrounds = [row["background"] for row in rows if row["background"] is not None]
    others = f", {np.mean(backgrounds):.3f} for other pairs" if backgrounds else ""
    layers = f"{len(rows)} of {component['layers']} layers" if component["layers"] > 1 else "the one layer compared"
    first = (
        f"{component['mlps_matched']:,} of {component['mlps']:,} {mlps} of {b} match one of {a}{where}, in "
        f"{layers} (mean correlation {mean:.3f}{others}; z = "
        f"{component['z']:.0f} over all layers, above all {component['draws']} relabelled copies)."
    )
    if component["p"] > 1.5 / (component["draws"] + 1):
        first = first.replace(", above all", f", p = {component['p']:.2g} among")
    patterns: dict[str, list[int]] = {}
    for row in rows:
        if row["mlps_b"] > 1 or row["pattern"] != "in place":  # the only MLP of its layer has no number there
            patterns.setdefault(row["pattern"], []).append(row["layer_b"])
    moved = [row["layer_b"] for row in rows if row["layer_a"] != row["layer_b"]]
    if moved:
        first += (
            f" There, {layers_text(moved)} of {b} {'match' if len(moved) > 1 else 'matches'} layers of other numbers."
        )
    elif not component["experts"] and not patterns:
        first += " Each matches that of its own layer number."
    return [first, *(f"{_WORDS[key.split(', ')[0]]}{_more(key)}: {layers_text(at)}." for key, at in patterns.items())]


_WORDS = {
    "in place": "Within its layer, each has the number of the one that it matches",
    "permuted": "They stand in another order",
    "upcycled": "Many match one and the same MLP, as upcycling makes them",
    "one of several": "Their only MLP matches one of several of the other model's",
    "several alike": "Their only MLP matches several experts of the other model alike, the reverse of upcycling",
    "shared expert only": "Only the shared expert matches",
}


def _more(pattern: str) -> str:
    more = {"in part": "not all of them match", "pruned": "some of the other model's are missing"}
    return "".join(f", and {more[word]}" for word in pattern.split(", ")[1:])


def _neurons(rows: Sequence[Row]) -> str:
    searched = [row for row in rows if row["neuron_pearson"] is not None]
    pearson = np.mean([row["neuron_pearson"] for row in searched])
    z = min(row["neuron_z"] for row in searched if row["neuron_z"] is not None)
    place = np.mean([row["neurons_in_place"] for row in searched])
    order = "all neurons are in place" if place == 1 else f"{percent(float(place))} of the neurons are in place"
    return (
        f"Inside matched pairs, neurons matched by gate have correlations of {pearson:.3f} in up and down, which took no part "
        f"in matching them (z from {z:.0f} per layer); {order}."
    )


def _nothing(a: str, b: str, component: Row) -> str:
    where = "" if component["component"] == "text" else f"{component['component']} "
    pooled = (
        f"pooled z = {component['z']:.1f}, rank p = {component['p']:.2g} among {component['draws']} relabelled copies"
    )
    strong = component["z"] >= Z_MATRIX and component["p"] <= 1.5 / (component["draws"] + 1)
    if strong and component["draws"] >= FEWEST_DRAWS:
        return f"No single {where}MLP of {b} stands out, but together they resemble those of {a} ({pooled})."
    layers = f"{component['layers']} layers" if component["layers"] > 1 else "one layer"
    return f"No {where}MLP of {b} matches one of {a} in the {layers} compared ({pooled})."


def _limits(a: str, b: str, mlps: str, how: tuple[str, str], entry: Mapping[str, Any], found: bool) -> list[str]:
    sentences = []
    reasons: dict[tuple[str, str], list[int]] = {}
    for one in entry["untested"]:
        reasons.setdefault((one["component"], one["reason"].replace("A has", f"{a} has")), []).append(one["layer_b"])
    for (component, reason), layers in reasons.items():
        where = "" if component == "text" else f"{component} "
        sentences.append(f"Not tested: {where}{layers_text(layers)} of {b} ({reason}).")
    by, paired = how
    tried = (
        f"each layer of {b} was held against all of {a}"
        if paired == "all-pairs"
        else "only the layers listed were paired"
    )
    sentences.append(f"{mlps[0].upper()}{mlps[1:]} were matched by {_BY[by]}; {tried}.")
    if by in _UNSEEN:
        sentences.append(_UNSEEN[by])
    if found:
        sentences.append(
            "This does not tell which model came first, nor exclude two trainings from one initialisation."
        )
    else:
        elsewhere = "" if paired == "all-pairs" else "in other layers (--layers all-pairs) or "
        sentences.append(
            f"This is not proof of independence: {mlps} {elsewhere}behind a rotated residual stream would not be found."
        )
    return sentences


_BY = {
    "probe": "their answers to random inputs",
    "router": "their router rows",
    "weights": "weights of the same place",
}

_UNSEEN = {
    "router": "Router rows do not show experts under a new router, nor shared experts and dense MLPs; --by probe finds them.",
    "weights": "Weights of the same place do not show experts whose neurons stand in another order, nor shared experts and "
    "dense MLPs; --by probe finds them.",
}
"""What a way of matching other than the default misses."""

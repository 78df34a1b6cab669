"""Which expert of A each expert of B is, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cli.text import labels
from ..results import Results
from .columns import floats, numbers, sortable, strings, table_of, texts

SCORES = ("score", "best", "second", "background")
TITLES = {
    "component": "component", "layer_a": "layer of A", "layer_b": "layer of B", "kind_b": "kind", "expert_b": "expert of B",
    "kind_a": "kind in A", "expert_a": "is expert of A", "best_expert_a": "highest score", "score": "score", "margin": "margin",
    "z": "z", "p": "p", "router": "router rows", "pearson_all": "Pearson", "neuron_pearson_up": "neurons, up",
    "neuron_pearson_down": "neurons, down", "neurons_in_place": "neurons in place",
}  # fmt: skip
KINDS = {"p": "probability", "neurons_in_place": "share"}
TEXT = ("component", "kind_a", "kind_b")
WHOLE = ("layer_a", "layer_b", "expert_a", "expert_b", "best_expert_a")


def sections(results: Results) -> list[dict[str, Any]]:
    """A picture per layer with routed experts, and the table of `experts` if there is one."""
    layers = results.summary.get("experts", {}).get("layers", [])
    if not layers:
        return []
    scores = _scores(results)
    steps = [
        _layer(layer, scores.get((layer["component"], layer["layer_a"], layer["layer_b"]), {})) for layer in layers
    ]
    steps = [step for step in steps if step["assignment"]]
    names = labels(results.summary["models"])
    title = "Experts: assignment and scores, layer by layer"
    found = (
        [{"kind": "experts", "title": title, "steps": steps, "name_a": names[0], "name_b": names[-1]}] if steps else []
    )
    return [*found, _table(results)] if "experts" in results.table_names else found


def _layer(layer: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("component", "layer_a", "layer_b", "assignment", "identity_fraction", "z", "p", "matched", "background")
    return {key: layer[key] for key in keys} | {"scores": scores}


def _scores(results: Results) -> dict[tuple[str, int, int], dict[str, Any]]:
    """By component and pair of layers: of each routed expert of B, in order, the columns `SCORES`."""
    if "experts" not in results.table_names:
        return {}
    table = table_of(results, "experts", ("component", "layer_a", "layer_b", "kind_b", "expert_b", *SCORES))
    kinds = np.array(strings(table, "kind_b"), dtype=object)
    expert, values = floats(table, "expert_b"), {name: floats(table, name) for name in SCORES}
    keys = list(zip(*(table[name].to_pylist() for name in ("component", "layer_a", "layer_b")), strict=True))
    rows: dict[tuple[str, int, int], list[int]] = {}
    for row in np.flatnonzero((kinds == "expert") & np.isfinite(expert)):
        rows.setdefault(keys[row], []).append(int(row))
    return {
        key: {name: numbers(column[sorted(own, key=lambda row: expert[row])]) for name, column in values.items()}
        for key, own in rows.items()
    }


def _table(results: Results) -> dict[str, Any]:
    table = table_of(results, "experts", list(TITLES))
    columns = [
        (name, title, "text", texts(strings(table, name)))
        if name in TEXT
        else (name, title, "integer" if name in WHOLE else KINDS.get(name, "number"), numbers(floats(table, name)))
        for name, title in TITLES.items()
    ]
    return sortable("Experts and other MLPs of B", columns, "experts.csv")

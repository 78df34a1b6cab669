"""What an alignment did: the keys of summary.json, the words of a verdict, and the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def alignment_keys(record: Record) -> dict[str, Any]:
    """`alignment` in short, and `layers`, `experts`, `heads` in full, of what was found.

    `record`: of aligning.py.
    """
    layers, experts, heads = (record.get(kind) for kind in ("layers", "experts", "heads"))
    short = {key: value for key, value in record.items() if key not in ("layers", "experts", "heads")}
    out: dict[str, Any] = {"alignment": short}
    short["layers"] = {component: one["assignment"] for component, one in (layers or {}).items() if one["applied"]}
    keys = ("component", "layer_a", "layer_b", "identity_fraction", "neurons_moved")
    short["experts"] = [{key: one[key] for key in keys} for one in experts or () if one["applied"]]
    short["heads"] = [{key: one[key] for key in keys[:3]} for one in heads or () if one["applied"]]
    if layers:
        first = "text" if "text" in layers else next(iter(layers))
        out["layers"] = {"assignment": layers[first]["assignment"], "components": layers}
    if experts:
        out["experts"] = {"layers": experts}
    if heads:
        out["heads"] = {"layers": heads}
    return out

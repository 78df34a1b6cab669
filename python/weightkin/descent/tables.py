"""The tables of `lineage`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from .distances import DISTANCES, Distances

EDGES = pa.schema(
    [("a", pa.int16()), ("b", pa.int16()), ("name_a", pa.string()), ("name_b", pa.string()), ("kind", pa.string()),
     ("relation", pa.string()), ("how", pa.list_(pa.string())), ("parts", pa.list_(pa.string())), ("pearson", pa.float64()),
     ("z", pa.float64()), ("distance", pa.float64()), ("length", pa.float64()), ("support", pa.float64()),
     ("child", pa.int16()), ("reasons", pa.list_(pa.string()))]
)  # fmt: skip
"""One row per edge of summary["lineage"]. `kind`: "tree", or "secondary" where a model has a second parent. `length`: squared
distance in balanced form (distances.py), which adds up along branches; `distance`: its root, about the relative size of the
change. `child`: the end that is likely younger, null where nothing tells."""


def edges_table(summary: Mapping[str, Any]) -> pa.Table:
    """`EDGES` of a summary."""
    lineage = summary["lineage"]
    names = [node["name"] for node in lineage["nodes"]]
    rows = [edge | {"name_a": names[edge["a"]], "name_b": names[edge["b"]]} for edge in lineage["edges"]]
    return pa.Table.from_pylist([{name: row[name] for name in EDGES.names} for row in rows], EDGES)


def distances_table(number: int, found: Distances) -> pa.Table:
    """Rows of `distances.DISTANCES` of family `number`."""
    return pa.Table.from_pylist([row | {"family": number} for row in found.rows()], DISTANCES)

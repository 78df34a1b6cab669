"""The parquet tables of a run over layers: every pair of layers by groups (`layers`) and by roles (`layer_roles`), every layer
of B (`maps`), and of one model the likeness of its own layers by their distance (`baselines`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ..correspondence.maps import Array, LayerMap
from ..similarity import PairSums, cosine, cosine_if_uncorrelated, pearson

LAYERS = pa.schema(
    [("component", pa.string()), ("group", pa.string()), ("layer_a", pa.int64()), ("layer_b", pa.int64()),
     ("elements", pa.int64()), ("cosine", pa.float64()), ("cosine_if_uncorrelated", pa.float64()),
     ("pearson", pa.float64()), ("aligned_cosine", pa.float64()), ("score", pa.float64()), ("z", pa.float64()),
     ("p", pa.float64()), ("draws", pa.int64())]
)  # fmt: skip
"""Group "all": the matrices that decide the map; "unordered": their products of channels, where nothing matched in place.
Cosine and Pearson are of all elements; `aligned_cosine`, `score`, z and p are of the balanced lines that were drawn. p is the
rank of this pair of layers, whichever it is, among its own draws."""

LAYER_ROLES = LAYERS.insert(2, pa.field("role", pa.string()))
"""The same of every role, whose group is "attention", "mlp", ..."""

MAPS = pa.schema(
    [("component", pa.string()), ("group", pa.string()), ("layer_b", pa.int64()), ("layer_a", pa.int64()),
     ("monotone", pa.int64()), ("best", pa.int64()), ("score", pa.float64()), ("z", pa.float64()), ("p", pa.float64()),
     ("draws", pa.int64()), ("second", pa.int64()), ("margin", pa.float64()), ("margin_neighbours", pa.float64())]
)  # fmt: skip
"""`layer_a` is -1 where nothing matches; `best` has the highest score all the same. z and p are of the highest score among the
highest of every draw, so they know of the search. Margins are differences of scores."""

BASELINES = pa.schema(
    [("component", pa.string()), ("group", pa.string()), ("distance", pa.int64()), ("with_first", pa.bool_()),
     ("pairs", pa.int64()), ("cosine", pa.float64()), ("pearson", pa.float64())]
)  # fmt: skip
"""Means over the pairs of layers (l, l + distance); those with layer 0, which is unlike the others, apart."""


def schemas(models: int) -> dict[str, pa.Schema]:
    """The tables of a run over one model or two."""
    return {"layers": LAYERS, "maps": MAPS, "layer_roles": LAYER_ROLES} | (
        {"baselines": BASELINES} if models == 1 else {}
    )


def layers_table(
    component: str,
    group: str,
    sums: PairSums,
    aligned: Array,
    found: LayerMap | None,
    one: bool,
    role: str | None = None,
) -> pa.Table:
    """The pairs of layers that were compared, of a group or of a `role` in it; `one`: of one model, without those of a layer
    and itself."""
    held = (np.asarray(sums.elements) > 0) | np.isfinite(aligned)
    if one:
        held = held & ~np.eye(len(held), dtype=bool)
    columns: dict[str, Any] = dict(zip(("layer_a", "layer_b"), np.nonzero(held), strict=True))
    measures = {
        "elements": sums.elements.astype(np.int64), "cosine": cosine(sums), "pearson": pearson(sums),
        "cosine_if_uncorrelated": cosine_if_uncorrelated(sums), "aligned_cosine": aligned,
    }  # fmt: skip
    if found is not None:
        measures |= {"score": found.scores, "z": found.cell_z, "p": found.cell_p}
        columns["draws"] = np.full(held.sum(), found.draws)
    columns |= {name: values[held] for name, values in measures.items()}
    if role is None:
        return _table(LAYERS, columns, component, group)
    return _table(LAYER_ROLES, columns | {"role": [role] * int(held.sum())}, component, group)


def maps_table(component: str, group: str, found: LayerMap) -> pa.Table:
    """A row per layer of B."""
    depth = len(found.assignment)
    columns: dict[str, Any] = {
        "layer_b": np.arange(depth), "layer_a": found.assignment, "monotone": found.monotone, "best": found.free,
        "score": found.scores[found.chosen, np.arange(depth)], "z": found.z, "p": found.p,
        "draws": np.full(depth, found.draws), "second": found.second, "margin": found.margin,
        "margin_neighbours": found.margin_neighbours,
    }  # fmt: skip
    return _table(MAPS, columns, component, group)


def baselines(component: str, group: str, sums: PairSums) -> Iterator[dict[str, Any]]:
    """Rows of `baselines`, of the layers of one model."""
    values = {"cosine": cosine(sums), "pearson": pearson(sums)}
    held = np.asarray(sums.elements) > 0
    for distance in range(1, len(held)):
        first = np.arange(len(held) - distance)
        for with_first in (False, True):
            rows = first[(first == 0) == with_first]
            rows = rows[held[rows, rows + distance]]
            if rows.size:
                means = {name: float(matrix[rows, rows + distance].mean()) for name, matrix in values.items()}
                place = {"component": component, "group": group, "distance": distance, "with_first": with_first}
                yield place | {"pairs": rows.size} | means


def _table(schema: pa.Schema, columns: dict[str, Any], component: str, group: str) -> pa.Table:
    """NaN as null; columns that are not there as nulls."""
    rows = len(columns["layer_b"])
    columns |= {"component": [component] * rows, "group": [group] * rows}
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)

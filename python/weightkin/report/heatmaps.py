"""Roles by layers: cosine, the cosine that no correlation would give, Pearson, z. And norms, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ..results import Results
from ..schema import display_order
from .columns import Array, floats, numbers, of_layer, strings, table_of
from .pairs import Pair, pairs_of

MEASURES = ("cosine", "cosine_if_uncorrelated", "pearson", "z")
COLUMNS = ("a", "b", "component", "group", "role", "parameters", "status", *MEASURES, "cv_a", "cv_b")


class _Cells:
    """Compared tensors of one pair and component, by role and layer."""

    def __init__(self, table: pa.Table, layer: Array) -> None:
        self.table = table
        groups, roles = strings(table, "group"), strings(table, "role")
        keys = sorted({(str(group), str(role)) for group, role in zip(groups, roles, strict=True)}, key=display_order)
        self.groups, self.roles = [group for group, _ in keys], [role for _, role in keys]
        self.layers = np.unique(layer)
        place = {role: number for number, role in enumerate(self.roles)}
        at_role = np.array([place[str(role)] for role in roles], dtype=np.int64)
        self.cell = at_role * len(self.layers) + np.searchsorted(self.layers, layer)
        self.shape = len(self.roles), len(self.layers)

    def count(self) -> Array:
        return np.bincount(self.cell, minlength=self.shape[0] * self.shape[1]).reshape(self.shape).astype(np.float64)

    def mean(self, name: str, weigh: bool) -> Array:
        """[roles, layers]: mean over the tensors of a cell (experts), by their parameters if `weigh`.

        NaN where there is none."""
        values = floats(self.table, name)
        known = np.isfinite(values)
        weights = floats(self.table, "parameters")[known] if weigh else np.ones(known.sum())
        size = self.shape[0] * self.shape[1]
        total = np.bincount(self.cell[known], weights * values[known], size)
        weight = np.bincount(self.cell[known], weights, size)
        return np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan).reshape(self.shape)


def sections(results: Results) -> list[dict[str, Any]]:
    """The map of roles by layers, and the norms; each only if there is something to draw."""
    if "tensors" not in results.table_names or not pairs_of(results):
        return []
    column = of_layer(results, "tensors")
    table = table_of(results, "tensors", (*COLUMNS, column))
    layer = floats(table, column)
    status = np.array(strings(table, "status"), dtype=object)
    sides, components = (floats(table, "a"), floats(table, "b")), np.array(strings(table, "component"), dtype=object)
    maps, norms = [], []
    for pair in pairs_of(results):
        own = (sides[0] == pair.a) & (sides[1] == pair.b) & (status == "compared") & np.isfinite(layer)
        names = sorted({str(name) for name in components[own]}, key=lambda name: display_order((name,)))
        for component in names:
            rows = np.flatnonzero(own & (components == component))
            cells = _Cells(table.take(rows), layer[rows])
            label = pair.label if names == ["text"] else f"{pair.label}: {component}"
            maps.append(_map(cells, label) | {"pooled": _pooled(results, pair, component, cells.layers)})
            if "norms" in cells.groups:
                norms.append(_norms(cells, label))
    found = [{"kind": "roles", "title": "Roles and layers", "variants": maps}] if maps else []
    return found + ([{"kind": "norms", "title": "Norm gains, layer by layer", "variants": norms}] if norms else [])


def _map(cells: _Cells, label: str) -> dict[str, Any]:
    measures = {name: numbers(cells.mean(name, name != "z").ravel()) for name in MEASURES}
    return {"label": label, "roles": cells.roles, "layers": cells.layers.tolist(), "measures": measures,
            "tensors": numbers(cells.count().ravel())}  # fmt: skip


def _pooled(results: Results, pair: Pair, component: str, layers: Array) -> dict[str, Any] | None:
    """z of every group in every layer, pooled draw by draw; None without a null."""
    if "nulls" not in results.table_names:
        return None
    column = of_layer(results, "nulls")
    found = [
        row
        for row in table_of(results, "nulls", ("a", "b", "level", "component", "group", column, "z")).to_pylist()
        if (row["a"], row["b"], row["level"], row["component"]) == (pair.a, pair.b, "layer", component)
    ]
    groups = sorted({row["group"] for row in found}, key=lambda group: display_order((group,)))
    z = np.full((len(groups), len(layers)), np.nan)
    for row in found:
        at = np.flatnonzero(layers == row[column])
        if at.size and row["z"] is not None:
            z[groups.index(row["group"]), at[0]] = row["z"]
    return {"roles": groups, "z": numbers(z.ravel())} if groups else None


def _norms(cells: _Cells, label: str) -> dict[str, Any]:
    rows = [number for number, group in enumerate(cells.groups) if group == "norms"]
    names = ("cosine", "cosine_if_uncorrelated", "pearson", "cv_a", "cv_b")
    measures = {name: cells.mean(name, False)[rows] for name in names}
    return {"label": label, "roles": [cells.roles[row] for row in rows], "layers": cells.layers.tolist(),
            "measures": {name: numbers(values.ravel()) for name, values in measures.items()}}  # fmt: skip

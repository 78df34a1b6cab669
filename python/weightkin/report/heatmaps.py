"""Roles by layers: cosine, the cosine that no correlation would give, Pearson, z. And norms, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..results import Results
from ..schema import display_order
from .columns import Array, floats, numbers, of_layer, strings, table_of
from .pairs import Pair

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


def sections(results: Results, pairs: Sequence[Pair], note: str) -> list[dict[str, Any]]:
    """The map of roles by layers, and the norms; each only if there is something to draw. `note`: which `pairs` those are."""
    if "tensors" not in results.table_names or not pairs:
        return []
    column = of_layer(results, "tensors")
    table = table_of(results, "tensors", (*COLUMNS, column))
    layer = floats(table, column)
    compared = np.array(strings(table, "status"), dtype=object) == "compared"
    sides, components = (floats(table, "a"), floats(table, "b")), np.array(strings(table, "component"), dtype=object)
    pooled = _Pooled(results)
    maps, norms = [], []
    for pair in pairs:
        own = np.flatnonzero((sides[0] == pair.a) & (sides[1] == pair.b) & compared & np.isfinite(layer))
        names = sorted({str(name) for name in components[own]}, key=lambda name: display_order((name,)))
        for component in names:
            rows = own[components[own] == component]
            cells = _Cells(table.take(rows), layer[rows])
            label = pair.label if names == ["text"] else f"{pair.label}: {component}"
            maps.append(_map(cells, label) | {"pooled": pooled.of(pair, component, cells.layers)})
            if "norms" in cells.groups:
                norms.append(_norms(cells, label))
    found = [{"kind": "roles", "title": "Roles and layers", "note": note, "variants": maps}] if maps else []
    title = "Norm gains, layer by layer"
    return found + ([{"kind": "norms", "title": title, "note": note, "variants": norms}] if norms else [])


def _map(cells: _Cells, label: str) -> dict[str, Any]:
    measures = {name: numbers(cells.mean(name, name != "z").ravel()) for name in MEASURES}
    return {"label": label, "roles": cells.roles, "layers": cells.layers.tolist(), "measures": measures,
            "tensors": numbers(cells.count().ravel())}  # fmt: skip


class _Pooled:
    """z of every group in every layer, pooled draw by draw."""

    def __init__(self, results: Results) -> None:
        self._rows: dict[tuple[int, int, str], list[tuple[str, int, float]]] = defaultdict(list)
        if "nulls" not in results.table_names:
            return
        column = of_layer(results, "nulls")
        table = table_of(results, "nulls", ("a", "b", "level", "component", "group", column, "z"))
        for row in table.filter(pc.equal(table["level"], "layer")).to_pylist():
            if row["z"] is not None:
                self._rows[row["a"], row["b"], row["component"]].append((row["group"], row[column], row["z"]))

    def of(self, pair: Pair, component: str, layers: Array) -> dict[str, Any] | None:
        """[groups, layers]; None without a null."""
        found = self._rows[pair.a, pair.b, component]
        groups = sorted({group for group, _, _ in found}, key=lambda group: display_order((group,)))
        z = np.full((len(groups), len(layers)), np.nan)
        for group, layer, value in found:
            z[groups.index(group), layers == layer] = value
        return {"roles": groups, "z": numbers(z.ravel())} if groups else None


def _norms(cells: _Cells, label: str) -> dict[str, Any]:
    rows = [number for number, group in enumerate(cells.groups) if group == "norms"]
    names = ("cosine", "cosine_if_uncorrelated", "pearson", "cv_a", "cv_b")
    measures = {name: cells.mean(name, False)[rows] for name in names}
    return {"label": label, "roles": [cells.roles[row] for row in rows], "layers": cells.layers.tolist(),
            "measures": {name: numbers(values.ravel()) for name, values in measures.items()}}  # fmt: skip

"""Layers of B against layers of A, with the map that was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..cli.text import labels
from ..results import Results
from ..schema import display_order
from .columns import Array, floats, numbers, sortable, strings, table_of, texts

MEASURES = ("score", "z", "pearson", "cosine", "cosine_if_uncorrelated", "aligned_cosine")
ROLE_MEASURES = ("score", "pearson", "cosine", "cosine_if_uncorrelated")
"""Of single roles: there are many, and a page has not room for all."""
MAPS = {
    "component": "component", "group": "group", "layer_b": "layer of B", "layer_a": "is layer of A", "best": "highest score",
    "second": "second", "score": "score", "margin": "margin", "margin_neighbours": "over neighbours", "z": "z", "p": "p",
}  # fmt: skip
KINDS = {"score": "number", "margin": "number", "margin_neighbours": "number", "z": "number", "p": "probability"}
DECIDING = ("all", "unordered")
"""Groups that stand for all matrices: shown first."""
BASELINES = {"cosine": "cosine", "pearson": "Pearson"}


def sections(results: Results) -> list[dict[str, Any]]:
    """Of results of `layers` (others have a table of that name too, with other columns)."""
    if "maps" not in results.table_names:
        return []
    maps = table_of(results, "maps", list(MAPS))
    found = {(row["component"], row["group"], row["layer_b"]): row["layer_a"] for row in maps.to_pylist()}
    decided = {
        component: "all" if entry["in_place"] else "unordered"
        for component, entry in results.summary["layers"]["components"].items()
    }
    variants = []
    for (component, group), held in _matrices(results, "layers", ("component", "group"), MEASURES):
        label = {"all": "all matrices", "unordered": "all matrices, by products of channels"}.get(group, group)
        rings = [found.get((component, group, layer), -1) for layer in held["b"]]
        variants.append(held | {"label": label if component == "text" else f"{component}: {label}", "map": rings})
    if "layer_roles" in results.table_names:
        for (component, _, role), held in _matrices(
            results, "layer_roles", ("component", "group", "role"), ROLE_MEASURES
        ):
            rings = [found.get((component, decided.get(component, "all"), layer), -1) for layer in held["b"]]
            label = role if component == "text" else f"{component}: {role}"
            variants.append(held | {"label": label, "map": rings})
    names = labels(results.summary["models"])
    sides = {"name_a": names[0], "name_b": names[-1]}
    columns = [
        (name, title, KINDS.get(name, "text" if name in ("component", "group") else "integer"),
         texts(strings(maps, name)) if name in ("component", "group") else numbers(_numbers(maps, name)))
        for name, title in MAPS.items()
    ]  # fmt: skip
    out = [
        {"kind": "layers", "title": "Layers against layers", "variants": variants, **sides},
        sortable("Map of the layers", columns, "maps.csv"),
    ]
    return out + ([_baselines(results)] if "baselines" in results.table_names else [])


def _matrices(
    results: Results, name: str, keys: Sequence[str], measures: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Of every group or role of a table, those that decide first: layers of A (`a`) and of B (`b`), and the measures between
    them as flat matrices."""
    table = table_of(results, name, (*keys, "layer_a", "layer_b", *measures))
    places = np.array([strings(table, key) for key in keys], dtype=object)
    a, b = floats(table, "layer_a"), floats(table, "layer_b")
    values = {measure: floats(table, measure) for measure in measures}
    for key in sorted(set(map(tuple, places.T)), key=lambda key: (key[1] not in DECIDING, display_order(key))):
        own = np.all(np.equal(places.T, np.array(key, dtype=object)), axis=1)
        above, across = np.unique(a[own]), np.unique(b[own])
        cells = np.searchsorted(above, a[own]), np.searchsorted(across, b[own])
        held = {}
        for measure, column in values.items():
            matrix = np.full((len(above), len(across)), np.nan)
            matrix[cells] = column[own]
            if np.isfinite(matrix).any():
                held[measure] = numbers(matrix.ravel())
        yield key, {"a": above.astype(int).tolist(), "b": across.astype(int).tolist(), "measures": held}


def _numbers(maps: pa.Table, name: str) -> Array:
    """A column; no layer where it says -1."""
    values = floats(maps, name)
    return np.where(values < 0, np.nan, values) if name in ("layer_a", "best", "second") else values


def _baselines(results: Results) -> dict[str, Any]:
    """How alike layers of one model are, by their distance."""
    table = table_of(results, "baselines", ("component", "group", "distance", "with_first", "pairs", *BASELINES))
    columns = [(name, name, "text", texts(strings(table, name))) for name in ("component", "group")]
    columns += [(name, name, "integer", numbers(floats(table, name))) for name in ("distance", "pairs")]
    layer_0 = ["yes" if value else "no" for value in table["with_first"].to_pylist()]
    columns.append(("with_first", "with layer 0", "text", texts(layer_0)))
    columns += [(name, title, "number", numbers(floats(table, name))) for name, title in BASELINES.items()]
    return sortable("Layers of one model, by their distance", columns, "baselines.csv")

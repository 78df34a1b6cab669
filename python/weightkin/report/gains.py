"""Norm gains of A against those of B, channel by channel, with their moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ..results import Results
from ..schema import display_order
from .columns import Array, Packed, counts, floats, numbers, of_layer, sortable, strings, table_of, texts
from .pairs import Pair, pairs_of, place

MEASURES = {"cosine": "cosine", "cosine_if_uncorrelated": "if uncorrelated", "pearson": "Pearson"}
LAYERS = {"layer": "layer of A", "layer_b": "layer of B"}
FEWEST = 64
"""Channels of a vector that are drawn, however many vectors there are."""

Key = tuple[int, str, str, int | None]
"""Model, component, role and layer."""


@dataclass(frozen=True)
class _Norm:
    """One role of a pair: by layer, where the page has its vectors, and how similar they are."""

    pair: str
    name: str
    columns: dict[str, Array]
    pooled: dict[str, float | None]


def sections(results: Results, pairs: Sequence[Pair], most: int, note: str) -> list[dict[str, Any]]:
    """The picture of `pairs` and a table of moments; [] where nothing is stored. `most`: values on the page; `note`: which
    pairs those are."""
    if not {"tensors", "gains"} <= {*results.table_names} or not pairs:
        return []
    vectors = _Vectors(results)
    norms = list(_norms(results, pairs, vectors))
    if not norms:
        return []
    packed, step = vectors.packed(most)
    thinned = f"One channel in {step} is drawn; measures and moments are of all. " if step > 1 else ""
    title = "Norm gains of A against B"
    variants = [
        {"label": label, "norms": [_packed(norm) for norm in norms if norm.pair == label]}
        for label in dict.fromkeys(norm.pair for norm in norms)
    ]
    picture = {"kind": "gains", "title": title, "note": thinned + note, "variants": variants, "vectors": packed}
    return [picture, _moments(norms, vectors, note)]


def _packed(norm: _Norm) -> dict[str, Any]:
    columns = {name: numbers(values) for name, values in norm.columns.items()}
    return {"name": norm.name, "columns": columns, "pooled": norm.pooled}


def _moments(norms: Sequence[_Norm], vectors: _Vectors, note: str) -> dict[str, Any]:
    """A row per pair, norm and layer."""

    def column(name: str) -> Array:
        return np.concatenate([norm.columns[name] for norm in norms])

    def repeated(names: Sequence[str]) -> Packed:
        return texts([name for name, norm in zip(names, norms, strict=True) for _ in norm.columns["of_a"]])

    labels = [norm.pair for norm in norms]
    columns = [("pair", "pair", "text", repeated(labels))] if len(set(labels)) > 1 else []
    columns.append(("norm", "norm", "text", repeated([norm.name for norm in norms])))
    columns += [(name, title, "integer", numbers(column(name))) for name, title in LAYERS.items()]
    of = {side: column(f"of_{side}").astype(np.int64) for side in "ab"}
    columns.append(("channels", "channels", "integer", numbers(vectors.column("channels")[of["a"]])))
    columns += [
        (f"{name}_{side}", f"{name} of {side.upper()}", "number", numbers(vectors.column(name)[of[side]]))
        for side in "ab"
        for name in ("mean", "deviation")
    ]
    columns += [(name, title, "number", numbers(column(name))) for name, title in MEASURES.items()]
    return sortable("Moments of norm gains", columns, "gains.csv", note=note)


class _Vectors:
    """Rows of the table `gains`; of those that a pair shows, the page carries the values once."""

    def __init__(self, results: Results) -> None:
        names = ("model", "component", "role", "layer", "channels", "mean", "deviation", "step", "values")
        self._table = table_of(results, "gains", names)
        keys = zip(*(self._table[name].to_pylist() for name in names[:4]), strict=True)
        self._rows: dict[Key, int] = {key: row for row, key in enumerate(keys)}
        self._shown: dict[int, int] = {}

    def place(self, key: Key) -> int | None:
        """Where the page has a vector; from now on it does. None if it is not stored."""
        row = self._rows.get(key)
        return None if row is None else self._shown.setdefault(row, len(self._shown))

    def column(self, name: str) -> Array:
        """Of the vectors that the page has."""
        return floats(self._table, name)[list(self._shown)]

    def packed(self, most: int) -> tuple[dict[str, Any], int]:
        """Values as the upper halves of float32, which is all that there is of BF16; and of how many channels one is kept.

        Vectors of one length keep the same channels, in all models.
        """
        table = self._table.take(list(self._shown))
        stored = [np.asarray(one, dtype=np.float32) for one in table["values"].to_pylist()]
        limit = max(FEWEST, most // len(stored))
        kept = [one[:: max(1, -(-len(one) // limit))] for one in stored]
        codes = [one.astype(ml_dtypes.bfloat16).view(np.uint16) for one in kept]
        columns = {name: numbers(floats(table, name)) for name in ("channels", "mean", "deviation")}
        sizes = [len(one) for one in codes]
        step = max((-(-len(one) // limit) for one in stored), default=1) * int(floats(table, "step").max(initial=1))
        return columns | {"sizes": numbers(sizes), "codes": counts(np.concatenate(codes))}, step


def _norms(results: Results, pairs: Sequence[Pair], vectors: _Vectors) -> Iterator[_Norm]:
    """Of every pair and norm."""
    names = ("a", "b", "component", "group", "role", "layer", "status", *MEASURES)
    column = of_layer(results, "tensors")
    table = table_of(results, "tensors", list(dict.fromkeys((*names, column))))
    own = (np.array(strings(table, "group"), dtype=object) == "norms") & (
        np.array(strings(table, "status"), dtype=object) == "compared"
    )
    rows = table.take(np.flatnonzero(own)).to_pylist()
    entries = {
        (pair.a, pair.b, entry["component"], entry["role"]): entry
        for pair in pairs_of(results)
        for entry in pair.entry["roles"]
    }
    for pair in pairs:
        norms: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            if (row["a"], row["b"]) == (pair.a, pair.b):
                key = row["component"], row["role"]
                of_a = vectors.place((pair.a, *key, row["layer"]))
                of_b = vectors.place((pair.b, *key, row[column]))
                if of_a is not None and of_b is not None:
                    norms.setdefault(key, []).append(row | {"of_a": of_a, "of_b": of_b, "layer_b": row[column]})
        for key, held in sorted(norms.items(), key=lambda item: display_order(item[0])):
            held.sort(key=lambda row: (row["layer_b"] is None, row["layer_b"]))
            names = (*LAYERS, "of_a", "of_b", *MEASURES)
            columns = {
                name: np.array([np.nan if row[name] is None else row[name] for row in held], np.float64)
                for name in names
            }
            pooled = entries.get((pair.a, pair.b, *key), {})
            name = place({"component": key[0], "role": key[1]}, "role")
            yield _Norm(pair.label, name, columns, {name: pooled.get(name) for name in MEASURES})

"""The table of tensors, as many as a page can hold, and the blocks of those that have several."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..results import Results
from .columns import Array, Packed, floats, numbers, sortable, strings, table_of, texts
from .pairs import pairs_of

Rows = npt.NDArray[np.int64]

PLACE = ("component", "group", "layer", "role", "expert")
COUNTERPARTS = {"layer_b": "layer of B", "expert_b": "expert of B"}
"""Columns of tables whose parts may have been compared out of place."""
MEASURES = {
    "cosine": "cosine", "cosine_if_uncorrelated": "if uncorrelated", "pearson": "Pearson", "relative_l2_a": "|A-B| / |A|",
    "mean_abs_difference": "mean |A-B|", "max_abs_difference": "max |A-B|", "changed_fraction": "changed", "z": "z", "p": "p",
    "p_adjusted": "p (BH)",
}  # fmt: skip
KINDS = {"changed_fraction": "share", "p": "probability", "p_adjusted": "probability"}
OTHERS = ("a", "b", "name_a", "name_b", "dtype_a", "dtype_b", "shape_a", "shape_b", "parameters", "status", "reason")
BLOCK_MEASURES = ("pearson", "relative_l2_a", "changed_fraction")


def sections(results: Results, most_tensors: int, most_blocks: int) -> list[dict[str, Any]]:
    """The map of blocks and the table; [] for results without tensors. The limits are of what the page holds."""
    pairs = {(pair.a, pair.b): pair.label for pair in pairs_of(results)}
    if "tensors" not in results.table_names or not pairs:
        return []
    counterparts = [name for name in COUNTERPARTS if name in results["tensors"].column_names]
    table = table_of(results, "tensors", [*PLACE, *counterparts, *OTHERS, *MEASURES])
    rows = _chosen(table, len(pairs), most_tensors)
    total, table = len(table), table.take(rows)
    note = (
        f"The {len(rows):,} tensors that differ most of {total:,}; tensors.parquet has all."
        if len(rows) < total
        else ""
    )
    maps, mapped = _blocks(results, table, rows, most_blocks)
    note_maps = f" Blocks of {mapped[0]:,} of {mapped[1]:,} tensors that have several: those that differ most."
    columns = _columns(table, [pairs.get(key, "") for key in zip(*_sides(table), strict=True)], len(pairs) > 1)
    return [
        {"kind": "blocks", "title": "Blocks of a tensor", "note": note_maps if mapped[0] < mapped[1] else "", **maps},
        sortable("Tensors", columns, "tensors.csv", note=note, rows="blocks"),
    ]


def _chosen(table: pa.Table, pairs: int, most: int) -> Rows:
    """All rows, or of every pair as many as there is room for: those that differ most, untested ones last."""
    if len(table) <= most:
        return np.arange(len(table))
    difference = np.nan_to_num(floats(table, "relative_l2_a"), nan=-1.0)
    sides = np.stack(_sides(table), axis=1)
    _, pair = np.unique(sides, axis=0, return_inverse=True)
    order = np.lexsort((-difference, pair.ravel()))
    sorted_pair = pair.ravel()[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_pair, sorted_pair)
    return np.sort(order[rank < most // pairs])


def _sides(table: pa.Table) -> tuple[list[int], list[int]]:
    return table["a"].to_pylist(), table["b"].to_pylist()


def _columns(table: pa.Table, labels: list[str], several: bool) -> list[tuple[str, str, str, Packed]]:
    columns = [("pair", "pair", "text", texts(labels))] if several else []
    for name in PLACE:
        whole = name in ("layer", "expert")
        values = numbers(floats(table, name)) if whole else texts(strings(table, name))
        columns.append((name, name, "integer" if whole else "text", values))
    for name, title in COUNTERPARTS.items():
        if name in table.column_names and not table[name].equals(table[name.removesuffix("_b")]):
            columns.append((name, title, "integer", numbers(floats(table, name))))
    columns += [
        (name, title, KINDS.get(name, "number"), numbers(floats(table, name))) for name, title in MEASURES.items()
    ]
    columns.append(("parameters", "parameters", "integer", numbers(floats(table, "parameters"))))
    columns += [(name, name, "text", texts(strings(table, name))) for name in ("status", "reason")]
    for side in "ab":
        shapes = [
            None if shape is None else " x ".join(map(str, shape)) for shape in table[f"shape_{side}"].to_pylist()
        ]
        columns.append((f"shape_{side}", f"shape of {side.upper()}", "text", texts(shapes)))
        columns.append((f"dtype_{side}", f"type of {side.upper()}", "text", texts(strings(table, f"dtype_{side}"))))
    name_a, name_b = strings(table, "name_a"), strings(table, "name_b")
    columns.append(("name_a", "name in A", "text", texts(name_a)))
    if name_a != name_b:
        columns.append(("name_b", "name in B", "text", texts(name_b)))
    return columns


def _blocks(results: Results, tensors: pa.Table, rows: Rows, most: int) -> tuple[dict[str, Any], tuple[int, int]]:
    """Blocks of the tensors at `rows`, and of how many tensors there are some, of how many that have several.

    A tensor of one block is not among them: its measures are those of its row. Blocks of one tensor are of one size but
    for the last (units.py), so the page needs only the first one's.
    """
    blocks = table_of(results, "blocks", ["row", "block", "last", *BLOCK_MEASURES])
    row = np.asarray(blocks["row"].to_numpy(), dtype=np.int64)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    sizes = np.diff(starts, append=len(row))
    position = np.searchsorted(rows, row[starts])
    position[position == len(rows)] = 0
    several = np.flatnonzero((sizes > 1) & (rows[position] == row[starts])) if len(rows) else np.empty(0, np.int64)
    difference: Array = floats(tensors, "relative_l2_a")[position[several]]
    order = several[np.argsort(-np.nan_to_num(difference, nan=-1.0), kind="stable")]
    chosen = np.sort(order[np.cumsum(sizes[order]) <= most])
    inside = (
        np.concatenate([np.arange(starts[one], starts[one] + sizes[one]) for one in chosen])
        if chosen.size
        else np.empty(0, np.int64)
    )
    held = blocks.take(inside)
    last = np.asarray(blocks["last"].to_numpy(), dtype=np.float64)
    return {
        "tensors": numbers(position[chosen]), "sizes": numbers(sizes[chosen]), "step": numbers(last[starts[chosen]]),
        "measures": {name: numbers(floats(held, name)) for name in BLOCK_MEASURES},
    }, (len(chosen), len(several))  # fmt: skip

"""The null of every pooled statistic: where the relabelled copies lie, and where the observed value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..results import Results
from ..schema import display_order
from .columns import Array, counts, floats, numbers, of_layer, strings, table_of
from .pairs import pairs_of, place

BINS = 40
MOST = 3000
"""Statistics on a page; beyond that, those of single layers are left to the parquet table."""
LEVELS = ("component", "group", "role", "layer")
COLUMNS = ("a", "b", "level", "component", "group", "role", "tensors", "z", "p", "observed", "draws")


def section(results: Results) -> dict[str, Any] | None:
    """Histograms of the draws in deviations from their mean; None if there is no null."""
    if "nulls" not in results.table_names or not pairs_of(results):
        return None
    layer = of_layer(results, "nulls")
    table = table_of(results, "nulls", (*COLUMNS, layer)).rename_columns([*COLUMNS, "layer"])
    levels = np.array(strings(table, "level"), dtype=object)
    keep = np.isin(levels, LEVELS) & np.isfinite(floats(table, "z"))
    left_out = 0
    if keep.sum() > MOST:
        left_out = int((keep & (levels == "layer")).sum())
        keep &= levels != "layer"
    if not keep.any():
        return None
    rows = np.flatnonzero(keep)
    table, levels = table.take(rows), levels[rows]
    draws = [np.asarray(one, dtype=np.float64) for one in table["draws"].to_pylist()]
    sides = np.stack([floats(table, "a"), floats(table, "b")])
    entries = table.drop(["draws"]).to_pylist()
    names = [_name(entry["level"], entry) for entry in entries]
    values = {name: floats(table, name) for name in ("z", "p", "tensors")}
    variants = []
    for pair in pairs_of(results):
        own = np.flatnonzero((sides[0] == pair.a) & (sides[1] == pair.b))
        if own.size:
            order = sorted(own.tolist(), key=lambda row: _order(entries[row]))
            variants.append(
                {"label": pair.label, "levels": [levels[row] for row in order], "names": [names[row] for row in order]}
                | {name: numbers(column[order]) for name, column in values.items()}
                | _histograms([draws[row] for row in order])
            )
    note = f"{left_out:,} statistics of single layers are in nulls.parquet only." if left_out else ""
    title = "Null distributions of the pooled statistics"
    return {"kind": "nulls", "title": title, "variants": variants, "note": note, "bins": BINS}


def _name(level: str, entry: dict[str, Any]) -> str:
    if level == "component":
        return f"{entry['component']}, all matrices"
    name = place(entry, "role" if level == "role" else "group")
    return f"{name}, layer {entry['layer']}" if level == "layer" else name


def _order(entry: dict[str, Any]) -> tuple[Any, ...]:
    words = [entry[key] or "" for key in ("component", "group", "role")]
    return LEVELS.index(entry["level"]), display_order(words), -1 if entry["layer"] is None else entry["layer"]


def _histograms(draws: list[Array]) -> dict[str, Any]:
    """[n, BINS] of each statistic's draws between its `low` and `high`, and three of their quantiles."""
    spans = np.array([_standardised(one)[[0, -1]] for one in draws])
    histograms = [
        np.histogram(_standardised(one), BINS, tuple(span))[0] for one, span in zip(draws, spans, strict=True)
    ]
    quantiles = np.array([np.quantile(_standardised(one), (0.05, 0.5, 0.95)) for one in draws])
    stacked: npt.NDArray[Any] = np.minimum(np.array(histograms), 65535).ravel()
    return {"low": numbers(spans[:, 0]), "high": numbers(spans[:, 1]), "histograms": counts(stacked),
            "draws": numbers([len(one) for one in draws])} | {
        name: numbers(quantiles[:, column]) for column, name in enumerate(("q05", "q50", "q95"))
    }  # fmt: skip


def _standardised(draws: Array) -> Array:
    """In order."""
    spread = draws.std(ddof=1)
    return np.asarray(np.sort((draws - draws.mean()) / (spread if spread > 0 else 1.0)))

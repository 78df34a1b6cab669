"""Columns of tables as the page carries them: little-endian numbers in base64, texts as numbers into a list.

`assets/columns.js` reads what is written here. Numbers are float32: a page shows six digits, the parquet tables hold all.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import ResultsError
from ..results import Results

Packed = dict[str, Any]
Array = npt.NDArray[np.float64]

WHOLE = 1 << 24
"""Float32 holds every integer below it."""


def numbers(values: npt.ArrayLike) -> Packed:
    """Any numbers, NaN where there is none; as float64 if they are integers beyond what float32 holds."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    exact = bool(finite.size) and bool(np.abs(finite).max() > WHOLE) and bool((finite == np.floor(finite)).all())
    return _base64("f8", array) if exact else _base64("f4", array)


def counts(values: npt.ArrayLike) -> Packed:
    """Integers from 0 to 65535."""
    return _base64("u2", np.asarray(values))


def texts(values: Sequence[str | None]) -> Packed:
    """Texts, None where there is none."""
    distinct = dict.fromkeys(values)
    if len(distinct) > len(values) / 2:
        return {"values": list(values)}
    places = {value: place for place, value in enumerate(distinct)}
    return {"values": list(distinct), "codes": _base64("i4", np.array([places[value] for value in values]))}


def _base64(kind: str, values: npt.NDArray[Any]) -> Packed:
    with np.errstate(over="ignore"):  # beyond float32: infinite
        return {"type": kind, "data": base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()}


def table_of(results: Results, name: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table. Raises `ResultsError` if it lacks one, or cannot be read."""
    table = results[name]
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ResultsError(f"{results.folder or 'these results'}: the table {name!r} has no column {missing[0]!r}")
    return table.select(columns)


def of_layer(results: Results, name: str) -> str:
    """The column of a table that numbers layers as B does; the only one there is where B's are not kept apart."""
    return "layer_b" if "layer_b" in results[name].column_names else "layer"


def floats(table: pa.Table, name: str) -> Array:
    """A column of numbers; NaN for null."""
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def strings(table: pa.Table, name: str) -> list[str | None]:
    """A column of texts."""
    found: list[str | None] = table[name].to_pylist()
    return found


def sortable(title: str, columns: Sequence[tuple[str, str, str, Packed]], file: str, **more: Any) -> dict[str, Any]:
    """A table that the page can sort, filter and download. `columns`: key, title, kind (assets/table.js) and values."""
    keys = ("key", "title", "kind", "data")
    return {"kind": "table", "title": title, "file": file, **more,
            "columns": [dict(zip(keys, column, strict=True)) for column in columns]}  # fmt: skip

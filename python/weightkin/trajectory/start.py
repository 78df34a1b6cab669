"""What is looked at in the first checkpoint, to say whether it is a random initialisation: a fixed sample of each tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..relabelling import FIXED
from ..statistics.null import generator
from ..statistics.random_start import (
    COLUMNS,
    ENTRIES,
    ROWS,
    SKETCH,
    Structure,
    fit,
    structure,
    without_empty_lines,
)  # fmt: skip
from ..units import Unit

Array = npt.NDArray[np.float64]


def sample_start(unit: Unit, values: npt.NDArray[Any], seed: int) -> dict[str, Array]:
    """Of a unit's tensor in the first checkpoint, as a journal holds it; {} for positions, whose tables may be computed.

    "extremes": [2], of the sample (of a vector of up to 4096 entries: of all); "sketch": entries at places that depend on the
    shape alone; unless all entries are one value "structure" (a `Structure`), "kurtosis" and "fit" (family and distance).
    """
    if FIXED in unit.axes:
        return {}
    matrix = _sample(values)
    entries = _spread(matrix.ravel(), ENTRIES)
    found: dict[str, Array] = {"extremes": np.array([matrix.min(), matrix.max()])}
    if matrix.min() == matrix.max() or not np.isfinite(matrix).all():
        return found
    found["sketch"] = _spread(matrix.ravel(), SKETCH).astype(np.float32)
    if len(unit.axes) > 1:
        filled = without_empty_lines(matrix)
        found["structure"] = np.array(structure(filled, generator(seed, "start", unit.address)))
        square = filled**2
        found["kurtosis"] = np.array((square**2).mean() / square.mean() ** 2)
        entries = _spread(filled.ravel(), ENTRIES)
    closest = fit(entries)
    if closest is not None:
        found |= {"family": np.array(closest.family), "distance": np.array(closest.distance)}
    return found


def structure_of(start: Mapping[str, npt.NDArray[Any]]) -> Structure | None:
    """As `sample_start` found it."""
    return Structure(*start["structure"].tolist()) if "structure" in start else None


def _sample(values: npt.NDArray[Any]) -> Array:
    """[m, n]: rows and columns spread evenly; of a vector one row."""
    if values.ndim < 2:
        return _spread(values.ravel(), COLUMNS).astype(np.float64)[None]
    rows = values[_places(values.shape[0], ROWS)].reshape(min(values.shape[0], ROWS), -1)
    return np.asarray(rows[:, _places(rows.shape[1], COLUMNS)], dtype=np.float64)


def _spread(values: npt.NDArray[Any], wanted: int) -> npt.NDArray[Any]:
    return values[_places(len(values), wanted)]


def _places(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """`wanted` of `count` places, evenly spread; all if there are fewer."""
    return np.arange(count) if count <= wanted else np.arange(wanted, dtype=np.int64) * count // wanted

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
    without_repeated_lines,
)  # fmt: skip
from ..units import Unit

Array = npt.NDArray[np.float64]

OFTEN = 64
"""Entries for each that is drawn, above which none need be kept from being drawn twice."""


def sample_start(unit: Unit, values: npt.NDArray[Any], seed: int) -> dict[str, Array]:
    """Of a unit's tensor in the first checkpoint, as a journal holds it; {} for positions, whose tables may be computed.

    "extremes": [2], of the sample (of a vector of up to 4096 entries: of all). Unless all entries are one value, "sketch":
    entries at places that depend on the shape alone; "structure" (a `Structure`), "kurtosis", "repeats" (lines that repeat
    others and are left out), "family" and "distance" (a `Fit`).
    """
    if FIXED in unit.axes:
        return {}
    matrix = _sample(values)
    entries = _scattered(matrix, ENTRIES)
    found: dict[str, Array] = {"extremes": np.array([matrix.min(), matrix.max()])}
    if matrix.min() == matrix.max() or not np.isfinite(matrix).all():
        return found
    found["sketch"] = _scattered(matrix, SKETCH).astype(np.float32)
    if len(unit.axes) > 1:
        given = without_empty_lines(matrix)
        filled = without_repeated_lines(given)
        found["repeats"] = np.array(sum(given.shape) - sum(filled.shape))
        found["structure"] = np.array(structure(filled, generator(seed, "start", unit.address)))
        square = filled**2
        found["kurtosis"] = np.array((square**2).mean() / square.mean() ** 2)
        entries = _scattered(filled, ENTRIES)
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
        return np.asarray(values.ravel()[_places(values.size, COLUMNS)], dtype=np.float64)[None]
    rows = values[_places(values.shape[0], ROWS)].reshape(min(values.shape[0], ROWS), -1)
    return np.asarray(rows[:, _places(rows.shape[1], COLUMNS)], dtype=np.float64)


def _scattered(matrix: Array, wanted: int) -> Array:
    """`wanted` entries at places that depend on their number alone, all if there are fewer; even steps meet few columns."""
    if matrix.size <= wanted:
        return matrix.ravel()
    random = np.random.default_rng([matrix.size, wanted])
    few = matrix.size < OFTEN * wanted  # then twice the same is likely
    return matrix.ravel()[
        random.permutation(matrix.size)[:wanted] if few else random.integers(matrix.size, size=wanted)
    ]


def _places(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """`wanted` of `count` places, evenly spread; all if there are fewer."""
    return np.arange(count) if count <= wanted else np.arange(wanted, dtype=np.int64) * count // wanted

"""Errors of measured results against the float64 reference: no speed is reported for wrong numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weightkin import reference
from weightkin.ops import QUANTILE, Sweep

from .models import Array, Models

CHECKED = 64
"""Blocks that are computed again in float64, evenly spread: enough to see every kind of tensor."""


class Block(NamedTuple):
    """One block: its elements in every model, and what a sweep found."""

    rows: list[Array]
    found: Sweep
    number: int


def gram_error(models: Models, sweeps: Sequence[Sweep]) -> float:
    """Largest error of any cosine or Pearson of any two models."""
    return _largest(_gram_error(block) for block in _sample(models, sweeps))


def difference_error(models: Models, sweeps: Sequence[Sweep]) -> float:
    """Largest error of any sum of differences relative to the sum, or of any count, maximum or percentile."""
    return _largest(_difference_error(block) for block in _sample(models, sweeps))


def similarities(gram: npt.NDArray[np.float64], sums: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """[2, N, N]: cosine and Pearson from inner products and sums of rows of `size` elements."""
    centred = gram - np.outer(sums, sums) / size
    return np.array([matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix))) for matrix in (gram, centred)])


def _sample(models: Models, sweeps: Sequence[Sweep]) -> Iterator[Block]:
    places = [(slab, index) for slab, found in enumerate(sweeps) for index in range(len(found.gram))]
    for place in np.unique(np.linspace(0, len(places) - 1, CHECKED).astype(int)).tolist():
        slab, index = places[place]
        yield Block(models.slabs[slab].rows(index), sweeps[slab], index)


def _gram_error(block: Block) -> float:
    rows = np.array([row.astype(np.float64) for row in block.rows])
    expected = similarities(*reference.gram(rows), rows.shape[1])
    found = similarities(block.found.gram[block.number], block.found.sum[block.number], rows.shape[1])
    return float(np.abs(found - expected).max())


def _difference_error(block: Block) -> float:
    found, errors = block.found, [_gram_error(block)]
    for pair, (x, y) in enumerate(combinations(block.rows, 2)):
        expected = reference.difference(x, y)
        exact = [
            found.max_abs[block.number, pair] - expected.max_abs,
            found.unequal[block.number, pair] - expected.unequal,
        ]
        errors += [abs(float(gap)) for gap in exact]
        for name in ("sum_abs", "sum_square"):
            value = getattr(expected, name)
            errors.append(abs(getattr(found, name)[block.number, pair] - value) / max(value, 1e-300))
    for model, row in enumerate(block.rows):
        if row.dtype.itemsize == 2:  # of wider elements the histogram holds the upper half, so it is not exact
            errors.append(abs(float(found.quantile[block.number, model]) - reference.quantile(row, QUANTILE)))
    return _largest(errors)


def _largest(errors: Iterable[float]) -> float:
    return float(np.max(list(errors)))  # unlike max(), it lets no NaN pass

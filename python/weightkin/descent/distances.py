"""Squared distances between models, matrix by matrix, in a form that rescaling does not touch.

Each matrix is first brought to one scale along lines and channels (reference.balance). Of a pair, the mean squared distance of
matching channels is then 2 (1 - aligned cosine): a squared distance of two points, so angles follow from it (geometry.py). Norm
gains that were folded and neurons that were rescaled hardly change it, where |A - B| would grow to half of |A|.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ResultsError
from ..plan import Plan
from ..relabelling import largest_statistic
from ..results.folder import Results
from ..results.journal import Journal
from ..results.packing import unpack
from ..results.tables import pair_of
from ..statistics.null import generator
from ..statistics.verdict import MATRIX_GROUPS

Array = npt.NDArray[np.float64]
Part = tuple[str, str]
"""A component and a group of its roles."""
RESAMPLES = 200

DISTANCES = pa.schema(
    [("family", pa.int16()), ("a", pa.int16()), ("b", pa.int16()), ("component", pa.string()), ("group", pa.string()),
     ("layer", pa.int64()), ("matrices", pa.int64()), ("parameters", pa.int64()), ("distance", pa.float64()),
     ("raw_distance", pa.float64())]
)  # fmt: skip
"""One row per pair of models of one family, group and layer (of the family's reference model). `distance`: mean squared
distance of matching channels in balanced form, 0 to 4; `raw_distance`: |A - B|^2 / (|A| |B|), as stored."""


class Matrix(NamedTuple):
    """One matrix that several models have."""

    component: str
    group: str
    layer: int | None
    parameters: int


@dataclass(frozen=True)
class Distances:
    """Of matrices between `models`."""

    models: tuple[int, ...]
    matrices: Sequence[Matrix]
    balanced: Array
    """[matrices, n, n]: squared, NaN where one of the two lacks the matrix."""
    raw: Array
    """As `balanced`: |A - B|^2 / (|A| |B|)"""

    def among(self, models: Sequence[int], parts: Collection[Part]) -> Distances:
        """Only matrices of `parts` that all of `models` have."""
        at = [self.models.index(model) for model in models]
        balanced = self.balanced[:, at][:, :, at]
        inside = np.array([one[:2] in parts for one in self.matrices], bool)
        rows = np.flatnonzero(inside & np.isfinite(balanced).all(axis=(1, 2))).tolist()
        raw = self.raw[:, at][:, :, at]
        return Distances(tuple(models), [self.matrices[row] for row in rows], balanced[rows], raw[rows])

    def weights(self, resamples: int = 0, seed: int = 0) -> Array:
        """[1 + resamples, matrices]: of the mean, then of bootstrap samples; each row adds up to 1.

        Every layer counts alike, within it every group, within that every parameter. A sample draws layers with
        replacement, and within each its matrices.
        """
        layers = [(one.component, one.layer) for one in self.matrices]
        names = sorted(set(layers), key=str)
        layer = np.array([names.index(one) for one in layers])
        groups = sorted({(*one, matrix.group) for one, matrix in zip(layers, self.matrices, strict=True)}, key=str)
        group = np.array(
            [groups.index((*one, matrix.group)) for one, matrix in zip(layers, self.matrices, strict=True)]
        )
        in_layer = np.array([len(set(group[layer == one])) for one in range(len(names))])
        size = np.array([one.parameters for one in self.matrices], np.float64)
        random, out = generator(seed, "resamples of matrices"), np.empty((1 + resamples, len(size)))
        for row in range(1 + resamples):
            times, drawn = np.ones(len(size)), np.ones(len(names))
            if row:
                drawn = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names)).astype(float)
                for number in range(len(groups)):
                    inside = np.flatnonzero(group == number)
                    picked = random.integers(0, len(inside), len(inside))
                    times[inside] = np.bincount(picked, minlength=len(inside))
            share = size * times / np.bincount(group, size * times)[group]
            out[row] = share * (drawn / in_layer)[layer] / drawn.sum()
        return out

    def pooled(self, weights: Array, raw: bool = False) -> Array:
        """[..., n, n]: means by the rows of `weights`."""
        values = self.raw if raw else self.balanced
        found = weights @ values.reshape(len(values), -1)
        return np.asarray(found.reshape(*weights.shape[:-1], *values.shape[1:]))

    def by_layer(self) -> Array:
        """[layers, n, n]: squared distances within each layer, as `pooled` weighs them."""
        weights = self.weights()[0]
        layers = [(one.component, one.layer) for one in self.matrices]
        found = []
        for layer in sorted(set(layers), key=str):
            inside = np.where([one == layer for one in layers], weights, 0.0)
            found.append(self.pooled(inside / inside.sum()))
        return np.array(found)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of `DISTANCES`, without their family."""
        places = [one[:3] for one in self.matrices]
        sizes = np.array([one.parameters for one in self.matrices], np.float64)
        for place in sorted(set(places), key=str):
            at = np.flatnonzero([one == place for one in places])
            for i, j in combinations(range(len(self.models)), 2):
                values = [np.average(table[at, i, j], weights=sizes[at]) for table in (self.balanced, self.raw)]
                yield {
                    "a": self.models[i], "b": self.models[j], "component": place[0], "group": place[1], "layer": place[2],
                    "matrices": len(at), "parameters": int(sizes[at].sum()), "distance": values[0], "raw_distance": values[1],
                }  # fmt: skip


def from_journal(plan: Plan, journal: Journal, models: Sequence[int]) -> Distances:
    """Of the units of `plan`, which the journal holds, that hold two or more of `models`."""
    places = {model: at for at, model in enumerate(models)}
    matrices, balanced, raw = [], [], []
    for unit in plan.units:
        found = [(number, places[model]) for number, model in enumerate(unit.members) if model in places]
        if unit.group not in MATRIX_GROUPS or len(unit.axes) < 2 or len(found) < 2:
            continue
        sweep = unpack(journal[unit.index], len(unit.bounds) - 1, len(unit.members))
        if not sweep.lagged.shape[1]:
            continue
        tables = np.full((2, len(models), len(models)), np.nan)
        gram, largest = sweep.gram.sum(axis=0), largest_statistic(unit)
        for i, at in found:
            tables[:, at, at] = 0.0
            for j, other in found:
                if i < j:
                    pair = pair_of(unit, unit.members[i], unit.members[j])
                    size = np.sqrt(gram[i, i]) * np.sqrt(gram[j, j])
                    if not np.isfinite(size) or size == 0:
                        continue
                    gap = sweep.sum_square[:, pair].sum() / size
                    cosine = min(float(sweep.lagged[pair, 0]) / largest, 1.0)
                    tables[:, at, other] = tables[:, other, at] = 2 * (1 - cosine), gap
        matrices.append(Matrix(unit.address.component, unit.group, unit.address.layer, unit.parameters))
        balanced.append(tables[0])
        raw.append(tables[1])
    return _stacked(models, matrices, balanced, raw)


def from_tables(results: Results, models: Sequence[int]) -> Distances:
    """Of stored results of `matrix`. Raises `ResultsError` if an earlier version, which kept too little, wrote them."""
    table = results["tensors"]
    if "aligned_cosine" not in table.column_names:
        raise ResultsError(f"{results.folder}: was written by an earlier version", "run `weightkin matrix` again")
    names = ("component", "group", "layer", "role", "expert", "parameters", "a", "b", "aligned_cosine", "relative_l2_a",
             "relative_l2_b")  # fmt: skip
    compared = pc.is_valid(table["aligned_cosine"])
    matrices = pc.and_(
        pc.is_in(table["group"], pa.array(MATRIX_GROUPS)), pc.greater(pc.list_value_length(table["shape_a"]), 1)
    )
    chosen = table.select(names).filter(pc.and_(compared, matrices))
    places, found = {model: at for at, model in enumerate(models)}, dict[tuple[object, ...], tuple[Matrix, Array]]()
    for component, group, layer, role, expert, parameters, one, other, aligned, *gaps in zip(
        *(chosen[name].to_pylist() for name in names), strict=True
    ):
        if one not in places or other not in places:
            continue
        matrix = Matrix(component, group, layer, parameters)
        empty = np.full((2, len(models), len(models)), np.nan)
        tables = found.setdefault((component, layer, role, expert), (matrix, empty))[1]
        a, b = places[one], places[other]
        tables[:, [a, b], [a, b]] = 0.0
        tables[:, a, b] = tables[:, b, a] = max(2 * (1 - aligned), 0.0), gaps[0] * gaps[1]
    pairs = list(found.values())
    return _stacked(models, [one for one, _ in pairs], [both[0] for _, both in pairs], [both[1] for _, both in pairs])


def _stacked(models: Sequence[int], matrices: list[Matrix], balanced: list[Array], raw: list[Array]) -> Distances:
    shape = (len(matrices), len(models), len(models))
    return Distances(tuple(models), matrices, np.reshape(balanced, shape), np.reshape(raw, shape))

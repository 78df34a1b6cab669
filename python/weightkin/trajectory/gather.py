"""From the journal to what is known of each tensor and, pooled, of each group of roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..plan import Row
from ..relabelling import largest_statistic
from ..results.coverage import Coverage
from ..results.evidence import RANK_ONLY, Found, evidence_of
from ..results.journal import Journal
from ..similarity import Array, PairSums, pearson
from ..statistics.null import standardise, z_score
from ..units import Unit
from .course import Course
from .sums import Sums, unpack

Group = tuple[str, str]
"""Component and group of roles."""


class Tensor(NamedTuple):
    """One part of all M checkpoints; distances are of squares, between places t and t + 1, or t and t + 2."""

    unit: Unit
    square: Array
    """[M]"""
    gap: Array
    """[M - 1]: |x(t+1) - x(t)|^2"""
    around: Array
    """[M - 2]: |x(t+2) - x(t)|^2"""
    z: Array
    """[P]; NaN where there is no null"""
    start: Mapping[str, npt.NDArray[Any]]
    mean_square: float
    """Of the first checkpoint."""


@dataclass
class Pool:
    """Sums over the tensors of a group."""

    members: int
    pairs: Mapping[tuple[int, int], int]
    """Places of the pairs in arrays [P]."""
    tensors: int = 0
    parameters: int = 0
    square: Array = field(default_factory=lambda: np.zeros(0))
    gap: Array = field(default_factory=lambda: np.zeros(0))
    unequal: Array = field(default_factory=lambda: np.zeros(0))
    sums: PairSums | None = None
    """[P], each tensor centred by its own mean; differences are left 0."""
    statistic: Array | None = None
    """[P, 1 + R]: sums of standardised statistics; None where nothing has a null."""

    def add(self, tensor: Tensor, unequal: Array, pair: PairSums, statistic: Array) -> None:
        self.tensors += 1
        self.parameters += tensor.unit.parameters
        if self.sums is None:
            self.square, self.gap, self.unequal, self.sums = (
                tensor.square.copy(),
                tensor.gap.copy(),
                unequal.copy(),
                pair,
            )
        else:
            self.square, self.gap, self.unequal = (
                self.square + tensor.square,
                self.gap + tensor.gap,
                self.unequal + unequal,
            )
            self.sums = PairSums(*(one + other for one, other in zip(_columns(self.sums), _columns(pair), strict=True)))
        unit = tensor.unit
        # As in any comparison: outside the norms, vectors are left out of what stands for matrices (evidence.py).
        if statistic.shape[1] and (len(unit.axes) > 1 or unit.group == "norms"):
            row = standardise(statistic, largest_statistic(unit))
            self.statistic = row if self.statistic is None else self.statistic + row

    def evidence(self, a: int, b: int) -> Found | None:
        """Of two places; None where there is no null."""
        if self.statistic is None or (a, b) not in self.pairs:
            return None
        return evidence_of(self.statistic[self.pairs[a, b]])

    def pearson(self, a: int, b: int) -> float:
        """Of two places; NaN of constant tensors."""
        return 1.0 if a == b else float(self._pearson[self.pairs[a, b]])

    @cached_property
    def _pearson(self) -> Array:
        assert self.sums is not None
        return pearson(self.sums)

    @property
    def around(self) -> Array:
        """[M - 2]: |x(t+2) - x(t)|^2, from inner products: good to a thousandth of the norm."""
        return _around(self.square, lambda a, b: float(self._product[self.pairs[a, b]]))

    @property
    def _product(self) -> Array:
        assert self.sums is not None
        return self.sums.product


@dataclass
class Gathered:
    tensors: list[Tensor]
    pools: dict[Group, Pool]
    coverage: Coverage
    not_finite: dict[str, int]
    """Names of tensors that hold a NaN or an infinity, and in how many checkpoints."""


def gather(course: Course, journal: Journal) -> Gathered:
    """One pass over the journal. What holds a NaN or an infinity in some checkpoint is untested."""
    pairs = {pair: place for place, pair in enumerate(course.pairs)}
    found = Gathered([], {}, Coverage(), {})
    for row in course.untested:
        found.coverage.add(row)
    for unit in course.units:
        sums, statistic, start = unpack(journal[unit.index])
        row = Row(unit.address, unit.group, (unit.slots[0], unit.slots[-1]), unit, None)
        broken = np.flatnonzero(sums.not_finite)
        if broken.size:
            reason = f"NaN or infinity in checkpoint {course.members[int(broken[0])] + 1}"
            found.coverage.add(replace(row, unit=None, reason=reason))
            found.not_finite[unit.slots[0].name] = int(broken.size)
            continue
        found.coverage.add(row)
        tensor, pair = _tensor(unit, sums, statistic, start, pairs)
        found.tensors.append(tensor)
        place = unit.address.component, unit.group
        pool = found.pools.setdefault(place, Pool(len(course.members), pairs))
        pool.add(tensor, sums.unequal, pair, statistic)
    return found


def _tensor(
    unit: Unit,
    sums: Sums,
    statistic: Array,
    start: Mapping[str, npt.NDArray[Any]],
    pairs: Mapping[tuple[int, int], int],
) -> tuple[Tensor, PairSums]:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    elements = np.full(len(pairs), float(unit.parameters))
    gaps = np.zeros((3, len(pairs)))
    pair = PairSums.of(elements, sums.product, (sums.square[a], sums.square[b]), (sums.total[a], sums.total[b]), gaps)
    around = _around(sums.square, lambda a, b: float(sums.product[pairs[a, b]]))
    z = np.full(len(pairs), np.nan)
    if statistic.shape[1] > 1 and unit.group not in RANK_ONLY:
        z = z_score(statistic, largest_statistic(unit))
    return Tensor(unit, sums.square, sums.gap, around, z, start, float(sums.square[0]) / unit.parameters), pair


def _around(square: Array, product: Callable[[int, int], float]) -> Array:
    return np.array([
        max(0.0, square[at] + square[at + 2] - 2 * product(at, at + 2)) for at in range(len(square) - 2)
    ])  # fmt: skip


def _columns(sums: PairSums) -> list[Array]:
    return [getattr(sums, each.name) for each in fields(PairSums)]

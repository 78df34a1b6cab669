"""The null of one pair, pooled draw by draw over roles, layers, groups and components while tensors pass by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..statistics.null import extrapolated_p, rank_p, standardise, z_score
from ..units import Unit

Array = npt.NDArray[np.float64]

NULLS = pa.schema(
    [("a", pa.int16()), ("b", pa.int16()), ("level", pa.string()), ("component", pa.string()), ("group", pa.string()),
     ("role", pa.string()), ("layer", pa.int64()), ("layer_b", pa.int64()), ("tensors", pa.int64()), ("z", pa.float64()),
     ("p", pa.float64()), ("observed", pa.float64()), ("draws", pa.list_(pa.float32()))]
)  # fmt: skip
"""One row per pooled statistic (`level`: role, layer, group, component): observed value and R draws, standardised."""

RANK_ONLY = ("norms", "embeddings")
"""Groups whose null may have heavy tails: p comes from ranks alone and is never extrapolated from z."""


class Place(NamedTuple):
    level: str
    component: str
    group: str | None = None
    role: str | None = None
    layer: int | None = None
    """Of A."""
    layer_b: int | None = None


class Found(NamedTuple):
    """Evidence of one tensor or of a pool."""

    z: float
    p: float
    """Of the rank."""
    draws: int


def evidence_of(statistic: Array, largest: float = 1.0) -> Found | None:
    """None where there is no null: no exchangeable axis, or a tensor that is constant or not finite.

    `largest`: as in `z_score`.
    """
    if statistic.size < 2:
        return None
    z = float(z_score(statistic, largest))
    return None if np.isnan(z) else Found(z, float(rank_p(statistic)), statistic.size - 1)


@dataclass
class PairEvidence:
    """Sums of standardised statistics of one pair."""

    a: int
    b: int
    _sums: dict[Place, Array] = field(default_factory=dict)
    _aligned: dict[Place, Array] = field(default_factory=dict)
    _opposite: dict[Place, Array] = field(default_factory=dict)
    """Of groups, in a run of three or more models."""
    _tensors: dict[Place, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, unit: Unit, statistic: Array, largest: float, opposite: Array) -> Found | None:
        """Takes in one tensor's statistic and returns its own evidence.

        `largest`: the statistic of a tensor with itself; `opposite`: [R], at the opposite lags, or [0].
        """
        found = evidence_of(statistic, largest)
        if found is None:
            return None
        component, layer, role, _ = unit.address
        places = [Place("role", component, unit.group, role)]
        # Outside the norms, vectors (biases) are left out of pools: what stands for matrices is matrices.
        if len(unit.axes) > 1 or unit.group == "norms":
            places.append(Place("group", component, unit.group))
            if unit.group not in (*RANK_ONLY, "other"):
                places.append(Place("component", component))
            if layer is not None:
                places.append(Place("layer", component, unit.group, None, layer, unit.slots[-1].address.layer))
        row, aligned = standardise(statistic, largest), statistic / largest
        for place in places:
            self._sums[place] = self._sums[place] + row if place in self._sums else row
            self._aligned[place] = self._aligned[place] + aligned if place in self._aligned else aligned
            if place.level == "group" and opposite.size:
                self._opposite[place] = self._opposite.get(place, 0.0) + opposite / largest
            self._tensors[place] += 1
        return found

    def groups(self) -> list[Place]:
        """The groups that have a null."""
        return [place for place in self._sums if place.level == "group"]

    def aligned(self, *key: Any) -> Array | None:
        """[1 + R], of a `Place`: mean over tensors of the cosine of matching channels (vectors: of ranks), and at each draw."""
        place = Place(*key)
        return self._aligned[place] / self._tensors[place] if place in self._aligned else None

    def turned(self, model: int, place: Place) -> Array | None:
        """`aligned` of a group where every draw turns `model`, one of the two, by its lag. Of runs of three or more."""
        found = self.aligned(*place)
        if found is None or model == self.b:
            return found
        return np.concatenate([found[:1], self._opposite[place] / self._tensors[place]])

    def of(self, *place: Any) -> Found | None:
        """Pooled evidence of a `Place`."""
        statistic = self._sums.get(Place(*place))
        return None if statistic is None else evidence_of(statistic)

    def layers(self, component: str, group: str) -> dict[int, float]:
        """Pooled z of each layer (of B) of a group that has one."""
        out = {}
        for place in self._sums:
            if place.level == "layer" and (place.component, place.group) == (component, group):
                found = self.of(*place)
                if found is not None and place.layer_b is not None:
                    out[place.layer_b] = found.z
        return out

    def records(self) -> Iterator[dict[str, Any]]:
        """Rows of `nulls`."""
        for place, statistic in self._sums.items():
            found = evidence_of(statistic)
            row: dict[str, Any] = {"a": self.a, "b": self.b, **place._asdict(), "tensors": self._tensors[place]}
            row |= {"observed": float(statistic[0]), "draws": statistic[1:].astype(np.float32)}
            yield row | {"z": found.z if found else None, "p": found.p if found else None}


def described(found: Found | None, group: str) -> dict[str, Any]:
    """The keys of summary.json: z, p, and whether p is extrapolated from z because the rank is at its floor."""
    if found is None:
        return {"z": None, "p": None, "p_rank": None, "p_extrapolated": False, "draws": 0}
    p, extrapolated = found.p, False
    if group not in RANK_ONLY:
        tail, flag = extrapolated_p(np.array(found.p), np.array(found.z), found.draws)
        p, extrapolated = float(tail), bool(flag)
    return {"z": found.z, "p": p, "p_rank": found.p, "p_extrapolated": extrapolated, "draws": found.draws}

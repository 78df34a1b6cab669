"""The numbers of summary.json: tensors pooled into roles, groups and components, for each pair of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ops import QUANTILE, Sweep
from ..plan import Plan, Row
from ..schema import display_order
from ..similarity import Array, PairSums, magnitude_values, measures, pearson, weighted_quantile
from ..statistics.intervals import jackknife
from ..statistics.multiplicity import holm
from ..units import Unit
from .coverage import Coverage
from .evidence import PairEvidence, described
from .tables import COUNTS, PairSweep
from .verdict import judge

Counts = npt.NDArray[np.int64]


class Histograms:
    """Histograms of magnitudes pooled over units, for the quantile of any set of them.

    Kept by role and by the set of models that share the unit, so that N models need N histograms, not one per pair.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], dict[tuple[tuple[int, ...], int, str], Counts]] = defaultdict(dict)

    def add(self, unit: Unit, group: str, sweep: Sweep, code: str) -> None:
        held = self._counts[unit.address.component, group, unit.address.role]
        for place, model in enumerate(unit.members):
            key = (unit.members, model, code)
            held[key] = held[key] + sweep.histogram[place] if key in held else sweep.histogram[place].copy()

    def quantile(self, a: int, b: int, model: int, wanted: Callable[[str, str, str], bool]) -> float:
        """Of |x| of `model` over what it shares with the other of the pair; `wanted`: component, group, role."""
        values, counts = [], []
        for place, held in self._counts.items():
            for (members, owner, code), histogram in held.items():
                if owner == model and a in members and b in members and wanted(*place):
                    present = np.flatnonzero(histogram != 0)
                    values.append(magnitude_values(code)[present])
                    counts.append(histogram[present])
        if not values:
            return float("nan")
        return weighted_quantile(np.concatenate(values), np.concatenate(counts), QUANTILE)


@dataclass
class PairTotals:
    """One pair's compared tensors, as columns; and what of the pair was not compared."""

    a: int
    b: int
    evidence: PairEvidence
    places: list[tuple[str, str, str]] = field(default_factory=list)
    """component, group, role of each float tensor"""
    sums: list[Array] = field(default_factory=list)
    """Fields of the PairSums of each: an object apiece would be most of a large matrix's memory"""
    extremes: list[float] = field(default_factory=list)
    counts: list[list[int]] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    identical: list[bool] = field(default_factory=list)

    def add(self, row: Row, found: PairSweep | None) -> None:
        self.coverage.add(row)
        if found is None:
            return
        if found.unit.is_float:
            self.identical.append(bool(found.identical))
            self.places.append((row.address.component, row.group, row.address.role))
            self.sums.append(np.concatenate([getattr(found.whole, part.name) for part in fields(PairSums)]))
            self.extremes.append(float(found.max_abs.max()))
            self.counts.append([int(counts.sum()) for counts in found.counts])

    def level(self, level: str, names: tuple[str, ...], histograms: Histograms) -> list[dict[str, Any]]:
        """Tensors pooled by some of ("component", "group", "role"); each centred by its own mean (similarity.py).

        p is adjusted by Holm over the entries of one level.
        """
        if not self.places:
            return []
        columns = [("component", "group", "role").index(name) for name in names]
        keys = [tuple(place[column] for column in columns) for place in self.places]
        sums = PairSums(*np.ascontiguousarray(np.stack(self.sums).T))
        out = []
        for key in sorted(set(keys), key=display_order):
            rows = np.flatnonzero([other == key for other in keys])
            pooled = sums.take(rows).pooled()
            entry: dict[str, Any] = dict(zip(names, key, strict=True))
            entry |= {"tensors": len(rows), "parameters": int(pooled.elements[0])}
            entry |= {name: float(value[0]) for name, value in measures(pooled).items()}
            entry["max_abs_difference"] = float(np.max([self.extremes[row] for row in rows]))  # NaN if one is

            def wanted(*place: str, key: tuple[str, ...] = key) -> bool:
                return tuple(place[column] for column in columns) == key

            p99 = [histograms.quantile(self.a, self.b, model, wanted) for model in (self.a, self.b)]
            entry |= {"p99_a": p99[0], "p99_b": p99[1], "p99_difference": abs(p99[0] - p99[1])}
            entry["identical"] = all(self.identical[row] for row in rows)
            entry["relative_l2"] = entry["relative_l2_a"]
            entry["identical_fraction"] = 1 - entry["changed_fraction"]
            entry["pearson_low"], entry["pearson_high"] = jackknife(sums.take(rows), pearson)
            entry |= described(self.evidence.of(level, *key), entry.get("group", ""))
            aligned = self.evidence.aligned(level, *key)
            entry["aligned_cosine"] = None if aligned is None else float(aligned[0])
            totals = np.array([self.counts[row] for row in rows]).sum(axis=0)
            out.append(entry | dict(zip(COUNTS, (int(total) for total in totals), strict=True)))
        adjusted = holm(np.array([np.nan if entry["p"] is None else entry["p"] for entry in out]))
        for entry, p in zip(out, adjusted, strict=True):
            entry["p_adjusted"] = None if np.isnan(p) else float(p)
        return out


def describe_models(plan: Plan) -> list[dict[str, Any]]:
    """The `models` of summary.json."""
    return [
        {
            "name": model.checkpoint.name,
            "path": str(model.checkpoint.path),
            "family": model.family,
            "known_family": model.known,
            "parameters": model.checkpoint.parameters,
            "tensors": len(model.checkpoint.tensors),
            "bytes": model.checkpoint.nbytes,
            "dtypes": model.checkpoint.dtypes,
            "fingerprint": model.checkpoint.fingerprint(),
            "problems": list(model.checkpoint.problems),
        }
        for model in plan.models
    ]


def square(
    pairs: Iterable[tuple[int, int, float | None]], size: int, diagonal: float | None
) -> list[list[float | None]]:
    """An N x N table from its upper triangle."""
    out: list[list[float | None]] = [[diagonal if i == j else None for j in range(size)] for i in range(size)]
    for a, b, value in pairs:
        out[a][b] = out[b][a] = value
    return out


def numbers(
    command: str, plan: Plan, totals: Mapping[tuple[int, int], PairTotals], pooled: Histograms
) -> dict[str, Any]:
    """What the run found, as summary.json has it: per pair, and for one pair also at the top."""
    pairs = []
    for (a, b), total in totals.items():
        entry: dict[str, Any] = {"a": a, "b": b, "coverage": total.coverage.to_dict()}
        for level, names in LEVELS.items():
            entry[f"{level}s"] = total.level(level, names, pooled)
        if (a, b) in plan.vocabularies:
            found = plan.vocabularies[a, b]
            entry["vocabulary"] = {
                "tokens_a": found.tokens[0], "tokens_b": found.tokens[1], "shared": found.shared, "same_id": found.same_id,
            }  # fmt: skip
        judge(entry, [plan.models[model].checkpoint.name for model in (a, b)], total.evidence)
        pairs.append(entry)
    if command == "compare":
        return {name: value for name, value in pairs[0].items() if name not in ("a", "b")}
    return {"pairs": pairs, "matrices": _matrices(pairs, len(plan.models))}


LEVELS = {
    "role": ("component", "group", "role"),
    "group": ("component", "group"),
    "component": ("component",),
}
"""How tensors are pooled; summary.json has "roles", "groups" and "components"."""


def _matrices(pairs: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    """N x N tables of each component's groups; null where two models share nothing of it."""
    found: dict[tuple[str, str], list[tuple[int, int, Mapping[str, Any]]]] = defaultdict(list)
    for pair in pairs:
        for group in pair["groups"]:
            found[group["component"], group["group"]].append((pair["a"], pair["b"], group))
    return [
        {"component": component, "group": group}
        | {
            measure: square(((a, b, entry[measure]) for a, b, entry in entries), size, diagonal)
            for measure, diagonal in (
                ("cosine", 1.0),
                ("pearson", 1.0),
                ("identical_fraction", 1.0),
                ("parameters", None),
            )
        }
        for (component, group), entries in sorted(found.items(), key=lambda item: display_order(item[0]))
    ]

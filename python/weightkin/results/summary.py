"""The numbers of summary.json: tensors pooled into roles, groups and components, for each pair of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import Plan, Row
from ..schema import Model, display_order
from ..similarity import Array, PairSums, measures, pearson
from ..statistics.intervals import jackknife
from ..statistics.multiplicity import holm
from .aligned import alignment_keys
from .coverage import Coverage
from .evidence import PairEvidence, described
from .tables import COUNTS, PairSweep
from .verdict import judge

Counts = npt.NDArray[np.int64]


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
    quantiles: list[tuple[float, float]] = field(default_factory=list)
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
            self.quantiles.append(found.whole_quantiles)
            self.extremes.append(float(found.max_abs.max()))
            self.counts.append([int(counts.sum()) for counts in found.counts])

    def level(self, level: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Tensors pooled by some of ("component", "group", "role"); each centred by its own mean (similarity.py).

        The 99th percentile of a pool is the mean of those of its tensors, weighted by their size.

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

            p99 = np.average([self.quantiles[row] for row in rows], axis=0, weights=sums.elements[rows])
            entry |= {"p99_a": float(p99[0]), "p99_b": float(p99[1]), "p99_difference": float(abs(p99[0] - p99[1]))}
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


def describe_models(models: Sequence[Model]) -> list[dict[str, Any]]:
    """The `models` of summary.json."""
    return [
        {
            "name": model.checkpoint.name,
            "path": str(model.checkpoint.path),
            "family": model.family,
            "known_family": model.known,
            "guessed_family": model.guessed,
            "parameters": model.checkpoint.parameters,
            "tensors": len(model.checkpoint.tensors),
            "bytes": model.checkpoint.nbytes,
            "dtypes": model.checkpoint.dtypes,
            "fingerprint": model.checkpoint.fingerprint(),
            "problems": list(model.checkpoint.problems),
        }
        for model in models
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
    command: str,
    plan: Plan,
    totals: Mapping[tuple[int, int], PairTotals],
    alignment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the run found, as summary.json has it: per pair, and for one pair also at the top.

    `alignment`: how the parts of a pair were paired (aligning.py).
    """
    pairs = []
    for (a, b), total in totals.items():
        entry: dict[str, Any] = {"a": a, "b": b, "coverage": total.coverage.to_dict()}
        for level, names in LEVELS.items():
            entry[f"{level}s"] = total.level(level, names)
        if (a, b) in plan.vocabularies:
            found = plan.vocabularies[a, b]
            entry["vocabulary"] = {
                "tokens_a": found.tokens[0], "tokens_b": found.tokens[1], "shared": found.shared, "same_id": found.same_id,
            }  # fmt: skip
        if alignment is not None:
            entry |= alignment_keys(alignment)
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

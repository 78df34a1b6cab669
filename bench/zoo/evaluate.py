"""Verdicts on a zoo beside what is true: one row per pair, and how well scores tell kin from strangers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

import weightkin
from weightkin.statistics.verdict import MATRIX_GROUPS

from .lineage import PRIMARY

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """One pair of a zoo: what is true, what was said, and the evidence."""

    zoo: str
    a: str
    b: str
    relation: str
    related: bool
    word: str
    how: Sequence[str]
    components: Mapping[str, str]
    strongest: Mapping[str, Any] | None
    """The matrix group of the largest pooled z; None if none could be tested."""
    compared: float
    """Share of the parameters."""
    groups: Sequence[Mapping[str, Any]]
    roles: Sequence[Mapping[str, Any]]
    p: Array
    """Of each tensor's rank, among `draws`."""
    draws: npt.NDArray[np.int64]

    @property
    def matrices(self) -> float:
        """What a threshold would be set on: the largest pooled z over the components' matrix groups."""
        return self.strongest["z"] if self.strongest else 0.0

    @property
    def norms(self) -> float:
        """The same of norms."""
        return max((one["z"] for one in self.groups if one["group"] == "norms" and one["z"] is not None), default=0.0)

    @property
    def primary(self) -> bool:
        return (self.a, self.b) in PRIMARY

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        keys = ("component", "group", "verdict", "pearson", "z", "p_rank", "parameters")
        return {
            "zoo": self.zoo, "a": self.a, "b": self.b, "relation": self.relation, "related": self.related,
            "verdict": self.word, "how": [*self.how], "components": dict(self.components), "compared": self.compared,
            "matrices": self.matrices, "norms": self.norms,
            "groups": [{key: group[key] for key in keys} for group in self.groups],
        }  # fmt: skip


def judge_zoo(folder: Path, threads: int | None = None, align: str = "auto") -> Iterator[Judged]:
    """Every pair of the zoo's truth.json, compared; `align` as of `compare`."""
    for pair in json.loads((folder / "truth.json").read_text())["pairs"]:
        results = weightkin.compare(folder / pair["a"], folder / pair["b"], threads=threads, align=align)
        yield judged(results, folder.name, pair["a"], pair["b"], pair["relation"], pair["related"])


def judged(results: weightkin.Results, zoo: str, a: str, b: str, relation: str, related: bool) -> Judged:
    """The results of `compare` beside the truth."""
    summary, verdict = results.summary, results.summary["verdict"]
    tested = [group for group in summary["groups"] if group["group"] in MATRIX_GROUPS and group["z"] is not None]
    tensors = results["tensors"].select(["p", "draws"]).drop_null()
    return Judged(
        zoo, a, b, relation, related, verdict["relation"], verdict["how"], verdict["components"],
        max(tested, key=lambda group: group["z"], default=None), summary["coverage"]["fraction"], summary["groups"],
        summary["roles"],
        tensors["p"].to_numpy(), tensors["draws"].to_numpy(),
    )  # fmt: skip


def auc(related: Sequence[float], independent: Sequence[float]) -> float:
    """Chance that a related pair scores above an independent one (Mann & Whitney 1947)."""
    return float(stats.mannwhitneyu(related, independent).statistic / (len(related) * len(independent)))


def auc_by_relation(pairs: Sequence[Judged], score: Callable[[Judged], float]) -> dict[str, float]:
    """Of all related pairs, then of each relation, against all independent pairs."""
    independent = [score(pair) for pair in pairs if not pair.related]
    by_relation: dict[str, list[float]] = {}
    for pair in pairs:
        if pair.related:
            by_relation.setdefault("all", []).append(score(pair))
            by_relation.setdefault(pair.relation, []).append(score(pair))
    return {relation: auc(scores, independent) for relation, scores in by_relation.items()} if independent else {}

"""Which models are kin, by the verdict of each pair, and which of them stand for their family in a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..results.gaps import gaps
from ..statistics.verdict import MATRIX_GROUPS
from .distances import Part

RELATED = ("identical", "derived", "partial")
"""Verdicts that allow an edge."""
WHOLE_RELATIONS = ("identical", "derived")
WHOLE = 0.999
"""Share of a pair's parameters that is compared in place where nothing is in another place."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Kin:
    """What is known of one pair of models, a < b."""

    a: int
    b: int
    entry: Mapping[str, Any]
    """As in summary.json: coverage, groups, verdict."""
    source: str
    """"in place", "search" or "family": compared in place, through what was found, or in the order of a third model."""

    @property
    def relation(self) -> str:
        return str(self.entry["verdict"]["relation"])

    @property
    def how(self) -> list[str]:
        return list(self.entry["verdict"]["how"])

    @property
    def related(self) -> bool:
        return self.relation in RELATED

    @property
    def parts(self) -> set[Part]:
        """Groups that match: of matrices alone, and as a whole, if any do so."""
        found = [one for one in self.entry["groups"] if one["verdict"] in RELATED and one["group"] != "norms"]
        for chosen in (
            [one for one in found if one["group"] in MATRIX_GROUPS and one["verdict"] != "partial"],
            [one for one in found if one["group"] in MATRIX_GROUPS],
            found,
        ):
            if chosen:
                return {(one["component"], one["group"]) for one in chosen}
        return set()

    @property
    def parameters(self) -> int:
        """Of the groups that match."""
        return sum(one["parameters"] for one in self.entry["groups"] if (one["component"], one["group"]) in self.parts)

    @property
    def pearson(self) -> float | None:
        """Mean over the groups that match, by parameters."""
        return self._mean("pearson")

    @property
    def z(self) -> float | None:
        """The largest of a group."""
        values = [one["z"] for one in self._matching() if one["z"] is not None]
        return max(values, default=None)

    @property
    def explained(self) -> bool:
        """Whether nothing is left to search for."""
        return self.whole and (self.source != "in place" or not gaps(self.entry).wanted)

    @property
    def whole(self) -> bool:
        """Whether the two match in all that could be tested."""
        return self.relation in WHOLE_RELATIONS

    @property
    def in_place(self) -> bool:
        """Whether all of both is in the same place."""
        return self.source == "in place" and self.explained and self.entry["coverage"]["fraction"] > WHOLE

    def _matching(self) -> list[Mapping[str, Any]]:
        return [one for one in self.entry["groups"] if (one["component"], one["group"]) in self.parts]

    def _mean(self, name: str) -> float | None:
        found = [(one[name], one["parameters"]) for one in self._matching()]
        found = [(value, size) for value, size in found if value is not None and value == value]
        total = sum(size for _, size in found)
        return sum(value * size for value, size in found) / total if total else None


def families(models: int, pairs: Iterable[Pair]) -> list[list[int]]:
    """Models connected by `pairs`, the largest family first; those without kin are families of one."""
    family = list(range(models))
    for a, b in pairs:
        old, new = max(family[a], family[b]), min(family[a], family[b])
        family = [new if one == old else one for one in family]
    found = [[model for model in range(models) if family[model] == one] for one in sorted(set(family))]
    return sorted(found, key=lambda members: (-len(members), members))


def representative(members: Sequence[int], kin: Mapping[Pair, Kin], sizes: Sequence[int]) -> int:
    """The member that the others are searched against: the one that most of the others match in place; of several the one
    that matches them best, then the one with most parameters."""

    def standing(model: int) -> tuple[float, ...]:
        pairs = [kin[pair_of(model, other)] for other in members if other != model]
        whole = sum(one.in_place for one in pairs)
        shared = sum(one.parameters for one in pairs if one.related)
        close = sum(one.pearson or 0.0 for one in pairs if one.in_place)
        return whole, round(close, 4), shared, sizes[model], -model

    return max(members, key=standing)


def pair_of(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)

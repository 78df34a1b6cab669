"""Who of two came first: a heuristic, with its reasons. Similarity itself has no direction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .forest import Family, Link
from .kinship import RELATED, Kin, Pair, pair_of
from .searching import Outcome
from .tree import SHARED

BRANCHES = 3
"""Branches that meet in a model from which it is taken for their origin: at most one of them can lead to its own."""


class Direction(NamedTuple):
    """`child`: the end of a link that is likely younger; None if nothing or equally much speaks for either."""

    child: object | None
    reasons: list[str]
    strong: bool
    """Whether an edit tells, not only how branches meet."""


@dataclass(frozen=True)
class Facts:
    """What reasons are drawn from."""

    names: Sequence[str]
    kin: Mapping[Pair, Kin]
    outcomes: Mapping[Pair, Outcome]
    ranks: Mapping[Pair, int]
    tokens: Sequence[int]
    """Rows of each model's token embedding, 0 if it has none."""
    assembled: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Of models that match several families in different parts: why that tells."""


EDITS = {
    "depth_upscaled": "{child} holds layers of {parent} more than once: training does not make copies of layers",
    "upcycled": "experts of {child} are copies of one MLP of {parent}: training does not make experts alike",
}
"""Words of a verdict (results/aligned.py) that tell who came first, and why."""
UNOBSERVED = (
    "an unobserved model stands where the ways between three others meet: a common ancestor, or what training on the same data "
    "has in common"
)
LOST = "{child} lacks parts of {parent} that are no copies of others: to leave out is easier than to make up"


def direction(link: Link, family: Family | None, facts: Facts) -> Direction:
    """`family`: the one that the link lies in; None between two."""
    a, b = link.ends
    if not isinstance(a, int) or not isinstance(b, int):
        return Direction(None, [UNOBSERVED], False)
    told = [(b, _mixed(link, facts, b))] if link.mixture is not None else _edits(a, b, facts)
    if family is None:
        told += [(end, text) for end in (a, b) for text in facts.assembled.get(end, ())]
    guessed = [*_lost(a, b, facts), *_vocabulary(a, b, facts)]
    if family is not None:
        guessed += _branching(link, family, facts)
    found = told or guessed
    children = {child for child, _ in found}
    return Direction(children.pop() if len(children) == 1 else None, [reason for _, reason in found], bool(told))


def _edits(a: int, b: int, facts: Facts) -> list[tuple[int, str]]:
    return [
        (child, EDITS[word].format(parent=facts.names[parent], child=facts.names[child]))
        for parent, child, how in _searched(a, b, facts)
        for word in how
        if word in EDITS
    ]


def _lost(a: int, b: int, facts: Facts) -> list[tuple[int, str]]:
    return [
        (child, LOST.format(parent=facts.names[parent], child=facts.names[child]))
        for parent, child, how in _searched(a, b, facts)
        if "pruned" in how
    ]


def _searched(a: int, b: int, facts: Facts) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Whole, part, and how: of a search of one of the two in the other, or in a model that is arranged like the other."""
    for (reference, model), outcome in facts.outcomes.items():
        if model in (a, b) and outcome.entry:
            other = b if model == a else a
            if other == reference or facts.ranks.get(pair_of(other, reference)) == 0:
                how = outcome.entry["verdict"]["how"]
                yield (model, other, how) if outcome.reverse else (other, model, how)


def _vocabulary(a: int, b: int, facts: Facts) -> list[tuple[int, str]]:
    """Tokens are mostly added, where embeddings match."""
    tokens, groups = facts.tokens, facts.kin[pair_of(a, b)].entry["groups"]
    match = any(one["group"] == "embeddings" and one["verdict"] in RELATED for one in groups)
    if not match or not tokens[a] or not tokens[b] or tokens[a] == tokens[b]:
        return []
    parent, child = (a, b) if tokens[a] < tokens[b] else (b, a)
    more = tokens[child] - tokens[parent]
    return [(child, f"{facts.names[child]} has {more:,} tokens more than {facts.names[parent]}: they are mostly added")]


def _branching(link: Link, family: Family, facts: Facts) -> list[tuple[int, str]]:
    """Of a model in which several branches meet, most lead away from it. A copy of it is no branch: either may be the copy."""
    if link.equal:
        return []
    branches = [one for one in family.links if not one.secondary and not one.equal]
    degrees = {end: sum(end in one.ends for one in branches) for end in link.ends}
    parent, child = sorted(link.ends, key=lambda end: -degrees[end])
    if degrees[parent] < BRANCHES or degrees[parent] == degrees[child]:
        return []
    if 2 * sum(parent in one.ends and one.rescaled for one in branches) > degrees[parent]:
        return []  # the odd one in scale: rather a copy of the origin, which is not among the models, than the origin
    assert isinstance(parent, int) and isinstance(child, int)
    angles = [angle for (at, *others), angle in family.angles.items() if at == parent and child in others]
    apart = sum(abs(angle) < SHARED for angle in angles)
    how = f", {apart} of them in directions of their own" if apart else ""
    return [
        (
            child,
            f"{degrees[parent]} branches meet in {facts.names[parent]}{how}: at most one can lead to its own origin",
        )
    ]


def _mixed(link: Link, facts: Facts, child: int) -> str:
    assert link.mixture is not None
    parts = ", ".join(
        f"{weight:.2f} {facts.names[anchor]}"
        for anchor, weight in zip(link.mixture.anchors, link.mixture.weights, strict=True)
    )
    return f"{facts.names[child]} lies on the straight way between others ({parts}): an average of them"

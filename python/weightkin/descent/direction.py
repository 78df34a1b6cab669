"""Who of two came first: a heuristic, with its reasons. Similarity itself has no direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .forest import Family, Link
from .kinship import Kin, Pair, pair_of
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


EDITS = {
    "depth_upscaled": "{child} holds layers of {parent} more than once: a model is not trained to have copies of its layers",
    "upcycled": "experts of {child} are copies of one MLP of {parent}: training does not make experts alike",
    "interleaved": "{child} has layers between those of {parent} that match none",
    "pruned": "{child} lacks parts of {parent} that are no copies of others: what was left out cannot be had back from the rest",
}
"""Words of a verdict that tell who came first (results/aligned.py), and why."""


def direction(link: Link, family: Family | None, facts: Facts) -> Direction:
    """`family`: the one that the link lies in; None between two."""
    a, b = link.ends
    if not isinstance(a, int) or not isinstance(b, int):
        unobserved, model = (a, b) if isinstance(b, int) else (b, a)
        if isinstance(model, int):
            return Direction(model, ["the other end is not among the models: where branches meet"], False)
        return Direction(None, [], False)
    if link.mixture is not None:
        return Direction(b, [_mixed(link, facts, b)], True)
    found = [*_edits(a, b, facts), *_vocabulary(a, b, facts)]
    if family is not None and not found:
        found = _branching(link, family, facts)
        strong = False
    else:
        strong = True
    children = {child for child, _ in found}
    return Direction(children.pop() if len(children) == 1 else None, [reason for _, reason in found], strong)


def _edits(a: int, b: int, facts: Facts) -> list[tuple[int, str]]:
    """From a search of one of the two against the other, or against a model arranged like the other."""
    out = []
    for (reference, model), outcome in facts.outcomes.items():
        if model not in (a, b) or not outcome.entry:
            continue
        other = b if model == a else a
        if other != reference and facts.ranks.get(pair_of(other, reference)) != 0:
            continue
        parent, child = (model, other) if outcome.reverse else (other, model)
        for word in outcome.entry["verdict"]["how"]:
            if word in EDITS:
                out.append((child, EDITS[word].format(parent=facts.names[parent], child=facts.names[child])))
    return out


def _vocabulary(a: int, b: int, facts: Facts) -> list[tuple[int, str]]:
    """Tokens are mostly added."""
    if not facts.tokens[a] or not facts.tokens[b] or facts.tokens[a] == facts.tokens[b]:
        return []
    parent, child = (a, b) if facts.tokens[a] < facts.tokens[b] else (b, a)
    more = facts.tokens[child] - facts.tokens[parent]
    text = f"{facts.names[child]} has {more:,} tokens more than {facts.names[parent]}: tokens are mostly added"
    return [(child, text)]


def _branching(link: Link, family: Family, facts: Facts) -> list[tuple[int, str]]:
    """Of a model in which several branches meet, most lead away from it."""
    degrees = {end: sum(end in one.ends for one in family.links if not one.secondary) for end in link.ends}
    parent, child = sorted(link.ends, key=lambda end: -degrees[end])
    if degrees[parent] < BRANCHES or degrees[parent] == degrees[child]:
        return []
    assert isinstance(parent, int) and isinstance(child, int)
    angles = [angle for (at, *others), angle in family.angles.items() if at == parent and child in others]
    apart = sum(abs(angle) < SHARED for angle in angles)
    how = f", {apart} of them in directions of their own" if apart else ""
    return [
        (child, f"{degrees[parent]} branches meet in {facts.names[parent]}{how}: at most one can lead to its own origin")
    ]


def _mixed(link: Link, facts: Facts, child: int) -> str:
    assert link.mixture is not None
    parts = ", ".join(
        f"{weight:.2f} {facts.names[anchor]}"
        for anchor, weight in zip(link.mixture.anchors, link.mixture.weights, strict=True)
    )
    return f"{facts.names[child]} lies on the straight way between others ({parts}): an average of them"

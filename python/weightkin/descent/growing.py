"""From kinship to a forest: a tree for every family, then what connects families in some parts only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .forest import Family, Link, family
from .kinship import Pair, families
from .tracing import Traced


@dataclass(frozen=True)
class Forest:
    """Families (also those of one model), and links between them."""

    families: list[Family]
    between: list[tuple[Link, Family]]
    """Each with the models and parts that its place was found among. Secondary if another link, in other parts, had
    connected one of its ends already."""


def forest(models: int, traced: Traced, seed: int) -> Forest:
    """Of models 0 to `models` - 1."""
    whole = [pair for pair, one in traced.kin.items() if one.whole]
    known = families(models, whole)
    home = {model: number for number, members in enumerate(known) for model in members}
    grown = [_family(members, traced, seed) for members in known]
    crossing = [pair for pair, one in traced.kin.items() if one.related and home[pair[0]] != home[pair[1]]]
    between: list[tuple[Link, Family]] = []
    for pairs in _sharing_parts(crossing, traced):
        found = _family(sorted({model for pair in pairs for model in pair}), traced, seed)
        lead = {model for link, _ in between for model in link.ends}
        joined = list(range(len(known)))
        for link in sorted(found.links, key=lambda one: one.distance or 0.0):
            a, b = link.ends
            if not isinstance(a, int) or not isinstance(b, int) or joined[home[a]] == joined[home[b]]:
                continue
            old, new = joined[home[b]], joined[home[a]]
            joined = [new if one == old else one for one in joined]
            between.append((replace(link, secondary=not lead.isdisjoint({a, b})), found))
    return Forest(grown, between)


def _family(members: Sequence[int], traced: Traced, seed: int) -> Family:
    return family(members, traced.of(set(members)), traced.kin, traced.ranks, seed)


def _sharing_parts(pairs: Sequence[Pair], traced: Traced) -> list[list[Pair]]:
    """Pairs in groups that are connected through a model and a part that matches; most parameters first."""
    left, out = sorted(pairs, key=lambda pair: (-traced.kin[pair].parameters, pair)), []
    while left:
        group = [left.pop(0)]
        for one in group:
            joined = [
                other for other in left if set(one) & set(other) and traced.kin[one].parts & traced.kin[other].parts
            ]
            group += joined
            left = [other for other in left if other not in joined]
        out.append(group)
    return out

"""What `lineage` says: nodes, edges, trees, and notes on what has no edge, as in summary.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..meetings import VOCABULARY_ROLES
from ..schema import Model
from .direction import Direction, Facts, direction
from .distances import RESAMPLES, Part
from .forest import Family, Link
from .growing import Forest
from .kinship import Kin, pair_of
from .tracing import Traced

METHOD = (
    "Distances are those of balanced matrices (reference.balance) over matrices that all models of a tree have; the tree is "
    "made of their squares, `away` is the distance itself. A minimum spanning tree, fewest edits of the structure first, then "
    "distances; unobserved ancestors where three models share more with each other than any of them explains. Support: share "
    f"of {RESAMPLES} trees from resampled layers, and matrices within them, that have the edge too."
)
CAVEAT = (
    "An edge says that two models share weights and are neighbours among those given. It does not say who came first, and two "
    "trainings from one initialisation would look the same. Directions are guesses from the reasons given. Support covers "
    "the choice of matrices only, not what the method presumes."
)
IN_PLACE = "Only parts of the same name and place were compared: models that were re-ordered were not searched for."
SEARCHED = (
    "What did not match in place was searched for re-ordered layers, experts, neurons and heads, against one model of each "
    "family. A residual stream that was rotated is not found."
)


def facts(models: Sequence[Mapping[str, Any]], traced: Traced, tokens: Sequence[int]) -> Facts:
    """What directions are drawn from."""
    return Facts(_names(models), traced.kin, traced.outcomes, traced.ranks, tokens)


def _names(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names; paths of those that repeat, with a number where these repeat as well."""
    names, paths = ([model[key] for model in models] for key in ("name", "path"))
    labels = [path if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
    return [label if labels.count(label) == 1 else f"{label} ({at})" for at, label in enumerate(labels, 1)]


def tokens_of(model: Model) -> int:
    """Rows of its token embedding; 0 if it has none."""
    embeddings = (slot for slot in model.slots if slot.address.role == VOCABULARY_ROLES[0] and slot.view is not None)
    return max((slot.view.shape[0] for slot in embeddings if slot.view is not None), default=0)


def describe(known: Facts, found: Forest, traced: Traced, searched: bool) -> dict[str, Any]:
    """The key `lineage` of summary.json."""
    known = replace(known, assembled=_assembled(found, known.names))
    nodes: list[dict[str, Any]] = [
        {"id": number, "name": name, "observed": True} for number, name in enumerate(known.names)
    ]
    numbers: dict[object, int] = {number: number for number in range(len(nodes))}
    edges = []
    for family, link, inside in _links(found):
        ends = [numbers.setdefault(_key(end, family), len(numbers)) for end in link.ends]
        for end in ends:
            if end == len(nodes):
                nodes.append({"id": end, "name": f"unobserved {end - len(known.names) + 1}", "observed": False})
        edges.append(_edge(link, ends, known, direction(link, family if inside else None, known), family))
    _away_from_origins(edges, [node["name"] for node in nodes])
    trees = _trees(nodes, edges)
    lineage = {
        "nodes": nodes, "edges": edges, "trees": trees, "notes": list(_notes(known.kin.values(), known.names)),
        "pairs": [_pair(one) for _, one in sorted(traced.kin.items())], "resamples": RESAMPLES, "searched": searched,
        "method": METHOD,
        "statement": " ".join(
            [*_sentences(nodes, edges, trees), SEARCHED if searched else IN_PLACE, *([CAVEAT] if edges else [])]
        ),
    }  # fmt: skip
    return {"lineage": lineage}


def _assembled(found: Forest, names: Sequence[str]) -> dict[int, list[str]]:
    """Models that match more than one family, each in parts of its own."""
    parts: dict[int, dict[int, list[str]]] = defaultdict(dict)
    for link, family in found.between:
        for end, other in (link.ends, link.ends[::-1]):
            if isinstance(end, int) and isinstance(other, int):
                parts[end][other] = _named(family.parts)
    out = {}
    for model, others in parts.items():
        if len({tuple(one) for one in others.values()}) > 1:
            listed = " and ".join(f"{names[other]} in {', '.join(one)}" for other, one in others.items())
            out[model] = [f"{names[model]} matches {listed}: it holds parts of both"]
    return out


def _named(parts: Collection[Part]) -> list[str]:
    """Component and group, or one word where they are the same; text goes without saying."""
    return [group if component in ("text", group) else f"{component} {group}" for component, group in sorted(parts)]


def _links(found: Forest) -> Iterator[tuple[Family, Link, bool]]:
    for family in found.families:
        for link in family.links:
            yield family, link, True
    for link, family in found.between:
        yield family, link, False


def _key(end: object, family: Family) -> object:
    return end if isinstance(end, int) else (family.members, end)


def _edge(link: Link, ends: Sequence[int], known: Facts, found: Direction, family: Family) -> dict[str, Any]:
    kin = known.kin.get(pair_of(*ends)) if all(isinstance(end, int) for end in link.ends) else None
    entry = kin.entry if kin else {}
    child = None if found.child is None else ends[link.ends.index(found.child)]
    return {
        "a": ends[0], "b": ends[1], "kind": "secondary" if link.secondary else "tree",
        "relation": kin.relation if kin else "inferred", "how": _how(kin, link),
        "components": entry["verdict"]["components"] if kin else {},
        "parts": _named(kin.parts if kin else family.parts),
        "source": kin.source if kin else "inferred", "pearson": kin.pearson if kin else None,
        "z": kin.z if kin else None, "length": link.distance,
        "distance": None if link.distance is None else link.distance**0.5,
        "raw_distance": None if link.raw is None else link.raw**0.5,
        "support": link.support, "child": child, "strong": found.strong and child is not None, "reasons": found.reasons,
        "alternatives": [
            one._asdict() | {"outer": ends[link.ends.index(one.outer)]} for one in link.alternatives
        ],
    }  # fmt: skip


def _how(kin: Kin | None, link: Link) -> list[str]:
    """The words of the verdict, and `rescaled` where the difference as stored is mostly one of scales."""
    if kin is None:
        return []
    return [*kin.how, *(["rescaled"] if link.rescaled else [])]


def _away_from_origins(edges: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """A model that came from one neighbour did not come from another: edges without a direction lead away from it."""
    inside = [edge for edge in edges if edge["kind"] == "tree"]
    waiting = [edge["child"] for edge in inside if edge["child"] is not None]
    while waiting:
        model = waiting.pop(0)
        for edge in inside:
            waits = edge["child"] is None and not edge["reasons"] and not _equal(edge)
            if waits and model in (edge["a"], edge["b"]):
                edge["child"] = edge["b"] if edge["a"] == model else edge["a"]
                edge["reasons"] = [
                    f"{names[model]} is taken to come from another neighbour, and a model has one origin"
                ]
                waiting.append(edge["child"])


def _equal(edge: Mapping[str, Any]) -> bool:
    """Whether its ends are the same but for rounding (`Link.equal`): either may be the copy."""
    return edge["distance"] is not None and edge["support"] is None


def _trees(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Nodes that tree edges connect, the largest tree first, each with the node that it is drawn from."""
    tree = list(range(len(nodes)))
    for edge in edges:
        if edge["kind"] == "tree":
            old, new = tree[edge["b"]], tree[edge["a"]]
            tree = [new if one == old else one for one in tree]
    groups: dict[int, list[int]] = defaultdict(list)
    for node, number in enumerate(tree):
        groups[number].append(node)
    out = []
    for members in sorted(groups.values(), key=lambda one: (-len(one), one)):
        inside = [edge for edge in edges if edge["kind"] == "tree" and edge["a"] in members]

        def standing(node: int, inside: Sequence[Mapping[str, Any]] = inside) -> tuple[int, int, int]:
            mine = [edge for edge in inside if node in (edge["a"], edge["b"])]
            away = sum((edge["child"] is not None) * (1 if edge["child"] != node else -1) for edge in mine)
            return away, len(mine), -node

        root = max(members, key=standing)
        around = [edge for edge in inside if root in (edge["a"], edge["b"]) and not _equal(edge)]
        rooted = bool(around) and all(edge["child"] not in (None, root) for edge in around)
        out.append({"nodes": members, "root": root, "rooted": rooted})
    return out


def _notes(kin: Iterable[Kin], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """On models that share norms alone with others: never an edge."""
    found: dict[int, list[int]] = defaultdict(list)
    for one in kin:
        if one.relation == "norms_only":
            found[one.a].append(one.b)
            found[one.b].append(one.a)
    while found:
        model = max(found, key=lambda one: (len(found[one]), -one))
        others = found.pop(model)
        for other in others:
            found[other].remove(model)
        found = defaultdict(list, {one: left for one, left in found.items() if left})
        text = f"{names[model]} shares norm gains with {', '.join(names[other] for other in others)}, and no matrices: no edge"
        yield {"model": model, "others": others, "relation": "norms_only", "text": text}


def _sentences(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]], trees: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Who belongs together, what matches besides, and who matches nobody."""
    names = [node["name"] for node in nodes]
    for tree in trees:
        if len(tree["nodes"]) > 1:
            listed = ", ".join(names[node] for node in tree["nodes"] if nodes[node]["observed"])
            yield f"{listed} are of one family."
    for edge in edges:
        if edge["kind"] == "secondary":
            yield f"Not drawn as a branch: {names[edge['a']]} and {names[edge['b']]} match too, in {', '.join(edge['parts'])}."
    joined = {edge[end] for edge in edges for end in "ab"}
    apart = [node["name"] for node in nodes if node["id"] not in joined]
    if apart:
        yield f"No evidence of kin: {', '.join(apart)}; that is not proof of independence."


def _pair(one: Kin) -> dict[str, Any]:
    verdict = one.entry["verdict"]
    return {
        "a": one.a, "b": one.b, "source": one.source, "coverage": one.entry["coverage"]["fraction"],
        "verdict": {key: verdict[key] for key in ("relation", "how", "components")},
        "groups": [
            {key: group[key] for key in ("component", "group", "verdict", "pearson", "z", "p", "parameters")}
            for group in one.entry["groups"]
        ],
    }  # fmt: skip

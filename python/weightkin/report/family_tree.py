"""The family tree: a row per model, and the table of its edges with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..cli.text import edge_numbers
from ..results import Results
from .columns import numbers, sortable, texts

Record = Mapping[str, Any]

NOTE = (
    "A row per model. Solid lines: an edit tells which of the two is younger; dashed: how branches meet suggests it; dotted: "
    "nothing tells. Grey lines join a model to a second parent. Lines show who is next of kin, not how far: point at a model "
    "to see that."
)


def sections(results: Results) -> list[dict[str, Any]]:
    """[] for results that are not of `lineage`."""
    lineage = results.summary.get("lineage")
    if not lineage:
        return []
    places = _places(lineage)
    nodes = [
        {"x": x, "y": y, "name": node["name"], "observed": node["observed"], "text": _arrived(lineage, edge)}
        for node in lineage["nodes"]
        for x, y, edge in [places[node["id"]]]
    ]
    lines = [
        {"kind": _kind(edge), "x": [places[one][0] for one in ends], "y": [places[one][1] for one in ends]}
        for edge in lineage["edges"]
        for ends in [sorted((edge["a"], edge["b"]), key=lambda one: places[one][1])]
    ]
    picture = {"kind": "family", "title": "Family tree", "nodes": nodes, "lines": lines, "note": NOTE}
    return [picture, *([_table(lineage)] if lineage["edges"] else [])]


def _places(lineage: Record) -> dict[int, tuple[int, int, Record | None]]:
    """Of each node: how many edges from where its tree is drawn from, its row, and the edge that leads to it."""
    edges = [edge for edge in lineage["edges"] if edge["kind"] == "tree"]
    out: dict[int, tuple[int, int, Record | None]] = {}

    def place(node: int, depth: int, came: Record | None) -> None:
        out[node] = depth, len(out), came
        for edge in edges:
            if edge is not came and node in (edge["a"], edge["b"]):
                place(edge["b"] if edge["a"] == node else edge["a"], depth + 1, edge)

    for tree in lineage["trees"]:
        place(tree["root"], 0, None)
    return out


def _kind(edge: Record) -> str:
    if edge["kind"] == "secondary":
        return "secondary"
    return "undirected" if edge["child"] is None else "edit" if edge["strong"] else "guess"


def _arrived(lineage: Record, edge: Record | None) -> list[str]:
    """What is known of the edge to a node."""
    return [] if edge is None else list(_facts(lineage, edge))


def _facts(lineage: Record, edge: Record) -> Iterator[str]:
    yield ", ".join([edge["relation"], *edge["how"]]).replace("_", " ")
    yield f"matches in {', '.join(edge['parts'])}"
    yield from edge_numbers(edge)
    if edge["alternatives"]:
        yield _doubt(lineage, edge)


def _doubt(lineage: Record, edge: Record) -> str:
    names = [node["name"] for node in lineage["nodes"]]
    return "; ".join(
        f"{names[one['outer']]} may be under {names[one['model']]} instead (cosine {one['cosine']:.2f})"
        for one in edge["alternatives"]
    )


def _table(lineage: Record) -> dict[str, Any]:
    edges: Sequence[Record] = lineage["edges"]
    names = [node["name"] for node in lineage["nodes"]]
    words = {
        "a": ("model", [names[edge["a"]] for edge in edges]),
        "b": ("and", [names[edge["b"]] for edge in edges]),
        "kind": ("edge", [edge["kind"] for edge in edges]),
        "relation": ("verdict", [edge["relation"].replace("_", " ") for edge in edges]),
        "how": ("how", [", ".join(edge["how"]).replace("_", " ") for edge in edges]),
        "parts": ("matches in", [", ".join(edge["parts"]) for edge in edges]),
    }
    measures = {"pearson": "Pearson", "z": "z", "distance": "away", "support": "support"}
    last = {
        "child": ("younger", ["" if edge["child"] is None else names[edge["child"]] for edge in edges]),
        "reasons": ("because", ["; ".join(edge["reasons"]) for edge in edges]),
        "doubt": ("in doubt", [_doubt(lineage, edge) for edge in edges]),
    }
    columns = [(key, title, "text", texts(values)) for key, (title, values) in words.items()]
    columns += [
        (key, title, "share" if key == "support" else "number", numbers([_number(edge[key]) for edge in edges]))
        for key, title in measures.items()
    ]
    columns += [(key, title, "text", texts(values)) for key, (title, values) in last.items()]
    return sortable("Edges of the tree", columns, "edges.csv", note=lineage["method"])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value

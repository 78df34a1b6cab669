"""GraphML, Newick and JSON of a tree: other programs read them back, whatever the names."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from weightkin.descent.export import export

NAMES = ["base", "a child's (1)", 'x<y>&"z"', "two\nlines \x07", "loner", "unobserved 1"]


def edge(a: int, b: int, length: float | None, kind: str = "tree", child: int | None = None) -> dict[str, Any]:
    return {
        "a": a, "b": b, "kind": kind, "relation": "derived", "how": ["finetuned", "rescaled"], "parts": ["attention"],
        "pearson": 0.5, "z": None, "length": length, "distance": None if length is None else length**0.5, "support": 0.875,
        "child": child, "strong": False, "reasons": ["one", "two"],
    }  # fmt: skip


LINEAGE: dict[str, Any] = {
    "nodes": [{"id": number, "name": name, "observed": number < 5} for number, name in enumerate(NAMES)],
    "edges": [
        edge(0, 5, 1.5),
        edge(1, 5, 2e-12, child=1),
        edge(2, 5, 0.25),
        edge(2, 3, None),
        edge(3, 0, 1, "secondary"),
    ],
    "trees": [{"nodes": [0, 1, 2, 3, 5], "root": 0, "rooted": True}, {"nodes": [4], "root": 4, "rooted": False}],
}


class Node(NamedTuple):
    name: str
    length: float | None
    comment: str
    children: list[Node]


def parse(text: str) -> Node:
    """One tree of Newick: names in quotes, lengths and comments in brackets."""
    node, rest = _node(text.split("] ", 1)[1])
    assert rest == ";"
    return node


def _node(text: str) -> tuple[Node, str]:
    children = []
    if text[0] == "(":
        while text[0] in "(,":
            child, text = _node(text[1:])
            children.append(child)
        assert text[0] == ")"
        text = text[1:]
    name, length, comment = "", None, ""
    if text[0] == "'":
        end = 1
        while text[end : end + 1] != "'" or text[end + 1 : end + 2] == "'":
            end += 2 if text[end] == "'" else 1
        name, text = text[1:end].replace("''", "'"), text[end + 1 :]
    while text[0] not in "():,;[":
        name, text = name + text[0], text[1:]
    if text[0] == ":":
        digits = text[1:].split("[")[0].split(",")[0].split(")")[0].split(";")[0]
        length, text = float(digits), text[1 + len(digits) :]
    if text[0] == "[":
        comment, text = text[1:].split("]", 1)
    return Node(name, length, comment, children), text


def test_newick(tmp_path: Path) -> None:
    lines = export({"lineage": LINEAGE}, tmp_path / "tree.nwk").read_text().splitlines()
    assert len(lines) == 2 and lines[0].startswith("[&R] ") and lines[1] == "[&U] loner;"
    base = parse(lines[0])
    assert (base.name, base.length, len(base.children)) == ("base", None, 1)
    (inner,) = base.children
    assert (inner.name, inner.length, inner.comment) == ("", 1.5, "&support=0.875")
    assert [child.name for child in inner.children] == ["a child's (1)", 'x<y>&"z"']
    assert [child.length for child in inner.children] == [2e-12, 0.25]
    assert [child.name for child in inner.children[1].children] == ["two?lines ?"]


def test_graphml(tmp_path: Path) -> None:
    path = export({"lineage": LINEAGE}, tmp_path / "tree.graphml")
    root = ET.parse(path).getroot()
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    keys = {key.get("id"): (key.get("for"), key.get("attr.name")) for key in root.findall("g:key", space)}
    found = root.findall("g:graph/g:edge", space)
    assert len(found) == 5 and root.find("g:graph", space).get("edgedefault") == "undirected"  # type: ignore[union-attr]
    values = {keys[one.get("key")][1]: one.text for one in found[1].findall("g:data", space)}
    assert values["child"] == "n1" and values["how"] == "finetuned; rescaled" and float(values["length"] or 0) == 2e-12
    assert "z" not in values
    names = [one.findtext("g:data[@key='node_name']", "", space) for one in root.findall("g:graph/g:node", space)]
    assert names[:3] == NAMES[:3] and names[3] == "two\nlines ?"


def test_graphml_is_read_by_networkx(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.read_graphml(export({"lineage": LINEAGE}, tmp_path / "tree.graphml"))
    assert len(graph.nodes) == 6 and graph.nodes["n5"]["observed"] is False
    assert graph.edges["n0", "n5"]["length"] == 1.5 and graph.edges["n2", "n3"]["support"] == 0.875


def test_json(tmp_path: Path) -> None:
    assert json.loads(export({"lineage": LINEAGE}, tmp_path / "tree.json").read_text()) == LINEAGE

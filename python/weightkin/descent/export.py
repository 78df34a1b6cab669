"""A family tree in the formats of other programs: GraphML, Newick, JSON."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ResultsError
from ..results.folder import atomic

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
NODE_KEYS = {"name": "string", "observed": "boolean"}
EDGE_KEYS = {
    "kind": "string", "relation": "string", "how": "string", "parts": "string", "pearson": "double", "z": "double",
    "length": "double", "distance": "double", "support": "double", "child": "string", "strong": "boolean",
    "reasons": "string",
}  # fmt: skip


def export(summary: Mapping[str, Any], path: str | Path) -> Path:
    """Writes summary["lineage"] to a new file, in the format of its suffix: .graphml, .nwk or .json.

    Raises `ResultsError` if the suffix is none of these, or the file is there or cannot be written.
    """
    path = Path(path)
    check(path)
    with atomic(path) as partial:
        partial.write_text(FORMATS[path.suffix](summary["lineage"]), "utf-8")
    return path


def check(path: Path) -> None:
    """Raises `ResultsError` if no format has its suffix, or it is there already: better before a long run than after it."""
    if path.suffix not in FORMATS:
        raise ResultsError(f"{path}: no format has this suffix", f"name a file with one of {', '.join(FORMATS)}")
    if path.exists():
        raise ResultsError(f"{path}: is there already", "name a new file")


def to_json(lineage: Mapping[str, Any]) -> str:
    """As in summary.json."""
    return json.dumps(lineage, indent=1, allow_nan=False) + "\n"


def to_graphml(lineage: Mapping[str, Any]) -> str:
    """An undirected graph; where one end of an edge is likely younger, `child` names it. Lists are joined by "; "."""
    root = ET.Element("graphml", xmlns=NAMESPACE)
    for kind, keys in (("node", NODE_KEYS), ("edge", EDGE_KEYS)):
        for name, form in keys.items():
            ET.SubElement(root, "key", {"id": f"{kind}_{name}", "for": kind, "attr.name": name, "attr.type": form})
    graph = ET.SubElement(root, "graph", edgedefault="undirected")
    for node in lineage["nodes"]:
        element = ET.SubElement(graph, "node", id=f"n{node['id']}")
        _data(element, "node", NODE_KEYS, node)
    for edge in lineage["edges"]:
        element = ET.SubElement(graph, "edge", source=f"n{edge['a']}", target=f"n{edge['b']}")
        _data(element, "edge", EDGE_KEYS, edge | {"child": None if edge["child"] is None else f"n{edge['child']}"})
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _data(element: ET.Element, kind: str, keys: Mapping[str, str], values: Mapping[str, Any]) -> None:
    for name in keys:
        value = values[name]
        if value is None:
            continue
        if isinstance(value, bool):
            text = str(value).lower()
        else:
            text = "; ".join(value) if isinstance(value, list) else str(value)
        # XML has no place for most control characters, not even escaped.
        ET.SubElement(element, "data", key=f"{kind}_{name}").text = re.sub(
            r"[^\t\n\r\x20-\ud7ff\ue000-\U0010ffff]", "?", text
        )


def to_newick(lineage: Mapping[str, Any]) -> str:
    """One line per tree, from the node that it is drawn from: `[&R]` where all reasons point away from that one, else `[&U]`,
    whose root means nothing. Lengths are squared distances, in `[&...]` after them the support. Secondary edges are left out.
    """
    edges = [edge for edge in lineage["edges"] if edge["kind"] == "tree"]
    lines = []
    for tree in lineage["trees"]:
        text = _subtree(tree["root"], None, lineage["nodes"], edges)
        lines.append(f"[&{'R' if tree['rooted'] else 'U'}] {text};\n")
    return "".join(lines)


def _subtree(
    node: int, edge: Mapping[str, Any] | None, nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]
) -> str:
    outward = [one for one in edges if node in (one["a"], one["b"]) and one is not edge]
    children = [_subtree(one["b"] if one["a"] == node else one["a"], one, nodes, edges) for one in outward]
    text = f"({','.join(children)})" if children else ""
    if nodes[node]["observed"]:
        text += _quoted(nodes[node]["name"])
    if edge is not None and edge["length"] is not None:
        text += f":{edge['length']:.9g}"
    if edge is not None and edge["support"] is not None:
        text += f"[&support={edge['support']:.3f}]"
    return text


def _quoted(name: str) -> str:
    """A Newick label: in quotes unless it is plain. Line breaks would end the tree."""
    if re.fullmatch(r"[A-Za-z0-9.\-]+", name):
        return name
    return "'" + re.sub(r"[\x00-\x1f\x7f]", "?", name).replace("'", "''") + "'"


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {".graphml": to_graphml, ".nwk": to_newick, ".json": to_json}
"""By suffix."""

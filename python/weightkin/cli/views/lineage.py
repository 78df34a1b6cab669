"""What `lineage` prints: the trees, why edges point as they do, what is in doubt, and what stands apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ...results import Results
from ..text import coefficient, edge_numbers, safe
from .models import show_models
from .tables import table

DOUBT = (
    "Training on the same data from one start does that as well as descent, and it goes further in that direction than "
    "descent explains; so they are drawn as siblings."
)
Record = Mapping[str, Any]
ARROW, GUESS, UNDIRECTED = "→", "⇢", "–"
PLAIN = {ARROW: "->", GUESS: "~>", UNDIRECTED: "-"}
WRONG_WAY = {ARROW: "←", GUESS: "⇠"}
PLAIN_WRONG_WAY = {ARROW: "<-", GUESS: "<~"}


def show_lineage(console: Console, results: Results, verbose: bool) -> None:
    """Trees of two or more first. With `verbose`, the notes on pairs without an edge too."""
    summary = results.summary
    lineage = summary["lineage"]
    names = [safe(node["name"]) for node in lineage["nodes"]]
    if verbose:
        show_models(console, summary["models"], [str(number) for number in range(1, len(summary["models"]) + 1)])
        console.print()
    for tree in lineage["trees"]:
        if len(tree["nodes"]) > 1:
            console.print(_drawn(console, lineage, names, tree))
            console.print()
    joined = {edge[end] for edge in lineage["edges"] for end in "ab"}
    apart = [name for number, name in enumerate(names) if number not in joined]
    if apart:
        console.print(Text.assemble(("Apart  ", "bold"), ", ".join(apart), ("  (not proof of independence)", "dim")))
    for edge in lineage["edges"]:
        if edge["kind"] == "secondary":
            console.print(Text.assemble(("Also   ", "bold"), *_described(console, names, edge)))
    for note in lineage["notes"]:
        console.print(Text.assemble(("Weak   ", "bold yellow"), safe(note["text"])))
    console.print()
    _reasons(console, lineage, names)
    _doubts(console, lineage, names)
    if lineage["edges"]:
        _legend(console)
    console.print(Text(lineage["statement"], "dim"))


def _legend(console: Console) -> None:
    signs = {ARROW: "an edit tells who is younger", GUESS: "how branches meet suggests it", UNDIRECTED: "nothing tells"}
    shown = "; ".join(f"{_sign(console, sign, True)} {meaning}" for sign, meaning in signs.items())
    console.print(
        Text(f"{shown}. away: size of the change between the two, of 1, whatever their order and scales.", "dim")
    )


def _drawn(console: Console, lineage: Record, names: Sequence[str], tree: Record) -> Tree:
    edges = [edge for edge in lineage["edges"] if edge["kind"] == "tree" and edge["a"] in tree["nodes"]]
    root = Tree(Text(names[tree["root"]], "bold"), guide_style="dim")
    waiting = [(tree["root"], root, None)]
    while waiting:
        node, branch, came = waiting.pop(0)
        for edge in edges:
            if node in (edge["a"], edge["b"]) and edge is not came:
                other = edge["b"] if edge["a"] == node else edge["a"]
                label = Text.assemble(*_label(console, lineage, names, edge, other))
                waiting.append((other, branch.add(label), edge))
    return root


def _label(
    console: Console, lineage: Record, names: Sequence[str], edge: Record, outer: int
) -> Iterator[str | tuple[str, str]]:
    sign = UNDIRECTED if edge["child"] is None else ARROW if edge["strong"] else GUESS
    yield f"{_sign(console, sign, edge['child'] in (None, outer))} ", "dim"
    yield names[outer], "bold" if lineage["nodes"][outer]["observed"] else "italic"
    yield "  "
    yield ", ".join(_facts(edge))
    if edge["alternatives"]:
        yield ", place in doubt", "yellow"


def _facts(edge: Record) -> Iterator[str]:
    if edge["relation"] != "inferred":
        words = ", ".join(edge["how"]).replace("_", " ") or edge["relation"].replace("_", " ")
        yield words if edge["relation"] != "partial" else f"{words}: {', '.join(edge['parts'])}"
    yield from edge_numbers(edge)


def _described(console: Console, names: Sequence[str], edge: Record) -> Iterator[str | tuple[str, str]]:
    sign = UNDIRECTED if edge["child"] is None else ARROW if edge["strong"] else GUESS
    yield f"{names[edge['a']]} {_sign(console, sign, edge['child'] in (None, edge['b']))} {names[edge['b']]}  "
    yield f"{', '.join(_facts(edge))}"


def _sign(console: Console, sign: str, forward: bool) -> str:
    if console.encoding.startswith("utf"):
        return sign if forward else WRONG_WAY.get(sign, sign)
    return PLAIN[sign] if forward else PLAIN_WRONG_WAY.get(sign, PLAIN[sign])


def _reasons(console: Console, lineage: Record, names: Sequence[str]) -> None:
    """Each reason once, with the edges that it is about."""
    found: dict[str, list[str]] = defaultdict(list)
    for edge in lineage["edges"]:
        for reason in edge["reasons"]:
            child = edge["child"]
            found[reason].append("undecided" if child is None else names[child])
    if not found:
        return
    console.print(Text("Why one is taken for the younger", "bold"))
    shown = table(["younger", "because"])
    for reason, children in found.items():
        shown.add_row(", ".join(dict.fromkeys(children)), safe(reason))
    console.print(shown)
    console.print()


def _doubts(console: Console, lineage: Record, names: Sequence[str]) -> None:
    """Models that may hang under another, by that other."""
    found: dict[int, list[tuple[Record, Record]]] = defaultdict(list)
    for edge in lineage["edges"]:
        for other in edge["alternatives"]:
            found[other["model"]].append((edge, other))
    if not found:
        return
    console.print(Text("In doubt", "bold yellow"))
    shown = table(["place of", "instead may be under", "because both changed in one direction since they part: cosine"])
    for model, rows in found.items():
        placed = [names[other["outer"]] for _, other in rows]
        shown.add_row(", ".join(placed), names[model], ", ".join(coefficient(other["cosine"]) for _, other in rows))
    console.print(shown)
    console.print(Text(DOUBT, "dim"))
    console.print()

"""What `matrix` prints: an N x N table of Pearson and one of cosines per group of roles, and each pair's coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...correspondence.layer_units import MATRIX_GROUPS
from ...results import Results
from ...schema import display_order
from ..text import UNDEFINED, coefficient, labels, percent, safe
from .layers import layer_means
from .measures import VERDICTS, copies
from .models import show_coverage, show_models
from .pictures import Scale, bar, show_strips
from .tables import correlation, table, wanted_width
from .triples import show_triples

Grid = Sequence[Sequence[Any]]
"""[N, N]; None where there is nothing"""
BAR = 5
"""Width of a pair's bar."""
MOST_PAIRS = 28
"""Strips without --verbose."""
GAP = 4
"""Columns between two tables side by side."""
LONGEST_NAME = 24
IN_PLACE = (
    "In place only: each part with that of the same name and layer. `compare` of two models also searches for parts that were "
    "re-ordered, re-sized or moved. No evidence is not independence."
)


def show_matrix(console: Console, results: Results, verbose: bool) -> None:
    """All pairs. With `verbose`, what was not compared too, pair by pair."""
    summary = results.summary
    models, pairs = summary["models"], summary["pairs"]
    names = labels(models)
    show_models(console, models, [str(number) for number in range(1, len(models) + 1)])
    console.print()
    coverage = _square(pairs, lambda pair: pair["coverage"]["fraction"], len(models))
    console.print(Text("Share of each pair's parameters that was compared", "bold"))
    console.print(_grid(console, names, coverage, lambda value: Text(percent(value))))
    console.print()
    console.print(Text("Verdicts", "bold"))
    words = _square(pairs, lambda pair: pair["verdict"]["relation"], len(models))
    console.print(_grid(console, names, words, _verdict))
    console.print(Text(IN_PLACE, "dim"))
    several = len({entry["component"] for entry in summary["matrices"]}) > 1
    for entry in summary["matrices"]:
        place = f"{entry['component']} {entry['group']}" if several else entry["group"]
        console.print()
        console.print(Text(safe(place), "bold cyan"))
        cosines = _grid(console, names, _cosines(entry, pairs), lambda value: Text(coefficient(value)))
        _side_by_side(
            console,
            Group(Text("Pearson"), _grid(console, names, entry["pearson"], correlation)),
            Group(Text.assemble("cosine", (" (below the diagonal: if uncorrelated)", "dim")), cosines),
        )
    show_triples(console, results, names, verbose)
    if verbose:
        for pair in pairs:
            console.print()
            console.print(Text(f"{names[pair['a']]} (A) and {names[pair['b']]} (B)", "bold"))
            show_coverage(console, pair["coverage"], [], verbose)
    _show_pairs(console, results, verbose)
    console.print()
    notes = (
        f"if uncorrelated: the cosine that Pearson = 0 would give; {UNDEFINED}: nothing compared, or a constant tensor"
    )
    copied = copies([group for pair in pairs for group in pair["groups"]], summary["options"]["null"])
    console.print(Text(f"{notes}; {copied}", "dim"))


def _show_pairs(console: Console, results: Results, verbose: bool) -> None:
    """Of each pair, the share that was compared and the matrices of its layers."""
    tensors = results["tensors"]
    matrices = tensors.filter(pc.is_in(tensors["group"], pa.array(MATRIX_GROUPS)))
    found = layer_means(matrices, "component", "a", "b")
    components = sorted({str(place[0]) for place in found}, key=lambda name: display_order((name,)))
    for component in components:
        own = {place[1:]: values for place, values in found.items() if place[0] == component}
        order = sorted(own, key=lambda pair: -fmean(map(abs, own[pair].values())))
        shown = sorted(order if verbose else order[:MOST_PAIRS])
        strips = []
        for pair in results.summary["pairs"]:
            if (pair["a"], pair["b"]) in shown:
                compared = pair["coverage"]["compared"]
                parts = [("compared", compared), ("not", pair["coverage"]["parameters"] - compared)]
                share = bar(console, parts, BAR)
                strips.append(
                    (Text(f"{pair['a'] + 1:>2} {pair['b'] + 1:>2} ").append(share), own[pair["a"], pair["b"]])
                )
        name = f"Share compared, and Pearson of {f'{safe(component)} ' if len(components) > 1 else ''}matrices"
        show_strips(console, Scale(name, 0.0, 1.0), strips)
        if len(shown) < len(order):
            left = f"the {len(shown)} pairs that are most alike; -v shows all {len(order)}"
            console.print(Text(left, "dim"))


def _verdict(word: str) -> Text:
    return Text(word.replace("_", " "), VERDICTS.get(word, "yellow"))


def _cosines(entry: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> Grid:
    """Cosines above the diagonal; below it what they would be without any correlation."""
    place = entry["component"], entry["group"]
    cells = [list(row) for row in entry["cosine"]]
    for pair in pairs:
        for group in pair["groups"]:
            if (group["component"], group["group"]) == place:
                cells[pair["b"]][pair["a"]] = group["cosine_if_uncorrelated"]
    return cells


def _square(pairs: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], Any], size: int) -> Grid:
    cells: list[list[Any]] = [[None] * size for _ in range(size)]
    for pair in pairs:
        cells[pair["a"]][pair["b"]] = cells[pair["b"]][pair["a"]] = value(pair)
    return cells


def _grid(console: Console, names: Sequence[str], cells: Grid, show: Callable[[Any], Text]) -> RenderableType:
    """One table, or several of fewer columns each where all would not fit."""
    size = len(names)
    for step in range(size, 0, -1):
        pieces = [_piece(names, cells, show, range(size)[first : first + step]) for first in range(0, size, step)]
        if all(wanted_width(console, piece) <= console.width for piece in pieces):
            break
    return pieces[0] if len(pieces) == 1 else Group(*pieces)


def _piece(names: Sequence[str], cells: Grid, show: Callable[[Any], Text], columns: Sequence[int]) -> Table:
    found = table([""], [str(column + 1) for column in columns])
    found.columns[0].no_wrap = True
    for i, name in enumerate(names):
        short = (
            name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2 - 1]}..{name[1 - LONGEST_NAME // 2 :]}"
        )
        shown = (Text(".", "dim") if i == column else show(cells[i][column]) for column in columns)
        found.add_row(Text(f"{i + 1} {short}", "bold"), *shown)
    return found


def _side_by_side(console: Console, left: Group, right: Group) -> None:
    both = Table.grid(padding=(0, GAP))
    both.add_row(left, right)
    console.print(both if wanted_width(console, both) <= console.width else Group(left, right))

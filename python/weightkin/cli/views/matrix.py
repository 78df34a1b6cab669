"""What `matrix` prints: an N x N table of Pearson and one of cosines per group of roles, and each pair's coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ...results import Results
from ..text import UNDEFINED, coefficient, labels, percent, safe
from .models import show_coverage, show_models
from .tables import correlation, table

Grid = Sequence[Sequence[float | None]]
GAP = 4
"""Columns between two tables side by side."""


def show_matrix(console: Console, results: Results, verbose: bool) -> None:
    """All pairs. With `verbose`, what was not compared too, pair by pair."""
    summary = results.summary
    models, pairs = summary["models"], summary["pairs"]
    names = labels(models)
    numbers = [str(number) for number in range(1, len(models) + 1)]
    show_models(console, models, numbers)
    console.print()
    fractions = _square(pairs, lambda pair: pair["coverage"]["fraction"], len(models))
    console.print(Text("Share of each pair's parameters that was compared", "bold"))
    console.print(_table(names, fractions, lambda value: Text(percent(value))))
    several = len({entry["component"] for entry in summary["matrices"]}) > 1
    for entry in summary["matrices"]:
        place = f"{entry['component']} {entry['group']}" if several else entry["group"]
        console.print()
        console.print(Text(safe(place), "bold cyan"))
        pearson = Group(Text("Pearson"), _table(names, entry["pearson"], correlation))
        _side_by_side(console, pearson, _cosines(names, entry, pairs))
    if verbose:
        for pair in pairs:
            console.print()
            console.print(Text(f"{names[pair['a']]} (A) and {names[pair['b']]} (B)", "bold"))
            show_coverage(console, pair["coverage"], [], verbose)
    console.print()
    notes = (
        f"if uncorrelated: the cosine that Pearson = 0 would give; {UNDEFINED}: nothing compared, or a constant tensor"
    )
    console.print(Text(notes, "dim"))


def _cosines(names: Sequence[str], entry: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> Group:
    """Cosines above the diagonal; below it what they would be without any correlation."""
    place = entry["component"], entry["group"]
    cells = [list(row) for row in entry["cosine"]]
    for pair in pairs:
        for group in pair["groups"]:
            if (group["component"], group["group"]) == place:
                cells[pair["b"]][pair["a"]] = group["cosine_if_uncorrelated"]
    title = Text.assemble("cosine", (" (below the diagonal: if uncorrelated)", "dim"))
    return Group(title, _table(names, cells, lambda value: Text(coefficient(value))))


def _square(pairs: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float], size: int) -> Grid:
    cells: list[list[float | None]] = [[None] * size for _ in range(size)]
    for pair in pairs:
        cells[pair["a"]][pair["b"]] = cells[pair["b"]][pair["a"]] = value(pair)
    return cells


def _table(names: Sequence[str], cells: Grid, show: Callable[[float | None], Text]) -> Table:
    found = table([""], [str(number) for number in range(1, len(names) + 1)])
    found.columns[0].no_wrap = True
    for i, (name, row) in enumerate(zip(names, cells, strict=True)):
        shown = [Text(".", "dim") if i == j else show(value) for j, value in enumerate(row)]
        found.add_row(Text(f"{i + 1} {_short(name)}", "bold"), *shown)
    return found


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:11]}..{name[-11:]}"


def _side_by_side(console: Console, left: Group, right: Group) -> None:
    both = Table.grid(padding=(0, GAP))
    both.add_row(left, right)
    fits = Measurement.get(console, console.options.update(max_width=1000), both).maximum <= console.width
    console.print(both if fits else Group(left, right))

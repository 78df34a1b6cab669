"""How models and the coverage of a pair of them are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..text import count, labels, percent, plural, safe, shape, size
from .pictures import show_bar
from .tables import table

FEW = 8
"""Reasons that are listed unless --verbose asks for all."""


def dtypes(parameters: Mapping[str, int]) -> str:
    """Dtypes by their share: "BF16", "F8_E4M3 97.31%, F32 2.69%"."""
    if len(parameters) == 1:
        return next(iter(parameters))
    total = sum(parameters.values())
    return ", ".join(f"{name} {percent(number / total if total else 0)}" for name, number in parameters.items())


def describe(model: Mapping[str, Any]) -> str:
    """Family, size and dtypes of a model of summary.json."""
    if model["guessed_family"]:
        family = f"{safe(model['family'])}-like names (guessed)"
    else:
        family = safe(model["family"]) + ("" if model["known_family"] else " (family not known)")
    parts = [
        family,
        f"{count(model['parameters'])} parameters",
        plural(model["tensors"], "tensor"),
        size(model["bytes"]),
    ]
    return " · ".join([*parts, dtypes(model["dtypes"])])


def show_models(console: Console, models: Sequence[Mapping[str, Any]], letters: Sequence[str]) -> None:
    """One line per model, by the letter or number that tables use for it, then what is odd about their files."""
    lines = Table.grid(padding=(0, 2))
    for letter, label, model in zip(letters, labels(models), models, strict=True):
        lines.add_row(Text(letter, "bold cyan"), Text(label, "bold"), Text(describe(model)))
    console.print(lines)
    for letter, model in zip(letters, models, strict=True):
        for problem in model["problems"]:
            console.print(Text.assemble((f"note on {letter}: ", "yellow"), safe(problem)))


def show_coverage(
    console: Console, coverage: Mapping[str, Any], tensors: Sequence[Mapping[str, Any]], verbose: bool
) -> None:
    """A bar of the share of parameters that was compared, and what was not, with its reason.

    `tensors`: rows of the table `tensors` that are untested, to show the shapes behind the reason "shape".
    """
    show_bar(console, "Compared", tested(coverage), f"{count(coverage['parameters'])} parameters")
    if not coverage["untested"]:
        return
    rows = list(_reasons(coverage["untested"], verbose))
    found = table(["Not compared", "reason"], ["tensors", "parameters"])
    for place, reason, number, parameters in rows if verbose else rows[:FEW]:
        found.add_row(
            Text(safe(place)), Text(safe(reason + _shapes(place, reason, tensors))), f"{number:,}", count(parameters)
        )
    console.print(found)
    if len(rows) > FEW and not verbose:
        console.print(Text(f"... and {len(rows) - FEW} more (-v lists all)", "dim"))


def tested(coverage: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Parts of a bar: parameters that were compared, and those that were not by their reasons."""
    lost: dict[str, int] = {}
    for entry in coverage["untested"]:
        lost[entry["reason"]] = lost.get(entry["reason"], 0) + entry["parameters"]
    return [("compared", coverage["compared"]), *(lost.items() or [("", 0)])]


def _reasons(untested: Sequence[Mapping[str, Any]], by_role: bool) -> Iterator[tuple[str, str, int, int]]:
    """Place, reason, tensors and parameters, most parameters first."""
    pooled: dict[tuple[str, str], list[int]] = {}
    for entry in untested:
        inner = entry["role"] if by_role else entry["group"]
        place = inner if entry["component"] == "text" else f"{entry['component']} {inner}"
        tally = pooled.setdefault((place, entry["reason"]), [0, 0])
        tally[0] += entry["tensors"]
        tally[1] += entry["parameters"]
    for (place, reason), (number, parameters) in sorted(pooled.items(), key=lambda item: -item[1][1]):
        yield place, reason, number, parameters


def _shapes(place: str, reason: str, tensors: Sequence[Mapping[str, Any]]) -> str:
    """An example, for a reason that is about shapes."""
    if reason != "shape":
        return ""
    for row in tensors:
        if row["reason"] == reason and place.split()[-1] in (row["group"], row["role"]):
            return f": {row['role']} {shape(row['shape_a'])} against {shape(row['shape_b'])}"
    return ""

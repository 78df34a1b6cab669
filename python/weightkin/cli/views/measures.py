"""The table of measures of one pair: a row per group of roles, and per role within it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..text import UNDEFINED, coefficient, count, magnitude, percent, probability, safe
from .tables import correlation, table, wanted_width

Entry = Mapping[str, Any]


class Measure(NamedTuple):
    title: str
    show: Callable[[Entry], str | Text]
    rank: int
    """Where the terminal is too narrow for all, the highest go first; 0 stays."""
    meaning: str = ""


def _number(key: str, form: Callable[[float | None], str | Text]) -> Callable[[Entry], str | Text]:
    return lambda entry: form(entry[key])


def _z(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.1f}"


def _p(entry: Entry) -> str:
    return probability(entry["p_adjusted"], entry["p_extrapolated"])


MEASURES = (
    Measure("tensors", lambda entry: f"{entry['tensors']:,}", 6),
    Measure("params", lambda entry: count(entry["parameters"]), 0),
    Measure("cosine", _number("cosine", coefficient), 0),
    Measure("if uncorr", _number("cosine_if_uncorrelated", coefficient), 0, "the cosine that Pearson = 0 would give"),
    Measure("Pearson", _number("pearson", correlation), 0),
    Measure("z", lambda entry: _z(entry["z"]), 1, "deviations of the match from that of relabelled copies"),
    Measure("p", _p, 2, "chance of such a match, adjusted (Holm); ~: from z, beyond what the copies can rank"),
    Measure("rel.L2 /A", _number("relative_l2_a", magnitude), 3, "|A-B| / |A|"),
    Measure("rel.L2 /B", _number("relative_l2_b", magnitude), 5, "|A-B| / |B|"),
    Measure("changed", _number("changed_fraction", percent), 2, "share of elements whose bits differ"),
    Measure("p99 diff", _number("p99_difference", magnitude), 4, "difference of the 99th percentiles of |x|"),
)


VERDICTS = {"identical": "bold green", "derived": "bold green", "no_evidence": "dim", "not_tested": "dim"}
"""Styles; all else is yellow."""


def show_measures(console: Console, groups: Sequence[Entry], roles: Sequence[Entry], null: int) -> None:
    """Groups in bold with the roles in them, under a line per component if there are several.

    `null`: how many relabelled copies were asked for.
    """
    shown = list(MEASURES)
    found = _table(groups, roles, shown)
    while wanted_width(console, found) > console.width:
        droppable = [measure for measure in shown if measure.rank]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda measure: measure.rank))
        found = _table(groups, roles, shown)
    console.print(found)
    left_out = [measure.title for measure in MEASURES if measure not in shown]
    if left_out:
        console.print(Text(f"Too narrow for: {', '.join(left_out)}.", "dim"))
    meanings = [f"{one.title}: {one.meaning}" for one in shown if one.meaning]
    console.print(Text("; ".join([*meanings, copies(groups, null)]), "dim"))


def copies(groups: Sequence[Entry], wanted: int) -> str:
    """How many relabelled copies there were, by component where they differ in it."""
    found: dict[str, int] = {}
    for entry in groups:
        if entry["draws"]:
            found[entry["component"]] = entry["draws"]
    if not found:
        return "no relabelled copies: nothing was tested"
    numbers = ", ".join(str(number) for number in sorted(set(found.values())))
    if len(set(found.values())) > 1:
        numbers = ", ".join(f"{number} ({safe(component)})" for component, number in found.items())
    narrow = ": the width allows no more" if min(found.values()) < wanted else ""
    return f"{numbers} relabelled copies{narrow}"


def _table(groups: Sequence[Entry], roles: Sequence[Entry], shown: Sequence[Measure]) -> Table:
    found = table([""], [measure.title for measure in shown])
    found.columns[0].no_wrap = True
    found.add_column("")
    components = list(dict.fromkeys(entry["component"] for entry in groups))
    for component in components:
        if len(components) > 1:
            found.add_row(Text(safe(component).upper(), "bold cyan"))
        for group in (entry for entry in groups if entry["component"] == component):
            _add(found, Text(safe(group["group"]), "bold"), group, shown)
            inner = [role for role in roles if (role["component"], role["group"]) == (component, group["group"])]
            for role in inner:
                if role["role"] != group["group"] or len(inner) > 1:
                    _add(found, Text(f"  {safe(role['role'])}"), role, shown)
    return found


def _add(found: Table, name: Text, entry: Entry, shown: Sequence[Measure]) -> None:
    found.add_row(name, *(measure.show(entry) for measure in shown), flags(entry))


def flags(entry: Entry) -> Text:
    """The verdict on a group; and what a reader must not overlook: identity, NaN, infinities."""
    parts = []
    broken = any(entry[f"{kind}_{side}"] for kind in ("nans", "infinities") for side in "ab")
    if entry["changed_fraction"] == 0 and entry["pearson"] is None and not broken:
        parts.append(("constant", "dim"))  # all zeros, say: equal in models that share nothing
    elif entry["changed_fraction"] == 0 and entry["identical"]:
        parts.append(("identical", "bold green"))
    elif "verdict" in entry:
        parts.append((entry["verdict"].replace("_", " "), VERDICTS.get(entry["verdict"], "yellow")))
    elif entry["changed_fraction"] == 0:
        parts.append(("equal", "bold green"))  # once gains were folded in, or tokens matched by string
    for kind, label in (("nans", "NaN"), ("infinities", "Inf")):
        for side in "ab":
            if entry[f"{kind}_{side}"]:
                parts.append((f"{entry[f'{kind}_{side}']:,} {label} in {side.upper()}", "bold red"))
    return Text(", ").join(Text(*part) for part in parts)

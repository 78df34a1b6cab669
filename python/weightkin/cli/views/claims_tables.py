"""The claims that are tables: seven metrics, the third model, and the share of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..text import UNDEFINED, coefficient, count, magnitude, percent, plural, probability, safe, shape
from .tables import correlation, table, wanted_width

Values = Mapping[str, Any]

LETTERS = "ABCDEFGHIJKLMNOP"
"""Of the models: as many as a run can have."""

INDENT = 3

MEASURES = {
    "cosine": "cosine", "cosine_if_uncorrelated": "  if uncorrelated", "centred_cosine": "centred cosine",
    "pearson": "Pearson", "mean_abs_difference": "mean |A-B|", "relative_l2": "|A-B| / |A|",
    "relative_l2_a": "|A-B| / |A|", "relative_l2_b": "|A-B| / |B|", "cv_difference": "CV difference",
    "p99_difference": "p99 difference",
}  # fmt: skip
"""Titles, in order."""
COEFFICIENTS = ("cosine", "centred_cosine", "cosine_if_uncorrelated", "pearson")

ROLES = 4
"""Side by side: as many as 80 columns hold."""

EXACT = 1e-4
"""Shares below it are shown by their first digit, not as "<0.01%": what a claim rests on is worth a number."""


def show_metrics(console: Console, claim: Values, verbose: bool) -> None:
    """Means over the layers that were looked at, then over all layers and in both directions, then what is wrong."""
    published, corrected = claim["published_style"], claim["corrected"]
    halves = {f"as published: layers {', '.join(map(str, published['layers']))}": published["roles"]}
    halves["corrected: all layers"] = {entry["role"]: entry for entry in corrected["roles"]}
    if verbose:
        for end, which in enumerate(("lowest", "highest")):
            halves[f"{which} of all layers"] = {
                entry["role"]: _end(entry["range"], end) for entry in corrected["roles"]
            }
    for title, by_role in halves.items():
        if by_role:
            indented(console, Text(title, "dim"))
        for first in range(0, len(by_role), ROLES):
            _show_measures(console, dict(list(by_role.items())[first : first + ROLES]))
    for reason, roles in _not_compared(corrected["not_compared"]).items():
        indented(console, Text(safe(f"not compared ({reason}): {', '.join(roles)}"), "yellow"))
    notes = Table.grid(padding=(0, 2))
    for name, note in claim["notes"].items():
        notes.add_row(Text(MEASURES[name], "bold"), note)
    indented(console, notes)


def _not_compared(entries: Sequence[Values]) -> dict[str, list[str]]:
    """Reason -> roles, each with the number of its layers."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        reason = entry["reason"]
        if reason == "shape":
            reason = f"shape, {shape(entry['shape_a'])} against {shape(entry['shape_b'])}"
        found.setdefault(reason, []).append(f"{entry['role']} in {plural(len(entry['layers']), 'layer')}")
    return found


def _end(ranges: Values, end: int) -> Values:
    """The lower or upper ends of ranges."""
    return {name: value and value[end] for name, value in ranges.items()}


def _show_measures(console: Console, by_role: Mapping[str, Values]) -> None:
    """A row per measure that any of the roles has, a column per role."""
    found = table([""], [safe(role) for role in by_role])
    found.columns[0].no_wrap = True
    for name, label in MEASURES.items():
        if any(values.get(name) is not None for values in by_role.values()):
            found.add_row(label, *(_metric(name, values[name]) for values in by_role.values()))
    indented(console, found)


def show_third_model(console: Console, claim: Values, _: bool) -> None:
    """A row per group: its Pearson for every pair with A or B in it, whether A-B stands out, and what was compared."""
    groups, pairs = claim["corrected"]["groups"], claim["published_style"]["pairs"]
    names = [f"{LETTERS[pair['a']]}-{LETTERS[pair['b']]}" for pair in pairs]
    found = table(["as published"], names)
    found.add_row("cosine of norms", *(coefficient(pair["norm_cosine"]) for pair in pairs))
    indented(console, found)
    found = table(["corrected: Pearson"], [*names, "A-B closest", "p", "shared"])
    for group in groups:
        cells = [correlation(one["pearson"]) for one in group["pairs"]]
        cells += [_closest(group["closest"]), Text(probability(group["p"], False)), Text(count(group["parameters"]))]
        found.add_row(safe(group["group"]), *cells)
    if wanted_width(console, found) + INDENT > console.width:
        found = table(["corrected: Pearson"], ["A-B", "next closest", "A-B closest", "p"])
        for group in groups:
            ours, (next_closest, name) = group["pairs"][0]["pearson"], _largest(group["pairs"][1:], names[1:])
            cells = [correlation(ours), Text.assemble(correlation(next_closest), f" {name}")]
            found.add_row(safe(group["group"]), *cells, _closest(group["closest"]), probability(group["p"], False))
    indented(console, found)
    if any(pair["fraction"] not in (None, 1) for group in groups for pair in group["pairs"]):
        found = table(["compared in place"], names)
        for group in groups:
            found.add_row(safe(group["group"]), *(share(pair["fraction"]) for pair in group["pairs"]))
        indented(console, found)


def show_coverage_claim(console: Console, claim: Values, _: bool) -> None:
    """What the norms are of the model, and what of each group can be compared in place."""
    published, corrected = claim["published_style"], claim["corrected"]
    line = f"{plural(published['tensors'], 'norm')}, {count(published['parameters'])} parameters"
    indented(console, Text.assemble(("as published  ", "dim"), f"{line}: {share(published['fraction'])} of the pair"))
    found = table(["corrected"], ["share of the pair", "comparable in place"])
    found.add_column("why the rest is not", overflow="fold")
    for group in corrected["groups"]:
        comparable = group["comparable"] / group["parameters"] if group["parameters"] else None
        reasons = (entry["reason"] for entry in corrected["untested"] if entry["group"] == group["group"])
        listed = ", ".join(dict.fromkeys(reasons))
        found.add_row(safe(group["group"]), share(group["share"]), percent(comparable), Text(safe(listed), "dim"))
    found.add_row(Text("all", "bold"), count(corrected["parameters"]), Text(percent(corrected["fraction"]), "bold"))
    indented(console, found)


def _metric(name: str, value: float | None) -> str | Text:
    if name == "pearson":
        return correlation(value)
    return coefficient(value) if name in COEFFICIENTS else magnitude(value)


def _largest(pairs: Sequence[Values], names: Sequence[str]) -> tuple[float | None, str]:
    known = [(pair["pearson"], name) for pair, name in zip(pairs, names, strict=True) if pair["pearson"] is not None]
    return max(known, default=(None, ""))


def _closest(closest: bool | None) -> Text:
    return Text(UNDEFINED, "dim") if closest is None else Text("yes" if closest else "no", "bold" if closest else "")


def share(fraction: float | None) -> str:
    """A percentage, however small."""
    small = fraction is not None and 0 < fraction < EXACT
    return f"{100 * fraction:.1g}%" if small else percent(fraction)  # type: ignore[operator]  # small: a number


def indented(console: Console, what: RenderableType) -> None:
    """Below the title of its claim."""
    console.print(Padding(what, (0, 0, 0, INDENT), expand=False))

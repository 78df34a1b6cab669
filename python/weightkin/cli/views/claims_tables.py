"""The claims that are tables: seven metrics, the third model, and the share of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from ..text import UNDEFINED, coefficient, count, magnitude, percent, plural, probability, safe, shape
from .tables import correlation, table

Values = Mapping[str, Any]

TITLES = {
    "cosine": "cosine", "cosine_if_uncorrelated": "if uncorr", "pearson": "Pearson", "mean_abs_difference": "mean|A-B|",
    "relative_l2_a": "rel.L2/A", "relative_l2_b": "/B", "cv_difference": "CV diff", "p99_difference": "p99 diff",
}  # fmt: skip
"""Of the corrected metrics, in order."""

PUBLISHED_TITLES = {
    "cosine": "cosine", "centred_cosine": "centred", "pearson": "Pearson", "mean_abs_difference": "mean|A-B|",
    "relative_l2": "rel.L2/A", "cv_difference": "CV diff", "p99_difference": "p99 diff",
}  # fmt: skip
COEFFICIENTS = ("cosine", "centred_cosine", "cosine_if_uncorrelated", "pearson")

LETTERS = "ABCDEFGHIJKLMNOP"
"""Of the models: as many as a run can have."""

FEWEST_DIGITS = 1e-4
"""Shares below it are shown by their first digit instead of "<0.01%": what a claim rests on is worth a number."""


def show_metrics(console: Console, claim: Values, verbose: bool) -> None:
    """Means over the layers that were looked at, then over all layers and in both directions."""
    published, corrected = claim["published_style"], claim["corrected"]
    if corrected["roles"]:
        layers = ", ".join(map(str, published["layers"]))
        found = table([f"as published: layers {layers}"], list(PUBLISHED_TITLES.values()))
        for role, values in published["roles"].items():
            found.add_row(safe(role), *(_metric(name, values[name]) for name in PUBLISHED_TITLES))
        _print(console, found)
        found = table(["corrected: all layers"], list(TITLES.values()))
        for entry in corrected["roles"]:
            found.add_row(safe(entry["role"]), *(_metric(name, entry[name]) for name in TITLES))
            if verbose:
                for end, word in enumerate(("lowest", "highest")):
                    ranges = (entry["range"][name] for name in TITLES)
                    cells = (_metric(n, r and r[end]) for n, r in zip(TITLES, ranges, strict=True))
                    found.add_row(Text(f"  {word} layer", "dim"), *cells)
        _print(console, found)
    for entry in corrected["not_compared"]:
        shapes = f": {shape(entry['shape_a'])} against {shape(entry['shape_b'])}" if entry["reason"] == "shape" else ""
        where = plural(len(entry["layers"]), "layer")
        _print(console, Text(safe(f"{entry['role']} of {where} not compared ({entry['reason']}{shapes})"), "yellow"))
    for name, note in claim["notes"].items():
        _print(console, Text.assemble((f"{name.replace('_', ' ')}: ", "bold"), note))


def show_third_model(console: Console, claim: Values, _: bool) -> None:
    """A row per pair with A or B in it, a column per group."""
    groups = claim["corrected"]["groups"]
    found = table([""], ["norm cosine"])
    found.columns[0].no_wrap = True
    for group in groups:
        found.add_column(safe(group["group"]), justify="right", no_wrap=True)
    found.add_row(Text("", "dim"), Text("as published", "dim"), *([Text("Pearson", "dim")] * len(groups)))
    for place, pair in enumerate(claim["published_style"]["pairs"]):
        cells = (correlation(group["pairs"][place]["pearson"]) for group in groups)
        found.add_row(Text(_label(pair), "bold"), Text(coefficient(pair["norm_cosine"])), *cells)
    found.add_row("A-B is closest", "", *(_closest(group["closest"]) for group in groups))
    found.add_row("  p", "", *(probability(group["p"], False) for group in groups))
    found.add_row("shared by all", "", *(count(group["parameters"]) for group in groups))
    for place, pair in enumerate(claim["published_style"]["pairs"]):
        cells = (Text(_share(group["pairs"][place]["fraction"]), "dim") for group in groups)
        found.add_row(Text(f"  of {_label(pair)} compared", "dim"), "", *cells)
    _print(console, found)


def show_coverage_claim(console: Console, claim: Values, _: bool) -> None:
    """What the norms are of the model, and what of each group can be compared in place."""
    published, corrected = claim["published_style"], claim["corrected"]
    line = f"{plural(published['tensors'], 'norm')}, {count(published['parameters'])} parameters"
    _print(console, Text.assemble(("as published  ", "dim"), f"{line}: {_share(published['fraction'])} of the pair"))
    found = table(["corrected"], ["share of the pair", "comparable in place"])
    for group in corrected["groups"]:
        comparable = group["comparable"] / group["parameters"] if group["parameters"] else None
        found.add_row(safe(group["group"]), _share(group["share"]), percent(comparable))
    found.add_row(Text("all", "bold"), count(corrected["parameters"]), Text(percent(corrected["fraction"]), "bold"))
    _print(console, found)


def _metric(name: str, value: float | None) -> str | Text:
    if name == "pearson":
        return correlation(value)
    return coefficient(value) if name in COEFFICIENTS else magnitude(value)


def _closest(closest: bool | None) -> Text:
    return Text(UNDEFINED, "dim") if closest is None else Text("yes" if closest else "no", "bold" if closest else "")


def _label(pair: Values) -> str:
    return f"{LETTERS[pair['a']]}-{LETTERS[pair['b']]}"


def _share(fraction: float | None) -> str:
    if fraction is None or fraction == 0 or fraction >= FEWEST_DIGITS:
        return percent(fraction)
    return f"{100 * fraction:.1g}%"


def _print(console: Console, what: RenderableType) -> None:
    console.print(Padding(what, (0, 0, 0, 3)))

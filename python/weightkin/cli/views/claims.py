"""What `claims` prints: each published analysis as it was done, beside its corrected counterpart, and why they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...results import Results
from ..text import UNDEFINED, coefficient, plural, probability, safe
from .claims_tables import INDENT, LETTERS, indented, show_coverage_claim, show_metrics, show_third_model
from .models import show_models
from .tables import correlation, table, wanted_width

Values = Mapping[str, Any]
Lines = list[tuple[str, str | Text]]
"""What is measured, and its value. Short enough that both halves stand side by side in 80 columns."""
Half = tuple[str, Lines]

ROUNDING = 1e-12
"""Differences of cosines that are no more than rounding."""

PUBLISHED, CORRECTED = "as published", "corrected"


def show_claims(console: Console, results: Results, verbose: bool) -> None:
    """All claims in their order; with `verbose`, ranges over layers too."""
    summary = results.summary
    show_models(console, summary["models"], LETTERS[: len(summary["models"])])
    for number, claim in enumerate(summary["claims"], 1):
        title, show = SHOWN[claim["name"]]
        console.print()
        console.print(Text.assemble((f"{number}  {title}", "bold cyan"), (f"  ({safe(claim['source'])})", "dim")))
        if claim["published_style"] is not None:
            show(console, claim, verbose)
        indented(console, Text(safe(claim["why"]), "italic"))


def _beside(lines: Callable[[Values, Values], tuple[Half, Half]]) -> Callable[..., None]:
    """Shows what `lines` makes of both halves of a claim: side by side, or below each other where that is too wide."""

    def show(console: Console, claim: Values, _: bool) -> None:
        found = [_table(*half) for half in lines(claim["published_style"], claim["corrected"])]
        both = Table.grid(padding=(0, INDENT))
        both.add_row(*found)
        for part in [both] if wanted_width(console, both) <= console.width else found:
            indented(console, part)

    return show


def _table(title: str, lines: Lines) -> Table:
    found = table([title], [""])
    for what, value in lines:
        found.add_row(Text(safe(what)), value)
    return found


def _same_layer(published: Values, corrected: Values) -> tuple[Half, Half]:
    left: Lines = [(f"cosine, {published['tensors']} norms", coefficient(published["cosine"]))]
    left += [(f"  {role}", coefficient(value)) for role, value in published["cosine_by_role"].items()]
    chosen = f"{published['chosen_role']}, {plural(len(published['chosen_layers']), 'layer')}"
    left.append((chosen, coefficient(published["cosine_chosen"])))
    left.append(("  and layer 0", coefficient(published["cosine_chosen_and_layer_0"])))
    right: Lines = [("cosine if uncorrelated", coefficient(corrected["cosine_if_uncorrelated"]))]
    for entry in corrected["roles"]:
        right.append((f"  {entry['role']}", coefficient(entry["cosine_if_uncorrelated"])))
    right.append(("Pearson", correlation(corrected["pearson"])))
    return (PUBLISHED, left), (CORRECTED, [*right, *_evidence(corrected)])


def _baseline(published: Values, corrected: Values) -> tuple[Half, Half]:
    layers = ", ".join(map(str, published["layers"])) or "none"
    left: Lines = [("layers", layers), ("same layer, A and B", coefficient(published["cosine_across"]))]
    right: Lines = [("layers", "1 on"), ("same layer, A and B", coefficient(corrected["cosine_across"]))]
    for half, values, what in (
        (left, published, "layer 0 of"),
        (right, corrected, f"layers {corrected['lag']} apart in"),
    ):
        half += [(f"{what} {side.upper()}", coefficient(values[f"cosine_within_{side}"])) for side in "ab"]
        half += [(f"  sigma over {side.upper()}", _sigma(values[f"sigma_{side}"])) for side in "ab"]
    right.append(("Pearson, same layer", correlation(corrected["pearson_across"])))
    for side in "ab":
        right.append(
            (f"  {corrected['lag']} apart in {side.upper()}", correlation(corrected[f"pearson_within_{side}"]))
        )
    left.append(("z, as if independent", _z(published["z_as_if_independent"])))
    return (PUBLISHED, left), (CORRECTED, [*right, *_evidence(corrected)])


def _shuffle(published: Values, corrected: Values) -> tuple[Half, Half]:
    left: Lines = [
        ("cosine", coefficient(published["cosine"])),
        ("cosine after shuffling", coefficient(published["cosine_shuffled"])),
        ("mean difference", _signed(published["difference"])),
        ("largest difference", _signed(published["largest_difference"])),
    ]
    right: Lines = [
        ("cosine if uncorrelated", coefficient(corrected["cosine_if_uncorrelated"])),
        ("norms beyond their null", f"{corrected['tensors_beyond_null']} of {corrected['tensors_tested']}"),
    ]
    return (PUBLISHED, left), (CORRECTED, [*right, *_evidence(corrected)])


def _routers(published: Values, corrected: Values) -> tuple[Half, Half]:
    left: Lines = [
        (f"assigned rows, {plural(published['layers'], 'layer')}", coefficient(published["cosine_assigned"])),
        ("rows in place", coefficient(published["cosine_in_place"])),
    ]
    deviation = corrected["cosine_gaussian_deviation"]
    right: Lines = [
        ("Gaussian routers", f"{coefficient(corrected['cosine_gaussian'])} ± {deviation:.4f}"),
        ("relabelled copies of B", coefficient(corrected["cosine_relabelled"])),
        ("excess over these", _signed(corrected["excess"])),
    ]
    return (PUBLISHED, left), (CORRECTED, [*right, *_evidence(corrected)])


def _evidence(corrected: Values) -> Lines:
    """Of everything pooled, draw by draw."""
    draws = corrected["draws"]
    if not draws:
        return [("z, relabelled copies", UNDEFINED)]
    return [
        (f"z, {draws} relabelled copies", Text(_z(corrected["z"]), "bold")),
        ("p, rank among them", probability(corrected["p"], False)),
    ]


def _z(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value + 0.0:.1f}"


def _sigma(value: float | None) -> Text:
    return Text(UNDEFINED if value is None else f"{value:.1f}" if abs(value) < 9.95 else f"{value:,.0f}", "bold")


def _signed(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return f"{value:+.4f}" if abs(value) >= 5e-5 else f"{value:+.0e}" if abs(value) > ROUNDING else "0"


SHOWN: dict[str, tuple[str, Callable[..., None]]] = {
    "same_layer_norm_cosine": ("Norms of the same layer", _beside(_same_layer)),
    "layer_0_baseline": ("Layer 0 as the baseline, and its sigma", _beside(_baseline)),
    "norm_shuffle_test": ("Shuffled norms", _beside(_shuffle)),
    "router_assignment": ("Router rows after an assignment", _beside(_routers)),
    "seven_metrics": ("Seven metrics of norms, keys and values", show_metrics),
    "third_model": ("A third model", show_third_model),
    "coverage": ("The share of the parameters", show_coverage_claim),
}
"""Title, and what prints the two halves."""

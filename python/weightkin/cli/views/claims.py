"""What `claims` prints: each published analysis as it was done, beside its corrected counterpart, and why they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...results import Results
from ..text import UNDEFINED, coefficient, probability, safe
from .claims_tables import LETTERS, show_coverage_claim, show_metrics, show_third_model
from .models import show_models
from .tables import correlation, wanted_width

Values = Mapping[str, Any]
Lines = list[tuple[str, str | Text]]
"""What is measured, and its value."""

GAP = 3


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
        console.print(Padding(Text(safe(claim["why"]), "italic"), (0, 0, 0, 3)))


def _beside(lines: Callable[[Values, Values], tuple[Lines, Lines]]) -> Callable[..., None]:
    """Shows what `lines` makes of both halves of a claim: side by side, or below each other where that is too wide."""

    def show(console: Console, claim: Values, _: bool) -> None:
        halves = lines(claim["published_style"], claim["corrected"])
        found = [_half(title, half) for title, half in zip(("as published", "corrected"), halves, strict=True)]
        both = Table.grid(padding=(0, GAP))
        both.add_row(*found)
        fits = wanted_width(console, both) + GAP <= console.width
        for part in [both] if fits else found:
            console.print(Padding(part, (0, 0, 0, GAP)))

    return show


def _half(title: str, lines: Lines) -> RenderableType:
    found = Table(box=None, header_style="dim", pad_edge=False)
    found.add_column(title, overflow="fold")
    found.add_column("", justify="right", no_wrap=True)
    for what, value in lines:
        found.add_row(Text(safe(what)), value)
    return found


def _same_layer(published: Values, corrected: Values) -> tuple[Lines, Lines]:
    chosen = _listed(published["chosen_layers"])
    left: Lines = [(f"cosine, {published['tensors']} norms", coefficient(published["cosine"]))]
    left += [(f"  {role}", coefficient(value)) for role, value in published["cosine_by_role"].items()]
    left.append((f"{published['chosen_role']} of layers {chosen}", coefficient(published["cosine_chosen"])))
    left.append(("  the same with layer 0", coefficient(published["cosine_chosen_and_layer_0"])))
    right: Lines = [("cosine if uncorrelated", coefficient(corrected["cosine_if_uncorrelated"]))]
    for entry in corrected["roles"]:
        right.append((f"  {entry['role']}", coefficient(entry["cosine_if_uncorrelated"])))
    right.append(("Pearson", correlation(corrected["pearson"])))
    return left, [*right, *_evidence(corrected)]


def _baseline(published: Values, corrected: Values) -> tuple[Lines, Lines]:
    lag = corrected["lag"]
    left: Lines = [(f"across models, layers {_listed(published['layers'])}", coefficient(published["cosine_across"]))]
    right: Lines = [("across models, layers 1 on", coefficient(corrected["cosine_across"]))]
    for side in "ab":
        name = side.upper()
        left.append((f"layer 0 of {name} against them", coefficient(published[f"cosine_within_{side}"])))
        right.append((f"layers {lag} apart in {name}", coefficient(corrected[f"cosine_within_{side}"])))
    for side in "ab":
        left.append((f"sigma over {side.upper()}", _sigma(published[f"sigma_{side}"])))
        right.append((f"sigma over {side.upper()}", _sigma(corrected[f"sigma_{side}"])))
    right.append(("Pearson across", correlation(corrected["pearson_across"])))
    right += [(f"  {lag} apart in {side.upper()}", correlation(corrected[f"pearson_within_{side}"])) for side in "ab"]
    left.append(("z, layers as if independent", _z(published["z_as_if_independent"])))
    return left, [*right, *_evidence(corrected)]


def _shuffle(published: Values, corrected: Values) -> tuple[Lines, Lines]:
    left: Lines = [
        ("cosine", coefficient(published["cosine"])),
        ("cosine after shuffling", coefficient(published["cosine_shuffled"])),
        ("mean difference", _signed(published["difference"])),
        ("largest difference", _signed(published["largest_difference"])),
    ]
    beyond = f"{corrected['tensors_beyond_null']} of {corrected['tensors_tested']}"
    right: Lines = [
        ("cosine if uncorrelated", coefficient(corrected["cosine_if_uncorrelated"])),
        ("norms beyond their null", beyond),
    ]
    return left, [*right, *_evidence(corrected)]


def _routers(published: Values, corrected: Values) -> tuple[Lines, Lines]:
    left: Lines = [
        (f"cosine of assigned rows, {published['layers']} layers", coefficient(published["cosine_assigned"])),
        ("cosine in place", coefficient(published["cosine_in_place"])),
    ]
    deviation = corrected["cosine_gaussian_deviation"]
    right: Lines = [
        ("between Gaussian routers", f"{coefficient(corrected['cosine_gaussian'])} ± {deviation:.4f}"),
        ("with relabelled copies of B", coefficient(corrected["cosine_relabelled"])),
        ("excess over these", _signed(corrected["excess"])),
    ]
    return left, [*right, *_evidence(corrected)]


def _evidence(corrected: Values) -> Lines:
    """Of everything pooled, draw by draw."""
    draws = corrected["draws"]
    if not draws:
        return [("z against relabelled copies", UNDEFINED)]
    return [
        (f"z against {draws} relabelled copies", Text(_z(corrected["z"]), "bold")),
        ("p, by rank among them", probability(corrected["p"], False)),
    ]


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers)) or UNDEFINED


def _z(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value + 0.0:.1f}"


def _sigma(value: float | None) -> Text:
    return Text(UNDEFINED if value is None else f"{value:.1f}" if abs(value) < 9.95 else f"{value:,.0f}", "bold")


def _signed(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:+.4f}"


SHOWN: dict[str, tuple[str, Callable[..., None]]] = {
    "same_layer_norm_cosine": ("Norms of the same layer are alike", _beside(_same_layer)),
    "layer_0_baseline": ("They are more alike than layers of one model", _beside(_baseline)),
    "norm_shuffle_test": ("Shuffled norms are as alike", _beside(_shuffle)),
    "router_assignment": ("Router rows match after an assignment", _beside(_routers)),
    "seven_metrics": ("Seven metrics of norms, keys and values", show_metrics),
    "third_model": ("A third model is as close", show_third_model),
    "coverage": ("The share of the parameters", show_coverage_claim),
}

"""What `layers` prints: the map in runs, what each group of roles says of it, and all scores as a strip per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from rich.console import Console
from rich.text import Text

from ...correspondence.arrangement import span
from ...results import Results
from ..text import UNDEFINED, coefficient, count, probability, safe
from .models import show_models
from .pictures import Parts, Scale, legend, mark, show_bar, show_strips
from .tables import correlation, table

MOST_ROWS = 48
"""Strips of a matrix; deeper models have several layers per mark."""
MOST_RUNS = 6
"""That a line lists."""
LABEL = 6
CLEAR = 8.0
"""Score below which a cell is a dot: noise reaches 5."""
DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def show_layer_maps(console: Console, results: Results, verbose: bool) -> None:
    """Component by component."""
    summary = results.summary
    one = len(summary["models"]) == 1
    show_models(console, summary["models"], "A" if one else "AB")
    console.print()
    size = ("" if one else "B's ") + f"{count(summary['models'][-1]['parameters'])} parameters"
    show_bar(console, "Compared", _compared(summary["models"], summary["layers"]), size)
    for component, entry in summary["layers"]["components"].items():
        console.print()
        word = "layers within one model" if one else entry["arrangement"].replace("_", " ")
        style = "bold green" if max(entry["assignment"], default=-1) >= 0 else "dim"
        console.print(
            Text.assemble((f"{safe(component)}: ", "bold cyan"), (word, f"bold {style}" if not one else "bold"))
        )
        _show_runs(console, entry, one, summary["options"]["null"])
        _show_groups(console, entry["groups"], one)
        if one:
            _show_baselines(console, results, component)
        deciding = "all" if entry["in_place"] else "unordered"
        for group in (deciding, *(group["group"] for group in entry["groups"] if verbose)):
            _show_matrix(console, results, component, group, entry, one)
        _show_strips(console, results, component, entry, one)
    left_out = summary["layers"]["experts_left_out"]
    if left_out:
        console.print()
        console.print(
            Text(f"Routed experts ({count(left_out)} parameters) were left out: --experts compares them too.", "dim")
        )
    console.print()
    console.print(Text(safe(summary["layers"]["statement"])))


def compact(runs: Sequence[Mapping[str, int]]) -> str:
    """Runs in one line, B before A: "0-4 <- 0-4, 5-8 <- 2-5"; their number if there are many."""
    parts = [
        f"{span(run['first_b'], run['length'])} <- {span(run['first_a'], run['length'])}"
        for run in runs
        if run["first_a"] >= 0
    ]
    if len(parts) > MOST_RUNS:
        matched = sum(run["length"] for run in runs if run["first_a"] >= 0)
        return f"{matched} of {sum(run['length'] for run in runs)} layers, in {len(parts)} runs"
    return ", ".join(parts) or "none"


def _show_runs(console: Console, entry: Mapping[str, Any], one: bool, asked: int) -> None:
    copy = "A, again" if one else "A"
    found = table(
        ["layers of A" if one else "layers of B", f"layers of {copy}"], ["z", "margin", "neighbours", "Pearson"]
    )
    for run in entry["runs"]:
        rows = range(run["first_b"], run["first_b"] + run["length"])
        matched = run["first_a"] >= 0
        least = [_extreme(entry[name], rows, matched) for name in ("z", "margin", "margin_neighbours")]
        source = Text(span(run["first_a"], run["length"])) if matched else Text("none", "dim")
        pearson = [entry["pearson"][row] for row in rows if entry["pearson"][row] is not None]
        mean = correlation(float(np.mean(pearson))) if pearson and matched else Text(UNDEFINED, "dim")
        style = "" if matched else "dim"
        found.add_row(Text(span(run["first_b"], run["length"])), source, *(Text(each, style) for each in least), mean)
    console.print(found)
    copies = f"one of {entry['draws']} relabelled copies"
    lines = (
        f"z: of the best score, among the best of every {copies}; margin: over the second best layer; neighbours: over the "
        "layers before and after it. Of a run, the least of its layers; where nothing matches, the largest."
    )
    console.print(Text(lines, "dim"))
    if entry["draws"] < asked:
        width = entry["draws"] + 1
        console.print(
            Text(f"{entry['draws']} copies, not {asked}: a width of {width} channels has no more rotations.", "dim")
        )


def _extreme(values: Sequence[float | None], rows: range, least: bool) -> str:
    held = [value for value in (values[row] for row in rows) if value is not None]
    return f"{min(held) if least else max(held):.1f}" if held else UNDEFINED


def _show_groups(console: Console, groups: Sequence[Mapping[str, Any]], one: bool) -> None:
    console.print()
    found = table(["group"], ["params", "z", "p"])
    found.add_column("layer <- layer" if one else "B <- A", overflow="fold")
    for group in groups:
        z = UNDEFINED if group["z"] is None else f"{group['z']:.1f}"
        said = Text(UNDEFINED, "dim") if group["z"] is None else Text(compact(group["runs"]))
        if group["group"] == "norms":
            said.append(" (does not count)", "dim")
        found.add_row(safe(group["group"]), count(group["parameters"]), z, probability(group["p"], False), said)
    console.print(found)


def _show_baselines(console: Console, results: Results, component: str) -> None:
    rows = [row for row in results["baselines"].to_pylist() if row["component"] == component]
    distances = [step for step in DISTANCES if any(row["distance"] == step and not row["with_first"] for row in rows)]
    if not distances:
        return
    console.print()
    console.print(Text("Pearson of layers that are so far apart, without layer 0", "bold"))
    shown = distances[: max(1, (console.width - 16) // 9)]
    found = table([""], [str(step) for step in shown])
    means = {(row["group"], row["distance"]): row for row in rows if not row["with_first"]}
    for group in sorted(dict.fromkeys(row["group"] for row in rows), key="all".__eq__):
        cells = [means.get((group, step)) for step in shown]
        found.add_row(safe(group), *(correlation(cell and cell["pearson"]) for cell in cells))
        if group == "norms":
            found.add_row("  cosine", *(coefficient(cell and cell["cosine"]) for cell in cells))
    console.print(found)


def _show_matrix(
    console: Console, results: Results, component: str, group: str, entry: Mapping[str, Any], one: bool
) -> None:
    layers = results["layers"]
    chosen = layers.filter(pc.and_(pc.equal(layers["component"], component), pc.equal(layers["group"], group)))
    scores = np.full((entry["layers_a"], entry["layers_b"]), np.nan)
    a, b, score = (chosen[name].to_numpy(zero_copy_only=False) for name in ("layer_a", "layer_b", "score"))
    scores[a, b] = score.astype(float)
    step = max(-(-entry["layers_b"] // MOST_ROWS), -(-entry["layers_a"] // max(console.width - LABEL, 10)))
    top = max(float(np.nanmax(scores, initial=0.0)), CLEAR)
    per_mark = f", {step} layers per mark" if step > 1 else ""
    sides = "a line per layer, a mark per layer" if one else "a line per layer of B, a mark per layer of A"
    scale = Scale("Scores", CLEAR, top, CLEAR)
    console.print()
    said = f"  ({sides}{per_mark}; {legend(console, scale)})"
    console.print(Text.assemble((f"Scores, {safe(group)}", "bold"), (said, "dim")))
    for first in range(0, entry["layers_b"], step):
        line = Text(f"{first:>{LABEL - 2}}  ", "dim", no_wrap=True)
        for of_a in range(0, len(scores), step):
            held = scores[of_a : of_a + step, first : first + step]
            value = float(np.nanmax(held)) if np.isfinite(held).any() else None
            line.append(*mark(console, scale, value))
        console.print(line)


def _show_strips(console: Console, results: Results, component: str, entry: Mapping[str, Any], one: bool) -> None:
    """How clear the best layer is, by groups."""
    maps = results["maps"].select(["component", "group", "layer_b", "z"]).to_pylist()
    names = {"all" if entry["in_place"] else "unordered": "all matrices"}
    names |= {group["group"]: group["group"] for group in entry["groups"]}
    strips = [
        (name, {row["layer_b"]: row["z"] for row in maps
                if (row["component"], row["group"]) == (component, group) and row["z"] is not None})
        for group, name in names.items()
    ]  # fmt: skip
    top = max([CLEAR, *(z for _, values in strips for z in values.values())])
    name, of = ("z of the best other layer", "layer") if one else ("z of the best layer of A", "layer of B")
    show_strips(console, Scale(name, CLEAR, top, CLEAR), strips, of)


def _compared(models: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Parts:
    """Parameters of B that were held against layers of A, and the others."""
    held = sum(group["parameters"] for entry in found["components"].values() for group in entry["groups"])
    experts = found["experts_left_out"]
    rest = max(models[-1]["parameters"] - held - experts, 0)
    return [("compared", held), ("routed experts", experts), ("in no layer, or of another shape", rest)]

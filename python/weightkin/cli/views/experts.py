"""What `experts` prints: one row per pair of layers, the pooled evidence, and a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...results import Results
from ..text import UNDEFINED, count, probability, safe
from .models import show_models
from .pictures import Scale, show_bar, show_strips
from .tables import correlation, table, wanted_width

Row = Mapping[str, Any]

NARROW = ("matched", "score", "others", "z", "neurons", "Pearson")
ROOMY = (*NARROW, "rank p", "router z", "neuron z", "experts in place")
"""Columns, where there is room for them."""


def show_experts(console: Console, results: Results, verbose: bool) -> None:
    """Models, layers, what is not matched, and what to make of it; with `verbose`, each layer's assignment."""
    found = results.summary["experts"]
    show_models(console, results.summary["models"], "AB")
    console.print()
    parts = [("matched", found["parameters_matched"])]
    parts += [("match none", found["parameters_tested"] - found["parameters_matched"])]
    parts += [("not tested", found["parameters"] - found["parameters_tested"])]
    show_bar(console, "Matched", parts, f"{count(found['parameters'])} MLP parameters")
    console.print()
    rows = results["layers"].to_pylist()
    wide = _table(rows, ROOMY)
    if wanted_width(console, wide) <= console.width:
        console.print(wide)
    else:
        console.print(_table(rows, NARROW))
        console.print(Text(f"Too narrow for: {', '.join(ROOMY[len(NARROW) :])}.", "dim"))
    if verbose:
        _show_assignments(console, found["layers"])
    _show_strips(console, rows)
    console.print()
    for component in found["components"]:
        _show_pooled(console, component)
    console.print(Text(safe(found["statement"])))


def _table(rows: Sequence[Row], shown: Sequence[str]) -> Table:
    several = len({row["component"] for row in rows}) > 1
    found = table([*(["part"] if several else []), "layer of B", "of A", "MLPs are"], shown)
    for row in rows:
        style = "" if row["matched_mlps"] else "dim"
        places = [*([row["component"]] if several else []), str(row["layer_b"]), str(row["layer_a"]), _pattern(row)]
        found.add_row(*(Text(place, style) for place in places), *(_cell(row, name) for name in shown))
    return found


def _pattern(row: Row) -> str:
    return "not found" if row["pattern"] == "none" else str(row["pattern"])


def _cell(row: Row, name: str) -> Text:
    if name == "matched":
        return Text(f"{row['matched_mlps']}/{row['mlps_b']}", "bold green" if row["matched_mlps"] else "dim")
    if name in ("score", "others", "Pearson", "neurons"):
        key = {"score": "matched", "others": "background", "Pearson": "pearson", "neurons": "neuron_pearson"}[name]
        # Gate chose the permutation, so where nothing matches its Pearson is high for that reason alone.
        return correlation(row[key] if row["matched_mlps"] or name != "Pearson" else None)
    if name == "rank p":
        return Text(probability(row["p"], False))
    if name == "experts in place":
        known = row["matched_mlps"] and row["experts_a"] and row["identity_fraction"] is not None
        return Text(f"{row['identity_fraction']:.0%}" if known else UNDEFINED)
    value = row[{"z": "z", "router z": "router_z", "neuron z": "neuron_z"}[name]]
    return Text(UNDEFINED if value is None else f"{value:.1f}")


def _show_assignments(console: Console, layers: Sequence[Row]) -> None:
    console.print()
    console.print(Text("Expert of A for each expert of B, in order", "bold"))
    lines = Table.grid(padding=(0, 2))
    for layer in layers:
        if layer["assignment"]:
            numbers = " ".join(UNDEFINED if one < 0 else str(one) for one in layer["assignment"])
            lines.add_row(Text(f"layer {layer['layer_b']}", "dim"), Text(numbers))
    console.print(lines)


def _show_strips(console: Console, rows: Sequence[Row]) -> None:
    """Where a layer of B was held against several of A: of the one that matches best."""
    components = dict.fromkeys(row["component"] for row in rows)
    for component in components:
        best: dict[int, Row] = {}
        own = (row for row in rows if row["component"] == component and row["mlps_b"])
        for row in sorted(own, key=lambda row: (row["matched_mlps"], row["matched"] or 0.0)):
            best[row["layer_b"]] = row
        found = {"MLPs matched": {layer: row["matched_mlps"] / row["mlps_b"] for layer, row in best.items()}}
        for name, key in (("score", "matched"), ("neurons", "neuron_pearson")):
            found[name] = {layer: row[key] for layer, row in best.items() if row[key] is not None}
        strips = list(found.items())
        name = f"Matches of {safe(component)}" if len(components) > 1 else "Matches"
        show_strips(console, Scale(name, 0.0, 1.0), strips, "layer of B")


def _show_pooled(console: Console, component: Row) -> None:
    layers = f"All {component['layers']} layers" if component["layers"] > 1 else "One layer"
    line = Text.assemble((layers, "bold"), f" ({component['component']}): ")
    line.append(f"{component['mlps_matched']:,} of {component['mlps']:,} MLPs match, z = {_z(component['z'])}, ")
    line.append(f"rank p = {probability(component['p'], False)} among {component['draws']} relabelled copies")
    console.print(line)


def _z(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.1f}"

"""What `compare` prints: the models, the coverage, the measures, and what to make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.text import Text

from ...results import Results
from ..text import coefficient, magnitude, percent, plural, safe
from .layers import show_layers
from .measures import VERDICTS, flags, show_measures
from .models import show_coverage, show_models
from .tables import correlation, table

MOST = 20
"""Tensors that --verbose lists."""


def show_comparison(console: Console, results: Results, verbose: bool) -> None:
    """One pair, top to bottom."""
    summary = results.summary
    tensors = results["tensors"]
    show_models(console, summary["models"], "AB")
    show_alignment(console, summary)
    console.print()
    untested = tensors.filter(pc.equal(tensors["status"], "untested"))
    show_coverage(console, summary["coverage"], untested.to_pylist() if untested.num_rows else [], verbose)
    console.print()
    if summary["groups"]:
        show_measures(console, summary["groups"], summary["roles"], summary["options"]["null"])
        show_layers(console, tensors, [(entry["component"], entry["group"]) for entry in summary["groups"]])
    if verbose:
        _show_most_different(console, tensors)
    for line in remarks(summary):
        console.print()
        console.print(line)
    show_verdict(console, summary["verdict"])


def show_alignment(console: Console, summary: Mapping[str, Any]) -> None:
    """How parts were paired, in a line or two."""
    record = summary["alignment"]
    parts = [
        f"layers of {safe(component)} {summary['layers']['components'][component]['arrangement'].replace('_', ' ')}"
        for component in record["layers"]
    ]
    neurons = sum(one["neurons_moved"] for one in record["experts"])
    parts += [f"experts of {plural(len(record['experts']), 'layer')}"] if record["experts"] else []
    parts += [f"neurons of {plural(neurons, 'expert')}"] if neurons else []
    parts += [f"attention heads of {plural(len(record['heads']), 'layer')}"] if record["heads"] else []
    tried = "as given" if record["mode"] == "file" else "searched" if record["searched"] else "in place"
    found = (
        f"; re-aligned: {', '.join(parts)}" if parts else "; nothing that is significant" if record["searched"] else ""
    )
    console.print(Text.assemble(("Alignment: ", "bold"), f"{tried}{found}", (f"  ({safe(record['why'])})", "dim")))
    for note in record.get("notes", ()):
        console.print(Text(f"  {safe(note)}", "dim"))


def remarks(summary: Mapping[str, Any]) -> Iterator[Text]:
    """What a reader of the numbers could miss."""
    fingerprints = {model["fingerprint"] for model in summary["models"]}
    if len(fingerprints) == 1:
        yield Text("A and B are the same files.", "bold")
    for name, entry in _uninformative(summary["groups"]):
        cosine, expected = coefficient(entry["cosine"]), coefficient(entry["cosine_if_uncorrelated"])
        line = (
            f"the cosine {cosine} says nothing: uncorrelated tensors with these means and deviations have {expected}."
        )
        pearson = entry["pearson"]
        then = "undefined, as one of them is constant" if pearson is None else coefficient(pearson)
        yield Text.assemble((f"{name}: ", "bold yellow"), f"{line} Their Pearson is {then}.")


def show_verdict(console: Console, verdict: Mapping[str, Any]) -> None:
    """The words of a pair, and the statement that says what they rest on."""
    how = f" ({', '.join(verdict['how'])})" if verdict["how"] else ""
    words = f"{verdict['relation'].replace('_', ' ')}{how}"
    console.print()
    console.print(Text.assemble("Verdict: ", (words, VERDICTS.get(verdict["relation"], "yellow")), style="bold"))
    console.print(Text(safe(verdict["statement"])))


def _uninformative(groups: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Groups whose cosine is high because of the means alone."""
    for entry in groups:
        cosine, expected = entry["cosine"], entry["cosine_if_uncorrelated"]
        if cosine is not None and expected > 0.5 and abs(cosine - expected) < 0.3 * (1 - expected):
            component = "" if entry["component"] == "text" else f"{entry['component']} "
            yield safe(component + entry["group"]), entry


def _show_most_different(console: Console, tensors: Any) -> None:
    compared = tensors.filter(
        pc.and_(pc.equal(tensors["status"], "compared"), pc.greater(tensors["changed_fraction"], 0))
    )
    order = pc.sort_indices(compared, [("relative_l2_a", "descending")])
    rows = compared.take(order[:MOST]).to_pylist()
    if rows:
        console.print()
        title = f"Tensors that differ most ({len(rows)} of {compared.num_rows:,} that differ), by |A-B| / |A|"
        console.print(Text(title, "bold"))
        found = table(["name in A"], ["Pearson", "cosine", "rel.L2 /A", "changed"])
        found.add_column("")
        for row in rows:
            found.add_row(
                Text(_name(row)), correlation(row["pearson"]), coefficient(row["cosine"]),
                magnitude(row["relative_l2_a"]), percent(row["changed_fraction"]), flags(row),
            )  # fmt: skip
        console.print(found)


def _name(row: Mapping[str, Any]) -> str:
    """The tensor, and which part of it, if it holds several."""
    expert = "" if row["expert"] is None or f".{row['expert']}." in row["name_a"] else f" expert {row['expert']}"
    return f"{safe(row['name_a'])}{expert}"

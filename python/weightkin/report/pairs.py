"""The pairs of models that results compare, whichever command made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..cli.text import labels
from ..results import Results

Entry = Mapping[str, Any]


class Pair(NamedTuple):
    """Numbers of two models, what to call them, and what the summary says of them."""

    a: int
    b: int
    label: str
    entry: Entry


def pairs_of(results: Results) -> list[Pair]:
    """[] for results that compare no tensors."""
    summary = results.summary
    if "pairs" in summary:
        entries = [(entry["a"], entry["b"], entry) for entry in summary["pairs"]]
    elif "roles" in summary:
        entries = [(0, 1, summary)]
    else:
        return []
    names = labels(summary["models"])
    return [Pair(a, b, f"{names[a]} and {names[b]}", entry) for a, b, entry in entries]


def most_alike(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """At most so many of the pairs, in their order: those with evidence, and of these those with the largest z."""

    def interest(pair: Pair) -> tuple[bool, float]:
        found = pair.entry["verdict"]["relation"] not in ("no_evidence", "not_tested")
        z = [entry["z"] for entry in pair.entry["groups"] if entry["group"] != "norms" and entry["z"] is not None]
        return found, max(z, default=float("-inf"))

    kept = {id(pair) for pair in sorted(pairs, key=interest, reverse=True)[:most]}
    return [pair for pair in pairs if id(pair) in kept]


def place(entry: Entry, *more: str) -> str:
    """What a group or role is called: its component goes without saying if it is text, or called the same."""
    words = [entry["component"]] if entry["component"] != "text" else []
    return " ".join(dict.fromkeys([*words, *(str(entry[key]) for key in more)]))

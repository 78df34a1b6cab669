"""The published analyses, each beside its correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cli.text import coefficient, magnitude
from ..results import Results

TITLES = {
    "same_layer_norm_cosine": "Norms of the same layer", "layer_0_baseline": "Layer 0 as the baseline, and its sigma",
    "norm_shuffle_test": "Shuffled norms", "router_assignment": "Router rows after an assignment",
    "seven_metrics": "Seven metrics of norms, keys and values", "third_model": "A third model",
    "coverage": "The share of the parameters",
}  # fmt: skip
EVIDENCE = {"z": "z, relabelled copies", "p": "p, rank among them", "draws": "relabelled copies"}
HIDDEN = ("range", "layers_a", "layers_b")
"""Keys of records whose values would not fit a cell."""


def claims(results: Results) -> list[dict[str, Any]]:
    """One entry per claim with two halves, `published_style` and `corrected`: values, and tables of
    what is by role or group."""
    found = []
    for claim in results.summary.get("claims", []):
        halves = [
            {"title": title} | _half(claim[key])
            for key, title in (("published_style", "As published"), ("corrected", "Corrected"))
            if claim[key] is not None
        ]
        found.append({
            "title": TITLES.get(claim["name"], claim["name"]), "source": claim["source"], "why": claim["why"],
            "halves": halves, "notes": claim.get("notes", {}),
        })  # fmt: skip
    return found


def _half(values: Mapping[str, Any]) -> dict[str, Any]:
    lines, tables = [], []
    for key, value in values.items():
        name = EVIDENCE.get(key, key.replace("_", " "))
        if isinstance(value, Mapping):
            by_name = [{name: entry} if not isinstance(entry, Mapping) else dict(entry) for entry in value.values()]
            tables.append(_table("", [{"": key} | entry for key, entry in zip(value, by_name, strict=True)]))
        elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            tables.append(_table(name, value))
        else:
            lines.append((name, _text(value)))
    return {"lines": lines, "tables": tables}


def _table(title: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = dict.fromkeys(key for record in records for key in record if key not in HIDDEN)
    rows = [[_text(record.get(key)) for key in keys] for record in records]
    return {"title": title, "head": [key.replace("_", " ") for key in keys], "rows": rows}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return coefficient(value) if 0.0001 < abs(value) <= 1 else magnitude(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        separator = "; " if value and isinstance(value[0], Mapping) else ", "
        return separator.join(_record(one) for one in value) or "none"
    return "-" if value is None else str(value)


def _record(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    return ", ".join(f"{key} {_text(one)}" for key, one in value.items())

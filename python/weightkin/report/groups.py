"""Effect and evidence of every group of roles, and of every role."""

from __future__ import annotations

from typing import Any

from ..results import Results
from .columns import numbers, sortable, texts
from .pairs import pairs_of, place

MEASURES = {
    "cosine": "cosine", "cosine_if_uncorrelated": "if uncorrelated", "pearson": "Pearson", "pearson_low": "low",
    "pearson_high": "high", "aligned_cosine": "aligned cosine", "relative_l2_a": "|A-B| / |A|", "changed_fraction": "changed",
    "z": "z", "p": "p", "p_adjusted": "p (Holm)",
}  # fmt: skip
"""Title of each measure of a group and of a role in summary.json."""
KINDS = {"p": "probability", "p_adjusted": "probability", "changed_fraction": "share"}
DRAWN = ("cosine", "cosine_if_uncorrelated", "pearson", "pearson_low", "pearson_high", "z")


def sections(results: Results) -> list[dict[str, Any]]:
    """A picture of groups and roles, and their table; [] if nothing was compared."""
    pairs = pairs_of(results)
    entries = [(pair, entry) for pair in pairs for entry in (*pair.entry["groups"], *pair.entry["roles"])]
    if not entries:
        return []
    variants = []
    for pair in pairs:
        levels = {}
        for level, keys in (("group", ("group",)), ("role", ("role",))):
            own = pair.entry[f"{level}s"]
            levels[level] = {"names": [place(entry, *keys) for entry in own]} | {
                measure: numbers([_number(entry.get(measure)) for entry in own]) for measure in DRAWN
            }
        variants.append({"label": pair.label, "levels": levels})
    columns = [
        ("pair", "pair", "text", texts([pair.label for pair, _ in entries])),
        ("component", "component", "text", texts([entry["component"] for _, entry in entries])),
        ("group", "group", "text", texts([entry["group"] for _, entry in entries])),
        ("role", "role", "text", texts([entry.get("role", "(all)") for _, entry in entries])),
        ("tensors", "tensors", "integer", numbers([entry["tensors"] for _, entry in entries])),
        ("parameters", "parameters", "integer", numbers([entry["parameters"] for _, entry in entries])),
        ("verdict", "verdict", "text", texts([_word(entry) for _, entry in entries])),
    ]
    columns += [
        (measure, title, KINDS.get(measure, "number"), numbers([_number(entry.get(measure)) for _, entry in entries]))
        for measure, title in MEASURES.items()
    ]
    columns.append(("p_is", "p is", "text", texts([_kind(entry) for _, entry in entries])))
    if len(pairs) == 1:
        columns = columns[1:]
    return [
        {"kind": "groups", "title": "Effect and evidence per role group", "variants": variants},
        sortable("Groups and roles", columns, "groups.csv"),
    ]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _kind(entry: Any) -> str | None:
    """Whether p is the rank among the draws, or lies beyond what they can show."""
    if entry.get("p") is None:
        return None
    return "extrapolated from z" if entry.get("p_extrapolated") else "a rank"


def _word(entry: Any) -> str | None:
    return entry["verdict"].replace("_", " ") if "verdict" in entry else None

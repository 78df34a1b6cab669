"""The opening of the page: what was found, in words, and which share of the parameters that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cli.text import percent
from ..cli.views.series import headline
from ..results import Results
from .alignment import pairing
from .pairs import pairs_of, place

WORDS = {
    "identical": "identical", "derived": "derived", "partial": "derived in part", "norms_only": "norm gains only",
    "no_evidence": "no evidence", "not_tested": "not tested",
}  # fmt: skip
"""Of a verdict's relation."""
STARTS = {
    "random": "start looks random", "not_random": "start is not random", "undecided": "start undecided",
}  # fmt: skip


def statements(results: Results) -> list[dict[str, Any]]:
    """Every statement of the summary with the word that it comes to, its pair, and the bars of its coverage; pairs with
    evidence first."""
    found = []
    pairs = pairs_of(results)
    for pair in pairs:
        verdict = pair.entry["verdict"]
        relation = str(verdict["relation"])
        word = WORDS.get(relation, relation.replace("_", " "))
        how = [str(one).replace("_", " ") for one in verdict["how"]]
        found.append({
            "pair": pair.label, "relation": relation, "word": ", ".join([word, *how]), "text": verdict["statement"],
            "coverage": bars(pair.entry), "pairing": pairing(pair.entry),
        })  # fmt: skip
    found.sort(key=lambda one: one["relation"] in ("no_evidence", "not_tested"))
    names = [model["name"] for model in results.summary["models"]]
    course = results.summary.get("series")
    if course is not None:
        word = f"{headline(course)}; {STARTS[course['start']['word']]}"
        title, held = " to ".join((names[0], names[-1])), bars({**results.summary, "groups": course["groups"]})
        found.append({
            "pair": title, "relation": f"series {course['word']}", "word": word, "text": course["statement"], "coverage": held,
            "pairing": None,
        })  # fmt: skip
    for key in ("layers", "experts", "lineage"):
        text = results.summary.get(key, {}).get("statement")
        if text:
            title = " and ".join(names)
            found.append({"pair": title, "relation": key, "word": key, "text": text, "coverage": None, "pairing": None})
    return found


def bars(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Of every group of roles, largest first: parameters that were compared, and those that were not by their reasons."""
    coverage = entry["coverage"]
    total = coverage["parameters"] or 1
    compared = {place(group, "group"): int(group["parameters"]) for group in entry["groups"]}
    untested: dict[str, dict[str, int]] = {}
    for one in coverage["untested"]:
        tally = untested.setdefault(place(one, "group"), {})
        tally[one["reason"]] = tally.get(one["reason"], 0) + one["parameters"]
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys([*compared, *untested]):
        reasons = sorted(untested.get(name, {}).items(), key=lambda item: -item[1])
        held, lost = compared.get(name, 0), sum(parameters for _, parameters in reasons)
        rows.append({
            "name": name, "compared": held, "parameters": held + lost, "share": (held + lost) / total,
            "percent": percent(held / (held + lost)) if held + lost else "-", "reasons": reasons,
        })  # fmt: skip
    rows.sort(key=lambda row: -row["parameters"])
    return {"fraction": coverage["fraction"], "percent": percent(coverage["fraction"]), "rows": rows,
            "compared": coverage["compared"], "parameters": coverage["parameters"]}  # fmt: skip

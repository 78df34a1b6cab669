"""What a comparison leaves unexplained, so that a search for its counterpart is worth the reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..plan import NO_COUNTERPART
from ..statistics.verdict import PEARSON_EXPLAINED
from .coverage import LEFT_OVER

KINDS = {"attention": "heads", "router": "experts", "experts": "experts", "mlp": "experts"}
"""Group -> what its parts may be re-ordered by, besides layers."""


class Gaps(NamedTuple):
    """Where something of two models is not explained."""

    wanted: set[tuple[str, str]]
    """Component, and what to search for in it: "layers", "experts" (all MLPs) or "heads"."""
    why: str


def gaps(summary: Mapping[str, Any]) -> Gaps:
    """`summary`: of one pair, judged (summary.py). What has no null (constant, not finite) cannot be searched for either."""
    wanted: set[tuple[str, str]] = set()
    reasons: dict[str, dict[str, None]] = {}

    def want(entry: Mapping[str, Any], reason: str, *more: str) -> None:
        component, group = entry["component"], entry["group"]
        wanted.update((component, kind) for kind in (KINDS[group], *more))
        reasons.setdefault(reason, {})[group if component == "text" else f"{component} {group}"] = None

    for entry in summary["groups"]:
        if entry["group"] not in KINDS:
            continue
        if entry["verdict"] in ("no_evidence", "partial"):
            reason = "found in some layers only" if entry["verdict"] == "partial" else "no evidence in place"
            want(entry, reason, "layers")
        elif entry["verdict"] == "derived" and entry["pearson"] < PEARSON_EXPLAINED:
            want(entry, f"Pearson below {PEARSON_EXPLAINED}")
    for entry in summary["coverage"]["untested"]:
        if entry["group"] in KINDS and not entry["role"].endswith((".bias", ".scale")) and _for_want(entry["reason"]):
            want(entry, entry["reason"], "layers")
    excluded = {
        (entry["component"], KINDS[entry["group"]])
        for entry in summary["coverage"]["untested"]
        if entry["group"] in KINDS and entry["reason"] == "excluded"
    }
    return Gaps(wanted - excluded, "; ".join(f"{reason}: {', '.join(groups)}" for reason, groups in reasons.items()))


def _for_want(reason: str) -> bool:
    return reason == "shape" or reason.startswith("missing in") or reason in (NO_COUNTERPART, *LEFT_OVER.values())

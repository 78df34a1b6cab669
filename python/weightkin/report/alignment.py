"""How the parts of a pair were paired: in place, or through what a search found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cli.text import plural
from ..results.aligned import applied

KINDS = {"layers": "layers", "experts": "experts and neurons", "heads": "attention heads"}


def pairing(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why it was searched, and a row for everything that was found, and for what was tried in vain; None without a search."""
    record = summary.get("alignment")
    if record is None or not (record["searched"] or record["mode"] == "file"):
        return None
    rows = [_row("layers", one, _layers(one)) for one in applied(summary, "layers")]
    for kind in ("experts", "heads"):
        for component in dict.fromkeys(one["component"] for one in applied(summary, kind)):
            own = [one for one in applied(summary, kind) if one["component"] == component]
            weakest = min(own, key=lambda one: one["z"] if one["z"] is not None else float("inf"))
            rows.append(_row(kind, weakest, f"counterparts in {plural(len(own), 'layer')} (the least z of them)"))
    rows += [_row(one["kind"], one, "nothing that is significant") for one in record.get("tested", [])]
    return {"why": record["why"], "notes": record["notes"], "given": record["mode"] == "file", "rows": rows}


def _row(kind: str, one: Mapping[str, Any], found: str) -> dict[str, Any]:
    z, p = one["z"], one["p"]
    return {"component": one["component"], "kind": KINDS[kind], "found": found,
            "z": "-" if z is None else f"{z:.1f}", "p": "-" if p is None else f"{p:.2g}"}  # fmt: skip


def _layers(one: Mapping[str, Any]) -> str:
    of_b = ", ".join(f"{b} is {a}" if a >= 0 else f"{b} is none" for b, a in enumerate(one["assignment"]))
    return f"{one['arrangement'].replace('_', ' ')}; layers of B and those of A that they are: {of_b}"

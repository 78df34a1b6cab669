"""What a machine was measured to do, read from a results file of the bench: what a prediction is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from .measure import OURS

Cases = Mapping[str, Mapping[str, Any]]

SWEEP = ("sweep/pair", "difference/pair")
"""Cases with all numbers of a pair of tensors: the first that was measured."""
PROBE = ("probe/layer", "experts/strangers")
NEURONS = ("cross_gram/neurons",)
ASSIGN = {"assign/copies-random": 128, "assign/random-128": 128, "assign/experts-random": 1408}
"""Sizes of problems, small ones first; those of a batch are preferred."""
STEEPEST = 3.0
"""Exponent of an assignment's time in its size where only one size was measured."""


@dataclass(frozen=True)
class Rates:
    """Per second; None where nothing was measured. Of a machine without devices its processor counts as the only one."""

    storage: float | None
    """Bytes that files give when they are not in memory."""
    staging: float | None
    """Bytes that all threads bring from the page cache into pinned slots."""
    memory: float | None
    """Bytes that the host's memory moves, reads and writes counted."""
    link: float | None
    """Bytes that one device takes from pinned memory; None where there is no device."""
    sweep: float | None
    """Bytes of both members."""
    lagged: float | None
    """Elements of both members."""
    probe: float | None
    """Floating point operations, of few rows with many."""
    probe_from: str | None
    """The case that gave it."""
    products: float | None
    """Floating point operations, of many rows with many."""
    assign: tuple[tuple[int, float], ...]
    """(size, problems per second)"""
    tensors: float | None
    """Results that the interpreter handles."""

    def problems(self, side: int) -> float | None:
        """Assignments of that size per second, by the power law through the two sizes that were measured."""
        if not self.assign:
            return None
        (small, fast), (large, slow) = self.assign[0], self.assign[-1]
        exponent = STEEPEST if small == large else log(fast / slow) / log(large / small)
        nearest, rate = min(self.assign, key=lambda one: abs(log(one[0] / side)))
        return float(rate * (nearest / side) ** exponent)


def read(report: Mapping[str, Any]) -> Rates:
    """Of a results file. Where a case has two kinds of names (processor, device), the first found counts."""
    cases: Cases = {row["case"]: row for row in report["cases"] if row["participants"]}
    measured: Mapping[str, float] = report.get("rates", {})
    return Rates(
        storage=storage(cases["compare/cold"]) if "compare/cold" in cases else None,
        staging=measured.get("staging"),
        memory=measured.get("memory"),
        link=measured.get("link"),
        sweep=_rate(cases, SWEEP, "nbytes"),
        lagged=_rate(cases, ("lagged/pair",), "elements"),
        probe=_rate(cases, PROBE, "flops"),
        probe_from=next((name for name in PROBE if name in cases), None),
        products=_rate(cases, NEURONS, "flops"),
        assign=_assign(cases),
        tensors=_rate(cases, ("compare/tensors",), "elements"),
    )


def seconds(row: Mapping[str, Any]) -> float:
    """Our best run."""
    return float(row["participants"][OURS]["best"])


def storage(row: Mapping[str, Any]) -> float:
    """Bytes per second of the fastest way to read a case's files."""
    return float(row["nbytes"] / min(one["best"] for one in row["participants"].values() if one["kind"] == "roof"))


def _rate(cases: Cases, names: tuple[str, ...], quantity: str) -> float | None:
    row = next((cases[name] for name in names if name in cases), None)
    return None if row is None else float(row[quantity]) / seconds(row)


def _assign(cases: Cases) -> tuple[tuple[int, float], ...]:
    """A run is as many problems as fill the case's bytes; of two cases of one size the first counts."""
    found: dict[int, float] = {}
    for name, side in ASSIGN.items():
        if name in cases:
            found.setdefault(side, cases[name]["nbytes"] / (4 * side * side) / seconds(cases[name]))
    return tuple(found.items())

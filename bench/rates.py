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
ASSIGN = ("assign/random-128", "assign/experts-random")
"""A small and a large size."""
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
        return rate * (nearest / side) ** exponent


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
        products=_rate(cases, NEURONS, "flops"),
        assign=tuple(_assign(cases[name]) for name in ASSIGN if name in cases),
        tensors=_rate(cases, ("compare/tensors",), "elements"),
    )


def seconds(row: Mapping[str, Any]) -> float:
    """Our best run."""
    return float(row["participants"][OURS]["best"])


def storage(row: Mapping[str, Any]) -> float:
    """Bytes per second of the fastest way to read a case's files."""
    return float(row["nbytes"]) / min(one["best"] for one in row["participants"].values() if one["kind"] == "roof")


def _rate(cases: Cases, names: tuple[str, ...], quantity: str) -> float | None:
    row = next((cases[name] for name in names if name in cases), None)
    return None if row is None else float(row[quantity]) / seconds(row)


def _assign(row: Mapping[str, Any]) -> tuple[int, float]:
    """From the summary's size: a run is as many problems as fill the case's bytes."""
    side = int(row["case"].rpartition("-")[2]) if row["case"].rpartition("-")[2].isdigit() else 1408
    return side, row["nbytes"] / (4 * side * side) / seconds(row)

"""One case from preparation to a row of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from .registry import Case, Run, Settings, Target, Timer, Work
from .timing import Costs, interleave, seconds

OURS = "weightkin"


@dataclass(frozen=True, slots=True)
class Participant:
    """Ours, a roof or a peer."""

    kind: str
    """"ours", "roof" or "peer"."""
    best: float
    """Cost of the best run, in the row's unit."""
    median: float
    runs: int
    ratio: float
    """Its best cost / our best cost: above 1, we are better."""
    ratio_median: float
    """The same of the median costs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A target and what came of it."""

    against: str | None
    target: float
    value: float | None
    """Our ratio to `against`, or our cost; None: not installed."""
    met: bool | None


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a case. Without times if its numbers are wrong."""

    case: str
    summary: str
    unit: str
    error: float | None
    """None: not even a number."""
    tolerance: float
    passed: bool
    nbytes: int
    flops: int
    elements: int
    counted: str
    participants: dict[str, Participant]
    missing: tuple[str, ...]
    """Peers that are not installed."""
    targets: tuple[Outcome, ...]
    problem: str | None = None
    """Why nothing was measured, if the case broke."""

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def broken(case: Case, problem: str) -> Row:
    """The row of a case that could not be measured."""
    return Row(
        case.name, case.summary, case.unit, None, case.tolerance, False, 0, 0, 0, "elements", {}, (), (), problem
    )


def measure(case: Case, settings: Settings) -> Row:
    """Checks the case, and if its numbers are right, times all participants in turn."""
    with case.prepare(settings) as work:
        error = work.check()
        passed = error <= case.tolerance
        missing = tuple(name for name, run in work.peers.items() if run is None)
        participants = _time(case, work, settings) if passed else {}
        targets = tuple(_outcome(target, participants) for target in case.targets) if passed else ()
        return Row(
            case=case.name,
            summary=case.summary,
            unit=case.unit,
            error=error if isfinite(error) else None,
            tolerance=case.tolerance,
            passed=passed,
            nbytes=work.nbytes,
            flops=work.flops,
            elements=work.elements,
            counted=work.counted,
            participants=participants,
            missing=missing,
            targets=targets,
        )


def _time(case: Case, work: Work, settings: Settings) -> dict[str, Participant]:
    runs: dict[str, Run] = dict(work.roofs) | {OURS: work.ours}
    runs |= {name: run for name, run in work.peers.items() if run is not None}
    costs = interleave(
        runs,
        min(case.rounds or settings.rounds, settings.rounds),
        _clock(case, work, settings),
        work.before,
    )
    costs = {name: found.times(work.shares.get(name, 1.0)) for name, found in costs.items()}
    return {name: _participant(_kind(name, work.roofs), found, costs[OURS]) for name, found in costs.items()}


def _clock(case: Case, work: Work, settings: Settings) -> Timer:
    """A device's own clock warms up and repeats; what needs something done before every run can have neither."""
    if case.unit != "s":
        return _returned
    return seconds if settings.timer is None or work.before is not None else settings.timer


def _returned(run: Run) -> float:
    return float(run())


def _kind(name: str, roofs: Mapping[str, Run]) -> str:
    return "ours" if name == OURS else "roof" if name in roofs else "peer"


def _participant(kind: str, costs: Costs, ours: Costs) -> Participant:
    return Participant(
        kind, costs.best, costs.median, len(costs.values), costs.best / ours.best, costs.median / ours.median
    )


def _outcome(target: Target, participants: Mapping[str, Participant]) -> Outcome:
    if target.against is None:
        value = participants[OURS].best
        return Outcome(None, target.value, value, value <= target.value)
    if target.against == "roof":
        value = min(found.ratio for found in participants.values() if found.kind == "roof")
    elif target.against in participants:
        value = participants[target.against].ratio
    else:
        return Outcome(target.against, target.value, None, None)
    return Outcome(target.against, target.value, value, value >= target.value)

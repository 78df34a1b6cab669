"""Interleaved repetitions: on a shared machine only times of the same minute can be divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from .registry import Run

PATIENCE = 12.0
"""Seconds after which a participant is left out of further rounds, once it has had `FEWEST`."""

FEWEST = 2


@dataclass(frozen=True, slots=True)
class Costs:
    """What one participant's runs cost: seconds, or bytes."""

    values: tuple[float, ...]

    @property
    def best(self) -> float:
        """The run that others disturbed least."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The run in the middle."""
        return median(self.values)

    def times(self, factor: float) -> Costs:
        """Of another amount of the same work."""
        return Costs(tuple(factor * value for value in self.values))


def interleave(
    participants: Mapping[str, Run], rounds: int, cost: Callable[[Run], float], before: Callable[[], None] | None = None
) -> dict[str, Costs]:
    """Runs all participants in turn, `rounds` times; `before` each run, not counted."""
    values: dict[str, list[float]] = {name: [] for name in participants}
    for _ in range(rounds):
        for name, run in participants.items():
            if len(values[name]) >= FEWEST and sum(values[name]) > PATIENCE:
                continue
            if before is not None:
                before()
            values[name].append(cost(run))
    return {name: Costs(tuple(costs)) for name, costs in values.items()}


def seconds(run: Run) -> float:
    """Wall time of one run."""
    start = perf_counter()
    run()
    return perf_counter() - start

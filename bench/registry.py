"""What a case is: work with a definition to be checked against, a roof, peers, and targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .shapes import DECODERS, Decoder

Run = Callable[[], Any]
Timer = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chooses for all cases."""

    data: Path
    """Where generated checkpoints are kept between runs."""
    nbytes: int
    """Size of all checkpoints of one case together."""
    threads: int
    rounds: int = 7
    seed: int = 0
    decoder: Decoder = DECODERS["solar-open-100b"]
    device: str = "cpu"
    """Where cases of devices run: "cuda:0", or "cpu" by Triton's interpreter."""
    timer: Timer | None = None
    """Seconds of a run; None: wall time."""


@dataclass(frozen=True, slots=True)
class Target:
    """Ours must be `value` times as fast as "roof" or the peer of that name, or (None) cost at most `value`."""

    against: str | None
    value: float


@dataclass(frozen=True, slots=True)
class Work:
    """A prepared case: runs that all do the same job on the same bytes."""

    ours: Run
    check: Callable[[], float]
    """Largest error of ours against the float64 reference, or the number of wrong answers."""
    roofs: Mapping[str, Run] = field(default_factory=dict)
    """Ways to do the least that any program must do; the fastest is the roof."""
    peers: Mapping[str, Run | None] = field(default_factory=dict)
    """None: not installed."""
    nbytes: int = 0
    """Bytes that one run must read."""
    flops: int = 0
    """Floating point operations of one run, as its definition has them; a multiply-add is two."""
    elements: int = 0
    """Of all operands, where the time of each is of interest; or what `counted` names."""
    counted: str = "elements"
    shares: Mapping[str, float] = field(default_factory=dict)
    """Our amount of work / that of the participant of this name, where it does another amount: its times are multiplied."""
    before: Callable[[], None] | None = None
    """Done before every run and not timed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    """`<op>/<what of it>`"""
    summary: str
    prepare: Callable[[Settings], AbstractContextManager[Work]]
    tolerance: float
    """Largest error with which a time is reported."""
    targets: tuple[Target, ...]
    unit: Literal["s", "B"] = "s"
    """What a run costs: the seconds that it takes, or the bytes that it returns."""
    rounds: int | None = None
    """Fewer than the user's, where a run is long or its cost steady."""

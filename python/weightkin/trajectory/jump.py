"""What is said of weights that were replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .gather import Group

Kind = Literal["replaced", "from_here", "until_here", "moved_out"]


@dataclass
class Jump:
    """Weights that were replaced from place `first` to place `last`."""

    kind: Kind
    """"replaced": what comes before goes on after; "from_here": to the end; "until_here": from the beginning; "moved_out": the
    path goes far out and comes back, although some of the weights are shared."""
    first: int
    last: int
    groups: list[Group]
    whole: bool
    """Every group of matrices that can be tested."""
    count: int = 0
    """How many tensors, where it is not the whole of these groups."""
    tensors: list[str] = field(default_factory=list)
    """Names of some of them."""
    layers: list[int] = field(default_factory=list)
    """Layers that hold them all; [] if some are of none."""

    def touches(self, place: int) -> bool:
        """Whether a step to or from `place` leads into the jump or out of it."""
        return self.first - 1 <= place <= self.last + 1

    def covers(self, group: Group, place: int) -> bool:
        """Whether it explains what is seen of a group there."""
        return (self.whole or group in self.groups) and self.touches(place)

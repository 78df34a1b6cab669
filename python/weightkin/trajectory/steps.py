"""Where checkpoints stand on the time axis of a training: steps as they were given, or read from names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ..errors import PlanError

SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
QUANTITY = r"(\d+(?:\.\d+)?)([kmbt]?)"
NUMBER = re.compile(rf"(?<![\d.]){QUANTITY}(?![a-z\d])", re.IGNORECASE)
NAMED = re.compile(rf"(?:step|checkpoint|ckpt|iter(?:ation)?|token)s?[-_=]*{QUANTITY}(?![a-z\d])", re.IGNORECASE)


class Steps(NamedTuple):
    """The time of each checkpoint, if that is known, and where from."""

    values: tuple[float, ...] | None
    source: str
    """"given", "names" or "none"."""
    notes: tuple[str, ...] = ()

    def intervals(self, members: Sequence[int]) -> list[float] | None:
        """Between each of `members` and the one before it; None unless all are known and positive."""
        if self.values is None:
            return None
        gaps = [self.values[after] - self.values[before] for before, after in pairwise(members)]
        return gaps if all(gap > 0 for gap in gaps) else None


def steps_of(names: Sequence[str], given: Sequence[float] | None) -> Steps:
    """Raises `PlanError` if as many steps as checkpoints were not given."""
    if given is not None:
        if len(given) != len(names):
            raise PlanError(
                f"{len(given)} step{'' if len(given) == 1 else 's'} given for {len(names)} checkpoints",
                "give one step per checkpoint",
            )
        return Steps(tuple(given), "given", _order(given))
    found = [number_in(name) for name in names]
    values = [value for value in found if value is not None]
    # Names that differ in more than numbers do not count one thing, and a number that all share is part of the model's name.
    alike = len({re.sub(r"\d+(?:\.\d+)?", "#", name) for name in names}) == 1
    if len(values) < len(names) or not alike or len(set(values)) == 1:
        return Steps(None, "none")
    return Steps(tuple(values), "names", _order(values))


def number_in(name: str) -> float | None:
    """The number of steps or tokens that a name says: after a word such as "step", else its last number."""
    found = NAMED.findall(name) or NUMBER.findall(name)
    return _value(*found[-1]) if found else None


def quantity(text: str) -> float | None:
    """1000, 1k or 2.5B; None if it is none of the kind."""
    found = re.fullmatch(QUANTITY, text, re.IGNORECASE)
    return _value(*found.groups()) if found else None


def _value(digits: str, scale: str) -> float:
    return float(digits) * SCALES[scale.lower()]


def _order(values: Sequence[float]) -> tuple[str, ...]:
    for place, (before, after) in enumerate(pairwise(values), 2):
        if after <= before:
            return (
                f"the steps do not ascend: checkpoint {place} is at {after:g}, the one before it at {before:g}; give "
                "checkpoints in the order of training (`ls -v` sorts names so)",
            )
    return ()

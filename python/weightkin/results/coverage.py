"""How much of a pair is compared, in parameters, and why the rest is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..plan import Row

LEFT_OVER = {
    "vocab": "token of one vocabulary only", "neuron": "neurons without a counterpart",
    "expert": "experts without a counterpart", "head": "attention heads without a counterpart",
    "heads": "attention heads without a counterpart",
}  # fmt: skip
"""By the axis of which some entries are compared: why the others are not."""


@dataclass
class Coverage:
    """A tally of rows; every address counts once, at its larger size."""

    parameters: int = 0
    compared: int = 0
    untested: dict[tuple[str, str, str, str], list[int]] = field(default_factory=dict)
    """component, group, role, reason -> tensors, parameters"""

    def add(self, row: Row) -> None:
        """Counts one address of the pair."""
        self.parameters += row.parameters
        if row.unit is None:
            self._leave_out(row, row.reason or "", 1, row.parameters)
            return
        self.compared += row.unit.parameters
        if row.unit.parameters < row.parameters:
            reason = LEFT_OVER[row.unit.axes[row.unit.gather_axis]]
            self._leave_out(row, reason, 0, row.parameters - row.unit.parameters)

    def _leave_out(self, row: Row, reason: str, tensors: int, parameters: int) -> None:
        tally = self.untested.setdefault((row.address.component, row.group, row.address.role, reason), [0, 0])
        tally[0] += tensors
        tally[1] += parameters

    def to_dict(self) -> dict[str, Any]:
        """The `coverage` of summary.json; most parameters first."""
        untested = [
            dict(zip(("component", "group", "role", "reason"), place, strict=True))
            | {"tensors": tensors, "parameters": parameters}
            for place, (tensors, parameters) in sorted(self.untested.items(), key=lambda item: -item[1][1])
        ]
        fraction = self.compared / self.parameters if self.parameters else 0.0
        return {
            "parameters": self.parameters, "compared": self.compared, "fraction": fraction, "untested": untested,
        }  # fmt: skip

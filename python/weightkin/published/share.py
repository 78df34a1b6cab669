"""The share of the parameters that the published analyses looked at, and the share that can be compared at all."""

from __future__ import annotations

from collections import defaultdict

from ..plan import Plan
from ..results.coverage import Coverage
from ..schema import display_order
from .subject import Claim, Subject


def coverage(subject: Subject, plan: Plan) -> Claim:
    """From headers alone. `plan`: of everything that the models hold."""
    tally = Coverage()
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = [row for unit in plan.units for a, b, row in plan.compared(unit) if (a, b) == (0, 1)]
    for row in [*rows, *plan.untested(0, 1)]:
        tally.add(row)
        groups[row.group][0] += row.parameters
        groups[row.group][1] += row.unit.parameters if row.unit else 0
    gains = sum(row["parameters"] for row in subject.gain_rows)
    found = tally.to_dict()
    return {
        "name": "coverage",
        "source": "Upstage's public verification",
        "published_style": {
            "tensors": len(subject.gain_rows), "parameters": gains, "fraction": gains / found["parameters"],
        },
        "corrected": {
            "parameters": found["parameters"],
            "comparable": found["compared"],
            "fraction": found["fraction"],
            "groups": [
                {"group": group, "parameters": total, "comparable": comparable, "share": total / found["parameters"]}
                for group, (total, comparable) in sorted(groups.items(), key=lambda item: display_order([item[0]]))
            ],
            "untested": found["untested"],
        },
        "why": (
            "Norms are a vanishing share of a model: what can be compared in place at all is the larger part of the "
            "question, and what cannot (another shape, another order) is evidence for neither side."
        ),
    }  # fmt: skip

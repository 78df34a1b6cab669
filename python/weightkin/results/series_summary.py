"""The summary of a series: curves by group of roles, jumps, the start, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..schema import display_order
from ..trajectory.findings import Steps as StepFindings
from ..trajectory.findings import find_steps
from ..trajectory.start_findings import DECISIVE, DOUBTFUL, Start, find_start
from .series_statement import Names, statement
from .series_tables import group_numbers

if TYPE_CHECKING:
    from ..trajectory.course import Course
    from ..trajectory.gather import Gathered
    from ..trajectory.steps import Steps

CURVES = (
    "norm", "growth", "pearson_previous", "relative_l2_previous", "changed_fraction", "turn", "z_previous", "p_previous",
    "pearson_last", "z_last", "p_last", "pearson_around", "z_around", "p_around",
)  # fmt: skip


def summarise(course: Course, steps: Steps, gathered: Gathered) -> dict[str, Any]:
    """The keys `coverage` and `series` of summary.json. Checkpoints are counted from 1, in the order given."""
    first = course.models[course.members[0]].checkpoint
    start = find_start(gathered.tensors, first.parameters)
    ordered = steps.values is None or steps.intervals(course.members) is not None
    found = find_steps(gathered, steps.intervals(course.members), start.word == "not_random", ordered)
    names = Names(_labels(course), course.members)
    left_out = [number for number in range(len(course.models)) if number not in course.members]
    groups = _groups(gathered)
    series: dict[str, Any] = {
        "checkpoints": [
            {"checkpoint": number + 1, "name": model.checkpoint.name, "compared": number in course.members,
             "step": None if steps.values is None else steps.values[number]}
            for number, model in enumerate(course.models)
        ],
        "steps_from": steps.source, "notes": list(steps.notes),
        "other_architecture": [number + 1 for number in left_out], "word": word(found, gathered, left_out),
        "jumps": [
            {"kind": jump.kind, "first": names.number(jump.first), "last": names.number(jump.last), "whole": jump.whole,
             "groups": _places(jump.groups), "tensors": jump.tensors, "layers": jump.layers,
             "count": jump.count}
            for jump in found.jumps
        ],
        "unusual": [{"checkpoint": names.number(at), "groups": _places(held)} for at, held in found.unusual.items()],
        "same": [names.number(at) for at in found.same], "forgotten": _places(found.forgotten),
        "tested": _places(found.tested), "untestable": _places(found.untestable),
        "start": {"checkpoint": names.number(0), **_start(start)}, "groups": groups,
    }  # fmt: skip
    series["statement"] = statement(found, start, series["word"], groups, names, left_out, gathered.not_finite, ordered)
    return {"coverage": gathered.coverage.to_dict(), "series": series}


def _labels(course: Course) -> list[str]:
    """Names of checkpoints; paths of those whose names repeat."""
    names = [model.checkpoint.name for model in course.models]
    return [
        str(model.checkpoint.path) if names.count(name) > 1 else name
        for name, model in zip(names, course.models, strict=True)
    ]


def word(found: StepFindings, gathered: Gathered, left_out: list[int]) -> str:
    """jump, no_jump, undecided or not_tested."""
    if found.jumps or left_out:
        return "jump"
    if not found.tested:
        return "not_tested"
    members = next(iter(gathered.pools.values())).members
    steps = [(at, at + 1) for at in range(members - 1)]
    clear = all(found.relations[place][pair] == "match" for place in found.tested for pair in steps)
    return "no_jump" if clear else "undecided"


def _groups(gathered: Gathered) -> list[dict[str, Any]]:
    out = []
    for (component, group), pool in sorted(gathered.pools.items(), key=lambda item: display_order(item[0])):
        numbers = [group_numbers(pool, group, at) for at in range(pool.members)]
        entry: dict[str, Any] = {
            "component": component,
            "group": group,
            "tensors": pool.tensors,
            "parameters": pool.parameters,
        }
        entry |= {name: [_known(one.get(name)) for one in numbers] for name in CURVES}
        out.append(entry | {"draws": max((one.get("draws", 0) for one in numbers), default=0)})
    return out


def _start(start: Start) -> dict[str, Any]:
    failed = [
        {"test": test, "what": what, "decisive": test in DECISIVE, "roles": [role.place for role in held]}
        for test, what in (DECISIVE | DOUBTFUL).items()
        if (held := start.failing({test: what}).get(test))
    ]
    roles = [
        {"component": role.component, "group": role.group, "role": role.role, "tensors": role.tensors,
         "parameters": role.parameters, "constant": role.constant, "families": role.families, "scale_smallest": role.scale[0],
         "scale_largest": role.scale[1], "worst": {test: _known(value) for test, value in role.worst.items()},
         "failing": role.failing}
        for role in start.roles
    ]  # fmt: skip
    return {"word": start.word, "share": start.share, "failed": failed, "copies": start.copied, "roles": roles}


def _places(groups: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"component": component, "group": group} for component, group in groups]


def _known(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and not np.isfinite(value)) else value

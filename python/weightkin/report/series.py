"""The course of a training: curves of every group of roles, marks where weights were replaced, and the tests of the start."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from ..cli.text import labels
from ..results import Results
from ..results.series_tables import START, STEPS
from .columns import floats, numbers, sortable, strings, table_of, texts
from .pairs import place

CURVES = ("pearson_previous", "pearson_last", "relative_l2_previous", "norm", "z_previous", "z_last", "turn")
MARKS = {
    "replaced": "not of this training", "from_here": "weights replaced", "until_here": "weights replaced",
    "moved_out": "off the path",
}  # fmt: skip
STEP_TITLES = {
    "checkpoint": "checkpoint", "name": "name", "step": "step", "component": "component", "group": "group", "norm": "norm",
    "growth": "growth", "relative_l2_previous": "step length", "changed_fraction": "changed",
    "pearson_previous": "Pearson to the one before", "z_previous": "z", "p_previous": "p",
    "pearson_last": "Pearson to the last",
    "z_last": "z to the last", "p_last": "p to the last", "pearson_around": "Pearson around it", "z_around": "z around it",
    "turn": "turn",
}  # fmt: skip
TESTS = ("rows", "columns", "edge", "correlation", "experts", "layers", "copies", "repeats", "distribution", "vector")
START_TITLES = {
    "component": "component", "layer": "layer", "role": "role", "expert": "expert", "rows": "rows", "columns": "columns",
    "edge": "edge", "correlation": "correlation", "distribution": "distribution", "family": "closest family", "scale": "scale",
    "smallest": "smallest", "largest": "largest", "kurtosis": "kurtosis", "parameters": "parameters", "name": "name",
}  # fmt: skip
KINDS = {"checkpoint": "integer", "layer": "integer", "expert": "integer", "parameters": "integer", "changed_fraction": "share",
         "p_previous": "probability", "p_last": "probability"}  # fmt: skip
NOTE = (
    "Deviations from independent, equally distributed entries, the largest of each role's tensors; a random initialisation "
    "stays below 8. distribution and vector: distance from the closest family of distributions, below 3. Gains must have "
    "one value."
)


def sections(results: Results, most_rows: int) -> list[dict[str, Any]]:
    """Of results of `series`; else []."""
    found = results.summary.get("series")
    if found is None:
        return []
    steps = table_of(results, "steps", list(STEP_TITLES))
    start = table_of(results, "start", list(START_TITLES))
    deviations = np.nan_to_num(
        np.stack([floats(start, test) for test in ("rows", "columns", "edge", "correlation")]), nan=-99
    )
    shown = np.sort(np.argsort(-deviations.max(axis=0), kind="stable")[:most_rows])
    less = (
        f"The {len(shown):,} of {len(start):,} that deviate most; start.parquet has all."
        if len(shown) < len(start)
        else ""
    )
    who = f"checkpoint {found['start']['checkpoint']}"
    return [
        _curves(results, found),
        sortable(f"Tests of {who} as a random initialisation", _roles(found["start"]), "start-roles.csv", note=NOTE),
        sortable("Checkpoints and groups", _columns(steps, STEP_TITLES, STEPS), "steps.csv"),
        sortable(f"Tensors of {who}", _columns(start.take(shown), START_TITLES, START), "start.csv", note=less),
    ]


def _curves(results: Results, found: Mapping[str, Any]) -> dict[str, Any]:
    names = labels(results.summary["models"])
    compared = [number for number, one in enumerate(found["checkpoints"]) if one["compared"]]
    steps = [found["checkpoints"][number]["step"] for number in compared]
    ascending = None not in steps and all(after > before for before, after in pairwise(steps))
    curves = [
        {"label": place(group, "group"), **{name: numbers(_values(group[name])) for name in CURVES}}
        for group in found["groups"]
    ]
    marks = [
        {"checkpoint": number, "text": ("" if jump["whole"] else "in part ") + MARKS[jump["kind"]]}
        for jump in found["jumps"]
        for number in _marked(jump)
    ]
    marks += [{"checkpoint": one["checkpoint"], "text": "unusual step"} for one in found["unusual"]]
    return {
        "kind": "series", "title": "The course of the training", "names": [names[number] for number in compared],
        "numbers": [number + 1 for number in compared], "steps": numbers(steps) if ascending else None, "groups": curves,
        "marks": marks,
    }  # fmt: skip


def _marked(jump: Mapping[str, Any]) -> range | list[int]:
    if jump["kind"] == "from_here":
        return [jump["first"]]
    return [jump["last"] + 1] if jump["kind"] == "until_here" else range(jump["first"], jump["last"] + 1)


def _values(curve: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in curve]


def _roles(start: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """A row per role."""
    roles = start["roles"]
    columns: list[tuple[str, str, str, Any]] = [
        (name, name, "text", texts([role[name] for role in roles])) for name in ("component", "role")
    ]
    columns += [(name, name, "integer", numbers([role[name] for role in roles])) for name in ("tensors", "parameters")]
    columns += [(test, test, "number", numbers(_values([role["worst"].get(test) for role in roles]))) for test in TESTS]
    fails = [", ".join(f"{test} ({count})" for test, count in role["failing"].items()) for role in roles]
    columns.append(("failing", "fails", "text", texts(fails)))
    columns.append(("family", "closest families", "text", texts([_families(role) for role in roles])))
    for name, title in (("scale_smallest", "smallest scale"), ("scale_largest", "largest scale")):
        columns.append((name, title, "number", numbers([role[name] for role in roles])))
    return columns


def _families(role: Mapping[str, Any]) -> str:
    one_value = {"one value": role["constant"]} if role["constant"] else {}
    return "; ".join(f"{family} ({count})" for family, count in {**role["families"], **one_value}.items())


def _columns(table: pa.Table, titles: Mapping[str, str], schema: pa.Schema) -> list[tuple[str, str, str, Any]]:
    return [
        (name, title, "text", texts(strings(table, name)))
        if schema.field(name).type == pa.string()
        else (name, title, KINDS.get(name, "number"), numbers(floats(table, name)))
        for name, title in titles.items()
    ]

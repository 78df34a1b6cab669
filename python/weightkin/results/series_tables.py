"""The parquet tables of a series: checkpoint by group of roles (`steps`), and tensors of the first checkpoint (`start`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..schema import display_order
from ..statistics.jumps import turns
from .evidence import described

if TYPE_CHECKING:
    from ..trajectory.course import Course
    from ..trajectory.gather import Gathered, Pool
    from ..trajectory.steps import Steps

STEPS = pa.schema(
    [("checkpoint", pa.int64()), ("name", pa.string()), ("step", pa.float64()), ("component", pa.string()),
     ("group", pa.string()), ("tensors", pa.int64()), ("parameters", pa.int64()), ("norm", pa.float64()),
     ("growth", pa.float64()),
     ("pearson_previous", pa.float64()), ("relative_l2_previous", pa.float64()), ("changed_fraction", pa.float64()),
     ("turn", pa.float64()), ("z_previous", pa.float64()), ("p_previous", pa.float64()), ("pearson_last", pa.float64()),
     ("z_last", pa.float64()), ("p_last", pa.float64()), ("pearson_around", pa.float64()), ("z_around", pa.float64()),
     ("p_around", pa.float64()), ("draws", pa.int64())]
)  # fmt: skip
"""One row per checkpoint (counted from 1) and group. `growth`: norm by that of the checkpoint before. `previous`: against the
checkpoint before; `last`: against the last one; `around`: the checkpoints before and after against each other. `turn`: cosine
of the step to the checkpoint and the step from it. p: ranks among the draws, for matrices extrapolated from z beyond them."""

START = pa.schema(
    [("component", pa.string()), ("group", pa.string()), ("layer", pa.int64()), ("role", pa.string()), ("expert", pa.int64()),
     ("name", pa.string()), ("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("parameters", pa.int64()),
     ("scale", pa.float64()), ("smallest", pa.float64()), ("largest", pa.float64()), ("kurtosis", pa.float64()),
     ("family", pa.string()), ("distribution", pa.float64()), ("rows", pa.float64()), ("columns", pa.float64()),
     ("edge", pa.float64()), ("correlation", pa.float64())]
)  # fmt: skip
"""`scale`: root mean square. The last five, and `distribution`, are of a sample (statistics/random_start.py): deviations from
independent entries, and Kolmogorov's distance from the closest family, times the root of the sample's size."""

SCHEMAS = {"steps": STEPS, "start": START}


def steps_table(course: Course, steps: Steps, gathered: Gathered) -> pa.Table:
    """Rows of `steps`; the checkpoints that are compared."""
    rows = []
    for at, number in enumerate(course.members):
        place = {
            "checkpoint": number + 1, "name": course.models[number].checkpoint.name,
            "step": None if steps.values is None else steps.values[number],
        }  # fmt: skip
        for (component, group), pool in sorted(gathered.pools.items(), key=lambda item: display_order(item[0])):
            row: dict[str, Any] = {**place, "component": component, "group": group, **group_numbers(pool, group, at)}
            rows.append({name: None if value != value else value for name, value in row.items()})
    return pa.Table.from_pylist(rows, STEPS)


def group_numbers(pool: Pool, group: str, at: int) -> dict[str, Any]:
    """Of one group at one place; NaN or None where there is nothing to say."""
    last = pool.members - 1
    norm = float(np.sqrt(pool.square[at]))
    found: dict[str, Any] = {
        "tensors": pool.tensors,
        "parameters": pool.parameters,
        "norm": norm,
        "pearson_last": pool.pearson(at, last),
    }
    pairs = {"previous": (at - 1, at) if at else None, "last": (at, last) if at < last else None,
             "around": (at - 1, at + 1) if 0 < at < last else None}  # fmt: skip
    if at:
        before = float(np.sqrt(pool.square[at - 1]))
        found["growth"] = norm / before if before else None
        found["relative_l2_previous"] = float(np.sqrt(pool.gap[at - 1])) / before if before else None
        found["changed_fraction"] = float(pool.unequal[at - 1]) / pool.parameters
        found["pearson_previous"] = pool.pearson(at - 1, at)
    if 0 < at < last:
        found["turn"] = float(turns(pool.gap, pool.around)[at - 1])
        found["pearson_around"] = pool.pearson(at - 1, at + 1)
    for name, pair in pairs.items():
        evidence = None if pair is None else described(pool.evidence(*pair), group)
        if evidence is not None and evidence["draws"]:
            found |= {f"z_{name}": evidence["z"], f"p_{name}": evidence["p"], "draws": evidence["draws"]}
    return found


def start_table(gathered: Gathered) -> pa.Table:
    """Rows of `start`."""
    rows = []
    for tensor in gathered.tensors:
        unit, start = tensor.unit, tensor.start
        row: dict[str, Any] = dict(zip(("component", "layer", "role", "expert"), unit.address, strict=True))
        view = unit.slots[0].view
        assert view is not None
        row |= {
            "group": unit.group, "name": unit.slots[0].name, "dtype": view.dtype, "shape": list(view.shape),
            "parameters": unit.parameters, "scale": tensor.mean_square**0.5,
        }  # fmt: skip
        if start:
            row |= dict(zip(("smallest", "largest"), map(float, start["extremes"]), strict=True))
            row |= {name: float(start[name]) for name in ("kurtosis",) if name in start}
        if "family" in start:
            row |= {"family": str(start["family"]), "distribution": float(start["distance"])}
        if "structure" in start:
            row |= dict(zip(("rows", "columns", "edge", "correlation"), map(float, start["structure"]), strict=True))
        rows.append({name: None if value != value else value for name, value in row.items()})
    return pa.Table.from_pylist(rows, START)

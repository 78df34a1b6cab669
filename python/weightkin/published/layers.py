"""The table `claims_layers`: every number of the pair that the claims average, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from ..results.tables import TENSORS
from .routers import Routers
from .subject import ROUTER, Subject

NAME = "claims_layers"

COPIED = [
    "component", "group", "role", "layer", "name_a", "name_b", "shape_a", "shape_b", "parameters", "status", "reason",
    "cosine", "cosine_if_uncorrelated", "pearson", "mean_abs_difference", "relative_l2_a", "relative_l2_b", "cv_a",
    "cv_b", "cv_difference", "p99_a", "p99_b", "p99_difference", "z", "p", "p_adjusted", "z_closed_form",
]  # fmt: skip
"""Columns of `tensors`."""

LAYERS = pa.schema(
    [*(TENSORS.field(name) for name in COPIED), ("cosine_shuffled", pa.float64()), ("cosine_assigned", pa.float64()),
     ("cosine_assigned_relabelled", pa.float64()), ("cosine_assigned_gaussian", pa.float64())]
)  # fmt: skip


def layer_table(subject: Subject, shuffled: Mapping[tuple[str, int], float | None], routers: Routers) -> pa.Table:
    """One row per layer and role of norms, key, value and router of A and B, compared or not."""
    records = []
    for row in subject.rows:
        record = {name: row[name] for name in COPIED}
        layer = row["layer"]
        if row["status"] == "compared":
            record["cosine_shuffled"] = shuffled.get((row["role"], layer))
        if row["role"] == ROUTER and layer in routers.observed:
            record["cosine_assigned"] = routers.observed[layer]
            record["cosine_assigned_relabelled"] = float(routers.relabelled[layer].mean())
            record["cosine_assigned_gaussian"] = routers.gaussian[layer][0]
        records.append(record)
    return pa.Table.from_pylist(records, LAYERS)

"""What a comparison would take, from headers alone and a short measurement of this machine's rate of computing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import ops
from .checkpoint.mapping import NUMPY_DTYPES
from .comparison import open_models, usable_cores
from .plan import BLOCK, Plan, make_plan
from .results.summary import PairTotals, describe_models
from .view import FLOAT_DTYPES

STORAGE_RATES = (1, 3, 7, 14)
"""GB/s: a network disk, and NVMe of PCIe 3, 4 and 5."""
SECONDS = 0.2
"""That the measurement takes."""


@dataclass(frozen=True)
class Estimate:
    """A plan in numbers."""

    models: list[dict[str, Any]]
    """As in summary.json, with `bytes_to_read`."""
    nbytes: int
    """To read, of all models."""
    units: int
    """Addresses compared; each is read once, whatever the number of models that have it."""
    blocks: int
    threads: int
    compute_rate: float
    """Bytes per second that this machine compares when all are in memory."""
    seconds: dict[str, float]
    """By storage rate in GB/s ("1", "3", ...), and "memory": the slower of reading and computing."""
    pairs: list[dict[str, Any]]
    """Models `a` and `b`, and their `coverage` as in summary.json."""

    def to_dict(self) -> dict[str, Any]:
        """As `plan --json` prints it."""
        return asdict(self)


def estimate(
    paths: Sequence[str | Path],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int | None = None,
) -> Estimate:
    """Plans the comparison of all pairs of 2 to 16 checkpoints; no weight is read. Raises as `matrix` does."""
    plan = make_plan(open_models(paths), include, exclude)
    threads = threads or usable_cores()
    rate = compute_rate(plan, threads)
    seconds = {str(storage): plan.nbytes / min(rate, storage * 1e9) for storage in STORAGE_RATES}
    models = describe_models(plan)
    for number, model in enumerate(models):
        model["bytes_to_read"] = sum(
            view.nbytes for unit in plan.units for member, view in zip(unit.members, unit.views, strict=True)
            if member == number
        )  # fmt: skip
    return Estimate(
        models, plan.nbytes, len(plan.units), sum(len(unit.bounds) - 1 for unit in plan.units), threads, rate,
        seconds | {"memory": plan.nbytes / rate}, _pairs(plan),
    )  # fmt: skip


def compute_rate(plan: Plan, threads: int) -> float:
    """Bytes per second of random weights in memory, with the dtype and the number of members that most bytes have."""
    kinds: Counter[tuple[str, int]] = Counter()
    for unit in plan.units:
        dtype = unit.views[0].dtype if unit.views[0].dtype in FLOAT_DTYPES else "BF16"
        kinds[dtype, len(unit.members)] += unit.nbytes
    dtype, members = kinds.most_common(1)[0][0]
    weights = np.random.default_rng(0).normal(scale=0.02, size=BLOCK).astype(np.float32).astype(NUMPY_DTYPES[dtype])
    bounds = np.array([0, BLOCK])

    def work(deadline: float) -> int:
        operands = [ops.operand(weights.copy()) for _ in range(members)]
        done = 0
        while time.perf_counter() < deadline:
            ops.sweep(operands, bounds)
            done += members * weights.nbytes
        return done

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, [start + SECONDS] * threads))
    return done / (time.perf_counter() - start)


def _pairs(plan: Plan) -> list[dict[str, Any]]:
    totals = {(a, b): PairTotals(a, b) for a, b in plan.pairs}
    for unit in plan.units:
        for a, b, row in plan.compared(unit):
            totals[a, b].parameters += row.parameters
            totals[a, b].compared += row.parameters
    for (a, b), total in totals.items():
        for row in plan.untested(a, b):
            total.add(row, None)
    return [{"a": a, "b": b, "coverage": total.coverage()} for (a, b), total in totals.items()]

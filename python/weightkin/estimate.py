"""What a comparison would take, from headers alone and a short measurement of this machine's rate of computing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import ops
from .checkpoint.mapping import NUMPY_DTYPES
from .comparison import open_models, usable_cores
from .devices import Device, HostDevice, opened_devices
from .devices.choosing import AUTO
from .plan import Plan, make_plan
from .relabelling import ELEMENTS, Relabellings, null_axis
from .results.coverage import Coverage
from .results.summary import describe_models
from .statistics.null import DRAWS, draw_lags
from .units import BLOCK
from .view import FLOAT_DTYPES

STORAGE_RATES = (1, 3, 7, 14)
"""GB/s: a network disk, and NVMe of PCIe 3, 4 and 5."""
SECONDS = 0.1
"""That each of the two measurements takes."""
SAMPLE, CHANNELS = 1 << 20, 4096
"""Elements that a measured sweep takes at a time, and of a row of what is relabelled."""


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
    devices: list[str]
    """That would compute, as --device names them."""
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
    device: str = AUTO,
    threads: int | None = None,
    null: int = DRAWS,
    canonical: bool = False,
) -> Estimate:
    """Plans the comparison of all pairs of 2 to 16 checkpoints; no weight is read. Raises as `matrix` does."""
    plan = make_plan(open_models(paths), include, exclude, canonical)
    threads = threads or usable_cores()
    with opened_devices(device, threads) as devices:
        gpus = [one for one in devices if not isinstance(one, HostDevice)]
        names = [one.name for one in devices if not one.spare]
        if gpus:
            in_memory = plan.nbytes / _gpu_rate(plan, gpus)
        else:
            in_memory = plan.nbytes / _sweep_rate(plan, threads) + _relabelled(plan, null) / _relabel_rate(
                null, threads
            )
    seconds = {str(rate): max(in_memory, plan.nbytes / (rate * 1e9)) for rate in STORAGE_RATES}
    models = describe_models(plan.models)
    for number, model in enumerate(models):
        model["bytes_to_read"] = sum(
            view.nbytes
            for unit in plan.units
            for member, view in zip(unit.members, unit.views, strict=True)
            if member == number
        )
    return Estimate(
        models, plan.nbytes, len(plan.units), sum(len(unit.bounds) - 1 for unit in plan.units), names, threads,
        plan.nbytes / in_memory, seconds | {"memory": in_memory}, _pairs(plan),
    )  # fmt: skip


def _gpu_rate(plan: Plan, gpus: Sequence[Device]) -> float:
    """Bytes per second of all GPUs together, each with a link of its own; the null is a small part of it there."""
    from .devices.rates import gpu_rate  # imports torch
    from .devices.torch_device import TorchDevice

    dtype, members = _most(plan)
    known = dtype if dtype in ("F16", "F32") else "BF16"
    return sum(gpu_rate(gpu, known, members, BLOCK) for gpu in gpus if isinstance(gpu, TorchDevice))


def _most(plan: Plan) -> tuple[str, int]:
    """The dtype and the number of members that most bytes have."""
    kinds: Counter[tuple[str, int]] = Counter()
    for unit in plan.units:
        dtype = unit.views[0].dtype if unit.views[0].dtype in FLOAT_DTYPES else "BF16"
        kinds[dtype, len(unit.members)] += unit.nbytes
    return kinds.most_common(1)[0][0]


def _sweep_rate(plan: Plan, threads: int) -> float:
    """Bytes per second of a sweep over random weights of the dtype and the number of members that most bytes have."""
    dtype, members = _most(plan)
    weights, bounds = _weights(dtype, SAMPLE), np.array([0, SAMPLE])
    return _rate(lambda operands: ops.sweep(operands, bounds), [weights] * members, threads) * members * weights.nbytes


def _relabelled(plan: Plan, null: int) -> int:
    """Elements of all members that the relabelled copies take."""
    relabellings, total = Relabellings(plan, null, seed=0), 0
    for unit in plan.units:
        if null_axis(unit) is not None and relabellings.draws(unit.address.component):
            total += min(ELEMENTS, unit.parameters) * len(unit.members)
    return total


def _relabel_rate(null: int, threads: int) -> float:
    """Elements per second of two bf16 matrices whose relabelled copies are compared."""
    weights = _weights("BF16", ELEMENTS).reshape(-1, CHANNELS)
    lines, lags = np.arange(len(weights)), draw_lags(CHANNELS, null, 0)
    calls = _rate(lambda operands: ops.lagged(operands, 1, lines, lags), [weights] * 2, threads)
    return calls * 2 * weights.size


def _weights(dtype: str, size: int) -> npt.NDArray[Any]:
    draw = np.random.default_rng(0).normal(scale=0.02, size=size)
    return draw.astype(np.float32).astype(NUMPY_DTYPES[dtype])


def _rate(call: Callable[[list[ops.Operand]], object], arrays: Sequence[npt.NDArray[Any]], threads: int) -> float:
    """Calls per second of all threads together, each on its own copies of `arrays`."""
    start = time.perf_counter()

    def work() -> int:
        operands, calls = [ops.operand(array.copy()) for array in arrays], 0
        while calls == 0 or time.perf_counter() < start + SECONDS:
            call(operands)
            calls += 1
        return calls

    with ThreadPoolExecutor(threads) as pool:
        calls = sum(future.result() for future in [pool.submit(work) for _ in range(threads)])
    return calls / (time.perf_counter() - start)


def _pairs(plan: Plan) -> list[dict[str, Any]]:
    totals = {pair: Coverage() for pair in plan.pairs}
    for unit in plan.units:
        for a, b, row in plan.compared(unit):
            totals[a, b].add(row)
    for (a, b), total in totals.items():
        for row in plan.untested(a, b):
            total.add(row)
    return [{"a": a, "b": b, "coverage": total.to_dict()} for (a, b), total in totals.items()]

"""The norm gains that were compared, as they are stored in each model, so that a page can draw A's against B's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..checkpoint.mapping import Shards
from ..plan import Plan
from ..schema import Slot

GAINS = pa.schema(
    [("model", pa.int16()), ("component", pa.string()), ("role", pa.string()), ("layer", pa.int64()),
     ("name", pa.string()), ("channels", pa.int64()), ("mean", pa.float64()), ("deviation", pa.float64()),
     ("step", pa.int64()), ("values", pa.list_(pa.float32()))]
)  # fmt: skip
"""A row per norm vector of a model that was compared with another one's; which ones, `tensors` says by component, role and
layer. `values` are those of every `step`-th channel; `mean` and `deviation` are of all `channels`."""

MOST = 1 << 19
"""Values that are kept of one model. 92 layers of four norms of 5,120 channels are 1,900,000: every fourth channel is kept."""


def gains_table(plan: Plan) -> pa.Table:
    """Reads the vectors. Raises `CheckpointError` if a file has changed since its header was read."""
    held = [_compared(plan, model) for model in range(len(plan.models))]
    largest = max(sum(slot.parameters for slot in slots) for slots in held)
    step = max(1, -(-largest // MOST))
    return pa.Table.from_pylist(
        [row for model, slots in enumerate(held) for row in _rows(plan, model, slots, step)], GAINS
    )


def _compared(plan: Plan, model: int) -> list[Slot]:
    """In the order of the plan."""
    slots = {
        unit.slots[unit.members.index(model)].address: unit.slots[unit.members.index(model)]
        for unit in plan.units
        if unit.group == "norms" and unit.is_float and len(unit.axes) == 1 and model in unit.members and not unit.rows
    }
    return [slot for slot in slots.values() if slot.address.expert is None]


def _rows(plan: Plan, model: int, slots: list[Slot], step: int) -> Iterator[dict[str, Any]]:
    shards = Shards(plan.models[model].checkpoint)
    for slot in slots:
        assert slot.view is not None
        values: npt.NDArray[np.float64] = shards.array(slot.view).astype(np.float64)
        mean, deviation = (float(values.mean()), float(values.std())) if np.isfinite(values).all() else (None, None)
        component, layer, role, _ = slot.address
        place = {"model": model, "component": component, "role": role, "layer": layer, "name": slot.name}
        moments = {"channels": values.size, "mean": mean, "deviation": deviation, "step": step}
        yield place | moments | {"values": values[::step].astype(np.float32)}
    shards.check()

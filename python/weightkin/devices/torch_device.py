"""A GPU as a device: weights cross the link once, through a ring of pinned memory, and stay there until a slab is done.

Each lane has a stream and a buffer: while one computes, the others' slabs are on their way. The same code runs on torch's CPU
device with Triton's interpreter and a ring to ordinary memory, which is how it is tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import _core, ops
from ..errors import DeviceError
from ..kernels.lagged import lagged_pairs
from ..similarity import magnitude_values, weighted_quantile
from ..slabs import Slab, slabs_of
from ..units import Unit
from .device import Part
from .driver import driver
from .host import with_null, with_quantile
from .pieces import FAR, copied, pieces_of
from .torch_lanes import ALIGNMENT, LANES, Lane, TorchLanes, tensor_of
from .torch_sweep import DTYPES, meet, sample, sweep, whole_samples
from .weights import Weights

SLAB = 256 << 20
"""Bytes of all members that one call should have: launching takes the same time for few as for many."""
SHARE = 0.5
"""Of the memory that is free when the device is opened."""
SLOTS, SLOT_BYTES = 4, 32 << 20
"""Of the ring of pinned memory."""
SMALLEST = 1 << 16
"""Elements of a slab that others may join: counting magnitudes takes memory by the block, however small that is."""
KERNELS = 8
"""Bytes that the kernels need for themselves for each element of one member: sums of chunks and counts of magnitudes."""


class _Fit(NamedTuple):
    """Of a unit's slabs."""

    slab: int
    """Bytes."""
    accepted: bool
    several: bool
    """Whether calls may have several of them, as many as make up a slab of the usual size."""


class TorchDevice(TorchLanes):
    """Takes units of BF16, F16, F32 and 8-bit floats, with gains and gathered entries, in any order of storage.

    Not its work, and the host's: integers and F64, whose arithmetic the kernels lack, and units of which one slab with all
    that computing it needs is larger than a lane's share of `memory` bytes.
    """

    def __init__(
        self, device: torch.device, name: str, kind: str, memory: int, ring: Callable[[], _core.Ring],
        facts: dict[str, Any],
    ) -> None:  # fmt: skip
        """`ring`: makes the ring when the device is first used."""
        super().__init__(device, ring)
        self.name, self.kind, self.memory, self._facts = name, kind, memory, facts
        self._fits: dict[int, tuple[Unit, _Fit]] = {}
        self._slab = min(SLAB, memory // (LANES * 8))
        self.window = (LANES + 2) * self._slab

    def accepts(self, unit: Unit) -> bool:
        return self._fit(unit).accepted

    def slab(self, unit: Unit) -> int:
        return self._fit(unit).slab

    def _fit(self, unit: Unit) -> _Fit:
        known = self._fits.get(unit.index)
        if known is None or known[0] is not unit:
            known = self._fits[unit.index] = unit, self._measure(unit)
        return known[1]

    def _measure(self, unit: Unit) -> _Fit:
        if not unit.is_float or any(view.dtype not in DTYPES for view in unit.views):
            return _Fit(self._slab, False, False)
        size, first = self._slab, slabs_of(unit, self._slab)[0]
        nbytes = copied(first)
        if nbytes > FAR * first.nbytes:
            size, first = unit.nbytes, Slab(unit, 0, len(unit.bounds) - 1)
            nbytes = copied(first)
        met = first.size * len(unit.members) * (4 if unit.meeting_dtype == "F32" else 2)
        needed, room = nbytes + 2 * met + KERNELS * first.size, self.memory // LANES
        several = first.size >= SMALLEST and needed * self._slab <= room * first.nbytes
        return _Fit(size, needed <= room, several)

    def joins(self, slab: Slab, other: Slab) -> bool:
        """Slabs of one size and one type: launching takes as long for one expert as for many."""
        one, two = slab.unit, other.unit
        return (
            slab.size == other.size
            and one.bounds[1] == two.bounds[1]
            and len(one.members) == len(two.members)
            and one.meeting_dtype == two.meeting_dtype
            and self._fit(one).several
            and self._fit(two).several
        )

    def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
        with self.lane() as lane:
            copies = self._copies(weights, batch, lane)
            samples, rows = [], []
            for slab, tensors in zip(batch, copies, strict=True):
                unit = slab.unit
                relabelling = weights.relabelling(unit)
                samples.append([] if relabelling is None else sample(tensors, slab, relabelling))
                rows.append(meet(tensors, unit.meeting_dtype, weights.gains(unit), unit.gain_axis))
            with self.interpreting:
                found = sweep(rows, int(batch[0].unit.bounds[1]))
            return [Part(one, taken) for one, taken in zip(found, samples, strict=True)]

    def finish(self, weights: Weights, unit: Unit, parts: Sequence[Part]) -> ops.Sweep:
        found = ops.concatenate([part.sweep for part in parts])
        if any(part.samples is None for part in parts):  # the host had some of them
            return with_null(weights, unit, with_quantile(weights, unit, found))
        quantile, values = found.quantile[0], magnitude_values(unit.meeting_dtype)
        if len(found.quantile) > 1:
            quantile = np.array([weighted_quantile(values, counts, ops.QUANTILE) for counts in found.histogram])
        found = replace(found, tensor_quantile=quantile, histogram=found.histogram[:, :0])
        if unit.rows:
            weights.release_unit(unit)
        relabelling = weights.relabelling(unit)
        if relabelling is None:
            return found
        with self.lane():
            samples = whole_samples([part.samples for part in parts], relabelling, self.device)
            with self.interpreting:
                statistic = lagged_pairs(samples, relabelling.lags)
        columns = 1 + relabelling.draws
        return replace(found, lagged=statistic[:, :columns], opposite=statistic[:, columns:])

    def facts(self) -> dict[str, Any]:
        return {"kind": self.device.type, **self._facts}

    def _copies(self, weights: Weights, batch: Sequence[Slab], lane: Lane) -> list[list[torch.Tensor]]:
        """Of each slab each member's part, as its dtype and shape say, in the lane's buffer."""
        shards = [weights.shards[model] for slab in batch for model in slab.unit.members]
        pieces = [piece for slab in batch for piece in pieces_of(slab)]
        places = np.cumsum([0] + [-(-piece.nbytes // ALIGNMENT) * ALIGNMENT for piece in pieces]).tolist()
        lane.reserve(max(places.pop(), self._slab + self._slab // 8))
        self.copy(shards, pieces, [lane.buffer.data_ptr() + place for place in places], lane)
        tensors = iter([tensor_of(lane.buffer, piece, place) for piece, place in zip(pieces, places, strict=True)])
        return [list(islice(tensors, len(slab.unit.members))) for slab in batch]


def cuda_device(number: int, threads: int) -> TorchDevice:
    """GPU `number`, whose ring is filled by `threads` threads. Raises `DeviceError`."""
    from .. import _cuda

    try:
        properties = _cuda.properties(number)
    except RuntimeError as error:
        raise DeviceError(f"cuda:{number}: {error}") from None
    major, minor = properties["capability"]
    facts = {
        "model": properties["name"],
        "capability": f"{major}.{minor}",
        "driver": driver(),
        "torch": torch.__version__,
    }
    return TorchDevice(
        torch.device("cuda", number), f"cuda:{number}", f"cuda {major}.{minor}", int(SHARE * properties["free_memory"]),
        lambda: _cuda.Ring(number, SLOTS, SLOT_BYTES, threads), facts,
    )  # fmt: skip

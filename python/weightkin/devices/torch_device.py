"""A GPU as a device: weights cross the link once, through a ring of pinned memory, and stay there until a slab is done.

Each lane has a stream and a buffer: while one computes, the others' slabs are on their way. The same code runs on torch's CPU
device with Triton's interpreter and a ring to ordinary memory, which is how it is tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from queue import LifoQueue
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import _core, ops
from ..checkpoint.mapping import Shards
from ..errors import DeviceError
from ..kernels.lagged import lagged_pairs
from ..similarity import magnitude_values, weighted_quantile
from ..slabs import Slab, slabs_of
from ..units import Unit
from ..view import View
from .device import Device, Part
from .driver import driver
from .host import with_null, with_quantile
from .pieces import FAR, Piece, copied, piece_of_view, pieces_of
from .torch_sweep import DTYPES, meet, sample, sweep, whole_samples
from .weights import Weights

SLAB = 256 << 20
"""Bytes of all members that one call should have: launching takes the same time for few as for many."""
LANES = 3
"""One slab is copied, one computed, and one's numbers are taken to the host."""
SHARE = 0.5
"""Of the memory that is free when the device is opened."""
SLOTS, SLOT_BYTES = 4, 32 << 20
"""Of the ring of pinned memory."""
SMALLEST = 1 << 16
"""Elements of a slab that others may join: counting magnitudes takes memory by the block, however small that is."""
ALIGNMENT = 256
"""Bytes, of a tensor in a buffer."""
KERNELS = 8
"""Bytes that the kernels need for themselves for each element of one member: sums of chunks and counts of magnitudes."""
_INTERPRETER = Lock()
"""Triton's interpreter changes its language for all threads while it runs a kernel."""
_CODES = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
"""What elements are gathered as, by their size: not all floats can be."""


class _Fit(NamedTuple):
    """Of a unit's slabs."""

    slab: int
    """Bytes."""
    accepted: bool
    several: bool
    """Whether calls may have several of them, as many as make up a slab of the usual size."""


@dataclass
class Lane:
    stream: torch.cuda.Stream | None
    """None on torch's CPU device."""
    buffer: torch.Tensor

    def reserve(self, nbytes: int) -> None:
        """Grows the buffer, which other slabs then use too."""
        if len(self.buffer) < nbytes:
            self.buffer = self.buffer[:0]  # before the larger one, so that both need not fit
            self.buffer = torch.empty(nbytes, dtype=torch.uint8, device=self.buffer.device)

    @property
    def handle(self) -> int | None:
        return None if self.stream is None else self.stream.cuda_stream


class TorchDevice(Device):
    """Takes units of BF16, F16, F32 and 8-bit floats, with gains and gathered entries, in any order of storage.

    Not its work, and the host's: integers and F64, whose arithmetic the kernels lack, and units of which one slab with all
    that computing it needs is larger than a lane's share of `memory` bytes.
    """

    lanes = LANES

    def __init__(
        self, device: torch.device, name: str, kind: str, memory: int, ring: Callable[[], _core.Ring],
        facts: dict[str, Any],
    ) -> None:  # fmt: skip
        """`ring`: makes the ring when the device is first used."""
        super().__init__()
        self.device, self.name, self.kind, self._facts = device, name, kind, facts
        self.memory = memory
        self._make_ring = ring
        self._ring: _core.Ring | None = None
        self._lanes: LifoQueue[Lane] = LifoQueue()
        self._opening = Lock()
        self.interpreting: AbstractContextManager[object] = _INTERPRETER if device.type == "cpu" else nullcontext()
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
            copies = self._copy(weights, batch, lane)
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

    def close(self) -> None:
        with self._opening:
            if self._ring is not None:
                self._ring.close()  # first: it may still be copying into a lane's buffer
            self._ring, self._lanes = None, LifoQueue()

    def _copy(self, weights: Weights, batch: Sequence[Slab], lane: Lane) -> list[list[torch.Tensor]]:
        """Of each slab each member's part, as its dtype and shape say, in the lane's buffer."""
        shards = [weights.shards[model] for slab in batch for model in slab.unit.members]
        pieces = [piece for slab in batch for piece in pieces_of(slab)]
        places = np.cumsum([0] + [-(-piece.nbytes // ALIGNMENT) * ALIGNMENT for piece in pieces]).tolist()
        lane.reserve(places.pop())
        ring, base = self._opened(), lane.buffer.data_ptr()
        mappings = [files[piece.shard] for files, piece in zip(shards, pieces, strict=True)]
        tickets = [  # nothing may go wrong from here until all have arrived: the buffer is written to
            ring.submit_ranges(mapping, piece.offsets, piece.length, base + place, lane.handle)
            for mapping, piece, place in zip(mappings, pieces, places, strict=True)
        ]
        self._await(shards, tickets, lane)
        tensors = iter([_tensor(lane.buffer, place, piece) for piece, place in zip(pieces, places, strict=True)])
        return [list(islice(tensors, len(slab.unit.members))) for slab in batch]

    def load(self, shards: Shards, views: Sequence[View], lane: Lane) -> list[torch.Tensor]:
        """Copies of mapped tensors in memory of their own, strided as they are stored. Within `lane`."""
        ring, pieces = self._opened(), [piece_of_view(view) for view in views]
        mappings = [shards[piece.shard] for piece in pieces]
        buffers = [torch.empty(piece.nbytes, dtype=torch.uint8, device=self.device) for piece in pieces]
        tickets = [  # nothing may go wrong from here until all have arrived: buffers are written to
            ring.submit_ranges(mapping, piece.offsets, piece.length, buffer.data_ptr(), lane.handle)
            for mapping, piece, buffer in zip(mappings, pieces, buffers, strict=True)
        ]
        self._await([shards] * len(views), tickets, lane)
        return [_tensor(buffer, 0, piece) for buffer, piece in zip(buffers, pieces, strict=True)]

    def _await(self, shards: Sequence[Shards], tickets: Sequence[_core.Ticket], lane: Lane) -> None:
        """Makes the lane's stream wait for copies; raises `CheckpointError` if a file shrank."""
        ring, failed = self._opened(), list[tuple[Shards, Exception]]()
        for files, ticket in zip(shards, tickets, strict=True):
            try:
                ring.wait(ticket, lane.handle)
            except (OSError, RuntimeError) as error:  # raised once nothing is under way any more
                failed.append((files, error))
        for files, first in failed:
            if isinstance(first, OSError):
                files.check()  # raises: the file shrank
            raise DeviceError(str(first)) from first

    def _opened(self) -> _core.Ring:
        with self._opening:
            if self._ring is None:
                raise DeviceError("it was closed")
            return self._ring

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """A lane for the time of a call; what fails on the device comes out as a `DeviceError`."""
        try:
            self._open()
            lane = self._lanes.get()
            try:
                with ExitStack() as stack:
                    if lane.stream is not None:
                        stack.enter_context(torch.cuda.device(self.device))
                        stack.enter_context(torch.cuda.stream(lane.stream))
                    yield lane
                    if lane.stream is not None:
                        lane.stream.synchronize()
            finally:
                self._lanes.put(lane)
        except (RuntimeError, MemoryError) as error:
            reason = device_failure(error)
            if reason is None:
                raise
            raise DeviceError(reason) from error

    def _open(self) -> None:
        with self._opening:
            if self._ring is not None:
                return
            try:
                self._ring = self._make_ring()
            except RuntimeError as error:
                raise DeviceError(str(error)) from error
            for _ in range(LANES):
                stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]
                self._lanes.put(Lane(stream, torch.empty(0, dtype=torch.uint8, device=self.device)))


def _tensor(buffer: torch.Tensor, place: int, piece: Piece) -> torch.Tensor:
    """A strided view of what was copied to byte `place` of a buffer; a copy of the entries that take part if not all do."""
    dtype = DTYPES[piece.dtype]
    flat = buffer[place : place + piece.nbytes].view(dtype)
    tensor = flat.as_strided(piece.shape, [stride // dtype.itemsize for stride in piece.strides])
    if piece.gather is None:
        return tensor
    axis, taken = piece.gather
    return tensor.view(_CODES[dtype.itemsize]).index_select(axis, torch.from_numpy(taken).to(buffer.device)).view(dtype)


def device_failure(error: BaseException) -> str | None:
    """Why a device failed, in one line; None if the error is none of a device's but a mistake of ours."""
    line = str(error).strip().split("\n")[0][:200]
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of memory ({line})"
    if isinstance(error, torch.AcceleratorError) or "CUDA" in line or "cuda" in line:
        return line
    return None


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

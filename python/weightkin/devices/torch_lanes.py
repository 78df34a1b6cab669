"""Lanes of a GPU: a stream and a buffer each, and the ring of pinned memory by which weights come into either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from queue import LifoQueue
from threading import Lock

import torch

from .. import _core
from ..checkpoint.mapping import Shards
from ..errors import DeviceError
from ..view import View
from .device import Device
from .pieces import Piece, piece_of_view
from .torch_sweep import DTYPES

LANES = 3
"""One slab is copied, one computed, and one's numbers are taken to the host."""
ALIGNMENT = 256
"""Bytes, of a tensor in a buffer."""
_INTERPRETER = Lock()
"""Triton's interpreter changes its language for all threads while it runs a kernel."""
_CODES = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
"""What elements are gathered as, by their size: not all floats can be."""


@dataclass
class Lane:
    stream: torch.cuda.Stream | None
    """None on torch's CPU device."""
    buffer: torch.Tensor

    def reserve(self, nbytes: int) -> None:
        """Grows the buffer, which other slabs then use too."""
        if len(self.buffer) < nbytes:
            self.buffer = self.buffer[:0].clone()  # before the larger one comes, so that both need not fit
            self.buffer = torch.empty(nbytes, dtype=torch.uint8, device=self.buffer.device)

    @property
    def handle(self) -> int | None:
        return None if self.stream is None else self.stream.cuda_stream


class TorchLanes(Device):
    """A device of torch, opened when it is first used."""

    lanes = LANES

    def __init__(self, device: torch.device, ring: Callable[[], _core.Ring]) -> None:
        super().__init__()
        self.device = device
        self.interpreting: AbstractContextManager[object] = _INTERPRETER if device.type == "cpu" else nullcontext()
        """To be entered around every kernel."""
        self._make_ring = ring
        self._ring: _core.Ring | None = None
        self._lanes: LifoQueue[Lane] = LifoQueue()
        self._opening = Lock()

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

    def load(self, shards: Shards, views: Sequence[View], lane: Lane) -> list[torch.Tensor]:
        """Copies of mapped tensors in memory of their own, strided as they are stored. Within `lane`."""
        pieces = [piece_of_view(view) for view in views]
        buffers = [torch.empty(piece.nbytes, dtype=torch.uint8, device=self.device) for piece in pieces]
        self.copy([shards] * len(pieces), pieces, [buffer.data_ptr() for buffer in buffers], lane)
        return [tensor_of(buffer, piece) for buffer, piece in zip(buffers, pieces, strict=True)]

    def copy(self, shards: Sequence[Shards], pieces: Sequence[Piece], to: Sequence[int], lane: Lane) -> None:
        """Brings pieces to addresses of the device, for what the lane's stream does next. All or nothing is under way after.

        Raises `CheckpointError` if a file shrank.
        """
        ring, failed = self._opened(), list[tuple[Shards, Exception]]()
        mappings = [files[piece.shard] for files, piece in zip(shards, pieces, strict=True)]
        tickets = [  # nothing may go wrong from here until all have arrived: there are addresses that are written to
            ring.submit_ranges(mapping, piece.offsets, piece.length, address, lane.handle)
            for mapping, piece, address in zip(mappings, pieces, to, strict=True)
        ]
        for files, ticket in zip(shards, tickets, strict=True):
            try:
                ring.wait(ticket, lane.handle)
            except (OSError, RuntimeError) as error:  # raised once nothing of it is under way any more
                failed.append((files, error))
        for files, first in failed:
            if isinstance(first, OSError):
                files.check()  # raises: the file shrank
            raise DeviceError(str(first)) from first

    def close(self) -> None:
        with self._opening:
            if self._ring is not None:
                self._ring.close()  # first: it may still be copying into a lane's buffer
            self._ring, self._lanes = None, LifoQueue()

    def _opened(self) -> _core.Ring:
        with self._opening:
            if self._ring is None:
                raise DeviceError("it was closed")
            return self._ring

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


def tensor_of(buffer: torch.Tensor, piece: Piece, place: int = 0) -> torch.Tensor:
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

"""Shards as mapped bytes, and views as arrays over them. Nothing is copied."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ..errors import CheckpointError
from ..view import View
from .checkpoint import Checkpoint
from .files import reading

if TYPE_CHECKING:
    from .._core import Mapping

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),  # bytes of a file need not be 0 or 1, and numpy's bool compares only truth
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}


class Shards:
    """The shards of one checkpoint, each mapped read-only when it is first asked for. Safe to share between threads."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._mappings: dict[int, Mapping] = {}
        self._lock = Lock()

    def __getitem__(self, shard: int) -> Mapping:
        """The mapped bytes of a shard; raises `CheckpointError` if it is not what its header was read from."""
        with self._lock:
            if shard not in self._mappings:
                self._mappings[shard] = self._map(shard)
            return self._mappings[shard]

    def array(self, view: View) -> np.ndarray[Any, np.dtype[Any]]:
        """The elements of `view`, in its shape and its dtype (BOOL as bytes), read-only and perhaps unaligned."""
        return np.ndarray(
            view.shape,
            NUMPY_DTYPES[view.dtype],
            buffer=memoryview(self[view.shard]),
            offset=view.offset,
            strides=view.strides,
        )

    def check(self) -> None:
        """Raises `CheckpointError` if a mapped file shrank or changed, so that some of the bytes read were not its own."""
        for shard, mapping in list(self._mappings.items()):
            path = self._checkpoint.shards[shard]
            if mapping.faulted:
                raise CheckpointError(path, "the file shrank while it was being read")
            self._check_stamp(shard, len(mapping))

    def _map(self, shard: int) -> Mapping:
        from .._core import Mapping  # built code: only what reads weights needs it

        with reading(self._checkpoint.shards[shard]):
            mapping = Mapping(str(self._checkpoint.shards[shard]))
        self._check_stamp(shard, len(mapping))
        return mapping

    def _check_stamp(self, shard: int, mapped: int) -> None:
        path, stamp = self._checkpoint.shards[shard], self._checkpoint.stamps[shard]
        with reading(path):
            status = os.stat(path)
        if (mapped, status.st_size, status.st_mtime_ns) != (stamp.size, stamp.size, stamp.mtime_ns):
            raise CheckpointError(path, "the file changed while it was being read")

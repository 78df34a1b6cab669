"""Sweeps as the bytes that a journal holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields
from math import prod

import numpy as np
import numpy.typing as npt

from ..ops import Sweep

_WIDTH = struct.Struct("<Q")
_APART = {"histogram", "lagged"}


def pack(sweep: Sweep) -> bytes:
    """The null with its width, then arrays in the order of Sweep's fields. Histograms have served by now."""
    arrays = [_WIDTH.pack(sweep.lagged.shape[1]), sweep.lagged.tobytes()]
    arrays += [getattr(sweep, field.name).tobytes() for field in fields(Sweep) if field.name not in _APART]
    return b"".join(arrays)


def unpack_lagged(payload: bytes, members: int) -> npt.NDArray[np.float64]:
    """[P, 1 + R]: only the null's statistic."""
    pairs, (width,) = members * (members - 1) // 2, _WIDTH.unpack_from(payload)
    return np.frombuffer(payload, "<f8", pairs * width, _WIDTH.size).reshape(pairs, width)


def unpack(payload: bytes, blocks: int, members: int) -> Sweep:
    """What `pack` packed."""
    pairs = members * (members - 1) // 2
    shapes: dict[str, Sequence[int]] = dict.fromkeys(("sum_abs", "sum_square", "max_abs", "unequal"), (blocks, pairs))
    shapes |= {"gram": (blocks, members, members), "tensor_quantile": (members,)}
    lagged = unpack_lagged(payload, members)
    arrays, at = {}, _WIDTH.size + lagged.nbytes

    def take(dtype: str, shape: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        nonlocal at
        array = np.frombuffer(payload, dtype, prod(shape), at).reshape(shape)
        at += array.nbytes
        return array

    for field in fields(Sweep):
        if field.name not in _APART:
            kind = "<i8" if field.name in {"unequal", "nans", "infinities"} else "<f8"
            arrays[field.name] = take(kind, shapes.get(field.name, (blocks, members)))
    return Sweep(**arrays, histogram=np.empty((members, 0), np.int64), lagged=lagged)  # type: ignore[arg-type]

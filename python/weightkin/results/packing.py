"""Sweeps as the bytes that a journal holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields
from math import prod

import numpy as np
import numpy.typing as npt

from ..ops import Sweep

Array = npt.NDArray[np.float64]

_WIDTHS = struct.Struct("<QQ")
_APART = {"histogram", "lagged", "opposite"}


def pack(sweep: Sweep) -> bytes:
    """The null with its widths, then arrays in the order of Sweep's fields. Histograms have served by now."""
    null = sweep.lagged, sweep.opposite
    arrays = [_WIDTHS.pack(*(part.shape[1] for part in null)), *(part.tobytes() for part in null)]
    arrays += [getattr(sweep, field.name).tobytes() for field in fields(Sweep) if field.name not in _APART]
    return b"".join(arrays)


def unpack_null(payload: bytes, members: int) -> tuple[Array, Array]:
    """Only the null: `lagged` and `opposite` of a Sweep."""
    pairs, (width, opposite) = members * (members - 1) // 2, _WIDTHS.unpack_from(payload)
    both = np.frombuffer(payload, "<f8", pairs * (width + opposite), _WIDTHS.size)
    return both[: pairs * width].reshape(pairs, width), both[pairs * width :].reshape(pairs, opposite)


def unpack(payload: bytes, blocks: int, members: int) -> Sweep:
    """What `pack` packed."""
    pairs = members * (members - 1) // 2
    shapes: dict[str, Sequence[int]] = dict.fromkeys(("sum_abs", "sum_square", "max_abs", "unequal"), (blocks, pairs))
    shapes |= {"gram": (blocks, members, members), "tensor_quantile": (members,)}
    lagged, opposite = unpack_null(payload, members)
    arrays, at = {}, _WIDTHS.size + lagged.nbytes + opposite.nbytes

    def take(dtype: str, shape: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        nonlocal at
        array = np.frombuffer(payload, dtype, prod(shape), at).reshape(shape)
        at += array.nbytes
        return array

    for field in fields(Sweep):
        if field.name not in _APART:
            kind = "<i8" if field.name in {"unequal", "nans", "infinities"} else "<f8"
            arrays[field.name] = take(kind, shapes.get(field.name, (blocks, members)))
    histogram = np.empty((members, 0), np.int64)
    return Sweep(**arrays, histogram=histogram, lagged=lagged, opposite=opposite)  # type: ignore[arg-type]

"""Strided views over the mapped bytes of a shard: pure arithmetic, no data, never a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Bytes per element of every safetensors dtype that can be compared."""

FLOAT_DTYPES = frozenset({"F8_E4M3", "F8_E5M2", "F16", "BF16", "F32", "F64"})

Layout = Literal["concatenated", "interleaved"]


@dataclass(frozen=True, slots=True)
class View:
    """Elements of one tensor, in logical row-major order over `shape`.

    Element (i, j, ...) lies at byte `offset + i*strides[0] + j*strides[1] + ...` of shard number `shard`. Strides are in
    bytes and positive. `dtype` is the safetensors name ("BF16", "F8_E4M3", ...).
    """

    shard: int
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def contiguous(cls, shard: int, offset: int, dtype: str, shape: Sequence[int]) -> View:
        """The whole of a tensor stored row-major from byte `offset`."""
        step, strides = ITEM_SIZES[dtype], []
        for extent in reversed(shape):
            strides.append(step)
            step *= extent
        return cls(shard, offset, dtype, tuple(shape), tuple(reversed(strides)))

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements (not of the gaps between them)."""
        return self.size * ITEM_SIZES[self.dtype]

    @property
    def extent(self) -> tuple[int, int]:
        """First byte and one past the last byte it touches, as offsets in its shard."""
        if self.size == 0:
            return self.offset, self.offset
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        return self.offset, self.offset + last + ITEM_SIZES[self.dtype]

    def permute(self, axes: Sequence[int]) -> View:
        """Axis k of the result is axis `axes[k]` of this view."""
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def index(self, axis: int, at: int) -> View:
        """The slice at position `at` of `axis`; that axis is dropped."""
        if not 0 <= at < self.shape[axis]:
            raise ValueError(f"index {at} outside axis {axis} of shape {self.shape}")
        keep = [a for a in range(len(self.shape)) if a != axis]
        return replace(self.permute(keep), offset=self.offset + at * self.strides[axis])

    def narrow(self, axis: int, start: int, length: int) -> View:
        """`length` positions of `axis` from `start`."""
        if start < 0 or length < 0 or start + length > self.shape[axis]:
            raise ValueError(f"range {start}..{start + length} outside axis {axis} of shape {self.shape}")
        shape = tuple(length if a == axis else n for a, n in enumerate(self.shape))
        return replace(self, shape=shape, offset=self.offset + start * self.strides[axis])

    def split(self, axis: int, part: int, parts: int, layout: Layout) -> View:
        """Part number `part` of `parts` equal ones fused along `axis`.

        "concatenated": all of part 0, then all of part 1, ...; "interleaved": one of each in turn.
        """
        length, rest = divmod(self.shape[axis], parts)
        if rest:
            raise ValueError(f"axis {axis} of shape {self.shape} does not divide into {parts} equal parts")
        if layout == "concatenated":
            return self.narrow(axis, part * length, length)
        shape = tuple(length if a == axis else n for a, n in enumerate(self.shape))
        strides = tuple(s * parts if a == axis else s for a, s in enumerate(self.strides))
        return replace(self, shape=shape, strides=strides, offset=self.offset + part * self.strides[axis])

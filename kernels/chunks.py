"""What the kernels share: rows cut into blocks and chunks, codes widened to float32, sums over chunks in a fixed order."""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

CHUNK = tl.constexpr(4096)
"""Elements of a chunk. What is found in one is written apart, so results do not depend on how programs are scheduled."""

DTYPES = {
    torch.bfloat16: (torch.int16, tl.bfloat16),
    torch.float16: (torch.int16, tl.float16),
    torch.float32: (torch.int32, tl.float32),
}
_GROUP = 256  # chunks that are added up at a time
_TILE = 4096


def codes(rows: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], tl.dtype]:
    """Rows as the integers that hold their bits, each [n], and their dtype: views where layouts allow, else copies.

    Raises ValueError unless all rows are bfloat16, float16 or float32, of one dtype, size and device.
    """
    kinds = {(row.dtype, row.numel(), row.device) for row in rows}
    if len(kinds) > 1:
        raise ValueError(f"rows differ in dtype, size or device: {sorted(map(str, kinds))}")
    if rows[0].dtype not in DTYPES:
        raise ValueError(f"unsupported dtype {rows[0].dtype}")
    integer, element = DTYPES[rows[0].dtype]
    return tuple(row.detach().reshape(-1).view(integer) for row in rows), element


class Blocks(NamedTuple):
    """Some blocks of a row that holds tensors of `size` elements one behind the other.

    Each tensor is cut every `block` elements, and each block into chunks from its own start.
    """

    size: int
    block: int
    numbers: npt.NDArray[np.int64]
    """Which blocks, counted through all tensors: whole ones ascending, then tensors' shorter last ones."""

    @classmethod
    def of(cls, total: int, block: int, size: int | None = None) -> Blocks:
        """All of a row of `total` elements: of one tensor, or of several of `size`. Raises ValueError if these do not fit."""
        size = total if size is None else size
        if block < 1 or (total and (size < 1 or total % size)):
            raise ValueError(f"blocks of {block} elements, tensors of {size} in {total}")
        blocks = cls(size, block, np.arange(total // max(1, size) * triton.cdiv(size, block)))
        shorter = blocks.sizes < block
        return blocks._replace(numbers=np.concatenate([blocks.numbers[~shorter], blocks.numbers[shorter]]))

    @property
    def each(self) -> int:
        """Blocks of a tensor."""
        return max(1, -(-self.size // self.block))

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """[B]: elements of each."""
        return np.minimum(self.size - self.numbers % self.each * self.block, self.block)

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """[B]: where the blocks in the order of the row are."""
        return np.argsort(self.numbers)

    def parts(self, like: torch.Tensor, width: int) -> torch.Tensor:
        """float64 [B, chunks, width] for what programs find in each chunk; zero where a last block has no more chunks."""
        chunks = triton.cdiv(min(self.block, self.size), CHUNK.value)
        parts = like.new_empty(len(self.numbers), chunks, width, dtype=torch.float64)
        parts[self._whole :, triton.cdiv(self.size % self.block, CHUNK.value) :] = 0
        return parts

    @property
    def _whole(self) -> int:
        return int(np.count_nonzero(self.sizes == self.block))

    def launches(self) -> Iterator[tuple[int, int, int, int, bool]]:
        """(first of the blocks, how many, first chunk, chunks of each, ragged): without a mask, chunks are read in vectors."""
        full, rest_of_each = self._whole, self.size % self.block
        for first, count, length in ((0, full, self.block), (full, len(self.numbers) - full, rest_of_each)):
            whole, rest = divmod(length, CHUNK.value)
            if count and whole:
                yield first, count, 0, whole, False
            if count and rest:
                yield first, count, whole, 1, True


@triton.jit
def place(program, numbers, block, size, each, first, first_chunk, chunks):
    """Of a program of a launch: (which of the blocks, chunk of it, element it starts at, end of its block)."""
    slot = first + program // chunks
    chunk = first_chunk + program % chunks
    number = tl.load(numbers + slot)
    tensor, begin = number // each * size, number % each * block
    return slot.to(tl.int64), chunk, tensor + begin + chunk * CHUNK, tensor + tl.minimum(begin + block, size)


@triton.jit
def widen(code, ELEMENT: tl.constexpr):
    """Integer codes as float32. By hand for bf16: Triton's interpreter converts subnormal numbers wrongly."""
    if tl.bfloat16 == ELEMENT:
        value = (code.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        value = code.to(ELEMENT, bitcast=True).to(tl.float32)
    return value


@triton.jit
def values(loaded, ELEMENT: tl.constexpr, WIDE: tl.constexpr):
    """What was loaded through a pointer to ELEMENT, as float32, or float64 if WIDE."""
    value = loaded
    if tl.bfloat16 == ELEMENT:
        value = widen(loaded.to(tl.int16, bitcast=True), ELEMENT)
    return value.to(tl.float64 if WIDE else tl.float32)


@triton.jit
def load(row, stride, at, end, ELEMENT: tl.constexpr, RAGGED: tl.constexpr):
    """The codes and their float32 values at positions `at`; zero from `end` on if RAGGED."""
    if RAGGED:
        code = tl.load(row + at * stride, at < end, other=0)
    else:
        code = tl.load(row + at * stride)
    return code, widen(code, ELEMENT)


def multiprocessors(device: torch.device) -> int:
    """Of a GPU; a few where the interpreter stands in for one, so that programs take several pieces of work there too."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


@triton.jit(do_not_specialize=["count", "groups"])
def add_group_kernel(parts, out, count, groups, width, GROUP: tl.constexpr, COLUMNS: tl.constexpr):
    """parts: [B, count, width] -> out: float64 [B, groups, width], groups = ceil(count / GROUP)."""
    columns = tl.cdiv(width, COLUMNS)
    at = (tl.program_id(0) // columns).to(tl.int64)  # of [B, groups]
    row = at % groups * GROUP + tl.arange(0, GROUP)
    column = tl.program_id(0) % columns * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < count)[:, None] & (column < width)[None, :]
    # [GROUP, COLUMNS]
    part = tl.load(parts + (at // groups * count + row)[:, None] * width + column[None, :], inside, other=0.0)
    tl.store(out + at * width + column, tl.sum(part.to(tl.float64), 0), column < width)


def add_chunks(parts: torch.Tensor, group: int = _GROUP) -> torch.Tensor:
    """[B, chunks, width] -> float64 [B, width]: `group` neighbours (a power of 2), then as many of their sums.

    The number of chunks fixes the order; chunks of zeros at the end change no bit.
    """
    blocks, count, width = parts.shape
    while count > 1 and parts.numel():
        groups, columns = triton.cdiv(count, group), _TILE // group
        out = parts.new_empty(blocks, groups, width, dtype=torch.float64)
        with torch.cuda.device_of(parts):
            add_group_kernel[(blocks * groups * triton.cdiv(width, columns),)](
                parts, out, count, groups, width, group, columns, num_warps=4, enable_fp_fusion=True
            )
        parts, count = out, groups
    return parts.sum(1, dtype=torch.float64)  # of one chunk, or of none

"""What the kernels share: rows cut into chunks, codes widened to float32, sums over chunks in a fixed order."""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import triton
import triton.language as tl

CHUNK = tl.constexpr(4096)
"""Elements of a chunk. What is found in one is written apart, so results do not depend on how programs are scheduled."""

_DTYPES = {
    torch.bfloat16: (torch.int16, tl.bfloat16),
    torch.float16: (torch.int16, tl.float16),
    torch.float32: (torch.int32, tl.float32),
}
_GROUP = tl.constexpr(256)  # chunks that are added up at a time
_COLUMNS = tl.constexpr(16)


def codes(rows: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], tl.dtype]:
    """Rows as the integers that hold their bits, each [n], and their dtype: views where layouts allow, else copies.

    Raises ValueError unless all rows are bfloat16, float16 or float32, of one dtype, size and device.
    """
    kinds = {(row.dtype, row.numel(), row.device) for row in rows}
    if len(kinds) > 1:
        raise ValueError(f"rows differ in dtype, size or device: {sorted(map(str, kinds))}")
    if rows[0].dtype not in _DTYPES:
        raise ValueError(f"unsupported dtype {rows[0].dtype}")
    integer, element = _DTYPES[rows[0].dtype]
    return tuple(row.detach().reshape(-1).view(integer) for row in rows), element


def launches(size: int) -> Iterator[tuple[int, int, bool]]:
    """(first chunk, number of chunks, ragged) of each launch: whole chunks are read without a mask, thus in vectors."""
    whole, rest = divmod(size, CHUNK.value)
    if whole:
        yield 0, whole, False
    if rest:
        yield whole, 1, True


@triton.jit
def load(row, stride, at, size, ELEMENT: tl.constexpr, RAGGED: tl.constexpr):
    """The codes and their float32 values at positions `at`; zero from `size` on if RAGGED.

    Widened by hand, for bf16: Triton's interpreter converts subnormal numbers wrongly.
    """
    if RAGGED:
        code = tl.load(row + at * stride, at < size, other=0)
    else:
        code = tl.load(row + at * stride)
    if tl.bfloat16 == ELEMENT:
        value = (code.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        value = code.to(ELEMENT, bitcast=True).to(tl.float32)
    return code, value


@triton.jit(do_not_specialize=["count"])
def add_group_kernel(parts, out, count, width):
    """parts: float64 [count, width] -> out: [ceil(count / GROUP), width]."""
    group = tl.program_id(0).to(tl.int64)
    row = group * _GROUP + tl.arange(0, _GROUP)
    column = tl.program_id(1) * _COLUMNS + tl.arange(0, _COLUMNS)
    inside = (row < count)[:, None] & (column < width)[None, :]
    # [GROUP, COLUMNS]
    part = tl.load(parts + row[:, None] * width + column[None, :], inside, other=0.0)
    tl.store(out + group * width + column, tl.sum(part, 0), column < width)


def add_chunks(parts: torch.Tensor) -> torch.Tensor:
    """float64 [chunks, width] -> [width]: groups of neighbours, then groups of their sums, so `chunks` fixes the order."""
    while len(parts) > 1:
        count, width = parts.shape
        out = parts.new_empty(triton.cdiv(count, _GROUP.value), width)
        grid = len(out), triton.cdiv(width, _COLUMNS.value)
        with torch.cuda.device_of(parts):
            add_group_kernel[grid](parts, out, count, width, num_warps=4, enable_fp_fusion=True)
        parts = out
    return parts.sum(0)  # of one row, or of none

"""What the kernels share: chunks of elements, codes widened to float32, and the sum over chunks in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

CHUNK = tl.constexpr(4096)
"""Elements of one program: what it finds is written apart and added up by `add_chunks`, so no schedule shows."""

CODES = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}
"""Dtypes that the kernels read, and the integers that hold their bits."""

ELEMENTS = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}

_GROUP = tl.constexpr(256)
_COLUMNS = tl.constexpr(16)


@triton.jit
def widen(code, ELEMENT: tl.constexpr):
    """The float32 that equals a code. By hand: Triton's interpreter converts subnormal bf16 wrongly."""
    if ELEMENT == "bf16":
        return (code.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif ELEMENT == "f16":
        return code.to(tl.float16, bitcast=True).to(tl.float32)
    else:
        return code.to(tl.float32, bitcast=True)


@triton.jit
def _add_group(parts, out, count, width):
    """parts: float64 [count, width] -> out: [ceil(count / GROUP), width]."""
    group = tl.program_id(0).to(tl.int64)
    row = group * _GROUP + tl.arange(0, _GROUP)  # [GROUP]
    column = tl.program_id(1) * _COLUMNS + tl.arange(0, _COLUMNS)  # [COLUMNS]
    inside = (row < count)[:, None] & (column < width)[None, :]
    part = tl.load(parts + row[:, None] * width + column[None, :], inside, other=0.0)  # [GROUP, COLUMNS]
    tl.store(out + group * width + column, tl.sum(part, 0), column < width)


def add_chunks(parts: torch.Tensor) -> torch.Tensor:
    """[chunks, width] float64 -> [width]: sums of 256 neighbours at a time, so the order follows from `chunks` alone."""
    while len(parts) > 1:
        count, width = parts.shape
        out = parts.new_empty(triton.cdiv(count, _GROUP.value), width)
        with torch.cuda.device_of(parts):
            _add_group[len(out), triton.cdiv(width, _COLUMNS.value)](parts, out, count, width)
        parts = out
    return parts.sum(0)  # of one, or of none

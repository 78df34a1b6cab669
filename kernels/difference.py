"""difference: how two rows differ element by element; census: the non-finite elements and the magnitudes of one row.

Both are one pass over memory. `difference` subtracts and adds in float64. `census` counts magnitudes by atomic additions to
a few private tables in the cache, since 32,768 bins do not fit in registers.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from weightkin.reference import Difference

from .chunks import CHUNK, add_chunks, codes, launches, load

BINS = tl.constexpr(1 << 15)
"""A code without its sign bit; of float32 the upper 16 bits."""

_TABLES = 64  # private histograms: additions to one bin of one table wait for each other
_OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}


class Census(NamedTuple):
    """What the elements of one row are."""

    nans: int
    infinities: int
    histogram: npt.NDArray[np.int64]
    """[32768]: magnitudes by code, of bfloat16 and float16 exact, of float32 by the upper 16 bits."""


@triton.jit(do_not_specialize=["first", "size"])
def difference_kernel(x, x_stride, y, y_stride, first, size, parts, ELEMENT: tl.constexpr, RAGGED: tl.constexpr):
    """Programs are chunks from `first` on. parts: float64 [chunks, 4]: sum, sum of squares, maximum, unequal codes."""
    chunk = first + tl.program_id(0).to(tl.int64)
    at = chunk * CHUNK + tl.arange(0, CHUNK)
    # [CHUNK] each
    x_code, x_value = load(x, x_stride, at, size, ELEMENT, RAGGED)
    y_code, y_value = load(y, y_stride, at, size, ELEMENT, RAGGED)
    gap = tl.abs(x_value.to(tl.float64) - y_value.to(tl.float64))  # bf16 has the range of float32: it could overflow
    out = parts + chunk * 4
    tl.store(out, tl.sum(gap, 0))
    tl.store(out + 1, tl.sum(gap * gap, 0))
    tl.store(out + 2, tl.max(tl.where(gap == gap, gap, 0.0), 0))  # NaN left out: it shows in the sums
    tl.store(out + 3, tl.sum((x_code != y_code).to(tl.int32), 0).to(tl.float64))


@triton.jit(do_not_specialize=["first", "size", "tables"])
def census_kernel(row, stride, first, size, counts, tables, parts, ELEMENT: tl.constexpr, RAGGED: tl.constexpr):
    """Programs are chunks from `first` on. counts: int32 [tables, BINS], added to; parts: float64 [chunks, 2]: NaN, inf."""
    chunk = first + tl.program_id(0).to(tl.int64)
    at = chunk * CHUNK + tl.arange(0, CHUNK)
    # [CHUNK] each
    code, value = load(row, stride, at, size, ELEMENT, RAGGED)
    bin = code.to(tl.int32) & 0x7FFF
    if tl.float32 == ELEMENT:
        bin = (code >> 16) & 0x7FFF
    # Zeros are not counted: a row of many would make every addition wait. They are what is missing from the total.
    table = (tl.program_id(0) % tables).to(tl.int64)
    tl.atomic_add(counts + table * BINS + bin, 1, bin != 0, sem="relaxed")
    out = parts + chunk * 2
    tl.store(out, tl.sum((value != value).to(tl.int32), 0).to(tl.float64))
    tl.store(out + 1, tl.sum((tl.abs(value) == float("inf")).to(tl.int32), 0).to(tl.float64))


def difference(x: torch.Tensor, y: torch.Tensor) -> Difference:
    """Element-wise difference of two tensors of one size and dtype (bfloat16, float16, float32), on their device.

    Raises ValueError for tensors that differ in size, dtype or device, and for other dtypes.
    """
    (left, right), element = codes([x, y])
    parts = x.new_empty(triton.cdiv(x.numel(), CHUNK.value), 4, dtype=torch.float64)
    for first, chunks, ragged in launches(x.numel()):
        with torch.cuda.device_of(parts):
            difference_kernel[(chunks,)](
                left, left.stride(0), right, right.stride(0), first, x.numel(), parts, element, ragged, **_OPTIONS
            )
    sum_abs, sum_square, _, unequal = add_chunks(parts).tolist()
    return Difference(sum_abs, sum_square, float(parts[:, 2].amax()) if len(parts) else 0.0, int(unequal))


def census(x: torch.Tensor) -> Census:
    """Non-finite elements and magnitudes of a tensor (bfloat16, float16, float32), on its device; all counts are exact.

    Raises ValueError for another dtype.
    """
    (row,), element = codes([x])
    chunks = triton.cdiv(x.numel(), CHUNK.value)
    tables = min(_TABLES, max(chunks, 1))
    counts = torch.zeros(tables, BINS.value, dtype=torch.int32, device=x.device)
    parts = x.new_empty(chunks, 2, dtype=torch.float64)
    for first, count, ragged in launches(x.numel()):
        with torch.cuda.device_of(parts):
            census_kernel[(count,)](
                row, row.stride(0), first, x.numel(), counts, tables, parts, element, ragged, **_OPTIONS
            )
    histogram = counts.sum(0, dtype=torch.int64).cpu().numpy()
    histogram[0] = x.numel() - histogram.sum()
    nans, infinities = add_chunks(parts).tolist()
    return Census(int(nans), int(infinities), histogram)

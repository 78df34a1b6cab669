"""difference: how two rows differ element by element; census: the non-finite elements and the magnitudes of one row.

Both are one pass over memory, by blocks. `difference` subtracts and adds in float64. `census` counts magnitudes by atomic
additions to a few private tables in the cache, since 32,768 bins do not fit in registers.
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
from weightkin.similarity import magnitude_values

from .chunks import CHUNK, Blocks, add_chunks, codes, load, place

BINS = tl.constexpr(1 << 15)
"""A code without its sign bit; of float32 the upper 16 bits."""

_TABLES = 64  # private histograms of a call, of which each block has its own: additions to one bin wait for each other
_OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}


class Differences(NamedTuple):
    """How two rows differ, block by block, element by element (reference.Difference); arrays [B]."""

    sum_abs: npt.NDArray[np.float64]
    sum_square: npt.NDArray[np.float64]
    max_abs: npt.NDArray[np.float64]
    unequal: npt.NDArray[np.int64]


class Census(NamedTuple):
    """What the elements of one row are, by blocks."""

    nans: npt.NDArray[np.int64]
    """[B]"""
    infinities: npt.NDArray[np.int64]
    """[B]"""
    quantile: npt.NDArray[np.float64]
    """[B]: of |x|, linear between order statistics; of float32 between the lower edges of bins; NaN with a NaN."""
    histogram: npt.NDArray[np.int64]
    """[32768], or of several tensors [T, 32768], over all blocks: magnitudes by code, of bfloat16 and float16 exact, of
    float32 by the upper 16 bits."""


@triton.jit(do_not_specialize=["each", "first", "first_chunk", "chunks", "parts_chunks"])
def difference_kernel(
    x, x_stride, y, y_stride, numbers, block, size, each, first, first_chunk, chunks, parts, parts_chunks,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr,
):  # fmt: skip
    """Programs are chunks of blocks. parts: float64 [B, parts_chunks, 4]: sum, sum of squares, maximum, unequal codes."""
    slot, chunk, start, end = place(tl.program_id(0), numbers, block, size, each, first, first_chunk, chunks)
    at = start + tl.arange(0, CHUNK)
    # [CHUNK] each
    x_code, x_value = load(x, x_stride, at, end, ELEMENT, RAGGED)
    y_code, y_value = load(y, y_stride, at, end, ELEMENT, RAGGED)
    gap = tl.abs(x_value.to(tl.float64) - y_value.to(tl.float64))  # bf16 has the range of float32: it could overflow
    out = parts + (slot * parts_chunks + chunk) * 4
    tl.store(out, tl.sum(gap, 0))
    tl.store(out + 1, tl.sum(gap * gap, 0))
    tl.store(out + 2, tl.max(tl.where(gap == gap, gap, 0.0), 0))  # NaN left out: it shows in the sums
    tl.store(out + 3, tl.sum((x_code != y_code).to(tl.int32), 0).to(tl.float64))


@triton.jit(do_not_specialize=["each", "first", "first_chunk", "chunks", "tables", "parts_chunks"])
def census_kernel(
    row, stride, numbers, block, size, each, first, first_chunk, chunks, counts, tables, parts, parts_chunks,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr,
):  # fmt: skip
    """Programs are chunks of blocks. counts: int32 [B, tables, BINS], added to; parts: float64 [B, parts_chunks, 2].

    The parts are the numbers of NaNs and of infinities.
    """
    slot, chunk, start, end = place(tl.program_id(0), numbers, block, size, each, first, first_chunk, chunks)
    at = start + tl.arange(0, CHUNK)
    # [CHUNK] each
    code, value = load(row, stride, at, end, ELEMENT, RAGGED)
    bin = code.to(tl.int32) & 0x7FFF
    if tl.float32 == ELEMENT:
        bin = (code >> 16) & 0x7FFF
    # Zeros are not counted: a row of many would make every addition wait. They are what is missing from the total.
    table = slot * tables + chunk % tables
    tl.atomic_add(counts + table * BINS + bin, 1, bin != 0, sem="relaxed")
    out = parts + (slot * parts_chunks + chunk) * 2
    tl.store(out, tl.sum((value != value).to(tl.int32), 0).to(tl.float64))
    tl.store(out + 1, tl.sum((tl.abs(value) == float("inf")).to(tl.int32), 0).to(tl.float64))


def difference_blocks(x: torch.Tensor, y: torch.Tensor, block: int, size: int | None = None) -> Differences:
    """Element-wise difference of two tensors of one size and dtype (bfloat16, float16, float32), on their device.

    They are read as flat rows, in blocks of `block` elements, of which the last may be shorter; with `size`, as tensors of so
    many elements one behind the other, each in such blocks. A block gives the same bits whatever others a call has. Raises
    ValueError for tensors that differ in size, dtype or device, and for other dtypes.
    """
    (left, right), element = codes([x, y])
    blocks = Blocks.of(x.numel(), block, size)
    numbers, parts = torch.from_numpy(blocks.numbers).to(x.device), blocks.parts(x, 4)
    for first, slots, first_chunk, chunks, ragged in blocks.launches():
        with torch.cuda.device_of(parts):
            difference_kernel[(slots * chunks,)](
                left, left.stride(0), right, right.stride(0), numbers, block, blocks.size, blocks.each, first, first_chunk,
                chunks, parts, parts.shape[1], element, ragged, **_OPTIONS,
            )  # fmt: skip
    most = parts[..., 2].amax(1) if parts.numel() else parts.new_zeros(0)
    sum_abs, sum_square, _, unequal = add_chunks(parts).T.cpu().numpy()[:, blocks.order]
    return Differences(sum_abs, sum_square, most.cpu().numpy()[blocks.order], unequal.astype(np.int64))


def difference(x: torch.Tensor, y: torch.Tensor) -> Difference:
    """`difference_blocks` of one block."""
    found = difference_blocks(x, y, max(1, x.numel()))
    if not x.numel():
        return Difference(0.0, 0.0, 0.0, 0)
    return Difference(
        float(found.sum_abs[0]), float(found.sum_square[0]), float(found.max_abs[0]), int(found.unequal[0])
    )


def census_blocks(x: torch.Tensor, block: int, fraction: float = 0.99, size: int | None = None) -> Census:
    """Non-finite elements, magnitudes, and the quantile of |x| at `fraction`, of a tensor (bfloat16, float16, float32).

    On its device, in blocks of `block` elements, of which the last may be shorter; with `size`, of tensors of so many elements
    one behind the other, each in such blocks, and a histogram of each. All counts are exact. Raises ValueError for another
    dtype.
    """
    (row,), element = codes([x])
    blocks = Blocks.of(x.numel(), block, size)
    numbers, parts = torch.from_numpy(blocks.numbers).to(x.device), blocks.parts(x, 2)
    tables = max(1, min(_TABLES // max(1, len(parts)), parts.shape[1]))
    counts = torch.zeros(len(parts), tables, BINS.value, dtype=torch.int32, device=x.device)
    for first, slots, first_chunk, chunks, ragged in blocks.launches():
        with torch.cuda.device_of(parts):
            census_kernel[(slots * chunks,)](
                row, row.stride(0), numbers, block, blocks.size, blocks.each, first, first_chunk, chunks, counts, tables, parts,
                parts.shape[1], element, ragged, **_OPTIONS,
            )  # fmt: skip
    histograms = counts.sum(1, dtype=torch.int64)
    histograms[:, 0] = torch.from_numpy(blocks.sizes).to(x.device) - histograms.sum(1)
    nans, infinities = add_chunks(parts).T.cpu().numpy().astype(np.int64)
    quantile = np.where(nans > 0, np.nan, _quantiles(histograms, blocks.sizes, fraction, element))
    order = blocks.order
    of_tensors = histograms[torch.from_numpy(order).to(x.device)].reshape(-1, blocks.each, BINS.value).sum(1)
    counts = of_tensors.sum(0) if size is None else of_tensors
    return Census(nans[order], infinities[order], quantile[order], counts.cpu().numpy())


def _quantiles(
    histograms: torch.Tensor, sizes: npt.NDArray[np.int64], fraction: float, element: tl.dtype
) -> npt.NDArray[np.float64]:
    """[B], as similarity.weighted_quantile has them of histograms [B, 32768] without NaN, of `sizes` elements each."""
    position = fraction * (sizes - 1).astype(np.float64)
    lower = np.floor(position).astype(np.int64)
    ranks = torch.from_numpy(np.stack([lower, np.minimum(lower + 1, sizes - 1)], axis=1)).to(histograms.device)
    bins = torch.searchsorted(histograms.cumsum(1), ranks, right=True).cpu().numpy()
    low, high = magnitude_values("F16" if element == tl.float16 else "BF16")[bins].T
    with np.errstate(invalid="ignore"):  # between infinities
        return np.asarray(low + (position - lower) * (high - low))

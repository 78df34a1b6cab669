"""gram: inner products of 2 to 16 rows with each other, and the sum of each row, in one pass over memory.

A warp takes a chunk. Each thread adds 8 neighbouring products pairwise in float32 and the result to float64: 3 roundings,
since products of bf16 and f16 are exact. Of float32 it takes 4 products, rounded once before. So a sum is off by at most
3 * 2^-24 = 1.8e-7 of the sum of the magnitudes. Where that is not enough, all is done again in float64.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call, assignment"

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from weightkin.reference import Gram

from .chunks import CHUNK, add_chunks, codes, launches, load

MAX_ROWS = 16
_UNDIVIDED = 8  # rows whose sums fit in one program's registers
_LANES = tl.constexpr(32)
_BATCH = tl.constexpr(16)  # sums that are added over the lanes at a time


@triton.jit
def _add_neighbours(x, RUN: tl.constexpr):
    """[LANES * RUN] -> float64 [LANES]: sums of RUN neighbours, which one thread holds."""
    for _ in tl.static_range(RUN.bit_length() - 1):
        low, high = tl.split(tl.reshape(x, (x.shape[0] // 2, 2)))
        x = low + high
    return x.to(tl.float64)


@triton.jit
def _add_lanes(sums):
    """A tuple of BATCH x [LANES] -> [BATCH]."""
    for _ in tl.static_range(len(sums).bit_length() - 1):
        joined = ()
        for k in tl.static_range(len(sums) // 2):
            joined += (tl.join(sums[k], sums[k + len(sums) // 2]),)
        sums = joined
    return tl.reshape(tl.sum(sums[0], 0), (_BATCH,))


@triton.jit
def _load_rows(rows, strides, at, size, ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr):
    """A tuple of the rows' values at `at`, in the type SUM."""
    values = ()
    for i in tl.static_range(len(rows)):
        _, value = load(rows[i], strides[i], at, size, ELEMENT, RAGGED)
        values += (value.to(SUM),)
    return values


@triton.jit
def _tile(
    left, left_strides, right, right_strides, start, size, out, DIAGONAL: tl.constexpr,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr, RUN: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """One chunk's sums in the order of `_entries`: of the rows of `left` and their pairs if DIAGONAL, else of pairs across."""
    COUNT: tl.constexpr = len(left) * (len(left) + 3) // 2 if DIAGONAL else len(left) * len(right)
    BATCHES: tl.constexpr = (COUNT + _BATCH - 1) // _BATCH
    zero = tl.zeros((_LANES,), tl.float64)
    sums = ()
    for _ in tl.static_range(BATCHES * _BATCH):
        sums += (zero,)
    end = tl.minimum(size - start, CHUNK).to(tl.int32) if RAGGED else CHUNK
    for segment in tl.range(0, end, _LANES * RUN, loop_unroll_factor=UNROLL):
        at = start + segment + tl.arange(0, _LANES * RUN)
        # [LANES * RUN] each
        x = _load_rows(left, left_strides, at, size, ELEMENT, RAGGED, SUM)
        y = x if DIAGONAL else _load_rows(right, right_strides, at, size, ELEMENT, RAGGED, SUM)
        more = ()
        for i in tl.static_range(len(left)):
            if DIAGONAL:
                more += (sums[len(more)] + _add_neighbours(x[i], RUN),)
            for j in tl.static_range(i + 1 if DIAGONAL else len(right)):
                more += (sums[len(more)] + _add_neighbours(x[i] * y[j], RUN),)
        sums = more + sums[COUNT:]
    for batch in tl.static_range(BATCHES):
        entry = batch * _BATCH + tl.arange(0, _BATCH)
        total = _add_lanes(sums[batch * _BATCH : (batch + 1) * _BATCH])
        tl.store(out + entry, total, entry < COUNT)


@triton.jit(do_not_specialize=["first", "size"])
def gram_kernel(
    rows, strides, first, size, parts, HALF: tl.constexpr,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr, RUN: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Programs are chunks from `first` on; if HALF, three to a chunk: the first HALF rows, the others, and across.

    rows: a tuple of N pointers to codes; strides: of N, in elements; parts: float64 [chunks, N (N + 3) / 2].
    """
    N: tl.constexpr = len(rows)
    # Programs of one chunk are neighbours, so that one of them reads memory and the rest the cache.
    PROGRAMS: tl.constexpr = 3 if HALF else 1
    chunk = first + (tl.program_id(0) // PROGRAMS).to(tl.int64)
    start = chunk * CHUNK
    out = parts + chunk * (N * (N + 3) // 2)
    if HALF == 0:
        _tile(rows, strides, rows, strides, start, size, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
    else:
        tile = tl.program_id(0) % PROGRAMS
        a, a_strides = rows[:HALF], strides[:HALF]
        b, b_strides = rows[HALF:], strides[HALF:]
        if tile == 0:
            _tile(a, a_strides, a, a_strides, start, size, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
        elif tile == 1:
            out += HALF * (HALF + 3) // 2
            _tile(b, b_strides, b, b_strides, start, size, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
        else:
            out += HALF * (HALF + 3) // 2 + (N - HALF) * (N - HALF + 3) // 2
            _tile(a, a_strides, b, b_strides, start, size, out, False, ELEMENT, RAGGED, SUM, RUN, UNROLL)


def _entries(count: int, half: int) -> Iterator[tuple[int, int]]:
    """What the sums of a chunk are, in order: (i, j) is <x_i, x_j>, (i, count) the sum of x_i."""
    for rows in (range(count),) if half == 0 else (range(half), range(half, count)):
        for i in rows:
            yield i, count
            for j in range(rows.start, i + 1):
                yield i, j
    for i in range(half):
        for j in range(half, count):
            yield i, j


def options(count: int, element: tl.dtype, *, wide: bool) -> dict[str, Any]:
    """How the kernel is compiled for `count` rows: no spilled registers, loads of 16 bytes, enough of them in flight."""
    half = 0 if count <= _UNDIVIDED else (count + 1) // 2
    run = 2 if wide else 4 if count > 12 or element == tl.float32 else 8
    return {
        "HALF": half, "SUM": tl.float64 if wide else tl.float32, "RUN": run, "UNROLL": max(1, _UNDIVIDED // count),
        "num_warps": 1, "enable_fp_fusion": True,
    }  # fmt: skip


def _sums(rows: Sequence[torch.Tensor], *, wide: bool) -> Gram:
    count, size = len(rows), rows[0].numel()
    flat, element = codes(rows)
    strides = tuple(row.stride(0) for row in flat)
    chosen = options(count, element, wide=wide)
    parts = rows[0].new_empty(triton.cdiv(size, CHUNK.value), count * (count + 3) // 2, dtype=torch.float64)
    for first, chunks, ragged in launches(size):
        grid = (chunks * (3 if chosen["HALF"] else 1),)
        with torch.cuda.device_of(parts):
            gram_kernel[grid](flat, strides, first, size, parts, ELEMENT=element, RAGGED=ragged, **chosen)
    gram = np.empty((count, count + 1))
    for (i, j), value in zip(_entries(count, chosen["HALF"]), add_chunks(parts).tolist(), strict=True):
        gram[i, j] = value
        if j < count:
            gram[j, i] = value
    return Gram(gram[:, :count], gram[:, count])


def _needs_float64(found: Gram, size: int) -> bool:
    """Whether float32 was not enough: products left its range, or means are so large that Pearson would magnify errors.

    Up to a squared mean of a tenth of the mean square, errors of 1.8e-7 keep cosine and Pearson within 7e-7.
    """
    square = np.diag(found.gram)
    with np.errstate(invalid="ignore"):
        doubtful = ~np.isfinite(square) | (square < size * 1e-36) | (found.sum**2 > 0.1 * size * square)
    return bool((doubtful & ~np.isnan(square)).any())  # NaN: float64 would say the same


def gram(rows: Sequence[torch.Tensor]) -> Gram:
    """Inner products and sums of 2 to 16 tensors of one size and dtype (bfloat16, float16, float32), read as flat rows.

    On the tensors' device. A sum is off by at most 1.8e-7 of the sum of the magnitudes, a cosine or Pearson of finite rows
    by less than 1e-6; the same rows give the same bits again. Raises ValueError for too many rows, rows that differ in
    size, dtype or device, and other dtypes.
    """
    if not 2 <= len(rows) <= MAX_ROWS:
        raise ValueError(f"2 to {MAX_ROWS} rows, not {len(rows)}")
    found = _sums(rows, wide=False)
    return _sums(rows, wide=True) if _needs_float64(found, rows[0].numel()) else found

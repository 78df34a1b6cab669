"""gram: inner products of 1 to 16 rows with each other, and the sum of each row, block by block, in one pass over memory.

A warp takes a chunk. Each thread adds 8 neighbouring products pairwise in float32 and the result to float64: 3 roundings,
since products of bf16 and f16 are exact. Of float32 it takes 4 products, rounded once before. So a sum is off by at most
3 * 2^-24 = 1.8e-7 of the sum of the magnitudes. Blocks for which that is not enough are done again in float64.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call, assignment"

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from weightkin.reference import Gram

from .chunks import CHUNK, Blocks, add_chunks, codes, load, place

Array = npt.NDArray[np.float64]

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
def _load_rows(rows, strides, at, end, ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr):
    """A tuple of the rows' values at `at`, in the type SUM."""
    values = ()
    for i in tl.static_range(len(rows)):
        _, value = load(rows[i], strides[i], at, end, ELEMENT, RAGGED)
        values += (value.to(SUM),)
    return values


@triton.jit
def _tile(
    left, left_strides, right, right_strides, start, stop, out, DIAGONAL: tl.constexpr,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr, RUN: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """One chunk's sums in the order of `_entries`: of the rows of `left` and their pairs if DIAGONAL, else of pairs across."""
    COUNT: tl.constexpr = len(left) * (len(left) + 3) // 2 if DIAGONAL else len(left) * len(right)
    BATCHES: tl.constexpr = (COUNT + _BATCH - 1) // _BATCH
    zero = tl.zeros((_LANES,), tl.float64)
    sums = ()
    for _ in tl.static_range(BATCHES * _BATCH):
        sums += (zero,)
    end = tl.minimum(stop - start, CHUNK).to(tl.int32) if RAGGED else CHUNK
    for segment in tl.range(0, end, _LANES * RUN, loop_unroll_factor=UNROLL):
        at = start + segment + tl.arange(0, _LANES * RUN)
        # [LANES * RUN] each
        x = _load_rows(left, left_strides, at, stop, ELEMENT, RAGGED, SUM)
        y = x if DIAGONAL else _load_rows(right, right_strides, at, stop, ELEMENT, RAGGED, SUM)
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


@triton.jit(do_not_specialize=["each", "first", "first_chunk", "chunks", "parts_chunks"])
def gram_kernel(
    rows, strides, numbers, block, size, each, first, first_chunk, chunks, parts, parts_chunks, HALF: tl.constexpr,
    ELEMENT: tl.constexpr, RAGGED: tl.constexpr, SUM: tl.constexpr, RUN: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Programs are chunks of blocks; if HALF, three to a chunk: the first HALF rows, the others, and across.

    rows: a tuple of N pointers to codes; strides: of N, in elements; parts: float64 [B, parts_chunks, N (N + 3) / 2].
    """
    N: tl.constexpr = len(rows)
    # Programs of one chunk are neighbours, so that one of them reads memory and the rest the cache.
    PROGRAMS: tl.constexpr = 3 if HALF else 1
    program = tl.program_id(0) // PROGRAMS
    slot, chunk, start, stop = place(program, numbers, block, size, each, first, first_chunk, chunks)
    out = parts + (slot * parts_chunks + chunk) * (N * (N + 3) // 2)
    if HALF == 0:
        _tile(rows, strides, rows, strides, start, stop, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
    else:
        tile = tl.program_id(0) % PROGRAMS
        a, a_strides = rows[:HALF], strides[:HALF]
        b, b_strides = rows[HALF:], strides[HALF:]
        if tile == 0:
            _tile(a, a_strides, a, a_strides, start, stop, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
        elif tile == 1:
            out += HALF * (HALF + 3) // 2
            _tile(b, b_strides, b, b_strides, start, stop, out, True, ELEMENT, RAGGED, SUM, RUN, UNROLL)
        else:
            out += HALF * (HALF + 3) // 2 + (N - HALF) * (N - HALF + 3) // 2
            _tile(a, a_strides, b, b_strides, start, stop, out, False, ELEMENT, RAGGED, SUM, RUN, UNROLL)


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


def _sums(rows: Sequence[torch.Tensor], blocks: Blocks, *, wide: bool) -> tuple[Array, Array]:
    count = len(rows)
    flat, element = codes(rows)
    strides = tuple(row.stride(0) for row in flat)
    chosen = options(count, element, wide=wide)
    numbers = torch.from_numpy(blocks.numbers).to(rows[0].device)
    parts = blocks.parts(rows[0], count * (count + 3) // 2)
    for first, slots, first_chunk, chunks, ragged in blocks.launches():
        grid = (slots * chunks * (3 if chosen["HALF"] else 1),)
        with torch.cuda.device_of(parts):
            gram_kernel[grid](
                flat, strides, numbers, blocks.block, blocks.size, blocks.each, first, first_chunk, chunks, parts,
                parts.shape[1], ELEMENT=element, RAGGED=ragged, **chosen,
            )  # fmt: skip
    gram = np.empty((len(parts), count, count + 1))
    i, j = np.array(list(_entries(count, chosen["HALF"]))).T
    gram[:, i, j] = add_chunks(parts).cpu().numpy()
    pairs = j < count
    gram[:, j[pairs], i[pairs]] = gram[:, i[pairs], j[pairs]]
    return gram[:, :, :count], gram[:, :, count]


def _needs_float64(gram: Array, total: Array, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """[B]: whether float32 was not enough: products left its range, or means so large that Pearson would magnify errors.

    Up to a squared mean of a tenth of the mean square, errors of 1.8e-7 keep cosine and Pearson within 7e-7.
    """
    square, size = np.diagonal(gram, axis1=1, axis2=2), sizes[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        doubtful = ~np.isfinite(square) | (square < size * 1e-36) | (total**2 > 0.1 * size * square)
    return np.asarray((doubtful & ~np.isnan(square)).any(axis=1))  # NaN: float64 would say the same


def gram_blocks(rows: Sequence[torch.Tensor], block: int, size: int | None = None) -> tuple[Array, Array]:
    """([B, N, N], [B, N]) inner products and sums of 1 to 16 tensors of one size and dtype (bfloat16, float16, float32).

    On the tensors' device; they are read as flat rows, in blocks of `block` elements, of which the last may be shorter; with
    `size`, each row is tensors of so many elements one behind the other, each in such blocks. A sum is off by at most 1.8e-7
    of the sum of the magnitudes, a cosine or Pearson of finite rows by less than 1e-6. A block gives the same bits whatever
    others a call has. Raises ValueError for too many rows, rows that differ in size, dtype or
    device, and other dtypes.
    """
    if not 1 <= len(rows) <= MAX_ROWS:
        raise ValueError(f"1 to {MAX_ROWS} rows, not {len(rows)}")
    blocks = Blocks.of(rows[0].numel(), block, size)
    gram, total = _sums(rows, blocks, wide=False)
    again = np.flatnonzero(_needs_float64(gram, total, blocks.sizes))
    if again.size:
        gram[again], total[again] = _sums(rows, blocks._replace(numbers=blocks.numbers[again]), wide=True)
    return gram[blocks.order], total[blocks.order]


def gram(rows: Sequence[torch.Tensor]) -> Gram:
    """`gram_blocks` of one block."""
    found, total = gram_blocks(rows, max(1, rows[0].numel() if rows else 1))
    return Gram(found.sum(axis=0), total.sum(axis=0))  # of one block, or of none

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from weightkin.reference import Gram

from .chunks import CHUNK, CODES, ELEMENTS, add_chunks, widen

MAX_ROWS = 16
_THREADS = tl.constexpr(128)
_BATCH = tl.constexpr(16)


@triton.jit
def _in_thread(x, RUN: tl.constexpr):
    """[THREADS * RUN] -> [THREADS]: a thread's RUN neighbours, added pairwise."""
    for _ in tl.static_range(RUN.bit_length() - 1):
        low, high = tl.split(tl.reshape(x, (x.shape[0] // 2, 2)))
        x = low + high
    return x


@triton.jit
def _load(row, stride, at, size, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr):
    if RAGGED:
        code = tl.load(row + at * stride, at < size, other=0)
    else:
        code = tl.load(row + at * stride)
    x = widen(code, ELEMENT)
    if WIDE:
        x = x.to(tl.float64)
    return x


@triton.jit
def _stack(parts, BATCH: tl.constexpr):
    """A tuple of BATCH [THREADS] -> [THREADS, BATCH]."""
    for _ in tl.static_range(BATCH.bit_length() - 1):
        joined = ()
        for k in tl.static_range(len(parts) // 2):
            joined = joined + (tl.join(parts[k], parts[k + len(parts) // 2]),)
        parts = joined
    return tl.reshape(parts[0], (parts[0].shape[0], BATCH))


@triton.jit
def _gram_kernel(rows, strides, size, first, parts, ROWS: tl.constexpr, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr, RUN: tl.constexpr):
    chunk = first + tl.program_id(0).to(tl.int64)
    ENTRIES: tl.constexpr = ROWS * (ROWS + 3) // 2
    BATCHES: tl.constexpr = (ENTRIES + _BATCH - 1) // _BATCH
    out = parts + chunk * (BATCHES * _BATCH)
    start = chunk * CHUNK
    lane = tl.arange(0, _THREADS * RUN)
    zero = tl.zeros((_THREADS,), tl.float64 if WIDE else tl.float32)
    sums = ()
    for _ in tl.static_range(BATCHES * _BATCH):
        sums = sums + (zero,)
    for segment in range(0, CHUNK, _THREADS * RUN):
        at = start + segment + lane
        x = ()
        more = ()
        for i in tl.static_range(ROWS):
            x = x + (_load(rows[i], strides[i], at, size, ELEMENT, WIDE, RAGGED),)
            more = more + (sums[len(more)] + _in_thread(x[i], RUN),)
            for j in tl.static_range(i + 1):
                more = more + (sums[len(more)] + _in_thread(x[i] * x[j], RUN),)
        for _ in tl.static_range(BATCHES * _BATCH - ENTRIES):
            more = more + (zero,)
        sums = more
    for batch in tl.static_range(BATCHES):
        total = tl.sum(_stack(sums[batch * _BATCH:batch * _BATCH + _BATCH], _BATCH).to(tl.float64), 0)
        tl.store(out + batch * _BATCH + tl.arange(0, _BATCH), total)

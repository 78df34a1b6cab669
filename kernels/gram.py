from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from weightkin.reference import Gram

from .chunks import CHUNK, CODES, ELEMENTS, add_chunks, widen

MAX_ROWS = 16
_LANES = tl.constexpr(32)
_BATCH = tl.constexpr(16)


@triton.jit
def _in_thread(x, RUN: tl.constexpr):
    """[LANES * RUN] -> [LANES] float64: a thread's RUN neighbours, added pairwise."""
    for _ in tl.static_range(RUN.bit_length() - 1):
        low, high = tl.split(tl.reshape(x, (x.shape[0] // 2, 2)))
        x = low + high
    return x.to(tl.float64)


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
def _stack(parts):
    """A tuple of 2^k [LANES] -> [LANES, 2^k]."""
    for _ in tl.static_range(len(parts).bit_length() - 1):
        joined = ()
        for k in tl.static_range(len(parts) // 2):
            joined = joined + (tl.join(parts[k], parts[k + len(parts) // 2]),)
        parts = joined
    return parts[0]


@triton.jit
def _tile(rows, strides, others, other_strides, start, size, out, SAME: tl.constexpr, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr, RUN: tl.constexpr):
    ENTRIES: tl.constexpr = len(rows) * (len(rows) + 3) // 2 if SAME else len(rows) * len(others)
    BATCHES: tl.constexpr = (ENTRIES + _BATCH - 1) // _BATCH
    zero = tl.zeros((_LANES,), tl.float64)
    sums = ()
    for _ in tl.static_range(BATCHES * _BATCH):
        sums = sums + (zero,)
    for segment in range(0, CHUNK, _LANES * RUN):
        at = start + segment + tl.arange(0, _LANES * RUN)
        x = ()
        y = ()
        more = ()
        for j in tl.static_range(0 if SAME else len(others)):
            y = y + (_load(others[j], other_strides[j], at, size, ELEMENT, WIDE, RAGGED),)
        for i in tl.static_range(len(rows)):
            x = x + (_load(rows[i], strides[i], at, size, ELEMENT, WIDE, RAGGED),)
            if SAME:
                more = more + (sums[len(more)] + _in_thread(x[i], RUN),)
                for j in tl.static_range(i + 1):
                    more = more + (sums[len(more)] + _in_thread(x[i] * x[j], RUN),)
            else:
                for j in tl.static_range(len(others)):
                    more = more + (sums[len(more)] + _in_thread(x[i] * y[j], RUN),)
        for _ in tl.static_range(BATCHES * _BATCH - ENTRIES):
            more = more + (zero,)
        sums = more
    for batch in tl.static_range(BATCHES):
        total = tl.reshape(tl.sum(_stack(sums[batch * _BATCH:batch * _BATCH + _BATCH]), 0), (_BATCH, ))
        tl.store(out + batch * _BATCH + tl.arange(0, _BATCH), total)

@triton.jit
def _gram_kernel(rows, strides, size, first, parts, ROWS: tl.constexpr, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr, RUN: tl.constexpr):
    HALF: tl.constexpr = (ROWS + 1) // 2
    if ROWS <= 8:
        chunk = first + tl.program_id(0).to(tl.int64)
        out = parts + chunk * 64
        start = chunk * CHUNK
        _tile(rows, strides, rows, strides, start, size, out, True, ELEMENT, WIDE, RAGGED, RUN)
    else:
        chunk = first + (tl.program_id(0)//3).to(tl.int64)
        tile = tl.program_id(0) % 3
        out = parts + chunk * 256
        start = chunk * CHUNK
        if tile == 0:
            _tile(rows[:HALF], strides[:HALF], rows, strides, start, size, out, True, ELEMENT, WIDE, RAGGED, RUN)
        elif tile == 1:
            _tile(rows[HALF:], strides[HALF:], rows, strides, start, size, out+64, True, ELEMENT, WIDE, RAGGED, RUN)
        else:
            _tile(rows[:HALF], strides[:HALF], rows[HALF:], strides[HALF:], start, size, out+128, False, ELEMENT, WIDE, RAGGED, RUN)

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from weightkin.reference import Gram

from .chunks import CHUNK, CODES, ELEMENTS, add_chunks, widen

MAX_ROWS = 16
_THREADS = tl.constexpr(128)


@triton.jit
def _in_thread(x, RUN: tl.constexpr):
    """[THREADS * RUN] -> [THREADS]: a thread's RUN neighbours, added pairwise."""
    for _ in tl.static_range(RUN.bit_length() - 1):
        low, high = tl.split(tl.reshape(x, (x.shape[0] // 2, 2)))
        x = low + high
    return x


@triton.jit
def _load(rows, strides, ROW: tl.constexpr, at, size, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr):
    pointer = rows[ROW] + at * strides[ROW]
    if RAGGED:
        code = tl.load(pointer, at < size, other=0)
    else:
        code = tl.load(pointer)
    x = widen(code, ELEMENT)
    if WIDE:
        x = x.to(tl.float64)
    return x


@triton.jit
def _tile(rows, strides, size, start, out, I0: tl.constexpr, I1: tl.constexpr, J0: tl.constexpr, J1: tl.constexpr,
          ROWS: tl.constexpr, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr, RUN: tl.constexpr):
    lane = tl.arange(0, _THREADS * RUN)
    zero = tl.zeros((_THREADS,), tl.float64 if WIDE else tl.float32)
    products = ()
    sums = ()
    for i in tl.static_range(I0, I1):
        sums = sums + (zero,)
        for j in tl.static_range(i if I0 == J0 else J0, J1):
            products = products + (zero,)
    for segment in range(0, CHUNK, _THREADS * RUN):
        at = start + segment + lane
        left = ()
        for i in tl.static_range(I0, I1):
            left = left + (_load(rows, strides, i, at, size, ELEMENT, WIDE, RAGGED),)
        right = ()
        if I0 == J0:
            right = left
        else:
            for j in tl.static_range(J0, J1):
                right = right + (_load(rows, strides, j, at, size, ELEMENT, WIDE, RAGGED),)
        more = ()
        moresums = ()
        for i in tl.static_range(I0, I1):
            moresums = moresums + (sums[i - I0] + _in_thread(left[i - I0], RUN),)
            for j in tl.static_range(i if I0 == J0 else J0, J1):
                more = more + (products[len(more)] + _in_thread(left[i - I0] * right[j - J0], RUN),)
        products = more
        sums = moresums
    for i in tl.static_range(I0, I1):
        if I0 == J0:
            tl.store(out + i * (ROWS + 1) + ROWS, tl.sum(sums[i - I0].to(tl.float64)))
        for j in tl.static_range(i if I0 == J0 else J0, J1):
            total = tl.sum(products[0].to(tl.float64))
            products = products[1:]
            tl.store(out + i * (ROWS + 1) + j, total)
            tl.store(out + j * (ROWS + 1) + i, total)


@triton.jit
def _gram_kernel(rows, strides, size, first, parts, ROWS: tl.constexpr, ELEMENT: tl.constexpr, WIDE: tl.constexpr, RAGGED: tl.constexpr, RUN: tl.constexpr):
    chunk = first + tl.program_id(0).to(tl.int64)
    out = parts + chunk * (ROWS * (ROWS + 1))
    start = chunk * CHUNK
    _tile(rows, strides, size, start, out, 0, ROWS, 0, ROWS, ROWS, ELEMENT, WIDE, RAGGED, RUN)

"""lagged: the statistic of the relabelling null, <x, y rotated by k> along the last axis, for many lags k.

All in float64: a tensor gives at most a few hundred thousand numbers to this op, so even R dots for each of them cost less
than reading the tensor did, and nothing has to be said about rounding. The lines of x and of y stay in the cache.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from .balance import balance
from .chunks import add_chunks

_CHUNK = tl.constexpr(2048)  # elements of x that a program holds while it goes through its lags
_LAGS = tl.constexpr(16)  # of a program


@triton.jit(do_not_specialize=["first", "second", "count", "size", "width"])
def lagged_kernel(operands, first, second, lags, count, size, width, parts):
    """Programs are (chunk of elements, group of lags).

    operands: float64 [N, size], size = lines * width; lags: int32 [count]; parts: float64 [chunks, count] of the pair
    (first, second).
    """
    chunk = tl.program_id(0)
    at = chunk * _CHUNK + tl.arange(0, _CHUNK)
    inside = at < size
    # [CHUNK]
    x = tl.load(operands + tl.cast(first, tl.int64) * size + at, inside, other=0.0)
    y = operands + tl.cast(second, tl.int64) * size
    column = at % width
    start = at - column
    for k in range(tl.program_id(1) * _LAGS, tl.minimum(tl.program_id(1) * _LAGS + _LAGS, count)):
        turned = column + tl.load(lags + k)
        turned = tl.where(turned < width, turned, turned - width)
        total = tl.sum(x * tl.load(y + start + turned, inside, other=0.0), 0)
        tl.store(parts + chunk.to(tl.int64) * count + k, total)


def lagged_pairs(operands: Sequence[torch.Tensor], lags: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """[P, len(lags)]: the statistic of every pair (0,1), (0,2), ..., (1,2), ... of tensors [lines, n], on their device.

    Of any float dtype and strides. Sums over lines of x[j] y[(j + lag) mod n], both balanced (reference.balance); zero for an
    operand with a NaN or an infinity. Each operand is balanced once. The same operands give the same bits again.
    """
    balanced = torch.stack([balance(one) for one in operands])
    number, lines, width = balanced.shape
    wanted = torch.from_numpy(lags.astype(np.int64) % max(1, width)).to(balanced.device, torch.int32)
    grid = triton.cdiv(lines * width, _CHUNK.value), triton.cdiv(len(lags), _LAGS.value)
    pairs = list(combinations(range(number), 2))
    parts = balanced.new_empty(len(pairs), grid[0], len(lags))
    for (first, second), part in zip(pairs, parts, strict=True):
        with torch.cuda.device_of(balanced):
            lagged_kernel[grid](
                balanced,
                first,
                second,
                wanted,
                len(lags),
                lines * width,
                width,
                part,
                num_warps=4,
                enable_fp_fusion=True,
            )
    return np.asarray(add_chunks(parts).cpu().numpy())


def lagged(x: torch.Tensor, y: torch.Tensor, lags: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """[len(lags)]: `lagged_pairs` of one pair."""
    return np.asarray(lagged_pairs([x, y], lags)[0])

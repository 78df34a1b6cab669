"""The ops: one function per op over operands (mapped views or arrays), run by the native kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _core, reference
from .checkpoint.mapping import NUMPY_DTYPES
from .similarity import magnitude_values, weighted_quantile

TILE = 4 * _core.CHUNK
"""Elements of each operand in flight: small enough that what one op reads, the next finds in cache."""

MAX_MODELS = _core.MAX_ROWS
QUANTILE = 0.99
_DTYPE_NAMES = {dtype: name for name, dtype in NUMPY_DTYPES.items() if name not in {"BOOL"}}


class Operand(NamedTuple):
    """A strided tensor in a buffer: byte `offset` of element 0, safetensors dtype, shape, strides in bytes.

    `rows`, if given, names the entries of `gather_axis` to take, in order (and the axis' extent is their number). `gain`,
    if given, multiplies each entry along `gain_axis`, counted after the gather; the elements are then float32 at least.
    """

    buffer: _core.Readable
    offset: int
    dtype: str
    shape: Sequence[int]
    strides: Sequence[int]
    rows: npt.NDArray[np.int64] | None = None
    gain: npt.NDArray[np.float32] | None = None
    gain_axis: int = 0
    gather_axis: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one pass over the same B blocks of N operands found; P = N (N-1) / 2 pairs: (0,1), (0,2), ..., (1,2), ...

    Integer operands have `unequal` only; the rest is zero.
    """

    gram: npt.NDArray[np.float64]
    """[B, N, N]: inner products."""
    sum: npt.NDArray[np.float64]
    """[B, N]"""
    sum_abs: npt.NDArray[np.float64]
    """[B, P]: of |x - y|."""
    sum_square: npt.NDArray[np.float64]
    """[B, P]: of (x - y)^2."""
    max_abs: npt.NDArray[np.float64]
    """[B, P]"""
    unequal: npt.NDArray[np.int64]
    """[B, P]: elements whose bits differ."""
    nans: npt.NDArray[np.int64]
    """[B, N]"""
    infinities: npt.NDArray[np.int64]
    """[B, N]"""
    quantile: npt.NDArray[np.float64]
    """[B, N]: the 99th percentile of |x|."""
    histogram: npt.NDArray[np.int64]
    """[N, 32768]: magnitudes by code, over all blocks: of BF16 and F16 exact, of F32 and F64 by the upper 16 bits. Unless
    asked for whole, magnitudes under the upper tenth may be counted in bin 0: upper quantiles need no more."""
    tensor_quantile: npt.NDArray[np.float64]
    """[N]: the 99th percentile of |x| over all blocks; 0 until the engine sets it."""
    lagged: npt.NDArray[np.float64]
    """[P, 1 + R]: the statistic of the relabelling null at lag 0 and at R lags; [P, 0] where there is no null."""
    opposite: npt.NDArray[np.float64]
    """[P, R]: at the opposite of each lag, as if the first of the pair had turned; [P, 0] in a run of two models."""


def operand(array: npt.NDArray[np.generic]) -> Operand:
    """A contiguous numpy array as an operand; others go by way of a buffer and its strides."""
    flat = np.ascontiguousarray(array)
    return Operand(flat.view(np.uint8).reshape(-1), 0, _DTYPE_NAMES[array.dtype], flat.shape, flat.strides)


def sweep(
    operands: Sequence[Operand],
    bounds: Sequence[int] | npt.NDArray[np.int64],
    *,
    tile: int = TILE,
    gram: bool = True,
    difference: bool = True,
    whole_histogram: bool = False,
) -> Sweep:
    """gram and difference of 1 to 16 operands of one size, block by block, reading every byte from memory once.

    Block b is elements [bounds[b], bounds[b+1]) in logical row-major order. The results do not depend on `tile` (a
    multiple of 4096), nor on how the blocks are spread over calls and threads. Releases the GIL.
    """
    pairs = len(operands) * (len(operands) - 1) // 2
    found = _core.sweep(operands, bounds, tile, gram, difference, whole_histogram)
    return Sweep(
        **found, tensor_quantile=np.zeros(len(operands)), lagged=np.empty((pairs, 0)), opposite=np.empty((pairs, 0))
    )


def lagged(
    operands: Sequence[Operand], axis: int, lines: npt.NDArray[np.int64], lags: npt.NDArray[np.uint32]
) -> npt.NDArray[np.float64]:
    """[P, len(lags)]: sum over lines of <x, y rotated by lag>, for every pair of operands of one shape.

    A line runs along `axis`; `lines` numbers them over the other axes in row-major order. Lines and channels are balanced
    first (reference.balance), so that no few of them decide. Zero for an operand with a NaN or an infinity. Many lags are
    computed together from spectra, few one by one (csrc/cpu/spectrum.h); either way within 1e-6 of the largest that the
    statistic can be. Releases the GIL.
    """
    return _core.lagged(operands, axis, lines, lags)


def concatenate(parts: Sequence[Sweep]) -> Sweep:
    """One `Sweep` of consecutive runs of blocks of the same operands."""
    if len(parts) == 1:
        return parts[0]
    joined = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Sweep)}
    for once in ("lagged", "opposite", "tensor_quantile"):  # of a whole unit
        joined.pop(once)
    histogram = sum(joined.pop("histogram"))
    whole = {name: np.concatenate(arrays) for name, arrays in joined.items()}
    return replace(parts[0], **whole, histogram=histogram)


def tensor_quantiles(found: Sweep, dtype: str) -> npt.NDArray[np.float64] | None:
    """[N] from the histogram of all blocks; None if one lies among the magnitudes that were counted together.

    `dtype`: that in which the operands met.
    """
    if len(found.quantile) == 1:
        return np.asarray(found.quantile[0])
    totals = found.histogram.sum(axis=1)
    if np.any(found.histogram[:, 0] > np.floor(QUANTILE * (totals - 1))):
        return None
    values = magnitude_values(dtype)
    return np.array([weighted_quantile(values, counts, QUANTILE) for counts in found.histogram])


def gram(arrays: Sequence[npt.NDArray[np.generic]]) -> reference.Gram:
    """Inner products and sums of arrays of one size, read as flat rows."""
    operands = [operand(array) for array in arrays]
    found = sweep(operands, [0, arrays[0].size], difference=False)
    return reference.Gram(found.gram[0], found.sum[0])


def difference(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> reference.Difference:
    """Element-wise difference of two arrays of one size."""
    found = sweep([operand(x), operand(y)], [0, x.size], gram=False)
    return reference.Difference(
        float(found.sum_abs[0, 0]), float(found.sum_square[0, 0]), float(found.max_abs[0, 0]), int(found.unequal[0, 0])
    )


def cross_gram(left: Sequence[Operand], right: Sequence[Operand], threads: int = 1) -> reference.CrossGram:
    """Inner products of every row of `left` with every row of `right`, for tens to thousands of rows.

    An operand of shape [k, ...] is k rows, each flattened in logical order; all rows have one size. Sums are within 1e-6
    of sum |x y|. The same list on both sides costs half. The result does not depend on `threads`. Releases the GIL.
    """
    return reference.CrossGram(*_core.cross_gram(left, right, left is right, threads))


def assign(scores: npt.NDArray[np.float32] | npt.NDArray[np.float64], threads: int = 1) -> npt.NDArray[np.int64]:
    """[B] or [K, B]: the row that each column gets, -1 for none, so that the sum of scores is largest.

    `scores`: [A, B], or K such problems at once, which the threads share; float32 or float64, of any strides. min(A, B)
    columns get a row. The optimum is that of float64 arithmetic, and which of several is taken does not depend on the
    number of threads. Raises ValueError if a score is not finite. Releases the GIL.
    """
    return _core.assign(scores, threads)

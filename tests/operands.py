"""Rows of numbers for the kernels, laid out in every way a file may lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import ml_dtypes
import numpy as np
import numpy.typing as npt

from weightkin.checkpoint.mapping import NUMPY_DTYPES
from weightkin.ops import Operand
from weightkin.view import FLOAT_DTYPES

Row = np.ndarray[Any, np.dtype[Any]]

FLOATS = sorted(FLOAT_DTYPES)
SIZES = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 4095, 4096, 4097, 12293]
"""Around the vector widths, the segments of a sum and the chunks of a row; the last is 3 chunks and a bit."""

Layout = Literal[
    "contiguous", "interleaved", "rows", "transposed", "permuted",
    "gathered", "gathered rows", "gathered columns", "gathered middle",
]  # fmt: skip
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def bits(row: Row) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The codes of a row's elements."""
    return row.view(f"u{row.dtype.itemsize}")


def normal(seed: int, size: int, dtype: str) -> Row:
    """Numbers of a standard normal distribution."""
    return np.random.default_rng(seed).standard_normal(size).astype(NUMPY_DTYPES[dtype])


def place(row: Row, dtype: str, layout: Layout = "contiguous", offset: int = 0) -> Operand:
    """A flat row as an operand that starts at byte `offset`: its elements in logical order, NaN codes in the gaps."""
    item, size = row.dtype.itemsize, row.size
    rows = next((r for r in range(2, 20) if size % r == 0), 1)
    columns = size // rows
    inner = next((r for r in range(2, 20) if columns % r == 0), 1)
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    match layout:
        case "gathered":
            return scatter(row, dtype, 0, [0], offset)
        case "gathered rows":
            return scatter(row.reshape(rows, columns), dtype, 0, [0, 1], offset)
        case "gathered columns":  # the neurons of a down projection in the order of another model's
            return scatter(row.reshape(rows, columns), dtype, 1, [0, 1], offset)
        case "gathered middle":
            return scatter(row.reshape(inner, rows, columns // inner), dtype, 1, [1, 0, 2], offset)
        case "contiguous":
            shape, strides = (size,), (item,)
        case "interleaved":  # every second element, as in packed gate and up
            shape, strides = (size,), (2 * item,)
        case "rows":  # columns cut out of wider rows, as in fused q, k, v
            shape, strides = (rows, columns), ((columns + 3) * item, item)
        case "transposed":
            shape, strides = (rows, columns), (item, rows * item)
        case "permuted":  # three axes, none of them the inner one in memory
            shape = (inner, rows, columns // inner)
            strides = (2 * item, (2 * inner + 1) * item, rows * (2 * inner + 1) * item)
    extent = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + item
    buffer: Any = np.full(offset + extent, 0xFF, np.uint8)
    np.ndarray(shape, f"u{item}", buffer, offset, strides)[...] = bits(row).reshape(shape)
    return Operand(buffer, offset, dtype, shape, strides)


def scatter(values: Row, dtype: str, axis: int, order: Sequence[int], offset: int = 0) -> Operand:
    """`values` stored from byte `offset` with its axes in `order` of memory, its entries of `axis` out of order and with
    three others, of NaN codes, between them; as an operand that gathers them."""
    item, extents = values.dtype.itemsize, list(values.shape)
    extents[axis] += 3
    strides, step = [0] * values.ndim, item
    for each in reversed(order):
        strides[each], step = step, step * extents[each]
    buffer: Any = np.full(offset + step, 0xFF, np.uint8)
    stored: Row = np.ndarray(extents, f"u{item}", buffer, offset, strides)
    chosen = np.random.default_rng(values.size).choice(extents[axis], values.shape[axis], replace=False)
    np.moveaxis(stored, axis, 0)[chosen] = np.moveaxis(bits(values), axis, 0)
    return Operand(buffer, offset, dtype, values.shape, strides, chosen, gather_axis=axis)


def finite_range(dtype: str) -> tuple[float, float, float]:
    """Largest number, smallest subnormal number, and the gap between 1 and the next number of a dtype."""
    limits: Any = ml_dtypes.finfo(NUMPY_DTYPES[dtype])  # type: ignore[no-untyped-call]
    return float(limits.max), float(limits.smallest_subnormal), float(limits.eps)

"""cross_gram: inner products of many rows with many others on tensor cores, with each row's sum and squared norm.

Products of bf16 or f16 are exact; what costs precision is how tensor cores add. They align a group of products and the
accumulator to the largest of them, cut what lies below it, and cut the sum to float32 (Fasi et al. 2021,
https://doi.org/10.7717/peerj-cs.330; Khattak & Mikaitis 2025, https://arxiv.org/abs/2512.07004): on Hopper 16 products and 2
bits beyond float32's, on Ampere 8 and 1. So a group loses up to 17 * 2^-25 + 2^-23 = 6.3e-7 (9 * 2^-24 + 2^-23 = 6.6e-7) of
the largest addend, and, as what is cut is spread evenly, half of that on average. An accumulator is therefore used for 4
groups only, a panel of 64 elements (32): of numbers of one sign, whose accumulator grows to their sum S, that loses
(1/4 + 2/4 + 3/4 + 1) * 3.3e-7 = 8e-7 of S; of mixed signs far less. Only numbers made for it could lose twice as much.

Panels are added to a pair of float32 numbers, which keeps what rounding takes from the larger one (Dekker 1971; 2^-24 of the
panels' sum of magnitudes where a panel exceeds what was there). It costs four additions per element; float64 conversions, of
which an SM does 16 a cycle, would cost more than the products. Sums and squared norms go from float32 panels to float64.

float32 rows, and rows that leave float32's range when squared, are multiplied in float64, exact enough for anything.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from .chunks import DTYPES, add_chunks, multiprocessors, widen

_UNITS = 512
"""Pieces of work to aim at: few tiles are split along the depth. A number for all devices, so that all add alike."""
_SHORTEST = 32
"""Panels of a split."""
_PANEL = {8: 32}  # by compute capability, of tensor cores; later ones: 64


class CrossGram(NamedTuple):
    """reference.CrossGram as float64 tensors on a device."""

    product: torch.Tensor
    """[M, N]"""
    sum_left: torch.Tensor
    """[M]"""
    sum_right: torch.Tensor
    """[N]"""
    square_left: torch.Tensor
    """[M]"""
    square_right: torch.Tensor
    """[N]"""


@triton.jit
def _values(tile, ELEMENT: tl.constexpr, WIDE: tl.constexpr):
    """A tile's elements as numbers to add up: float32, or float64 if WIDE."""
    value = tile
    if tl.bfloat16 == ELEMENT:
        value = widen(tile.to(tl.int16, bitcast=True), ELEMENT)
    if WIDE:
        value = value.to(tl.float64)
    else:
        value = value.to(tl.float32)
    return value


@triton.jit
def _multiply(
    left, left_row, left_step, right, right_row, right_step, row, column, rows, columns, first, size,
    product, sides, ELEMENT: tl.constexpr, WIDE: tl.constexpr, SUMS: tl.constexpr, UPCAST: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """One tile over `size` elements from `first` on.

    product: float64 [rows, columns]; sides: float64 [2, rows + columns], sums and squared norms, written if SUMS.
    """
    SUM: tl.constexpr = tl.float64 if WIDE else tl.float32
    row += tl.arange(0, ROWS)
    column += tl.arange(0, COLUMNS)
    depth = tl.arange(0, PANEL)
    # Rows beyond the last are the last once more, and are not stored.
    x_at = left + tl.minimum(row, rows - 1).to(tl.int64)[:, None] * left_row + (first + depth)[None, :] * left_step
    y_at = (
        right
        + tl.minimum(column, columns - 1).to(tl.int64)[None, :] * right_row
        + (first + depth)[:, None] * right_step
    )
    high = tl.zeros((ROWS, COLUMNS), SUM)
    low = tl.zeros((ROWS, COLUMNS), SUM)
    sum_x = tl.zeros((ROWS,), tl.float64)
    square_x = tl.zeros((ROWS,), tl.float64)
    sum_y = tl.zeros((COLUMNS,), tl.float64)
    square_y = tl.zeros((COLUMNS,), tl.float64)
    for start in range(0, size, PANEL):
        inside = depth < size - start
        # [ROWS, PANEL], [PANEL, COLUMNS]
        x = tl.load(x_at, inside[None, :], other=0.0)
        y = tl.load(y_at, inside[:, None], other=0.0)
        x_at += PANEL * left_step
        y_at += PANEL * right_step
        if WIDE:
            high = tl.dot(_values(x, ELEMENT, True), _values(y, ELEMENT, True), high, out_dtype=SUM)
        else:
            if UPCAST:
                panel = tl.dot(_values(x, ELEMENT, False), _values(y, ELEMENT, False))
            else:
                panel = tl.dot(x, y)
            total = high + panel
            low += panel - (total - high)
            high = total
        if SUMS:
            x_value = _values(x, ELEMENT, WIDE)
            sum_x += tl.sum(x_value, 1).to(tl.float64)
            square_x += tl.sum(x_value * x_value, 1).to(tl.float64)
            y_value = _values(y, ELEMENT, WIDE)
            sum_y += tl.sum(y_value, 0).to(tl.float64)
            square_y += tl.sum(y_value * y_value, 0).to(tl.float64)
    stored = (row < rows)[:, None] & (column < columns)[None, :]
    total = high.to(tl.float64) + low.to(tl.float64)
    tl.store(product + row.to(tl.int64)[:, None] * columns + column[None, :], total, stored)
    if SUMS:
        width = rows + columns
        tl.store(sides + row, sum_x, row < rows)
        tl.store(sides + width + row, square_x, row < rows)
        tl.store(sides + rows + column, sum_y, column < columns)
        tl.store(sides + width + rows + column, square_y, column < columns)


@triton.jit(do_not_specialize=["rows", "columns", "count", "splits"])
def cross_gram_kernel(
    left, left_row, left_step, right, right_row, right_step, rows, columns, depth, tiles, count, splits, panels, parts,
    ELEMENT: tl.constexpr, WIDE: tl.constexpr, UPCAST: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """A program takes every so many of the `count * splits` pieces of work: tiles, and `panels` of the depth for each.

    tiles: int32 [count, 3]: row and column of tiles, and whether the sums of its rows and columns are asked of it.
    parts: float64 [splits, rows * columns + 2 * (rows + columns)].
    """
    for piece in range(tl.program_id(0), count * splits, tl.num_programs(0)):
        tile = tiles + piece % count * 3  # programs that run at a time read the same part of the depth
        split = (piece // count).to(tl.int64)
        row = tl.load(tile) * ROWS
        column = tl.load(tile + 1) * COLUMNS
        first = split * panels * PANEL
        size = tl.minimum(depth - first, panels * PANEL).to(tl.int32)
        area = tl.cast(rows, tl.int64) * columns
        product = parts + split * (area + 2 * (rows + columns))
        if tl.load(tile + 2) != 0:
            _multiply(
                left, left_row, left_step, right, right_row, right_step, row, column, rows, columns, first, size,
                product, product + area, ELEMENT, WIDE, True, UPCAST, ROWS, COLUMNS, PANEL,
            )  # fmt: skip
        else:
            _multiply(
                left, left_row, left_step, right, right_row, right_step, row, column, rows, columns, first, size,
                product, product + area, ELEMENT, WIDE, False, UPCAST, ROWS, COLUMNS, PANEL,
            )  # fmt: skip


def options(rows: int, columns: int, *, wide: bool) -> dict[str, Any]:
    """How the kernel is compiled: tiles, and what keeps them fed, without spilled registers."""
    if wide:
        return {"ROWS": 64, "COLUMNS": 64, "PANEL": 16, "num_warps": 4, "num_stages": 2}
    interpreted = triton.knobs.runtime.interpret
    capability = 9 if interpreted else triton.runtime.driver.active.get_current_target().arch // 10
    small = min(rows, columns) <= 64
    return {
        "ROWS": 64 if rows <= 64 else 128, "COLUMNS": 64 if columns <= 64 else 128, "PANEL": _PANEL.get(capability, 64),
        "num_warps": 4 if small else 8, "num_stages": 4,
    }  # fmt: skip


def _tiles(rows: int, columns: int, *, symmetric: bool) -> npt.NDArray[np.int32]:
    """[count, 3] of a grid of tiles: those that add up the sides first, so that each row and column of tiles has one."""
    most = max(rows, columns)
    summing = {(min(i, rows - 1), min(i, columns - 1)) for i in range(most)}
    others = ((i, j) for i in range(rows) for j in range(i if symmetric else 0, columns) if (i, j) not in summing)
    return np.array([(*at, 1) for at in sorted(summing)] + [(*at, 0) for at in others], np.int32)


def _products(left: torch.Tensor, right: torch.Tensor, *, wide: bool) -> CrossGram:
    (rows, depth), columns = left.shape, len(right)
    chosen = options(rows, columns, wide=wide)
    down, across = triton.cdiv(rows, chosen["ROWS"]), triton.cdiv(columns, chosen["COLUMNS"])
    tiles = _tiles(down, across, symmetric=left is right)
    panels = triton.cdiv(depth, chosen["PANEL"])
    each = max(_SHORTEST, triton.cdiv(panels, max(1, _UNITS // len(tiles))))
    splits = triton.cdiv(panels, each)
    parts = left.new_empty(1, splits, rows * columns + 2 * (rows + columns), dtype=torch.float64)
    grid = (min(len(tiles) * splits, multiprocessors(left.device)),)
    with torch.cuda.device_of(left):
        cross_gram_kernel[grid](
            left, *left.stride(), right, *right.stride(), rows, columns, depth,
            torch.from_numpy(tiles).to(left.device), len(tiles), splits, each, parts,
            ELEMENT=DTYPES[left.dtype][1], WIDE=wide, UPCAST=triton.knobs.runtime.interpret, **chosen,
        )  # fmt: skip
    product, sides = add_chunks(parts)[0].split([rows * columns, 2 * (rows + columns)])
    total, square = sides.view(2, -1)
    product = product.view(rows, columns)
    if left is right:
        product = product.triu() + product.triu(1).T
    return CrossGram(product, total[:rows], total[rows:], square[:rows], square[rows:])


def _out_of_range(rows: torch.Tensor, square: torch.Tensor) -> bool:
    """Whether products of these rows leave float32's range: infinite, or so small that they lost bits. NaN is not asked."""
    small = rows[square < rows.shape[1] * 1e-36]  # zeros, most of the time
    return bool(square.isinf().any() or (small != 0).any())


def cross_gram(left: torch.Tensor, right: torch.Tensor) -> CrossGram:
    """Inner products of the rows of `left` [M, n] with those of `right` [N, n], on their device; half if they are one object.

    bfloat16, float16 or float32, of any strides. Sums are within 1e-6 of sum |x y| (see above); the same tensors give the
    same bits again. Raises ValueError for rows that differ in size, dtype or device, and for other dtypes.
    """
    if (left.shape[1], left.dtype, left.device) != (right.shape[1], right.dtype, right.device):
        raise ValueError(
            f"rows differ in size, dtype or device: {left.shape} {left.dtype}, {right.shape} {right.dtype}"
        )
    if left.dtype not in DTYPES:
        raise ValueError(f"unsupported dtype {left.dtype}")
    if left.dtype == torch.float32:
        return _products(left, right, wide=True)
    found = _products(left, right, wide=False)
    if _out_of_range(left, found.square_left) or _out_of_range(right, found.square_right):
        return _products(left, right, wide=True)
    return found

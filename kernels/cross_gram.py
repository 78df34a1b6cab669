"""cross_gram: inner products of many rows with many others on tensor cores, with each row's sum and squared norm.

Products of bf16 or f16 are exact; what costs precision is how tensor cores add. They align a group of products and the
accumulator to the largest of them, cut what lies below it, and cut the sum to float32 (Fasi et al. 2021,
https://doi.org/10.7717/peerj-cs.330; Khattak & Mikaitis 2025, https://arxiv.org/abs/2512.07004): on Hopper 16 products and 2
bits beyond float32's, on Ampere 8 and 1. So a group loses up to 17 * 2^-25 + 2^-23 = 6.3e-7 (9 * 2^-24 + 2^-23 = 6.6e-7) of
the largest addend, and, as what is cut is spread evenly, half of that on average. An accumulator is therefore used for 4
groups only, a panel of 64 elements (32): of numbers of one sign, whose accumulator grows to their sum S, that loses
(1/4 + 2/4 + 3/4 + 1) * 3.3e-7 = 8e-7 of S; of mixed signs far less. Only numbers made for it could lose twice as much.

Over 2048 elements panels are added in float32, which rounds to nearest: errors of both signs, 1.2e-7 in the root mean
square. Such a piece of the depth is a program's work; all pieces are added in float64 in a fixed order. float32 rows, and
rows that leave float32's range when squared, are multiplied in float64.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from .chunks import DTYPES, add_chunks, multiprocessors, values

_PIECE = 2048
"""Elements of the depth that a program adds up. A number for all devices, so that all add alike."""
_PANEL = {8: 32}  # by compute capability, of tensor cores; later ones: 64
_MOST_PARTS = 1 << 28  # sums of pieces that are kept until they are added


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
def _multiply(
    left, left_row, left_step, right, right_row, right_step, row, column, rows, columns, first, size, product,
    ELEMENT: tl.constexpr, WIDE: tl.constexpr, UPCAST: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """One tile over `size` elements from `first` on. product: [rows, columns]."""
    row += tl.arange(0, ROWS)
    column += tl.arange(0, COLUMNS)
    depth = tl.arange(0, PANEL)
    x_at = left + row.to(tl.int64)[:, None] * left_row + (first + depth)[None, :] * left_step
    y_at = right + column.to(tl.int64)[None, :] * right_row + (first + depth)[:, None] * right_step
    total = tl.zeros((ROWS, COLUMNS), tl.float64 if WIDE else tl.float32)
    for start in range(0, size, PANEL):
        inside = depth < size - start
        # [ROWS, PANEL], [PANEL, COLUMNS]
        x = tl.load(x_at, (row < rows)[:, None] & inside[None, :], other=0.0)
        y = tl.load(y_at, (column < columns)[None, :] & inside[:, None], other=0.0)
        x_at += PANEL * left_step
        y_at += PANEL * right_step
        if WIDE:
            total = tl.dot(values(x, ELEMENT, True), values(y, ELEMENT, True), total, out_dtype=tl.float64)
        elif UPCAST:
            total += tl.dot(values(x, ELEMENT, False), values(y, ELEMENT, False))
        else:
            # The limit is what keeps Triton from adding in the accumulator of the tensor cores all along.
            total += tl.dot(x, y, max_num_imprecise_acc=PANEL)
    out = product + row.to(tl.int64)[:, None] * columns + column[None, :]
    tl.store(out, total, (row < rows)[:, None] & (column < columns)[None, :])


@triton.jit
def _add_rows(
    side, side_row, side_step, row, rows, first, size, sums, squares,
    ELEMENT: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """Sums and squared norms of some rows over `size` elements from `first` on."""
    row += tl.arange(0, ROWS)
    depth = tl.arange(0, PANEL)
    at = side + row.to(tl.int64)[:, None] * side_row + (first + depth)[None, :] * side_step
    total = tl.zeros((ROWS,), tl.float64)
    square = tl.zeros((ROWS,), tl.float64)
    for start in range(0, size, PANEL):
        # [ROWS, PANEL]
        inside = (row < rows)[:, None] & (depth < size - start)[None, :]
        value = values(tl.load(at, inside, other=0.0), ELEMENT, WIDE)
        at += PANEL * side_step
        total += tl.sum(value, 1).to(tl.float64)
        square += tl.sum(value * value, 1).to(tl.float64)
    tl.store(sums + row, total, row < rows)
    tl.store(squares + row, square, row < rows)


@triton.jit(do_not_specialize=["count", "pieces", "from_piece"])
def cross_gram_kernel(
    left, left_row, left_step, right, right_row, right_step, rows, columns, depth, tiles, count, from_piece, pieces,
    products, sides, ELEMENT: tl.constexpr, WIDE: tl.constexpr, UPCAST: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PANEL: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """A program takes every so many of `count * pieces` tasks: tiles, each for `pieces` of the depth.

    tiles: int32 [count, 2], their rows and columns; -1 where the sums of the other's rows are asked for. Programs that run at
    a time work on the same piece of the depth, which one of them reads from memory and the rest from the cache.
    products: [pieces, rows, columns], float64 if WIDE, else float32; sides: float64 [pieces, 2, rows + columns], sums and
    squared norms, those of left first; of right none if it is left.
    """
    for task in range(tl.program_id(0), count * pieces, tl.num_programs(0)):
        piece = (task // count).to(tl.int64)
        tile = tiles + task % count * 2
        row = tl.load(tile)
        column = tl.load(tile + 1)
        first = (from_piece + piece) * PIECE
        size = tl.minimum(depth - first, PIECE).to(tl.int32)
        sums = sides + piece * 2 * (rows + columns)
        squares = sums + rows + columns
        if column < 0:
            _add_rows(
                left, left_row, left_step, row * ROWS, rows, first, size, sums, squares, ELEMENT, WIDE, ROWS, PANEL
            )
        elif row < 0:
            _add_rows(
                right, right_row, right_step, column * COLUMNS, columns, first, size, sums + rows, squares + rows,
                ELEMENT, WIDE, COLUMNS, PANEL,
            )  # fmt: skip
        else:
            _multiply(
                left, left_row, left_step, right, right_row, right_step, row * ROWS, column * COLUMNS, rows, columns,
                first, size, products + piece * rows * columns, ELEMENT, WIDE, UPCAST, ROWS, COLUMNS, PANEL,
            )  # fmt: skip


def options(left: torch.Tensor, right: torch.Tensor, *, wide: bool) -> dict[str, Any]:
    """How the kernel is compiled: tiles, and what keeps them fed, without spilled registers."""
    if wide:
        return {"ROWS": 64, "COLUMNS": 64, "PANEL": 32, "num_warps": 8, "num_stages": 2}
    if not (_in_vectors(left) and _in_vectors(right)):
        return {"ROWS": 64, "COLUMNS": 64, "PANEL": 32, "num_warps": 4, "num_stages": 2}
    interpreted = triton.knobs.runtime.interpret
    capability = 9 if interpreted else triton.runtime.driver.active.get_current_target().arch // 10
    rows, columns = (64 if len(side) <= 64 else 128 for side in (left, right))
    return {
        "ROWS": rows, "COLUMNS": columns, "PANEL": _PANEL.get(capability, 64),
        "num_warps": 8 if rows + columns == 256 else 4, "num_stages": 4,
    }  # fmt: skip


def _in_vectors(side: torch.Tensor) -> bool:
    """Whether 16 bytes can be loaded at a time, along rows or along columns."""
    near, far = (0, 1) if side.stride(0) == 1 else (1, 0)
    return side.stride(near) == 1 and all(n % 16 == 0 for n in (side.stride(far), side.shape[near], side.data_ptr()))


@cache
def _tiles(rows: int, columns: int, symmetric: bool, device: torch.device) -> torch.Tensor:
    """int32 [count, 2] of a grid of tiles, after those that add up rows."""
    sides = [(i, -1) for i in range(rows)] + [(-1, j) for j in range(0 if symmetric else columns)]
    tiles = sides + [(i, j) for i in range(rows) for j in range(i if symmetric else 0, columns)]
    return torch.tensor(tiles, dtype=torch.int32, device=device)


def _programs(tasks: int, tiles: int, most: int) -> int:
    """At most one for each task, and so many that each comes by all tiles in turn, which are not equally much work."""
    if tasks <= most:
        return tasks
    return next(programs for programs in range(most, 0, -1) if math.gcd(programs, tiles) == 1)


def _products(left: torch.Tensor, right: torch.Tensor, *, wide: bool) -> CrossGram:
    (rows, depth), columns, symmetric = left.shape, len(right), left is right
    chosen = options(left, right, wide=wide)
    down, across = triton.cdiv(rows, chosen["ROWS"]), triton.cdiv(columns, chosen["COLUMNS"])
    tiles = _tiles(down, across, symmetric, left.device)

    def add(first: int, pieces: int) -> tuple[torch.Tensor, torch.Tensor]:
        products = left.new_empty(1, pieces, rows * columns, dtype=torch.float64 if wide else torch.float32)
        sides = left.new_empty(1, pieces, 2 * (rows + columns), dtype=torch.float64)
        programs = _programs(len(tiles) * pieces, len(tiles), multiprocessors(left.device) * 8 // chosen["num_warps"])
        with torch.cuda.device_of(left):
            cross_gram_kernel[(programs,)](
                left, *left.stride(), right, *right.stride(), rows, columns, depth, tiles, len(tiles), first, pieces,
                products, sides, ELEMENT=DTYPES[left.dtype][1], WIDE=wide, UPCAST=triton.knobs.runtime.interpret,
                PIECE=_PIECE, enable_fp_fusion=True, **chosen,
            )  # fmt: skip
        group = min(256, triton.next_power_of_2(pieces))
        return add_chunks(products, group)[0], add_chunks(sides, group)[0]

    every, most = max(1, triton.cdiv(depth, _PIECE)), max(1, _MOST_PARTS // max(1, rows * columns))
    product, side = add(0, min(most, every))
    for first in range(most, every, most):
        more = add(first, min(most, every - first))
        product, side = product + more[0], side + more[1]
    total, square = side.view(2, -1)
    product = product.view(rows, columns)
    if symmetric:
        return CrossGram(product.triu() + product.triu(1).T, total[:rows], total[:rows], square[:rows], square[:rows])
    return CrossGram(product, total[:rows], total[rows:], square[:rows], square[rows:])


def _out_of_range(left: torch.Tensor, right: torch.Tensor, found: CrossGram) -> bool:
    """Whether products leave float32's range: infinite, or so small that they lost bits. NaN is not asked."""
    doubtful = [square.isinf() | (square < left.shape[1] * 1e-36) for square in (found.square_left, found.square_right)]
    if not torch.cat(doubtful).any():  # the one time that the host waits, most of the time
        return False
    return any(bool((side[rows] != 0).any()) for side, rows in zip((left, right), doubtful, strict=True))  # not zeros


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
    if _out_of_range(left, right, found):
        return _products(left, right, wide=True)
    return found

"""One pass over many operands: the same bits however it is cut, mixed dtypes, integers, and refused arguments."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from operands import FLOATS, Layout, Row, bits, normal, place, scatter
from weightkin import _core, ops, reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES
from weightkin.ops import Operand, Sweep

SIZE = 3 * 16384 + 4096 + 77
BOUNDS = [0, 5, 4101, 4101, 24576, 41000, SIZE]


def assert_same_bits(one: Sweep, other: Sweep) -> None:
    for field in fields(Sweep):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.shape == b.shape and a.tobytes() == b.tobytes(), field.name


@pytest.fixture(params=["BF16", "F16", "F32", "F8_E4M3"])
def operands(request: pytest.FixtureRequest) -> list[Operand]:
    """Five operands in five layouts; the second has a mean, so that its blocks are summed in float64."""
    dtype: str = request.param
    layouts: list[Layout] = ["contiguous", "transposed", "interleaved", "gathered", "gathered columns"]
    rows = [normal(i, SIZE, dtype) for i in range(5)]
    rows[1][24576:41000] += np.array(2, NUMPY_DTYPES[dtype])
    return [place(row, dtype, layout, offset=1) for row, layout in zip(rows, layouts, strict=True)]


@pytest.mark.usefixtures("instruction_set")
def test_same_bits_for_any_tile(operands: list[Operand]) -> None:
    first = ops.sweep(operands, BOUNDS, tile=4096)
    for tile in (8192, 16384, 65536):
        assert_same_bits(first, ops.sweep(operands, BOUNDS, tile=tile))


@pytest.mark.usefixtures("instruction_set")
def test_same_bits_for_any_split_and_threads(operands: list[Operand]) -> None:
    whole = ops.sweep(operands, BOUNDS)
    for cuts in ([0, 3, 6], [0, 1, 2, 3, 4, 5, 6]):
        parts = [BOUNDS[a : b + 1] for a, b in pairwise(cuts)]
        for threads in (1, 2, 3):
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(lambda bounds: ops.sweep(operands, bounds), parts))
            assert_same_bits(whole, ops.concatenate(found))


def test_gram_and_difference_apart(operands: list[Operand]) -> None:
    both = ops.sweep(operands, BOUNDS)
    gram, gap = (ops.sweep(operands, BOUNDS, gram=g, difference=not g) for g in (True, False))
    for name in ("gram", "sum"):
        np.testing.assert_array_equal(getattr(gram, name), getattr(both, name))
        assert not getattr(gap, name).any()
    for name in ("sum_abs", "sum_square", "max_abs", "unequal", "quantile", "histogram"):
        np.testing.assert_array_equal(getattr(gap, name), getattr(both, name))
        assert not getattr(gram, name).any()


def test_blocks_are_apart() -> None:
    rows = [normal(i, SIZE, "BF16") for i in range(3)]
    found = ops.sweep([place(row, "BF16") for row in rows], BOUNDS)
    for block, (begin, end) in enumerate(pairwise(BOUNDS)):
        parts = [row[begin:end].copy() for row in rows]
        alone = ops.sweep([place(part, "BF16") for part in parts], [0, end - begin]) if end > begin else None
        for name in ("gram", "sum", "sum_abs", "unequal", "quantile"):
            block_of = getattr(found, name)[block]
            np.testing.assert_array_equal(block_of, getattr(alone, name)[0] if alone else np.zeros_like(block_of))


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize(
    "dtypes", [*combinations(FLOATS, 2), ("BF16", "F8_E5M2", "F16", "F64"), ("F8_E4M3", "F16", "F32")]
)
def test_mixed_dtypes(dtypes: tuple[str, ...]) -> None:
    """Each is widened without loss, so the contract holds as for one dtype."""
    layouts: list[Layout] = ["gathered columns", "permuted", "gathered middle", "rows"]
    rows = [normal(i, 4200, dtype) for i, dtype in enumerate(dtypes)]
    rows[1][:100] = rows[0][:100].astype(rows[1].dtype)
    placed = [place(row, dtype, layout, 1) for row, dtype, layout in zip(rows, dtypes, layouts, strict=False)]
    found = ops.sweep(placed, [0, 4200])
    wide = np.stack([row.astype(np.float64) for row in rows])
    expected, bound = reference.gram(wide), reference.gram(np.abs(wide))
    assert (np.abs(found.gram[0] - expected.gram) <= 4.8e-7 * bound.gram).all()
    assert (np.abs(found.sum[0] - expected.sum) <= 4.8e-7 * bound.sum).all()
    for pair, (i, j) in enumerate(combinations(range(len(rows)), 2)):
        gap = reference.difference(wide[i], wide[j])
        assert found.unequal[0, pair] == gap.unequal
        np.testing.assert_allclose(found.sum_abs[0, pair], gap.sum_abs, rtol=2.0**-22)
        np.testing.assert_allclose(found.max_abs[0, pair], gap.max_abs, rtol=2.0**-22)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_f8_values(dtype: str) -> None:
    """All 256 codes against ml_dtypes: one block for each, and the sum of a block is its value."""
    codes = np.arange(256, dtype=np.uint8)
    values = codes.view(NUMPY_DTYPES[dtype]).astype(np.float64)
    for wide in (codes.view(NUMPY_DTYPES[dtype]), np.ones(256, np.float32), np.ones(256)):
        found = ops.sweep([place(codes.view(NUMPY_DTYPES[dtype]), dtype), ops.operand(wide)], range(257))
        np.testing.assert_array_equal(found.sum[:, 0], values)
        np.testing.assert_array_equal(found.nans[:, 0], np.isnan(values))
        np.testing.assert_array_equal(found.infinities[:, 0], np.isinf(values))


@pytest.mark.parametrize("dtype", ["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"])
def test_integers_are_compared_only(dtype: str) -> None:
    random = np.random.default_rng(0)
    x: Row = random.integers(0, 2, 10000).astype(NUMPY_DTYPES[dtype])
    y = x.copy()
    bits(y)[random.choice(10000, 300, replace=False)] ^= 1 << (8 * y.dtype.itemsize - 1)
    layouts: list[Layout] = ["contiguous", "permuted", "gathered", "gathered rows", "gathered columns"]
    for layout in layouts:
        found = ops.sweep([place(x, dtype, layout, 1), place(y, dtype, layout, 3)], [0, 4096, 10000])
        assert found.unequal.sum() == 300
        for field in fields(Sweep):
            assert field.name == "unequal" or not getattr(found, field.name).any()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("one", range(3))
def test_gathers_next_to_axes_of_extent_one(axis: int, one: int) -> None:
    """Axes that lie next to each other in memory become one, but never across the gathered one."""
    shape = tuple(np.insert([6, 7], one, 1).tolist())
    values = normal(0, 42, "F32").reshape(shape)
    found = ops.sweep([scatter(values, "F32", axis, [0, 1, 2]), ops.operand(values)], [0, 42])
    assert not found.unequal.any()


def test_entries_may_repeat() -> None:
    """As when every expert comes from one dense MLP."""
    values = normal(0, 12, "BF16").reshape(3, 4)
    for axis, chosen in ((0, [2, 2, 0, 1, 2]), (1, [3, 3, 3])):
        taken = values.take(chosen, axis)
        gathered = ops.operand(values)._replace(shape=taken.shape, rows=np.array(chosen), gather_axis=axis)
        assert not ops.sweep([gathered, ops.operand(taken)], [0, taken.size]).unequal.any()


def test_gains_count_gathered_entries() -> None:
    values = normal(0, 60, "BF16").reshape(3, 4, 5)
    gains = np.arange(1, 5, dtype=np.float32)
    for axis in range(3):
        gathered = scatter(values, "BF16", axis, [0, 1, 2])._replace(gain=gains, gain_axis=1)
        expected = values.astype(np.float32) * gains[:, None]
        assert not ops.sweep([gathered, ops.operand(expected)], [0, 60]).unequal.any()


def of(
    shape: Sequence[int], strides: Sequence[int], offset: int = 0, dtype: str = "F32", buffer: Any = bytes(64)
) -> Operand:
    return Operand(buffer, offset, dtype, shape, strides)


def gathers(rows: Any, axis: int) -> Operand:
    return of([4, 4], [16, 4])._replace(rows=np.array(rows), gather_axis=axis)


GOOD = of([16], [4])
REFUSED: list[tuple[str, list[Operand], list[int], int]] = [
    ("reaches outside its buffer", [of([17], [4])], [0, 1], 4096),
    ("reaches outside its buffer", [of([16], [4], offset=1)], [0, 16], 4096),
    ("reaches outside its buffer", [of([16], [4], offset=-4)], [0, 16], 4096),
    ("reaches outside its buffer", [of([4, 4], [16, 5])], [0, 16], 4096),
    ("reaches outside its buffer", [of([2], [2**62])], [0, 1], 4096),
    ("larger than its buffer", [of([2**62, 2**62], [4, 4])], [0, 1], 4096),
    ("larger than its buffer", [of([2**62, 2**62], [0, 0])], [0, 1], 4096),
    ("negative extent or stride", [of([16], [-4], offset=60)], [0, 16], 4096),
    ("negative extent or stride", [of([-1], [4])], [0, 0], 4096),
    ("shape and strides differ in length", [of([16], [4, 4])], [0, 16], 4096),
    ("buffer must be contiguous", [of([8], [4], buffer=np.zeros(64, np.uint8)[::-1])], [0, 8], 4096),
    ("buffer must be contiguous", [of([8], [4], buffer=np.zeros(64, np.uint8)[::2])], [0, 8], 4096),
    ("rows must name one entry of their axis each", [gathers([0, 1, 2], 0)], [0, 16], 4096),
    ("rows must name one entry of their axis each", [gathers([0, 1, 2, 3], 2)], [0, 16], 4096),
    ("rows must name one entry of their axis each", [gathers([[0, 1, 2, 3]], 0)], [0, 16], 4096),
    ("no row -1", [gathers([0, 1, 2, -1], 1)], [0, 16], 4096),
    ("reaches outside its buffer", [gathers([0, 1, 2, 4], 0)], [0, 16], 4096),
    ("reaches outside its buffer", [gathers([0, 1, 2, 4], 1)], [0, 16], 4096),
    ("reaches outside its buffer", [gathers([0, 1, 2**61, 0], 1)], [0, 16], 4096),
    ("operands differ in size", [GOOD, of([15], [4])], [0, 15], 4096),
    ("1 to 16 operands, not 17", [GOOD] * 17, [0, 16], 4096),
    ("1 to 16 operands, not 0", [], [0, 16], 4096),
    ("unsupported dtype F4", [of([16], [4], dtype="F4")], [0, 16], 4096),
    ("an integer type meets only itself", [GOOD, of([16], [4], dtype="I32")], [0, 16], 4096),
    ("an integer type meets only itself", [of([16], [1], dtype="U8"), of([16], [1], dtype="F8_E5M2")], [0, 16], 4096),
    ("an integer type meets only itself", [of([16], [2], dtype="I16"), of([16], [4], dtype="I32")], [0, 16], 4096),
    ("multiple of 4096", [GOOD], [0, 16], 4095),
    ("multiple of 4096", [GOOD], [0, 16], 0),
    ("bounds must ascend", [GOOD], [0, 9, 8], 4096),
    ("bounds must ascend", [GOOD], [-1, 8], 4096),
    ("bounds must ascend", [GOOD], [0, 17], 4096),
    ("bounds must ascend", [GOOD], [], 4096),
]


@pytest.mark.parametrize(("rule", "operands", "bounds", "tile"), REFUSED)
def test_refused_arguments(rule: str, operands: list[Operand], bounds: list[int], tile: int) -> None:
    with pytest.raises(ValueError, match=rule):
        ops.sweep(operands, bounds, tile=tile)


def test_edges() -> None:
    """What is unusual and allowed."""
    assert ops.sweep([GOOD], [0]).gram.shape == (0, 1, 1)
    assert ops.sweep([of([0, 5], [0, 4])] * 2, [0, 0]).unequal.tolist() == [[0]]
    assert ops.sweep([of([], [], offset=60)] * 2, [0, 1]).unequal.tolist() == [[0]]
    assert ops.sweep([of([5], [0]), of([5], [8])], [0, 5]).unequal.tolist() == [[0]]
    assert ops.gram([np.ones(3, np.float32)] * _core.MAX_ROWS).gram.tolist() == [[3.0] * 16] * 16

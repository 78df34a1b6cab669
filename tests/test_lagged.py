"""lagged against its definition in float64: every instruction set, dtype, axis, extent, layout; and its roof."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from operands import FLOATS, bits, scatter
from weightkin import _core, ops, reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES
from weightkin.ops import Operand
from weightkin.statistics.null import DRAWS, draw_lags

pytestmark = pytest.mark.usefixtures("instruction_set")

Array = npt.NDArray[Any]

ERROR = 1e-6
"""Of the statistic, relative to the largest that it can be: one per channel, 1 for a single line."""


def normal(seed: int, shape: tuple[int, ...], dtype: str) -> Array:
    """Rows of different scales with a mean, and one outlying channel at the end of the last axis."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape) * np.exp(random.standard_normal((*shape[:-1], 1))) + 0.3
    values[..., -1] *= 20
    return values.clip(-400, 400).astype(NUMPY_DTYPES[dtype])


def lay_out(values: Array, dtype: str, order: tuple[int, ...], offset: int, gap: int) -> Operand:
    """`values` stored with its axes in `order` of memory, from byte `offset` on, `gap` codes of NaN after each element."""
    item = values.dtype.itemsize
    strides, step = [0] * values.ndim, item * (1 + gap)
    for axis in reversed(order):
        strides[axis], step = step, step * values.shape[axis]
    buffer: Any = np.full(offset + step, 0xFF, np.uint8)
    np.ndarray(values.shape, f"u{item}", buffer, offset, strides)[...] = bits(values)
    return Operand(buffer, offset, dtype, values.shape, strides)


def lines_of(values: Array, axis: int) -> npt.NDArray[np.float64]:
    """[lines, n], numbered as the kernel numbers them."""
    return np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]).astype(np.float64)


def check(x: Array, y: Array, a: Operand, b: Operand, axis: int, lines: Array, lags: Array) -> None:
    found = ops.lagged([a, b], axis, lines.astype(np.int64), lags.astype(np.uint32))
    expected = reference.lagged(lines_of(x, axis)[lines], lines_of(y, axis)[lines], lags)
    largest = x.shape[axis] if len(lines) > 1 else 1
    np.testing.assert_allclose(found, expected[None], rtol=0, atol=ERROR * largest)


@pytest.mark.parametrize("extent", [2, 3, 15, 16, 17, 31, 33, 64, 100, 257])
@pytest.mark.parametrize("dtype", FLOATS)
def test_extents_and_axes(dtype: str, extent: int) -> None:
    for axis in range(3):
        shape = tuple(np.insert([3, 5], axis, extent).tolist())
        x, y = (normal(extent + seed, shape, dtype) for seed in range(2))
        a, b = (lay_out(values, dtype, (0, 1, 2), 1, 0) for values in (x, y))
        check(x, y, a, b, axis, np.arange(15), np.arange(extent))


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_layouts_and_subsets(dtype: str, order: tuple[int, ...]) -> None:
    x, y = (normal(seed, (7, 33, 6), dtype) for seed in range(2))
    a, b = lay_out(x, dtype, order, 3, 1), lay_out(y, dtype, order[::-1], 0, 0)
    for axis, lines in ((1, [0, 5, 6, 41]), (0, [197, 3, 4]), (2, [17])):
        check(x, y, a, b, axis, np.array(lines), np.arange(x.shape[axis])[::-1])


@pytest.mark.parametrize("gathered", range(3))
@pytest.mark.parametrize("dtype", FLOATS)
def test_gathers(dtype: str, gathered: int) -> None:
    x, y = (normal(seed, (4, 33, 6), dtype) for seed in range(2))
    a, b = scatter(x, dtype, gathered, (0, 1, 2), 1), scatter(y, dtype, (gathered + 1) % 3, (2, 0, 1))
    for axis in range(3):
        check(x, y, a, b, axis, np.arange(x.size // x.shape[axis]), np.arange(x.shape[axis]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_gathered_vectors(dtype: str) -> None:
    x, y = (normal(seed, (50,), dtype) for seed in range(2))
    check(x, y, scatter(x, dtype, 0, (0,)), ops.operand(y), 0, np.arange(1), np.arange(50))


@pytest.mark.parametrize("dtypes", list(combinations(FLOATS, 2)))
def test_dtypes_meet(dtypes: tuple[str, str]) -> None:
    x, y = (normal(seed, (9, 40), dtype) for seed, dtype in enumerate(dtypes))
    check(x, y, ops.operand(x), ops.operand(y), 1, np.arange(9), np.arange(40))


def test_a_vector_counts_by_its_ranks() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    lags = np.arange(50, dtype=np.uint32)
    found, distorted = (
        ops.lagged([ops.operand(x), ops.operand(other)], 0, np.arange(1), lags) for other in (y, np.exp(5 * y))
    )
    np.testing.assert_array_equal(found, distorted)
    ranks = np.corrcoef(np.argsort(np.argsort(x)), np.argsort(np.argsort(y)))[0, 1]
    assert found[0, 0] == pytest.approx(ranks, abs=ERROR)


@pytest.mark.parametrize(("extent", "lags"), [(65, [0, 3, 64, 17, 1]), (1024, list(range(0, 1024, 16)))])
def test_all_pairs_in_order(extent: int, lags: list[int] | Array) -> None:
    models = [normal(seed, (8, extent), "BF16") for seed in range(5)]
    lags = np.array(lags, np.uint32)
    found = ops.lagged([ops.operand(model) for model in models], 1, np.arange(8), lags)
    for row, (x, y) in zip(found, combinations(models, 2), strict=True):
        alone = ops.lagged([ops.operand(x), ops.operand(y)], 1, np.arange(8), lags)
        np.testing.assert_array_equal(row, alone[0])


@pytest.mark.parametrize(("extent", "step", "some"), [(96, 1, 20), (1024, 16, 64)])
def test_bits_do_not_depend_on_the_other_lags(extent: int, step: int, some: int) -> None:
    """Of few lags, one by one, and of many, by their spectrum."""
    x, y = (ops.operand(normal(seed, (40, extent), "BF16")) for seed in range(2))
    lags = step * np.random.default_rng(0).permutation(extent // step)[:some].astype(np.uint32)
    whole = ops.lagged([x, y], 1, np.arange(40), lags)
    for taken in (slice(0, some - 10), slice(3, some), slice(7, some - 5)):
        np.testing.assert_array_equal(ops.lagged([x, y], 1, np.arange(40), lags[taken])[0], whole[0, taken])


@pytest.mark.parametrize("vectors", [11, 12, 13, 14, 15, 16, 17, 20, 32, 45, 77])
@pytest.mark.parametrize("lines", [40, 41])
def test_all_lags_of_every_factor(vectors: int, lines: int) -> None:
    """Transforms of every radix; 17 is a prime that they leave to the direct way."""
    x, y = (normal(seed, (lines, 16 * vectors), "BF16") for seed in range(2))
    check(x, y, ops.operand(x), ops.operand(y), 1, np.arange(lines), np.arange(16 * vectors))


@pytest.mark.parametrize("extent", [896, 1536, 2880, 3584, 4096, 5120, 6656, 7168])
@pytest.mark.parametrize("lines", [1, 21])
def test_residual_streams(extent: int, lines: int) -> None:
    """Widths of real models, with the lags that `compare` draws, also of a tensor against itself."""
    x, y = (normal(seed, (lines, extent), "BF16") for seed in range(2))
    lags = draw_lags(extent, DRAWS, 0)
    for other in (y, x):
        check(x, other, ops.operand(x), ops.operand(other), 1, np.arange(lines), lags)


def test_spectra_of_lines_and_channels_that_vanish() -> None:
    """Constant lines, equal lines, channels of zeros and of numbers whose squares leave float32."""
    x, y = (normal(seed, (24, 1024), "F32") for seed in range(2))
    x[3:9], x[9:15, :], y[5:20] = 0.1, x[20], 7.0
    x[:, 100:160], y[:, 7], x[:, 300] = 0, 0, x[:, 300] * np.float32(1e-16)
    lags = np.arange(0, 1024, 4)
    check(x, y, ops.operand(x), ops.operand(y), 1, np.arange(24), lags)
    check(x, x, ops.operand(x), ops.operand(x), 1, np.arange(24), lags)
    equal = np.repeat(y[:1], 24, axis=0)
    assert not ops.lagged([ops.operand(x), ops.operand(equal)], 1, np.arange(24), lags.astype(np.uint32)).any()


def test_direction_and_size() -> None:
    """A copy whose channels moved up by 7 is found at lag 7, and there every channel counts 1."""
    x = normal(0, (20, 48), "F32")
    found = ops.lagged(
        [ops.operand(x), ops.operand(np.roll(x, 7, axis=1))], 1, np.arange(20), np.arange(48, dtype=np.uint32)
    )
    assert found[0].argmax() == 7
    assert found[0, 7] == pytest.approx(48, rel=ERROR)


def test_scales_of_channels_do_not_matter() -> None:
    """So norm gains may be folded into the matrices that read them."""
    x, y = (normal(seed, (30, 64), "F32") for seed in range(2))
    gains, lags = (
        np.exp(np.random.default_rng(2).standard_normal(64)).astype(np.float32),
        np.arange(64, dtype=np.uint32),
    )
    found, folded = (
        ops.lagged([ops.operand(x), ops.operand(other)], 1, np.arange(30), lags) for other in (y, y * gains)
    )
    np.testing.assert_allclose(found, folded, rtol=0, atol=64 * ERROR)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 6])
def test_not_finite_is_zero(value: float, rows: int) -> None:
    models = [normal(seed, (rows, 33), "BF16") for seed in range(3)]
    models[1][-1, 20] = value
    found = ops.lagged([ops.operand(model) for model in models], 1, np.arange(rows), np.arange(33, dtype=np.uint32))
    assert not found[0].any() and not found[2].any()
    assert found[1].all()


@pytest.mark.parametrize("rows", [1, 4])
def test_constant_is_zero(rows: int) -> None:
    constant, other = np.full((rows, 64), 0.1, np.float32), normal(0, (rows, 64), "F32")
    few = constant.copy()
    few[:, :6] = other[:, :6]
    for x in (constant, few) if rows == 1 else (constant,):
        assert not ops.lagged(
            [ops.operand(x), ops.operand(other)], 1, np.arange(rows), np.arange(64, dtype=np.uint32)
        ).any()
    few[:, :7] = other[:, :7]
    assert ops.lagged([ops.operand(few), ops.operand(other)], 1, np.arange(rows), np.arange(64, dtype=np.uint32)).any()


def test_wrong_arguments() -> None:
    x = ops.operand(np.ones((4, 8), np.float32))
    some, lags = np.arange(4), np.arange(3, dtype=np.uint32)
    for operands, axis, lines, taken, message in (
        ([x], 1, some, lags, "2 to 16 operands, not 1"),
        ([x, ops.operand(np.ones((8, 4), np.float32))], 1, some, lags, "differ in shape"),
        ([x, x], 2, some, lags, "no axis 2"),
        ([x, x], 1, some + 1, lags, "no line 4"),
        ([x, x], 0, some, lags + 2, "no lag 4"),
        ([ops.operand(np.ones((4, 8), np.int32))] * 2, 1, some, lags, "integers"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.lagged(operands, axis, lines, taken)


def test_the_roof_does_what_it_says() -> None:
    for flops in (0, 1, 1000, 10**7):
        done = _core.fma(flops)
        assert flops <= done < flops + 1000

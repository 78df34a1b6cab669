"""difference, the census of non-finite elements and the quantile of magnitudes, against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from operands import FLOATS, LAYOUTS, SIZES, Layout, Row, bits, finite_range, normal, place
from weightkin import ops, reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES

pytestmark = pytest.mark.usefixtures("instruction_set")

SIXTEEN_BITS = ["BF16", "F16"]
SUM_ERROR = 2.0**-22
"""Of sum |x-y| and sum (x-y)^2, relative: 16-bit types subtract in float32, and then square."""


def check(x: Row, y: Row, dtype: str, layout: Layout = "contiguous", offset: int = 0) -> None:
    """The difference of finite numbers."""
    found = ops.sweep([place(x, dtype, layout, offset), place(y, dtype, layout, offset)], [0, x.size], gram=False)
    expected = reference.difference(x, y)
    np.testing.assert_allclose(found.sum_abs, expected.sum_abs, rtol=SUM_ERROR)
    np.testing.assert_allclose(found.sum_square, expected.sum_square, rtol=SUM_ERROR)
    np.testing.assert_allclose(found.max_abs, expected.max_abs, rtol=SUM_ERROR)
    assert found.unequal == expected.unequal
    assert not found.nans.any() and not found.infinities.any()
    assert found.histogram.sum(axis=1).tolist() == [x.size, x.size]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_sizes_and_offsets(dtype: str, layout: Layout) -> None:
    for size in SIZES:
        x = normal(size, size, dtype)
        y = np.where(np.arange(size) % 3 == 0, x, normal(size + 1, size, dtype))
        for offset in (0, 1):
            check(x, y, dtype, layout, offset)


@pytest.mark.parametrize("dtype", FLOATS)
def test_hard_numbers(dtype: str) -> None:
    largest, smallest, epsilon = finite_range(dtype)
    random = np.random.default_rng(3)
    for values in (
        [largest / 4, -largest / 4, 1.0] if dtype != "F64" else [1e150, -1e150, 1.0],  # squares overflow float32
        [smallest * 3, -smallest, 0.0] if dtype != "F64" else [3e-150, -1e-150, 0.0],  # squares underflow float32
        [1.0, 1 + epsilon],
        [2.0, -2.0, smallest],
        [0.0],
    ):
        for size in (7, 4097):
            x, y = (random.choice(values, size).astype(NUMPY_DTYPES[dtype]) for _ in range(2))
            check(x, y, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 33, 4097])
def test_equality_is_of_bits(dtype: str, size: int) -> None:
    minus_zero, zero = (np.full(size, value, NUMPY_DTYPES[dtype]) for value in (-0.0, 0.0))
    found = ops.difference(minus_zero, zero)
    assert found == reference.Difference(0, 0, 0, size)
    nan = np.full(size, np.nan, NUMPY_DTYPES[dtype])
    assert ops.difference(nan, nan.copy()).unequal == 0
    other = nan.copy()
    bits(other)[-1] ^= 1 << (8 * other.dtype.itemsize - 1)  # the same NaN with its sign changed
    assert ops.difference(nan, other).unequal == 1


@pytest.mark.parametrize("dtype", ["F8_E5M2", "BF16", "F16", "F32", "F64"])
def test_nan_payloads_differ(dtype: str) -> None:
    x = np.full(100, np.nan, NUMPY_DTYPES[dtype])
    y = x.copy()
    bits(y)[17] ^= 1
    assert ops.difference(x, y).unequal == 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_not_finite_is_counted(dtype: str) -> None:
    x, y = normal(1, 4200, dtype), normal(2, 4200, dtype)
    x[[3, 4100]], x[[5, 6, 4150]], y[7] = np.nan, -np.inf, np.inf
    wide = [row.astype(np.float64) for row in (x, y)]
    found = ops.sweep([place(x, dtype, offset=1), place(y, dtype, offset=1)], [0, 4096, 4200])
    for i, row in enumerate(wide):
        parts = row[:4096], row[4096:]
        assert found.nans[:, i].tolist() == [np.isnan(part).sum() for part in parts]
        assert found.infinities[:, i].tolist() == [np.isinf(part).sum() for part in parts]
        assert np.isnan(found.quantile[:, i]).tolist() == [np.isnan(part).any() for part in parts]
    assert np.isnan(found.sum_abs).all() and np.isnan(found.sum_square).all()
    gap = np.abs(wide[0] - wide[1])
    assert found.max_abs.ravel().tolist() == [np.nanmax(gap[:4096]), np.nanmax(gap[4096:])]


@pytest.mark.parametrize("dtype", [*SIXTEEN_BITS, "F8_E4M3", "F8_E5M2"])
def test_quantile_is_exact(dtype: str) -> None:
    for size in SIZES:
        x = normal(size, size, dtype)
        spread = (x.astype(np.float64) * 10.0 ** np.arange(size)[::-1].clip(-3, 1)).astype(x.dtype)
        for row in (x, spread, np.zeros_like(x), np.full_like(x, 0.75)):
            found = ops.sweep([place(row, dtype)], [0, size], gram=False)
            expected = reference.quantile(row, ops.QUANTILE)
            np.testing.assert_allclose(found.quantile, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_quantile_of_wide_types(dtype: str) -> None:
    """By the upper 16 bits: at most 1/128 too low."""
    for size in SIZES:
        x = normal(size, size, dtype)
        found = ops.sweep([place(x, dtype)], [0, size], gram=False).quantile[0, 0]
        expected = reference.quantile(x, ops.QUANTILE)
        assert expected * (1 - 1 / 128) <= found <= expected * (1 + 1e-7)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_histogram(dtype: str) -> None:
    """Every code of the dtype, in three blocks: bin k counts the codes k and -k."""
    codes = np.arange(1 << 16, dtype=np.uint16)
    rows = [np.random.default_rng(0).permutation(codes), codes // 3]
    found = ops.sweep(
        [place(row.view(NUMPY_DTYPES[dtype]), dtype) for row in rows], [0, 5, 4100, codes.size], whole_histogram=True
    )
    for row, histogram in zip(rows, found.histogram, strict=True):
        np.testing.assert_array_equal(histogram, np.bincount(row & 0x7FFF, minlength=1 << 15))


def test_histogram_of_wide_types() -> None:
    x = normal(0, 5000, "F32")
    for dtype in ("F32", "F64"):
        found = ops.sweep([ops.operand(x.astype(NUMPY_DTYPES[dtype]))], [0, x.size])
        expected = np.bincount((bits(x) >> 16) & 0x7FFF, minlength=1 << 15)
        np.testing.assert_array_equal(found.histogram[0], expected)

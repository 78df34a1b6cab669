"""The difference and census kernels against numpy: dtypes, sizes around block ends, layouts, hard numbers, every code."""

from __future__ import annotations

import numpy as np
import pytest

from operands import Row, bits, finite_range, normal
from triton_cases import DEVICE, difference, far_apart, poisoned, tensor, torch
from weightkin import ops, reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES
from weightkin.similarity import magnitude_values, weighted_quantile

pytestmark = pytest.mark.usefixtures(poisoned.__name__)

DTYPES = ["BF16", "F16", "F32"]
BLOCK_ENDS = [1, 15, 16, 17, 4095, 4096, 4097, 3 * 4096 + 5]


def check(x: Row, y: Row, tensors: list[torch.Tensor]) -> None:
    """The difference of finite numbers, and the census of the first."""
    found, expected = difference.difference(*tensors), reference.difference(x, y)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-14)
    assert found[2:] == expected[2:]
    check_census(x, tensors[0])


def check_census(x: Row, on_device: torch.Tensor) -> None:
    found, wide = difference.census_blocks(on_device, x.size), x.astype(np.float64)
    assert (*found.nans, *found.infinities) == (np.isnan(wide).sum(), np.isinf(wide).sum())
    codes = bits(x) >> (8 * x.dtype.itemsize - 16)
    np.testing.assert_array_equal(found.histogram, np.bincount(codes & 0x7FFF, minlength=1 << 15))
    if not np.isfinite(wide).all():
        expected = np.nan if np.isnan(wide).any() else found.quantile
    elif x.dtype.itemsize == 2:
        expected = reference.quantile(x, 0.99)
    else:
        expected = weighted_quantile(magnitude_values("F32"), found.histogram, 0.99)
    np.testing.assert_allclose(found.quantile, expected, rtol=1e-14)


def partly_equal(size: int, dtype: str) -> tuple[Row, Row]:
    x = normal(size, size, dtype)
    return x, np.where(np.arange(size) % 3 == 0, x, normal(size + 1, size, dtype))


@pytest.mark.parametrize("size", BLOCK_ENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_block_ends(dtype: str, size: int) -> None:
    x, y = partly_equal(size, dtype)
    check(x, y, [tensor(x, dtype), tensor(y, dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(dtype: str) -> None:
    """Rows of a wider matrix, an odd start, every other element, columns of a fused matrix, a single row repeated."""
    x, y = partly_equal(600, dtype)
    matrix = torch.full((2, 2 * 600 + 1), torch.nan, dtype=tensor(x, dtype).dtype, device=DEVICE)
    for window in (matrix[:, :600], matrix[:, 601:], matrix[:, :1200:2]):
        matrix[:] = torch.nan
        window.copy_(torch.stack([tensor(x, dtype), tensor(y, dtype)]))
        check(x, y, list(window))
        check(x, y, list(window.reshape(2, 30, 20)))
    repeated = np.full(600, x[0])
    check(repeated, y, [tensor(x, dtype)[:1].expand(600), tensor(y, dtype)])


def test_far_addresses() -> None:
    x, y = partly_equal(3, "BF16")
    check(x, y, [far_apart(tensor(x, "BF16")), tensor(y, "BF16")])


@pytest.mark.parametrize("dtype", DTYPES)
def test_hard_numbers(dtype: str) -> None:
    largest, smallest, epsilon = finite_range(dtype)
    random = np.random.default_rng(3)
    for values in (
        [largest, -largest, 1.0],  # differences overflow, squares even more
        [smallest * 3, -smallest, 0.0],
        [1.0, 1 + epsilon],
        [2.0, -2.0, smallest],
        [0.0, -0.0],
        [0.0],
    ):
        x, y = (random.choice(values, 4097).astype(NUMPY_DTYPES[dtype]) for _ in range(2))
        check(x, y, [tensor(x, dtype), tensor(y, dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_equality_is_of_bits(dtype: str) -> None:
    minus_zero, zero, nan = (np.full(4097, value, NUMPY_DTYPES[dtype]) for value in (-0.0, 0.0, np.nan))
    found = difference.difference(tensor(minus_zero, dtype), tensor(zero, dtype))
    assert found == reference.Difference(0, 0, 0, 4097)
    assert difference.difference(tensor(nan, dtype), tensor(nan, dtype)).unequal == 0
    other = nan.copy()
    bits(other)[-1] ^= 1  # another NaN
    assert difference.difference(tensor(nan, dtype), tensor(other, dtype)).unequal == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite(dtype: str) -> None:
    x, y = normal(1, 4200, dtype), normal(2, 4200, dtype)
    x[[3, 4100]], x[[5, 6, 4150]], y[7] = np.nan, -np.inf, np.inf
    found = difference.difference(tensor(x, dtype), tensor(y, dtype))
    assert np.isnan(found.sum_abs) and np.isnan(found.sum_square)
    assert found.max_abs == np.inf and found.unequal == reference.difference(x, y).unequal
    x[[5, 6, 4150]], y[7] = 0, 0  # NaN is left
    gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
    assert difference.difference(tensor(x, dtype), tensor(y, dtype)).max_abs == np.nanmax(gap)
    check_census(x, tensor(x, dtype))
    nan = tensor(np.full(5, np.nan, NUMPY_DTYPES[dtype]), dtype)
    assert difference.difference(nan, nan).max_abs == 0


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_every_code(dtype: str) -> None:
    codes = np.random.default_rng(0).permutation(np.arange(1 << 16, dtype=np.uint16))
    for row in (codes[:20001], codes[20001:], codes // 3):
        check_census(row.view(NUMPY_DTYPES[dtype]), tensor(row.view(NUMPY_DTYPES[dtype]), dtype))


def test_float32_by_upper_bits() -> None:
    """A NaN whose low bits alone tell it from an infinity, subnormal numbers, and both zeros."""
    codes = np.array([0x7F800001, 0xFF800000, 0x7FC00000, 1, 0x80010000, 0, 0x80000000, 0x3F80FFFF], np.uint32)
    check_census(codes.view(np.float32), tensor(codes.view(np.float32), "F32"))


def test_more_chunks_than_tables() -> None:
    """One value only, in all of the private tables and once more around."""
    row = np.full(66 * 4096 + 1, 1, NUMPY_DTYPES["BF16"])
    check_census(row, tensor(row, "BF16"))


@pytest.mark.parametrize(("size", "block"), [(8192, 4096), (5001, 4099), (3001, 900), (500, 4096)])
def test_blocks(size: int, block: int) -> None:
    """Each has the bits that it has in a call of its own."""
    rows = partly_equal(size, "BF16")
    rows[0][0], rows[0][size // 2] = np.inf, np.nan
    x, y = (tensor(row, "BF16") for row in rows)
    found, counted = difference.difference_blocks(x, y, block), difference.census_blocks(x, block, 0.9)
    cuts = [slice(start, start + block) for start in range(0, size, block)]
    alone = [difference.difference(x[cut], y[cut]) for cut in cuts]
    np.testing.assert_array_equal(np.array(found).T, np.array(alone))
    censuses = [difference.census_blocks(x[cut], block, 0.9) for cut in cuts]
    for name in ("nans", "infinities", "quantile"):
        np.testing.assert_array_equal(getattr(counted, name), [getattr(one, name)[0] for one in censuses])
    np.testing.assert_array_equal(counted.histogram, sum(one.histogram for one in censuses))


def test_quantile_beside_infinities() -> None:
    """As the native sweep has it: infinite where an order statistic is, undefined between two infinite ones."""
    row = np.array([1.0] * 98 + [np.inf] * 2, NUMPY_DTYPES["BF16"])
    swept = ops.sweep([ops.operand(row)], [0, 50, 99, 100], whole_histogram=True).quantile[:, 0]
    np.testing.assert_array_equal(difference.census_blocks(tensor(row, "BF16")[:99], 99).quantile, [np.inf])
    np.testing.assert_array_equal(difference.census_blocks(tensor(row, "BF16")[:50], 50).quantile, swept[:1])
    np.testing.assert_array_equal(difference.census_blocks(tensor(row, "BF16")[99:], 50).quantile, swept[2:])


def test_no_elements() -> None:
    empty = torch.empty(0, device=DEVICE)
    assert difference.difference(empty, empty) == reference.Difference(0, 0, 0, 0)
    found = difference.census_blocks(empty, 4096)
    assert (found.nans.size, found.infinities.size, found.quantile.size, found.histogram.sum()) == (0, 0, 0, 0)


def test_refused() -> None:
    with pytest.raises(ValueError, match="differ in dtype, size or device"):
        difference.difference(torch.zeros(4), torch.zeros(5))
    with pytest.raises(ValueError, match="blocks of 0 elements"):
        difference.difference_blocks(torch.zeros(4), torch.zeros(4), 0)
    with pytest.raises(ValueError, match=r"unsupported dtype torch\.float64"):
        difference.census_blocks(torch.zeros(4, dtype=torch.float64), 4)

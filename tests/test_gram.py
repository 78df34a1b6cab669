"""gram against its definition in float64: every instruction set, dtype, size, byte offset, layout, and hard numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from operands import FLOATS, LAYOUTS, SIZES, Layout, Row, finite_range, normal, place
from weightkin import ops, reference, similarity
from weightkin.checkpoint.mapping import NUMPY_DTYPES

pytestmark = pytest.mark.usefixtures("instruction_set")

SUM_ERROR = 4.8e-7
"""Of any sum, relative to the sum of its terms' magnitudes."""
MEASURE_ERROR = 1e-6
"""Of a cosine or a Pearson, absolute."""

Floats = npt.NDArray[np.float64]


def expected_measures(rows: Floats) -> tuple[Floats, Floats]:
    """Cosines and Pearsons of all pairs of rows, NaN where undefined."""

    def cosine(x: Floats) -> Floats:
        x = x / np.maximum(
            np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny
        )  # no square under- or overflows
        norm = np.sqrt((x * x).sum(axis=1))
        with np.errstate(invalid="ignore"):
            cosines: Floats = (x @ x.T) / (norm[:, None] * norm)
        return cosines

    return cosine(rows), cosine(
        np.where(np.ptp(rows, axis=1, keepdims=True) > 0, rows - rows.mean(axis=1, keepdims=True), 0)
    )


def measures(gram: Floats, total: Floats, size: int) -> tuple[Floats, Floats]:
    """The same of what a kernel found."""
    square, zero = np.diag(gram), np.zeros((3, *gram.shape))
    pairs = np.broadcast_arrays(square[:, None], square, total[:, None], total)
    sums = similarity.PairSums.of(np.array(float(size)), gram, (pairs[0], pairs[1]), (pairs[2], pairs[3]), zero)
    return similarity.cosine(sums), similarity.pearson(sums)


def check(rows: list[Row], dtype: str, layout: Layout = "contiguous", offset: int = 0) -> None:
    """Sums and measures of rows of finite numbers, within the contract."""
    size = rows[0].size
    found = ops.sweep([place(row, dtype, layout, offset) for row in rows], [0, size], difference=False)
    wide = np.stack([row.astype(np.float64) for row in rows])
    expected, bound = reference.gram(wide), reference.gram(np.abs(wide))
    assert (np.abs(found.gram[0] - expected.gram) <= SUM_ERROR * bound.gram).all()
    assert (np.abs(found.sum[0] - expected.sum) <= SUM_ERROR * bound.sum).all()
    for got, want in zip(measures(found.gram[0], found.sum[0], size), expected_measures(wide), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=MEASURE_ERROR)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_sizes_and_offsets(dtype: str, layout: Layout) -> None:
    for size in SIZES:
        for offset in (0, 1):
            check([normal(size, size, dtype), normal(size + 1, size, dtype)], dtype, layout, offset)


@pytest.mark.parametrize("rows", range(1, 17))
@pytest.mark.parametrize("dtype", FLOATS)
def test_rows(dtype: str, rows: int) -> None:
    for size in (1, 33, 4097):
        check([normal(100 * size + i, size, dtype) for i in range(rows)], dtype, offset=1)


def hard_numbers(seed: int, size: int, dtype: str) -> dict[str, Floats]:
    """Rows of every kind that is hard for float32 sums, within the range of `dtype`."""
    random = np.random.default_rng(seed)
    largest, smallest, epsilon = finite_range(dtype)
    normals, position = random.standard_normal(size), np.arange(size)
    huge = min(1e30, largest / 8) * random.uniform(-1, 1, size)
    tiny = max(1e-25, smallest) * normals
    at = random.integers(size)
    return {
        "constant": np.full(size, random.uniform(0.5, 2)),
        "norm gains": 1 + max(1e-4, 2 * epsilon) * normals,  # Pearson subtracts two numbers that are nearly equal
        "huge": huge,  # products overflow float32
        "tiny": tiny,  # products underflow float32
        "nearly tiny": max(1e-20, 64 * smallest) * normals,  # products keep a few bits in float32
        "subnormal": max(1e-150, smallest) * random.integers(-3, 4, size),
        "huge and tiny": np.where(position < size // 2, huge, tiny),
        "one giant": np.where(position == at, min(1e4, largest), normals),
        "alternating": np.where(position % 2, -1, 1) * random.uniform(0.9, 1.1, size),
        "a one and zeros": np.where(position == at, 1.0, -0.0),
        "zeros": np.zeros(size),
    }


@pytest.mark.parametrize("kind", hard_numbers(0, 1, "F32"))
@pytest.mark.parametrize("dtype", FLOATS)
def test_hard_numbers(dtype: str, kind: str) -> None:
    for rows in (2, 3, 6):
        for size in (7, 12293):
            made = [hard_numbers(seed, size, dtype)[kind].astype(NUMPY_DTYPES[dtype]) for seed in range(1, rows)]
            check([*made, normal(8, size, dtype)], dtype)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_worst_rounding(dtype: str, lanes: int) -> None:
    """A lane that starts at 1 and then adds what rounds most, 7 times or more: the bound is nearly reached."""
    position = np.arange(12293)
    for length in (8, 16, 32):  # vectors; sums in float32 must end after 8
        period = length * lanes
        first = position % period < lanes
        if dtype == "BF16":  # a vector holds every other element
            first = (position % period < 2 * lanes) & (position % 2 == 0)
        sign = (-1.0) ** (position // period)  # no mean, or the sums would be made in float64
        for small in (2.0**-12 * 1.0078125, 2.0**-24):
            row = (np.where(first, 1, small) * sign).astype(NUMPY_DTYPES[dtype])
            check([row, row], dtype)
            check([row] * 5, dtype)


@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_not_finite(dtype: str, value: float, rows: int) -> None:
    """One bad element reaches every sum it belongs to, and no other."""
    made = [normal(i, 4097, dtype) for i in range(rows)]
    made[0][4096] = value
    if dtype == "F8_E4M3":  # has no infinity
        value = np.nan
    found = ops.gram(made)
    wide = np.stack([row.astype(np.float64) for row in made])
    np.testing.assert_allclose(found.gram[0], wide @ wide[0])
    np.testing.assert_equal(found.sum[0], value)
    rest = reference.gram(wide[1:])
    np.testing.assert_allclose(found.gram[1:, 1:], rest.gram, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.sum[1:], rest.sum, rtol=0, atol=2e-3)

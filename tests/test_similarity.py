"""Measures from sums against their direct formulas, and quantiles from counts against numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operands import normal
from weightkin import ops, similarity
from weightkin.similarity import PairSums

pytestmark = pytest.mark.filterwarnings("error")

Floats = npt.NDArray[np.float64]


def sums_of(pairs: list[tuple[Floats, Floats]]) -> PairSums:
    """Sums of pairs of float64 tensors, as the kernels find them."""
    found = [ops.sweep([ops.operand(x), ops.operand(y)], [0, x.size]) for x, y in pairs]
    gram, total = (np.concatenate([getattr(part, name) for part in found]) for name in ("gram", "sum"))
    gaps = [
        np.concatenate([getattr(part, name)[:, 0] for part in found]) for name in ("sum_abs", "sum_square", "unequal")
    ]
    elements = np.array([float(x.size) for x, _ in pairs])
    square = gram[:, 0, 0], gram[:, 1, 1]
    return PairSums.of(elements, gram[:, 0, 1], square, (total[:, 0], total[:, 1]), np.array(gaps))


@pytest.mark.parametrize("mean", [0.0, 1.0, -30.0])
def test_measures(mean: float) -> None:
    random = np.random.default_rng(0)
    x = mean + random.standard_normal(5000)
    y = np.where(np.arange(5000) < 1000, x, 0.5 * x + 2 * random.standard_normal(5000) + 3)
    found = similarity.measures(sums_of([(x, y)]))
    norm_x, norm_y = np.linalg.norm(x), np.linalg.norm(y)
    m, s, k, t = x.mean(), x.std(), y.mean(), y.std()
    expected = {
        "cosine": x @ y / (norm_x * norm_y),
        "pearson": np.corrcoef(x, y)[0, 1],
        "cosine_if_uncorrelated": m * k / np.sqrt((m**2 + s**2) * (k**2 + t**2)),
        "relative_l2_a": np.linalg.norm(x - y) / norm_x,
        "relative_l2_b": np.linalg.norm(x - y) / norm_y,
        "mean_abs_difference": np.abs(x - y).mean(),
        "cv_a": s / abs(m),
        "cv_b": t / abs(k),
        "cv_difference": abs(s / abs(m) - t / abs(k)),
        "changed_fraction": 0.8,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [value], rtol=1e-9, err_msg=name)


def test_pooled_is_centred_by_tensor() -> None:
    """Norms whose means grow with depth in two independent models: alike by cosine, unrelated by Pearson."""
    random = np.random.default_rng(1)
    pairs = [
        (depth + 0.1 * random.standard_normal(4096), depth + 0.1 * random.standard_normal(4096))
        for depth in range(1, 40)
    ]
    pooled = sums_of(pairs).pooled()
    assert similarity.cosine(pooled)[0] > 0.999
    assert similarity.cosine_if_uncorrelated(pooled)[0] == pytest.approx(similarity.cosine(pooled)[0], abs=1e-5)
    assert abs(similarity.pearson(pooled)[0]) < 4 / np.sqrt(39 * 4096)
    together = np.corrcoef(np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs]))[0, 1]
    assert together > 0.99, "what centring the whole set by one mean would have said"


def test_pooled_and_take() -> None:
    """Of tensors without a mean, pooling is the same as joining; parts of the parts add up to the whole."""
    random = np.random.default_rng(2)
    rows = random.standard_normal((6, 2, 500))
    rows -= rows.mean(axis=2, keepdims=True)
    sums = sums_of([(x, y) for x, y in rows])
    joined = similarity.measures(sums_of([(rows[:, 0].ravel(), rows[:, 1].ravel())]))
    for name, value in similarity.measures(sums.pooled()).items():
        if not name.startswith("cv"):  # a mean of 0
            np.testing.assert_allclose(value, joined[name], rtol=1e-9, atol=1e-12, err_msg=name)
    halves = [sums.take(slice(0, 2)).pooled(), sums.take(np.array([2, 3, 4, 5])).pooled()]
    total = halves[0].product + halves[1].product
    np.testing.assert_allclose(total, sums.pooled().product)


@pytest.mark.parametrize("value", [0.1, 1.0, 1e-20])
@pytest.mark.parametrize("size", [1, 7, 100_003])
def test_undefined_measures_are_nan(size: int, value: float) -> None:
    """A constant tensor has no correlation, whatever rounding leaves of its variance; a zero one has no direction."""
    other = np.random.default_rng(3).standard_normal(size)
    for y in (other, np.full(size, 3.3), np.full(size, value)):
        sums = sums_of([(np.full(size, value), y)])
        assert np.isnan(similarity.pearson(sums)).all()
        assert not np.isnan(similarity.cosine(sums)).any()
    zero = similarity.measures(sums_of([(np.zeros(size), other)]))
    undefined = {name for name, found in zero.items() if np.isnan(found).any()}
    assert undefined == {"cosine", "pearson", "cosine_if_uncorrelated", "relative_l2_a", "cv_a", "cv_difference"}


def test_empty_and_not_finite() -> None:
    empty = similarity.measures(sums_of([(np.zeros(0), np.zeros(0))]))
    assert all(np.isnan(found).all() for found in empty.values())
    for bad in (np.nan, np.inf):
        for other in (np.arange(3.0), np.zeros(3), np.full(3, -np.inf)):
            found = similarity.measures(sums_of([(np.array([1.0, bad, 2.0]), other)]).pooled())
            assert np.isnan([found["cosine"], found["pearson"]]).all()


@pytest.mark.parametrize(("ratio", "size"), [(1e2, 200_000), (1e4, 4096), (9e4, 4096)])
def test_pearson_with_a_mean_far_above_the_deviation(ratio: float, size: int) -> None:
    random = np.random.default_rng(4)
    x = 1 + random.standard_normal(size) / ratio
    y = x + random.standard_normal(size) / ratio
    assert similarity.pearson(sums_of([(x, y)]))[0] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert similarity.pearson(sums_of([(x, x)]))[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_magnitude_values(dtype: str) -> None:
    """Counts of a histogram at their values have the quantiles of the numbers that were counted."""
    x = normal(5, 4321, dtype)
    counts = ops.sweep([ops.operand(x)], [0, x.size]).histogram[0]
    wide = np.abs(x.astype(np.float64))
    for fraction in (0.0, 0.31, 0.99, 1.0):
        found = similarity.weighted_quantile(similarity.magnitude_values(dtype), counts, fraction)
        expected = np.quantile(wide, fraction)
        assert found == pytest.approx(expected, rel=1e-12 if dtype != "F32" else 1 / 128)


counted = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 5)), min_size=1, max_size=30)


@given(counted, st.floats(0, 1))
def test_weighted_quantile(pairs: list[tuple[float, int]], fraction: float) -> None:
    values = np.array([value for value, _ in pairs])
    counts = np.array([count for _, count in pairs])
    repeated = np.repeat(values, counts)
    found = similarity.weighted_quantile(values, counts, fraction)
    if repeated.size == 0:
        assert np.isnan(found)
    else:
        np.testing.assert_allclose(found, np.quantile(repeated, fraction), rtol=1e-9, atol=1e-9)


def test_weighted_quantile_with_a_nan() -> None:
    values: Any = np.array([1.0, np.nan, 2.0])
    assert np.isnan(similarity.weighted_quantile(values, np.array([1, 1, 1]), 0.5))
    assert similarity.weighted_quantile(values, np.array([1, 0, 1]), 0.5) == 1.5

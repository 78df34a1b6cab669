"""Closed forms against brute force and simulation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from weightkin import ops
from weightkin.similarity import PairSums, cosine, pearson
from weightkin.statistics.intervals import jackknife
from weightkin.statistics.matching import agreement, permutation_score
from weightkin.statistics.multiplicity import benjamini_hochberg, holm
from weightkin.statistics.vectors import correlation_z, lag_matched_baseline, shuffled_cosine, two_sided_p

Array = npt.NDArray[np.float64]


def assignments(rows: int, columns: int) -> Array:
    """Every way to assign columns to distinct rows; columns beyond the number of rows get -1."""
    size = max(rows, columns)
    orders = np.array(list(permutations(range(size))))[:, :columns]
    return np.where(orders < rows, orders, -1)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (4, 6), (6, 3), (2, 2), (1, 4), (1, 1)])
def test_mean_and_variance_over_all_permutations(rows: int, columns: int) -> None:
    scores = np.random.default_rng(0).exponential(size=(rows, columns))
    every = [permutation_score(scores, assignment) for assignment in assignments(rows, columns)]
    found = np.array([one.score for one in every])
    for one in every:
        assert one.mean == pytest.approx(found.mean())
        assert one.variance == pytest.approx(found.var(), abs=1e-12)
    if found.std() > 0:
        assert every[0].z == pytest.approx((found[0] - found.mean()) / found.std())


def test_score_of_a_constant_matrix_has_no_z() -> None:
    one = permutation_score(np.ones((3, 3)), np.array([2, 0, 1]))
    assert (one.score, one.mean, one.variance) == (3, 3, 0) and np.isnan(one.z)


def test_z_of_a_random_permutation_is_standard() -> None:
    random = np.random.default_rng(1)
    scores = random.standard_normal((64, 64)) + random.standard_exponential((64, 1))
    z = [permutation_score(scores, random.permutation(64)).z for _ in range(2000)]
    assert stats.kstest(z, "norm").pvalue > 1e-3


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (60, 40), (40, 60)])
def test_agreement_is_nearly_poisson(rows: int, columns: int) -> None:
    random = np.random.default_rng(2)

    def assign() -> npt.NDArray[np.int64]:
        order = random.permutation(max(rows, columns))[:columns]
        return np.where(order < rows, order, -1)

    found = [agreement(assign(), assign(), rows) for _ in range(4000)]
    counts = np.array([one.agreeing for one in found])
    expected = min(rows, columns) / max(rows, columns)
    assert all(one.expected == expected for one in found)
    assert counts.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / len(counts)))
    for least in range(1, 5):
        p = next((one.p for one in found if one.agreeing == least), None)
        if p is not None:
            assert (counts >= least).mean() == pytest.approx(p, abs=5 * np.sqrt(p / len(counts)))


def test_places_without_a_partner_do_not_agree() -> None:
    assert agreement(np.array([-1, 2, 0]), np.array([-1, 2, 1]), 3).agreeing == 1


@pytest.mark.parametrize(("rows", "columns"), [(50, 50), (60, 40), (40, 60)])
def test_assignments_found_on_one_part_of_the_evidence_are_scored_on_another(rows: int, columns: int) -> None:
    random = np.random.default_rng(3)
    truth = np.eye(rows, columns)
    first, second = (truth + 0.2 * random.standard_normal((2, rows, columns))).astype(np.float32)
    found, again, unrelated = (ops.assign(one) for one in (first, second, random.standard_normal((rows, columns))))
    matched = min(rows, columns)
    one = permutation_score(second, found)
    assert one.score == pytest.approx(matched, abs=5 * 0.2 * np.sqrt(matched)) and one.z > 6
    assert abs(permutation_score(second, unrelated).z) < 5
    assert agreement(found, again, rows).agreeing > 0.9 * matched and agreement(found, again, rows).p < 1e-9
    assert agreement(found, unrelated, rows).agreeing < 8


@given(st.floats(-3, 3), st.floats(0.01, 2), st.floats(-3, 3), st.floats(0.01, 2), st.integers(0, 9))
def test_shuffled_cosine(mean_a: float, deviation_a: float, mean_b: float, deviation_b: float, seed: int) -> None:
    """The mean cosine over all rotations of one vector: exactly that of uncorrelated vectors with these moments."""
    random = np.random.default_rng(seed)
    x, y = (
        mean + deviation * stats.zscore(random.standard_exponential(50))
        for mean, deviation in ((mean_a, deviation_a), (mean_b, deviation_b))
    )
    rotated = [x @ np.roll(y, lag) / np.linalg.norm(x) / np.linalg.norm(y) for lag in range(50)]
    assert shuffled_cosine(mean_a, deviation_a, mean_b, deviation_b) == pytest.approx(np.mean(rotated), abs=1e-9)
    assert np.isnan(shuffled_cosine(0, 0, mean_b, deviation_b))


def test_r_times_root_n_is_standard_over_all_permutations() -> None:
    x, y = np.array([0.0, 1, 1, 5, 9, 40, 2]), np.array([1.0, 2, 3, 5, 8, 13, 21])
    r = np.array([np.corrcoef(x, order)[0, 1] for order in permutations(y)])
    z = correlation_z(r, np.full(r.shape, 7.0))
    assert z.mean() == pytest.approx(0, abs=1e-9) and z.std() == pytest.approx(1)
    assert two_sided_p(1.96) == two_sided_p(-1.96) == pytest.approx(0.05, abs=1e-4)


def test_baseline_is_matched_by_lag_and_leaves_layer_0_out() -> None:
    layers = np.arange(6)
    similarity = 1 - 0.1 * np.abs(layers[:, None] - layers)
    similarity[0, 1:] = similarity[1:, 0] = 0.377
    similarity[2, 3] = np.nan
    found = {one.lag: one for one in lag_matched_baseline(similarity)}
    assert {lag: one.pairs for lag, one in found.items()} == {1: 3, 2: 3, 3: 2, 4: 1}
    for lag, one in found.items():
        assert (one.mean, one.deviation) == (pytest.approx(1 - 0.1 * lag), pytest.approx(0, abs=1e-12))
    assert found.keys() == {1, 2, 3, 4} and lag_matched_baseline(np.ones((2, 2))) == []


def brute_holm(p: Array) -> Array:
    """Adjusted p: the smallest level at which Holm's procedure, run as written, rejects."""
    order = np.argsort(p)
    out = np.empty_like(p)
    for place, index in enumerate(order):
        out[index] = min(1, max((len(p) - earlier) * p[order[earlier]] for earlier in range(place + 1)))
    return out


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 3))
def test_adjusted_p(values: list[float], unknown: int) -> None:
    p = np.array(values + [np.nan] * unknown)[np.random.default_rng(len(values)).permutation(len(values) + unknown)]
    known = ~np.isnan(p)
    for adjust, expected in ((holm, brute_holm), (benjamini_hochberg, stats.false_discovery_control)):
        found = adjust(p)
        assert np.isnan(found[~known]).all()
        np.testing.assert_allclose(found[known], expected(p[known]), rtol=1e-12)


def test_holm_keeps_the_chance_of_any_false_rejection() -> None:
    random = np.random.default_rng(3)
    shared = random.random((4000, 1))
    independent, dependent = random.random((4000, 10)), np.clip(shared + 0.05 * random.random((4000, 10)), 0, 1)
    for p in (independent, dependent):
        assert np.mean([holm(row).min() < 0.05 for row in p]) < 0.06
    assert np.mean(independent.min(axis=1) < 0.05) > 0.35


def sums_of(x: Array, y: Array) -> PairSums:
    """[groups, elements] each."""
    size = np.full(len(x), float(x.shape[1]))
    raw = ((x * x).sum(1), (y * y).sum(1)), (x.sum(1), y.sum(1))
    return PairSums.of(size, (x * y).sum(1), *raw, np.zeros((3, len(x))))


@pytest.mark.parametrize("measure", [pearson, cosine])
def test_jackknife_covers_the_true_value(measure: Callable[[PairSums], Array]) -> None:
    """95 % of intervals from 12 layers whose correlations differ hold the pooled one."""
    random, covered = np.random.default_rng(4), []
    for _ in range(400):
        x = random.standard_normal((12, 200)) * random.uniform(0.8, 1.2, (12, 1))
        strength = np.clip(random.normal(0.5, 0.1, (12, 1)), 0, 1)
        y = strength * x + np.sqrt(1 - strength**2) * random.standard_normal((12, 200))
        low, high = jackknife(sums_of(x, y), measure)
        covered.append(low <= 0.5 <= high)
    assert 0.9 < np.mean(covered) < 0.99


def test_jackknife_of_few_groups_is_unknown() -> None:
    x = np.random.default_rng(5).standard_normal((1, 20))
    for groups in (1, 2):
        assert np.isnan(jackknife(sums_of(np.tile(x, (groups, 1)), np.tile(x, (groups, 1))), pearson)).all()
    assert jackknife(sums_of(np.tile(x, (4, 1)), np.tile(x, (4, 1))), pearson) == (pytest.approx(1), pytest.approx(1))

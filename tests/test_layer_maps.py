"""From scores of pairs of layers to a map: names, dynamic programming, ties, and a null that knows of the search."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from weightkin import ops
from weightkin.correspondence.arrangement import arrangement, runs
from weightkin.correspondence.channel_products import channel_products
from weightkin.correspondence.maps import layer_map, monotone_map, pool, standard_scores
from weightkin.statistics.null import draw_lags

Array = npt.NDArray[np.float64]

NAMES = {
    "identity": [([0, 1, 2, 3], 4), ([0, -1, 2, 3], 4), ([-1, -1, -1, 3], 4), ([0], 1)],
    "pruned": [([0, 1, 3], 4), ([1, 2, 3], 4), ([2], 4), ([0, 3], 9)],
    "depth_upscaled": [
        ([0, 1, 2, 3, 4, 2, 3, 4, 5], 6), ([*range(24), *range(8, 32)], 32), ([0, 1, 2, 0, 1, 2], 3),
        ([0, 1, 2, 1, 2, 3, 2, 3, 4], 5), ([0, 1, 2, -1, 1, 2, 3], 4),
    ],
    "repeated": [([0, 0, 1, 1, 2, 2], 3), ([0, 1, 1, 2], 3), ([0, 0], 1), ([0, 2, 2], 3)],
    "interleaved": [([0, -1, 1, -1, 2, -1], 3), ([0, 1, 2, -1], 3), ([-1, 0], 1)],
    "reordered": [([3, 2, 1, 0], 4), ([0, 2, 1, 3], 4), ([2, 3, 0, 1], 4), ([1, 0], 5)],
    "partial": [([0, -1, 2], 5), ([-1, 1, 2], 4), ([0, 1, -1, -1], 3)],
    "mixed": [([0, 3, 1, 3], 4), ([2, 1, 2, 0], 3)],
    "none": [([-1, -1], 2), ([], 3)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "assignment", "depth"), [(name, *case) for name, found in NAMES.items() for case in found]
)
def test_names(name: str, assignment: list[int], depth: int) -> None:
    assert arrangement(np.array(assignment, np.int64), depth) == name


def test_runs() -> None:
    found = [tuple(run) for run in runs(np.array([0, 1, 2, 1, 2, -1, -1, 3, 5, 4]))]
    assert found == [(0, 0, 3), (3, 1, 2), (5, -1, 2), (7, 3, 1), (8, 5, 1), (9, 4, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_monotone_map_is_the_best_of_all(seed: int) -> None:
    """Against every map of 4 layers to 3 or none."""
    random = np.random.default_rng(seed)
    scores = np.round(random.standard_normal((3, 4, 5)), int(seed % 2))  # with ties, too
    path, best = monotone_map(scores)
    maps = [choice for choice in product(range(-1, 3), repeat=4) if sorted(m := [a for a in choice if a >= 0]) == m]
    sums = np.array([[sum(scores[a, b, r] for b, a in enumerate(m) if a >= 0) for m in maps] for r in range(5)])
    np.testing.assert_allclose(best, sums.max(axis=1))
    chosen = path[path >= 0]
    assert (np.diff(chosen) >= 0).all()
    assert sum(scores[a, b, 0] for b, a in enumerate(path) if a >= 0) == pytest.approx(best[0])


def planted(cells: dict[tuple[int, int], float], depths: tuple[int, int], draws: int = 99) -> Array:
    """Normal scores; at lag 0 those given."""
    scores = np.random.default_rng(0).standard_normal((*depths, 1 + draws))
    for cell, score in cells.items():
        scores[(*cell, 0)] = score
    return scores


def test_margins() -> None:
    found = layer_map(planted({(0, 0): 50.0, (1, 0): 20.0, (2, 0): 30.0, (2, 1): 60.0, (1, 1): 5.0}, (3, 2)))
    assert found.assignment.tolist() == [0, 2] and found.second.tolist() == [2, 1]
    np.testing.assert_allclose(found.margin, [20, 55])
    np.testing.assert_allclose(found.margin_neighbours, [30, 55])
    assert found.p.tolist() == [0.01, 0.01] and found.total[1] == 0.01


def test_a_score_must_be_far_above_every_draw() -> None:
    scores = planted({(b, b): 30.0 for b in range(3)}, (3, 3))
    scores[1, 1, 7] = 31.0  # one draw of layer 1 is higher
    scores[0, 2, 1:] *= 20  # the draws of layer 2 spread wide
    found = layer_map(scores)
    assert found.assignment.tolist() == [0, -1, -1] and found.free.tolist() == [0, 1, 2]
    assert found.p[1] == pytest.approx(0.02)
    assert layer_map(scores[..., :15]).assignment.tolist() == [-1, -1, -1], "so few draws show nothing"


def test_ties_go_to_what_goes_on() -> None:
    """Of copies within A, the one that continues a run."""
    order = [0, 1, 2, 3, 1, 2, 3, 4]
    cells = {(a, b): 100.0 + 3 * (a == 5) for b in range(5) for a in range(8) if order[a] == b}
    found = layer_map(planted(cells, (8, 5)))
    assert found.free.tolist() == [0, 1, 5, 3, 7]
    assert [order[a] for a in found.assignment] == [0, 1, 2, 3, 4]
    assert np.count_nonzero(np.diff(found.assignment) != 1) == 1, "more breaks than there must be"


def test_pairs_that_share_nothing() -> None:
    scores = planted({(0, 0): 40.0}, (2, 3))
    scores[1, 1] = scores[:, 2] = np.nan
    found = layer_map(scores)
    assert found.assignment.tolist() == [0, -1, -1] and found.free.tolist() == [0, 0, -1] and found.second[1] == -1
    assert np.isnan(found.p[2]) and np.isnan(found.margin[1:]).all() and np.isnan(found.cell_z[1, 1])


def test_products_of_channels_must_be_specific() -> None:
    """All layers of related models are somewhat alike in them: 90 over 85 is no match, 90 over 45 is."""
    cells = {(a, b): score for a in range(4) for b, score in enumerate([(90, 80, 80, 85)[a], (45, 90, 40, 30)[a]])}
    assert layer_map(planted(cells, (4, 2))).assignment.tolist() == [0, 1]
    assert layer_map(planted(cells, (4, 2)), in_place=False).assignment.tolist() == [-1, 1]


def statistic(x: Array, y: Array, lags: npt.NDArray[np.uint32]) -> Array:
    """[LA, LB, 1 + R] of layers [L, lines, channels]."""

    def operand(values: Array) -> ops.Operand:
        return ops.operand(values.astype(np.float32))

    lines = np.arange(x.shape[1])
    return np.array([[ops.lagged([operand(a), operand(b)], 1, lines, lags)[0] for b in y] for a in x])


def test_null_knows_of_the_search() -> None:
    """Whatever the law, and though layers of a model resemble each other: p of the best of 4 layers, of the whole map and of
    the monotone one are uniform under the null."""
    draws, found = 19, []
    for pair in range(500):
        random = np.random.default_rng(pair)
        common = random.standard_cauchy((2, 1, 3, 32))
        x, y = common + random.standard_cauchy((2, 4, 3, 32))
        lags = draw_lags(32, draws, pair)
        roles = [standard_scores(statistic(x, y, lags)), standard_scores(statistic(x[:, ::2], y[:, ::2], lags))]
        one = layer_map(pool(roles))
        assert (one.assignment == -1).all()
        found.append([one.p[0], one.total[1], one.monotone_total[1], one.cell_p[1, 2]])
    for p in np.array(found).T:
        counts = np.bincount(np.rint(p * (draws + 1)).astype(int) - 1, minlength=draws + 1)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_channel_products() -> None:
    random = np.random.default_rng(3)
    x = random.standard_normal((150, 48)) * random.exponential(size=(150, 1)) * random.exponential(size=48)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit.T @ unit
    cosines /= np.sqrt(np.outer(np.diag(cosines), np.diag(cosines)))
    found = channel_products(x)
    wanted = [[cosines[j, (j + k) % 48] for j in range(48)] for k in range(1, 1 + len(found))]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    changed = random.permutation(x) * random.choice([-3.0, 0.2, 1.0], (150, 1))
    np.testing.assert_allclose(channel_products(changed), found, atol=1e-5)
    np.testing.assert_allclose(channel_products(np.roll(x, 5, axis=1)), np.roll(found, 5, axis=1), atol=1e-5)
    assert np.isfinite(channel_products(np.zeros((4, 9)))).all()

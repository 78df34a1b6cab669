"""Trees from distances: what is planted is found, whatever the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightkin.correspondence.alignment import Alignment
from weightkin.descent.distances import Distances, Matrix
from weightkin.descent.geometry import cosine, mixture
from weightkin.descent.structure import levenshtein, structure
from weightkin.descent.tree import Tree, grow

Array = np.ndarray[Any, np.dtype[np.float64]]
DIMENSIONS = 20_000


def squared(points: Array) -> Array:
    """[n, n]: squared distances of points [n, d]."""
    gram = points @ points.T
    return np.asarray(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram)


def steps(seed: int, count: int) -> Array:
    """Independent steps of length 1."""
    return np.random.default_rng(seed).standard_normal((count, DIMENSIONS)) / np.sqrt(DIMENSIONS)


def grown(points: Array) -> Tree:
    return grow(squared(points), np.zeros((len(points), len(points))))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_tree_whose_branching_points_are_given_is_found(data: st.DataObject) -> None:
    """Additive distances, of which a minimum spanning tree alone is the answer: no correction must spoil it."""
    size = data.draw(st.integers(2, 9))
    parents = [data.draw(st.integers(0, node - 1)) for node in range(1, size)]
    lengths = [data.draw(st.floats(0.01, 100)) for _ in parents]
    names = data.draw(st.permutations(range(size)))
    distance = np.zeros((size, size))
    for node, (parent, length) in enumerate(zip(parents, lengths, strict=True), 1):
        for other in range(node):
            distance[node, other] = distance[other, node] = distance[parent, other] + length
    shuffled = np.empty_like(distance)
    shuffled[np.ix_(names, names)] = distance
    wanted = {tuple(sorted((names[node], names[parent]))) for node, parent in enumerate(parents, 1)}
    tree = grow(shuffled, np.zeros((size, size)))
    assert tree.edges == wanted and not tree.doubts


def test_chain_of_random_steps() -> None:
    """Also where a short step is followed by a long one."""
    walk = np.cumsum(steps(0, 4) * [[1], [0.2], [1], [5]], axis=0)
    tree = grown(walk)
    assert tree.edges == {(0, 1), (1, 2), (2, 3)} and not tree.doubts


def test_siblings_without_their_parent_get_an_unobserved_one() -> None:
    points = steps(1, 4) * [[1], [1.5], [0.8], [1]]
    tree = grown(points)
    assert tree.edges == {(0, 4), (1, 4), (2, 4), (3, 4)}
    assert np.allclose(tree.distance[4, :4], [1, 2.25, 0.64, 1], rtol=0.1)


def test_two_generations_of_unobserved_parents() -> None:
    """((0, 1), (2, 3)) with a long way between the two pairs."""
    step = steps(2, 6)
    points = np.stack([step[0] + step[1], step[0] + step[2], step[3] + step[4], step[3] + step[5]])
    tree = grown(points)
    assert len(tree.edges) == 5
    assert frozenset({0, 1}) in {side for a, b in tree.edges for side in (tree.beyond(a, b), tree.beyond(b, a))}


def test_siblings_that_learned_the_same_are_not_hung_under_each_other() -> None:
    """All share a direction, as trainings on the same data do: the least trained is nearest to all others, but no parent."""
    step = steps(3, 5)
    sizes = np.array([0, 0.3, 1.0, 3.0])[:, None]
    points = sizes * (0.8 * step[4] + 0.6 * step[:4])
    assert np.argmin(squared(points)[2, [0, 1, 3]]) == 1
    tree = grown(points)
    assert tree.edges == {(0, 1), (0, 2), (0, 3)}
    assert tree.doubts.keys() == {(0, 2), (0, 3)} and all(1 in others for others in tree.doubts.values())


def test_a_checkpoint_of_the_same_training_stays_between() -> None:
    """It goes the same way, nearly straight: no sibling would."""
    step = steps(4, 3)
    points = np.stack([np.zeros(DIMENSIONS), step[0], 1.6 * step[0] + 0.3 * step[1]])
    assert grown(points).edges == {(0, 1), (1, 2)}


def test_structure_comes_before_distance() -> None:
    points = np.stack([np.zeros(DIMENSIONS), *steps(5, 2)])
    points[2] += 0.9 * points[1]
    rank = np.array([[0, 1, 1], [1, 0, 2], [1, 2, 0]], np.float64)
    assert grow(squared(points), rank).edges == {(0, 1), (0, 2)}


def test_models_without_distance_stay_apart() -> None:
    distance = squared(steps(6, 3))
    distance[2, :2] = distance[:2, 2] = np.nan
    assert grow(distance, np.zeros((3, 3))).edges == {(0, 1)}


def test_an_average_is_told_from_siblings_and_sums() -> None:
    a, b, c = steps(7, 3)
    base = np.zeros(DIMENSIONS)
    found = mixture(squared(np.stack([0.3 * a + 0.7 * b, base, a, b])), 0, [1, 2, 3])
    assert found is not None and found.anchors == (2, 3) and found.parents == (3, 2)
    assert found.weights == pytest.approx((0.3, 0.7), abs=0.02)
    third = mixture(squared(np.stack([(a + b + c) / 3, a, b, c])), 0, [1, 2, 3])
    assert third is not None and set(third.parents) == {1, 2, 3}
    assert mixture(squared(np.stack([a + b, base, a, b])), 0, [1, 2, 3]) is None
    assert mixture(squared(np.stack([a, base, b, c])), 0, [1, 2, 3]) is None


def test_cosine_of_nothing_is_nothing() -> None:
    assert cosine(np.zeros((3, 3)), 0, 1, 2) == 0


def test_weights_of_matrices() -> None:
    """Layers alike, groups of a layer alike, parameters within a group; so in samples, of what was drawn."""
    matrices = [
        Matrix("text", "mlp", 0, 30), Matrix("text", "mlp", 0, 10), Matrix("text", "attention", 0, 7),
        Matrix("text", "mlp", 1, 5),
    ]  # fmt: skip
    empty = np.zeros((4, 2, 2))
    weights = Distances((0, 1), matrices, empty, empty).weights(50, 0)
    assert weights[0] == pytest.approx([0.1875, 0.0625, 0.25, 0.5])
    assert weights.sum(axis=1) == pytest.approx(np.ones(51))
    assert any(np.allclose(row, [0, 0, 0, 1]) for row in weights)


@pytest.mark.parametrize(
    ("one", "other", "edits"), [("abc", "abc", 0), ("abc", "ac", 1), ("abcd", "abcbcd", 2), ("", "ab", 2)]
)
def test_levenshtein(one: str, other: str, edits: int) -> None:
    assert levenshtein(one, other) == levenshtein(other, one) == edits


def test_no_edits_between_a_model_and_itself(tmp_path: Any) -> None:
    from descendants import fresh, write
    from weightkin.comparison import open_models

    (model,) = open_models(write(tmp_path, {"a": fresh(0)}))
    here = structure(model, model, Alignment())
    shorter = structure(model, model, Alignment(layers={"text": {0: 0, 2: 2}}))
    assert here.edits(here) == 0
    assert here.edits(shorter) == shorter.edits(here) == 1

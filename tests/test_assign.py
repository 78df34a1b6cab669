"""assign against scipy: every instruction set, dtype, shape and layout; ties, planted permutations, batches, refusals."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from weightkin import _core, ops, reference

Array = npt.NDArray[Any]

SHAPES = [(1, 1), (1, 5), (5, 1), (2, 2), (3, 2), (7, 8), (15, 16), (16, 15), (17, 17), (31, 33), (64, 64), (65, 40)]


def total(scores: Array, assignment: Array) -> float:
    """The sum of scores, of an assignment that is one: min(A, B) columns have a row, and no row serves twice."""
    columns = np.flatnonzero(assignment >= 0)
    rows = assignment[columns]
    assert assignment.shape == (scores.shape[1],)
    assert len(columns) == len(np.unique(rows)) == min(scores.shape)
    assert assignment.min(initial=-1) >= -1
    return float(scores[rows, columns].astype(np.float64).sum())


def check(scores: Array) -> Array:
    """The optimum, to what rounding in float64 leaves of it."""
    found = ops.assign(scores)
    assert found.dtype == np.int64
    expected = total(scores, reference.assign(scores))
    rounding = 1e-14 * float(np.abs(scores).max()) * max(scores.shape)
    assert total(scores, found) == pytest.approx(expected, rel=0, abs=rounding)
    return found


def normal(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: tuple[int, int], dtype: Any) -> None:
    for seed in range(4):
        scores = normal(seed, *shape, dtype=dtype)
        for variant in (scores, -np.abs(scores), 1e-30 * scores, scores + 1000, np.sort(scores, axis=0)):
            check(variant.astype(dtype))


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_any_scores(scores: Array) -> None:
    check(scores)


@pytest.mark.usefixtures("instruction_set")
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
@settings(max_examples=40)
def test_ties(seed: int, rows: int, columns: int, levels: int) -> None:
    """Whole numbers: sums are exact, so the optimum must be met exactly."""
    scores = np.random.default_rng(seed).integers(-levels, levels, (rows, columns), endpoint=True).astype(np.float32)
    assert total(scores, ops.assign(scores)) == total(scores, reference.assign(scores))


def test_structured() -> None:
    """Where shortest paths are long: products, of which the best pairs both sides in order; few levels; low rank."""
    x, y = np.sort(normal(0, 2, 150, dtype=np.float64))
    np.testing.assert_array_equal(check(np.outer(x, y)), np.arange(150))
    check(np.outer(np.arange(120.0), -np.arange(90.0)))
    check(normal(1, 200, 3) @ normal(2, 3, 160))
    check(-np.abs(np.subtract.outer(x, y)))


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300])
def test_constant(value: float) -> None:
    for shape in ((300, 300), (40, 30), (30, 40)):
        total(np.full(shape, value), ops.assign(np.full(shape, value)))


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(300, 300), (300, 260), (260, 300)])
def test_planted(shape: tuple[int, int], dtype: Any) -> None:
    rows, columns = shape
    truth = np.random.default_rng(1).permutation(max(shape))[:columns]
    truth[truth >= rows] = -1
    matched = np.flatnonzero(truth >= 0)
    scores = (0.05 * normal(0, *shape)).astype(dtype)
    scores[truth[matched], matched] += 0.9
    np.testing.assert_array_equal(ops.assign(scores), truth)


def test_equal_on_every_instruction_set() -> None:
    """Each reads the scores in vectors of its own width, and takes the first of equals."""
    before, found = _core.instruction_set(), []
    problems = [normal(0, 90, 90), np.round(normal(1, 70, 90)), np.round(normal(2, 90, 70)), np.ones((33, 33))]
    try:
        for name in _core.INSTRUCTION_SETS:
            _core.use_instruction_set(name)
            found.append([ops.assign(scores) for scores in problems])
    finally:
        _core.use_instruction_set(before)
    for other in found[1:]:
        for expected, got in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("shape", [(9, 40, 40), (5, 30, 45), (5, 45, 30), (1, 8, 8), (0, 4, 6)])
def test_batch(shape: tuple[int, int, int], threads: int) -> None:
    scores = normal(3, *shape)
    found = ops.assign(scores, threads)
    assert found.shape == (shape[0], shape[2])
    for one, alone in zip(scores, found, strict=True):
        np.testing.assert_array_equal(alone, ops.assign(one))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(dtype: Any) -> None:
    wide = normal(4, 5, 61, 70, dtype=dtype)
    unaligned = np.frombuffer(b"x" + wide[0].tobytes(), np.uint8)[1:].view(dtype).reshape(61, 70)
    read_only = np.broadcast_to(wide[0, :1], (50, 70))
    for scores in (
        wide[0].T,
        np.asfortranarray(wide[0]),
        wide[:, 7, :],
        wide[0, ::2, 1::3],
        wide[0, ::-1, ::-1],
        wide[1, :40, :40].T,
        wide[1, :40, 20:60],
        unaligned,
        read_only,
    ):
        total(scores, ops.assign(scores))
        np.testing.assert_array_equal(check(scores), ops.assign(np.array(scores, order="K")))
    for batch in (wide[::2, ::3], wide.transpose(1, 0, 2), wide.transpose(2, 1, 0), wide[:, ::-1]):
        for one, alone in zip(batch, ops.assign(batch, 2), strict=True):
            assert total(one, alone) == pytest.approx(total(one, reference.assign(one)), rel=1e-12)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 3), (2, 3, 0), (0, 3, 3)])
def test_empty(shape: tuple[int, ...]) -> None:
    found = ops.assign(np.empty(shape, np.float32), 2)
    np.testing.assert_array_equal(found, np.full((*shape[:-2], shape[-1]), -1))


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_not_finite_is_refused(dtype: Any, value: float) -> None:
    for at in ((0, 0, 0), (1, 18, 20), (2, 7, 16)):
        scores = normal(5, 3, 19, 21, dtype=dtype)
        scores[at] = value
        for refused in (scores, scores[at[0]], scores.transpose(0, 2, 1)):
            with pytest.raises(ValueError, match="scores must be finite"):
                ops.assign(refused, 2)
    with pytest.raises(ValueError, match="at most 1e300"):
        ops.assign(np.array([[1e301]]))


def test_wrong_arguments() -> None:
    scores: Any
    for scores, threads, message in (
        (np.ones((3, 3), np.int64), 1, "float32 or float64, not int64"),
        (np.ones((3, 3), ">f4"), 1, "float32 or float64, not >f4"),
        (np.ones((3, 3), np.float16), 1, "float32 or float64, not float16"),
        (np.ones(3), 1, "2 or 3 axes, not 1"),
        (np.ones((3, 3)), 0, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.assign(scores, threads)


def test_gil_is_released() -> None:
    """While a long batch runs, this thread runs too."""
    scores, ran = np.broadcast_to(normal(6, 300, 300), (60, 300, 300)), []

    def work() -> None:
        ran.append(time.monotonic())
        ops.assign(scores)
        ran.append(time.monotonic())

    thread, seen = Thread(target=work), []
    thread.start()
    while thread.is_alive():
        seen.append(time.monotonic())
        time.sleep(0.0005)
    assert sum(ran[0] < at < ran[1] for at in seen) >= 3

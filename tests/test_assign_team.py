"""The assignment search of the GPU, run by teams of CPU threads, and on a device where there is one."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from weightkin import _core

Scores = np.ndarray[Any, np.dtype[Any]]
SHAPES = [(1, 1), (1, 2), (1, 9), (2, 2), (2, 3), (3, 3), (5, 6), (7, 40), (16, 16), (17, 33), (40, 40), (63, 65)]


def scores_of(kind: str, rows: int, columns: int) -> Scores:
    """Four problems of one kind."""
    random = np.random.default_rng(rows * 100 + columns)
    normal = random.standard_normal((4, rows, columns))
    if kind == "equal":
        return np.full((4, rows, columns), -0.25)
    if kind == "ties":
        return np.rint(normal)
    if kind == "duplicates":  # of persons and of objects
        return normal[:, random.integers(0, rows, rows)][:, :, random.integers(0, columns, columns)].astype(np.float32)
    if kind == "planted":  # a permutation that everyone wants
        planted = np.eye(rows, columns)[random.permutation(rows)]
        return (0.01 * normal + planted).astype(np.float32)
    if kind == "wide":
        return normal * 10.0 ** random.integers(-300, 299, normal.shape)
    if kind == "outer":  # what drives shortest paths through many objects
        return -np.outer(np.arange(1, rows + 1), np.arange(1, columns + 1)).astype(np.float64)[None].repeat(4, 0)
    return {"normal": normal, "single": normal.astype(np.float32), "negative": -1 - np.abs(normal)}[kind]


KINDS = ["normal", "single", "negative", "equal", "ties", "duplicates", "planted", "wide", "outer"]


def check_optimal(scores: Scores, owners: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    """Every shorter side is assigned, once, with the sum that scipy finds."""
    for score, owner in zip(scores.astype(np.float64), owners, strict=True):
        columns = np.flatnonzero(owner >= 0)
        assert columns.size == min(score.shape) == np.unique(owner[columns]).size
        rows, best = linear_sum_assignment(score, maximize=True)
        np.testing.assert_allclose(
            score[owner[columns], columns].sum(), score[rows, best].sum(), rtol=1e-12, atol=1e-12 * abs(score).max()
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_team(kind: str, rows: int, columns: int) -> None:
    """The optimum, and the same assignment for every size of the team."""
    scores = scores_of(kind, rows, columns)
    alone = _core.assign_team(scores, 1)
    check_optimal(scores, alone)
    for team in (2, 5):
        np.testing.assert_array_equal(_core.assign_team(scores, team), alone)
    tall = _core.assign_team(scores, 3, transposed=True)
    check_optimal(scores.transpose(0, 2, 1), tall)


def test_larger_than_the_team() -> None:
    scores = np.random.default_rng(3).standard_normal((2, 300, 333)).astype(np.float32)
    check_optimal(scores, _core.assign_team(scores, 1))
    np.testing.assert_array_equal(_core.assign_team(scores[:, :90, :90], 3), _core.assign_team(scores[:, :90, :90], 1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.1e300])
@pytest.mark.parametrize("team", [1, 3])
def test_not_finite(value: float, team: int) -> None:
    scores = np.zeros((3, 5, 6))
    scores[1, 4, 5] = value
    with pytest.raises(ValueError, match="scores must be finite, and at most 1e300 in magnitude"):
        _core.assign_team(scores, team)


def devices() -> int:
    if importlib.util.find_spec("weightkin._cuda") is None:
        return 0
    from weightkin import _cuda

    return _cuda.device_count()


@pytest.mark.skipif(devices() == 0, reason="needs an NVIDIA device and weightkin built with CUDA")
@pytest.mark.parametrize("kind", KINDS)
def test_device(kind: str) -> None:
    """Also tall ones, and problems that fill several blocks; what is not finite is refused."""
    torch = pytest.importorskip("torch")
    from weightkin import _cuda

    for rows, columns in (*SHAPES, (40, 7), (33, 32), (300, 280), (280, 300), (700, 700)):
        scores = scores_of(kind, rows, columns)
        on_device = torch.from_numpy(np.ascontiguousarray(scores)).cuda()
        out = torch.full((4, columns), -7, dtype=torch.int64, device="cuda")
        stream = torch.cuda.current_stream().cuda_stream
        double = scores.dtype == np.float64
        _cuda.assign(on_device.data_ptr(), 4, rows, columns, double, out.data_ptr(), stream)
        check_optimal(scores, out.cpu().numpy())
        if rows <= columns:
            np.testing.assert_array_equal(out.cpu().numpy(), _core.assign_team(scores, 1))
        on_device[2, -1, -1] = float("nan")
        with pytest.raises(ValueError, match="scores must be finite"):
            _cuda.assign(on_device.data_ptr(), 4, rows, columns, double, out.data_ptr(), stream)

"""Random initialisations pass, whatever they are drawn from; structure of any kind does not."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

from weightkin.statistics.random_start import (
    copies,
    depth_spread,
    fit,
    spread,
    structure,
    without_empty_lines,
    without_repeated_lines,
)
from weightkin.trajectory.start_findings import DISTANCE, Z_START

Array = np.ndarray
SHAPES = [(8, 96), (24, 96), (96, 96), (192, 96), (64, 1024), (256, 2048)]


def orthogonal(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    large = np.linalg.qr(random.standard_normal((max(shape), min(shape))))[0]
    return large if shape[0] >= shape[1] else large.T


DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(-1, 1, shape),
    "normal, cut at 2 deviations": lambda random, shape: stats.truncnorm(-2, 2).rvs(shape, random_state=random),
    "normal, cut at 3 deviations": lambda random, shape: stats.truncnorm(-3, 3).rvs(shape, random_state=random),
    "bf16": lambda random, shape: (0.02 * random.standard_normal(shape)).astype(ml_dtypes.bfloat16).astype(float),
    "orthogonal": orthogonal,
}


@pytest.mark.parametrize("law", DRAWS)
def test_drawn_matrices_pass(law: str) -> None:
    random = np.random.default_rng(0)
    for shape in SHAPES:
        for _ in range(20 if shape[1] < 1000 else 3):
            matrix = DRAWS[law](random, shape)
            assert max(structure(matrix, random)) < 5, shape
            found = fit(matrix.ravel()[:4096])
            assert found is not None and found.distance < DISTANCE


@pytest.mark.parametrize("law", ["normal", "uniform", "normal, cut at 2 deviations"])
def test_the_family_is_named(law: str) -> None:
    found = fit(0.02 * DRAWS[law](np.random.default_rng(1), (64, 64)).ravel())
    assert found is not None and found.family == law


@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_structure_is_seen(scale: float) -> None:
    random = np.random.default_rng(2)
    noise = random.standard_normal((96, 192))
    rows = noise * np.exp(0.15 * random.standard_normal((96, 1)))
    low_rank = noise + 3.5 * np.outer(orthogonal(random, (96, 1)), orthogonal(random, (192, 1))) * 8
    shared = noise + 0.4 * random.standard_normal((96, 12)) @ random.standard_normal((12, 192)) / 12**0.5
    assert structure(scale * rows, random).rows > Z_START and structure(scale * rows.T, random).columns > Z_START
    assert structure(scale * low_rank, random).edge > Z_START
    assert structure(scale * shared, random).correlation > Z_START
    offset = fit(scale * (noise.ravel()[:4096] + 0.3))
    assert offset is not None and offset.distance > DISTANCE


def test_heavy_tails_alone_are_no_structure() -> None:
    """Independent entries, of a family that no initialisation uses."""
    random = np.random.default_rng(3)
    for _ in range(20):
        matrix = random.standard_t(4, (96, 192))
        assert max(structure(matrix, random)) < Z_START
        found = fit(matrix.ravel()[:4096])
        assert found is not None and found.distance > DISTANCE


def test_padding_is_left_out() -> None:
    matrix = np.random.default_rng(4).standard_normal((96, 64))
    padded = matrix.copy()
    padded[::5] = 0
    assert without_empty_lines(padded).shape == (76, 64)
    assert structure(padded, np.random.default_rng(0)).rows > Z_START
    assert max(structure(without_empty_lines(padded), np.random.default_rng(0))) < 5


def test_copies_are_seen_through_noise() -> None:
    sketches = np.random.default_rng(5).standard_normal((64, 1024))
    assert copies(sketches)[1] < 6
    sketches[40] = sketches[3] + sketches[40]
    correlation, deviations = copies(sketches)
    assert correlation == pytest.approx(0.7, abs=0.05) and deviations > 20
    assert np.isnan(copies(sketches[:1])[1])


def test_scales_of_experts_and_layers() -> None:
    random = np.random.default_rng(6)
    elements, depths = 4096, np.arange(24.0)
    squares = (random.standard_normal((24, elements)) ** 2).mean(axis=1)
    assert abs(spread(squares, elements, 3.0)) < 4
    assert spread(squares * np.where(depths == 3, 1.4, 1), elements, 3.0) > Z_START
    for scaled in (squares, squares / (depths + 1)):  # as some initialisations do
        assert depth_spread(scaled, depths, elements, 3.0) < 4
    assert depth_spread(squares * (1 + 0.3 * np.sin(depths)), depths, elements, 3.0) > Z_START


def test_blocks_drawn_with_one_seed() -> None:
    """Four devices had the same seed for their rows."""
    random = np.random.default_rng(7)
    block = random.standard_normal((24, 64))
    repeated = np.concatenate([block] * 4)
    assert structure(repeated, random).correlation > Z_START
    assert np.array_equal(without_repeated_lines(repeated), block)
    assert np.array_equal(without_repeated_lines(repeated.T), block.T)

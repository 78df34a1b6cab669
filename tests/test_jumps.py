"""Jumps: strands of checkpoints that match, paths that come back, steps out of proportion."""

from __future__ import annotations

import numpy as np
import pytest

from weightkin.statistics.jumps import (
    EXCESS,
    Run,
    detours,
    excesses,
    foreign_runs,
    relation,
    replaced_tensors,
    strands,
    turns,
    unusual_steps,
)  # fmt: skip
from weightkin.trajectory.course import pairs_of
from weightkin.trajectory.sums import windows

DIMENSIONS = 2000


def relations(trainings: str) -> dict[tuple[int, int], str]:
    """Of checkpoints on the trainings that letters name."""
    pairs = pairs_of(len(trainings))
    return {(a, b): "match" if trainings[a] == trainings[b] else "nothing" for a, b in pairs}


@pytest.mark.parametrize(
    ("trainings", "runs"),
    [
        ("aaaaaaaaa", []),
        ("aaaabaaaa", [Run(4, 4)]),
        ("aaaabbaaa", [Run(4, 5)]),
        ("aaaabcaaa", [Run(4, 4), Run(5, 5)]),
        ("abaabaaaa", [Run(1, 1), Run(4, 4)]),
        ("aaaaabbbb", [Run(5, 8)]),
        ("aabbbbbbb", [Run(0, 1)]),
        ("aaaaaaaab", [Run(8, 8)]),
        ("ab", [Run(0, 0)]),
        ("aaab", [Run(3, 3)]),
    ],
)
def test_runs_of_another_training(trainings: str, runs: list[Run]) -> None:
    found = relations(trainings)
    assert foreign_runs(strands(len(trainings), found)) == runs  # type: ignore[arg-type]


def test_a_weak_match_of_neighbours_is_no_break() -> None:
    found = dict.fromkeys(pairs_of(4), "nothing")
    assert foreign_runs(strands(4, found | {(0, 1): "unclear", (1, 2): "match", (2, 3): "match"})) == []  # type: ignore[arg-type]
    assert foreign_runs(strands(4, found | {(1, 2): "match", (2, 3): "match", (0, 2): "unclear"})) == [Run(0, 0)]  # type: ignore[arg-type]


def test_relations() -> None:
    assert [relation(z, above) for z, above in ((40.0, True), (7.0, False), (5.5, True), (4.9, True), (-3.0, False))] == [
        "match", "unclear", "unclear", "nothing", "nothing",
    ]  # fmt: skip


def squares(path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """gap, around and square of [M, n] checkpoints."""
    return (
        ((path[1:] - path[:-1]) ** 2).sum(axis=1), ((path[2:] - path[:-2]) ** 2).sum(axis=1), (path**2).sum(axis=1),
    )  # fmt: skip


def walk(seed: int, kind: str) -> np.ndarray:
    """[12, n]: a path from a start of norm sqrt(n)."""
    random = np.random.default_rng(seed)
    start, noise = random.standard_normal(DIMENSIONS), random.standard_normal((12, DIMENSIONS))
    drift = np.arange(12)[:, None] * random.standard_normal(DIMENSIONS)
    moves = {"straight": 0.2 * drift, "walk": 0.3 * noise.cumsum(axis=0), "around one point": 0.5 * noise}
    return start + moves[kind]


@pytest.mark.parametrize("kind", ["straight", "walk", "around one point"])
def test_only_what_goes_out_and_comes_back_is_a_detour(kind: str) -> None:
    path = walk(0, kind)
    assert not detours(*squares(path)).any()
    path[4] = np.random.default_rng(1).standard_normal(DIMENSIONS) * 1.2
    if kind == "straight":  # whose own steps are shorter
        assert np.flatnonzero(detours(*squares(path))).tolist() == [4]
    expected = {"straight": 1.0, "walk": 0.0, "around one point": -0.5}[kind]
    assert turns(*squares(walk(0, kind))[:2]) == pytest.approx(np.full(10, expected), abs=0.1)


def test_storing_one_checkpoint_more_coarsely_is_no_detour() -> None:
    path = np.repeat(walk(0, "walk")[:1], 12, axis=0)
    path[4] *= 1 + 0.05 * np.random.default_rng(1).uniform(-1, 1, DIMENSIONS)
    assert turns(*squares(path)[:2])[3] == pytest.approx(-1)
    assert not detours(*squares(path)).any()


def test_steps_out_of_proportion() -> None:
    fading = 0.5 * 0.8 ** np.arange(12)
    warm_up = np.concatenate([0.01 * 2.0 ** np.arange(4), 0.1 * 0.9 ** np.arange(8)])
    for lengths in (fading, fading[::-1], warm_up, np.full(12, 0.1)):
        assert unusual_steps(lengths, None) == []
        jumping = lengths.copy()
        jumping[7] = 1.2 * EXCESS * max(lengths[5:10])
        assert unusual_steps(jumping, None) == [8]
        jumping[0] = 10.0  # the first step may be any length
        assert 1 not in unusual_steps(jumping, None)
    assert unusual_steps(np.zeros(12), None) == [] and unusual_steps(1e-3 * jumping, None) == []


def test_long_intervals_make_long_steps() -> None:
    intervals = np.array([10.0, 10, 10, 10, 10, 1000, 10, 10, 10])
    for power in (0.5, 1.0):
        lengths = 0.02 * intervals**power / 10**power
        assert unusual_steps(lengths, intervals) == []
        assert unusual_steps(lengths, None) == [6]
    assert excesses(np.ones(4), None).tolist() == [-np.inf, 0, 0, 0]


def test_single_matrices() -> None:
    before, around = np.full((4, 8), 50.0), np.full((4, 7), 50.0)
    before[0, [3, 4]] = 1.0  # out at 4
    before[1, 3], around[1, [2, 3]] = 1.0, 1.0  # others from 4 on
    before[2, 0] = 1.0  # whatever the first was
    before[3] = np.nan
    found = replaced_tensors(before, around)
    assert np.argwhere(found.alone).tolist() == [[0, 4]] and np.argwhere(found.from_here).tolist() == [[1, 4]]


@pytest.mark.parametrize("members", [2, 3, 4, 5, 6, 7, 16, 17, 40, 256])
def test_every_pair_meets_in_a_window(members: int) -> None:
    held = windows(members)
    met = {(a, b) for window in held for a in window for b in window if a < b}
    assert set(pairs_of(members)) <= met
    assert max(map(len, held)) <= 6 and sum(map(len, held)) <= 2 * members + 6

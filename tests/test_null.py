"""The relabelling null: its draws are shared and exact, whatever the law of the weights and however layers depend."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from folders import write_checkpoint
from weightkin import comparison, ops
from weightkin.plan import make_plan
from weightkin.relabelling import Relabellings
from weightkin.statistics.null import (
    draw_lags,
    draw_lines,
    extrapolated_p,
    generator,
    pool,
    rank_p,
    standardise,
    z_score,
)

Array = npt.NDArray[np.float64]


def statistic(x: Array, y: Array, draws: int, seed: int = 0) -> Array:
    """[1 + draws] of two tensors [lines, channels]."""
    lags = draw_lags(x.shape[1], draws, seed)
    operands = [ops.operand(values.astype(np.float32)) for values in (x, y)]
    return ops.lagged(operands, 1, np.arange(len(x)), lags)[0]


def uniform_on_grid(p: Array, draws: int) -> float:
    """Chi-square p that `p` is uniform on 1/(R+1), 2/(R+1), ..., 1."""
    counts = np.bincount(np.rint(p * (draws + 1)).astype(int) - 1, minlength=draws + 1)
    return float(stats.chisquare(counts).pvalue)


@pytest.mark.parametrize(
    ("extent", "draws"), [(4096, 256), (5120, 256), (2880, 256), (1280, 100), (257, 256), (97, 96)]
)
def test_lags(extent: int, draws: int) -> None:
    lags = draw_lags(extent, draws, 7, "text", "residual")
    assert lags[0] == 0 and len(set(lags.tolist())) == 1 + draws and lags[1:].min() > 0 and lags.max() < extent
    step = int(np.gcd.reduce(lags))
    assert extent % step == 0, "multiples that are no subgroup"
    np.testing.assert_array_equal(lags, draw_lags(extent, draws, 7, "text", "residual"))
    for other in (draw_lags(extent, draws, 8, "text", "residual"), draw_lags(extent, draws, 7, "vision", "residual")):
        assert (lags != other).any() or draws == extent - 1


def test_lags_of_a_short_axis_repeat() -> None:
    lags = draw_lags(16, 200, 0)
    assert len(lags) == 201 and lags[0] == 0 and set(lags.tolist()) == set(range(16))


def test_lines() -> None:
    np.testing.assert_array_equal(draw_lines(100, 100, 0), np.arange(100))
    seen: set[int] = set()
    for seed in range(60):
        lines = draw_lines(1003, 128, seed, "tensor")
        assert 100 < len(lines) <= 128 and lines[0] >= 0 and lines[-1] < 1003
        gaps = np.diff(lines)
        assert (gaps > 0).all() and (gaps == 1).mean() > 0.9
        np.testing.assert_array_equal(lines, draw_lines(1003, 128, seed, "tensor"))
        seen.update(lines.tolist())
    assert seen == set(range(1003))
    assert len(draw_lines(1003, 1, 0)) in (11, 32)
    assert (draw_lines(1003, 128, 0, "one") != draw_lines(1003, 128, 0, "two")).any()


def test_generators_depend_on_seed_and_purpose_alone() -> None:
    first, *others = (generator(*key).random(3) for key in ((0, "lags"), (0, "lags"), (1, "lags"), (0, "lines")))
    assert (others[0] == first).all() and (others[1] != first).all() and (others[2] != first).all()


def test_ranks() -> None:
    rows = np.array([[5, 1, 2, 3], [1, 5, 2, 3], [2, 2, 2, 1.0]])
    np.testing.assert_allclose(rank_p(rows), [1 / 4, 1, 3 / 4])
    np.testing.assert_allclose(z_score(rows)[:2], [3, (1 - 10 / 3) / rows[1, 1:].std(ddof=1)])
    assert np.isnan(z_score(np.array([[3.0, 1, 1, 1], [0, 0, 0, 0]]))).all()
    standard = standardise(np.array([[5.0, 1, 2, 3], [7, 7, 7, 7]]))
    np.testing.assert_allclose([standard[0].mean(), standard[0].std()], [0, 1], atol=1e-12)
    assert not standard[1].any()


def test_extrapolated_only_where_the_rank_is_at_its_floor() -> None:
    p, extrapolated = extrapolated_p(np.array([1 / 100, 1 / 100, 5 / 100]), np.array([6.0, 1.0, 6.0]), 99)
    np.testing.assert_allclose(p, [stats.norm.sf(6), 1 / 100, 5 / 100])
    assert extrapolated.tolist() == [True, False, False]


@pytest.mark.parametrize("lines", [1, 2, 24])
def test_rank_p_is_exact(lines: int) -> None:
    """Whatever the law: here channels and lines of wild scales, few directions, coarse rounding."""
    draws, found = 19, []
    for pair in range(2000):
        random = np.random.default_rng([lines, pair])
        x, y = (
            np.round(
                random.standard_cauchy((lines, 2)) @ random.standard_cauchy((2, 40)) + random.standard_normal(40), 1
            )
            for _ in range(2)
        )
        found.append(rank_p(statistic(x, y, draws, pair)))
    assert uniform_on_grid(np.array(found), draws) > 1e-3


def test_pooling_keeps_dependence_where_stouffer_does_not() -> None:
    """Twelve layers whose norm gains are nearly the same vector count as one, not as twelve."""
    draws, pooled, stouffer = 31, [], []
    for pair in range(600):
        random = np.random.default_rng(pair)
        a, b = (random.standard_normal(64) + 0.3 * random.standard_normal((12, 64)) for _ in range(2))
        rows = np.array([statistic(x[None], y[None], draws, pair) for x, y in zip(a, b, strict=True)])
        pooled.append(rank_p(pool(rows)))
        stouffer.append(stats.norm.sf(z_score(rows).sum() / np.sqrt(len(rows))))
    assert uniform_on_grid(np.array(pooled), draws) > 1e-3
    assert np.mean(np.array(stouffer) < 0.001) > 0.1, "the usual way calls a tenth of independent pairs significant"


@pytest.mark.parametrize("size", [3.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("leaning", [False, True])
def test_largest_channels_that_meet_by_chance_are_no_evidence(leaning: bool, size: float) -> None:
    """Independent models with one huge channel each, at one index: 100 tensors, whose lines may all lean to one side on
    it, as gates do. Every draw parts the two channels, so this is outside the null; balancing must make it harmless."""
    random = np.random.default_rng(5)

    def model() -> list[Array]:
        tensors = random.standard_normal((100, 64, 128))
        side = random.uniform(0.5, 1.5, (100, 64)) if leaning else random.standard_normal((100, 64))
        tensors[:, :, 17] += size * side
        return list(tensors)

    rows = [statistic(x, y, 127) for x, y in zip(model(), model(), strict=True)]
    assert abs(z_score(pool(rows))) < 4


def test_gains_that_rounding_left_equal_have_no_statistic() -> None:
    """Of 4096 gains at 1.0 but for three in each model, two that meet would be 11 deviations from what draws show."""
    gains = np.ones((2, 1, 4096))
    gains[0, 0, [1, 5, 9]] = gains[1, 0, [9, 77, 80]] = 1 + 2**-7
    assert np.isnan(z_score(statistic(*gains, 255)))


@pytest.mark.parametrize(("lines", "channels", "draws"), [(1, 64, 31), (24, 64, 31), (64, 5120, 256), (91, 2880, 256)])
def test_what_rounding_leaves_of_a_constant_statistic_is_no_evidence(lines: int, channels: int, draws: int) -> None:
    """Lags keep to multiples of a step, and channels of that period are the same after each."""
    step = int(np.gcd.reduce(draw_lags(channels, draws, 0)))
    largest, rounded = channels if lines > 1 else 1, 0
    for seed in range(5):
        random = np.random.default_rng(seed)
        x = np.tile(random.standard_normal((lines, step)), channels // step)
        found = statistic(x, random.standard_normal((lines, channels)), draws)
        rounded += bool(np.ptp(found) > 1e-12 * np.abs(found).max())
        assert found.any() and np.isnan(z_score(found, largest)) and not standardise(found, largest).any()
    assert rounded, "the kernel rounds nothing here"


def test_kin_are_found() -> None:
    """Of two tensors with a correlation of 0.1, z is near r sqrt(elements)."""
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((2, 64, 256))
    z = z_score(statistic(x, 0.1 * x + np.sqrt(0.99) * noise, 255))
    assert z == pytest.approx(0.1 * np.sqrt(x.size), abs=3)


def test_relabelling_is_shared(tmp_path: Path) -> None:
    """Every tensor of a component turns its residual channels by the same lags; what has no arbitrary order stays."""
    shapes = {
        "embed_tokens": (90, 64), "norm": (64,), "layers.0.self_attn.q_proj": (32, 64), "layers.0.self_attn.o_proj": (64, 32),
        "layers.0.self_attn.q_norm": (16,), "layers.0.mlp.down_proj": (64, 48), "layers.0.mlp.up_proj": (48, 64),
        "layers.0.self_attn.rotary_emb.inv_freq": (8,), "layers.0.something": (48, 64),
    }  # fmt: skip
    vision = {
        "embeddings.position_embedding": (50, 32), "embeddings.class_embedding": (32,),
        "encoder.layers.0.self_attn.q_proj": (32, 32),
    }  # fmt: skip
    names = {f"model.language_model.{name}.weight": shape for name, shape in shapes.items()}
    names |= {f"model.vision_model.{name}.weight": shape for name, shape in vision.items()}
    tensors = {name.replace("inv_freq.weight", "inv_freq"): np.ones(shape, np.float32) for name, shape in names.items()}
    plan = make_plan(
        comparison.open_models([write_checkpoint(tmp_path / name, tensors, {"model_type": "novel"}) for name in "ab"])
    )
    relabellings = Relabellings(plan, 40, 3)
    assert [relabellings.draws(component) for component in ("text", "vision", "audio")] == [40, 31, 0]
    lags: dict[str, list[list[int]]] = {}
    without = []
    for unit in plan.units:
        found = relabellings.of(unit)
        if found is None:
            without.append(unit.address.role)
            continue
        assert unit.axes[found.axis] == "residual"
        assert len(found.lines) == unit.parameters // unit.views[0].shape[found.axis]
        lags.setdefault(unit.address.component, []).append(found.lags.tolist())
    assert sorted(without) == [
        "attn.q_norm",
        "attn.rotary",
        "other:model.language_model.layers.{}.something.weight",
        "position_embed",
    ]
    assert len(lags["text"]) == 6 and len(lags["vision"]) == 2
    assert all(one == other for found in lags.values() for one, other in pairwise(found))
    assert Relabellings(plan, 0, 3).of(plan.units[0]) is None

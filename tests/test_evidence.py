"""Evidence on whole checkpoints: strangers that look alike get no verdict, and kin get the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from weightkin.bench.zoo.calibration import calibrate
from weightkin.bench.zoo.synthetic import judge_synthetic

import weightkin
from folders import write_checkpoint
from weightkin import PlanError, Results

Array = npt.NDArray[np.float64]
Tensors = dict[str, Array]

HIDDEN, LAYERS = 128, 4
SHAPES = {
    "input_layernorm.weight": (HIDDEN,), "post_attention_layernorm.weight": (HIDDEN,),
    "self_attn.q_proj.weight": (64, HIDDEN), "self_attn.k_proj.weight": (32, HIDDEN), "self_attn.k_proj.bias": (32,),
    "self_attn.v_proj.weight": (32, HIDDEN), "self_attn.o_proj.weight": (HIDDEN, 64),
    "mlp.gate_proj.weight": (96, HIDDEN), "mlp.up_proj.weight": (96, HIDDEN), "mlp.down_proj.weight": (HIDDEN, 96),
}  # fmt: skip


def model(seed: int) -> Tensors:
    """A decoder whose norm gains lie within a few hundredths of 1."""
    random = np.random.default_rng(seed)
    names = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in SHAPES.items()}
    names |= {
        "model.embed_tokens.weight": (200, HIDDEN),
        "lm_head.weight": (200, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    return {name: 0.02 * random.standard_normal(shape) + ("norm" in name) for name, shape in names.items()}


def mix(a: Tensors, b: Tensors, wanted: Callable[[str], bool], share: float = 0.7) -> Tensors:
    """b, with `share` of a in the tensors that are wanted."""
    return {name: share * (x - x.mean()) + b[name] if wanted(name) else b[name] for name, x in a.items()}


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., Results]:
    def run(*models: Mapping[str, Array], model_type: str = "llama", **options: Any) -> Results:
        paths = []
        for name, tensors in zip("ab", models, strict=True):
            stored = {key: x.astype(ml_dtypes.bfloat16) for key, x in tensors.items()}
            paths.append(write_checkpoint(tmp_path / name, stored, {"model_type": model_type}))
        return weightkin.compare(*paths, **options)

    return run


def group(results: Results, name: str, component: str = "text") -> dict[str, Any]:
    groups: list[dict[str, Any]] = results.summary["groups"]
    return next(one for one in groups if (one["component"], one["group"]) == (component, name))


def verdicts(results: Results) -> dict[str, str]:
    return {one["group"]: one["verdict"] for one in results.summary["groups"]}


def test_norms_of_strangers_are_alike_and_mean_nothing(compare: Callable[..., Results]) -> None:
    """The published mistake: a cosine above 0.99, which every model's gains have with every other's."""
    for seed in range(0, 10, 2):
        results = compare(model(seed), model(seed + 1))
        norms = group(results, "norms")
        assert norms["cosine"] > 0.99 and abs(norms["pearson"]) < 0.2
        assert norms["cosine"] == pytest.approx(norms["cosine_if_uncorrelated"], abs=1e-3)
        assert all(abs(one["z"]) < 4 for one in results.summary["groups"])
        assert set(verdicts(results).values()) == {"no_evidence"}
        assert results.summary["verdict"]["relation"] == "no_evidence"
        assert results.summary["verdict"]["statement"].startswith("No evidence that a and b share descent")


def test_random_models_with_the_structure_of_trained_ones(tmp_path: Path) -> None:
    """A dozen pairs of strangers, half of which have their largest channels in the same places."""
    for meeting in (False, True):
        found = calibrate(list(judge_synthetic(tmp_path, 6, seed=3, meeting=meeting)))
        assert found.verdicts == {"no_evidence": 6} and found.failures == ()
        assert found.uniform_p > 1e-3


def test_norms_alone(compare: Callable[..., Results]) -> None:
    base = model(0)
    results = compare(base, mix(base, model(1), lambda name: "norm" in name))
    assert results.summary["verdict"]["relation"] == "norms_only"
    assert verdicts(results) == dict.fromkeys(("attention", "mlp", "embeddings"), "no_evidence") | {
        "norms": "norms_only"
    }
    statement = results.summary["verdict"]["statement"]
    assert (
        "share norm gains, and nothing else that could be tested" in statement
        and "not proof of independence" in statement
    )


def test_kin(compare: Callable[..., Results]) -> None:
    base = model(0)
    results = compare(base, mix(base, model(1), lambda _: True))
    assert results.summary["verdict"]["relation"] == "derived" and results.summary["verdict"]["how"] == ["finetuned"]
    assert set(verdicts(results).values()) == {"derived"}
    assert "two trainings that started from one initialisation" in results.summary["verdict"]["statement"]
    for one in results.summary["groups"]:
        assert one["z"] > 8 and one["p_rank"] == pytest.approx(1 / 128)
        assert one["p_extrapolated"] == (one["group"] not in ("norms", "embeddings"))
        if one["tensors"] > 2:
            assert one["pearson_low"] < one["pearson"] < one["pearson_high"]


def test_part_of_the_layers(compare: Callable[..., Results]) -> None:
    base = model(0)
    results = compare(base, mix(base, model(1), lambda name: "layers.3" not in name))
    assert results.summary["verdict"]["relation"] == "partial"
    assert verdicts(results)["attention"] == verdicts(results)["mlp"] == "partial"
    assert group(results, "mlp")["layers_without"] == [3]
    assert "but not in layer 3" in results.summary["verdict"]["statement"]


def test_constant_norms_are_not_tested(compare: Callable[..., Results]) -> None:
    """Equal to the last bit in both, as they are before training: that is no kinship."""
    a, b = ({name: x * 0 + 1 if "norm" in name else x for name, x in model(seed).items()} for seed in range(2))
    results = compare(a, b)
    norms = group(results, "norms")
    assert (norms["verdict"], norms["identical_fraction"], norms["z"], norms["draws"]) == ("not_tested", 1, None, 0)
    assert results.summary["verdict"]["relation"] == "no_evidence"
    assert "Compared but not judged" in results.summary["verdict"]["statement"]


def test_only_constants_in_common(compare: Callable[..., Results]) -> None:
    a = {"model.layers.0.input_layernorm.weight": np.ones(HIDDEN), "model.layers.0.self_attn.k_proj.bias": np.zeros(32)}
    results = compare(a, a)
    assert set(verdicts(results).values()) == {"not_tested"}
    assert results.summary["verdict"]["relation"] == "not_tested"


def test_buffers_in_common_are_no_kinship(compare: Callable[..., Results]) -> None:
    """Positions and frequencies follow from a formula, so they are equal in independent models."""
    places, channels = np.arange(60)[:, None], np.arange(HIDDEN // 2)
    angles = places / 10_000 ** (channels / (HIDDEN // 2))
    buffers = {
        "vision_tower.vision_model.embeddings.position_embedding.weight": np.hstack([np.sin(angles), np.cos(angles)]),
        "model.rotary_emb.inv_freq": 1 / 10_000 ** (channels / (HIDDEN // 2)),
        "model.layers.0.self_attn.bias": np.tril(np.ones((64, 64))),
        "model.layers.0.mixer.A_log": np.log(np.tile(np.arange(1.0, 17), (HIDDEN, 1))),
    }
    a, b = ({**model(seed), **buffers} for seed in range(2))
    results = compare(a, b, model_type="novel")
    assert group(results, "embeddings", "vision")["identical_fraction"] == 1
    assert results.summary["verdict"]["components"] == {"text": "no_evidence", "vision": "not_tested"}
    assert results.summary["verdict"]["relation"] == "no_evidence"
    assert not {"identical", "derived", "partial"} & set(verdicts(results).values())


def test_what_was_not_tested_is_said(compare: Callable[..., Results]) -> None:
    a, b = model(0), model(1)
    b["model.embed_tokens.weight"] = np.zeros((10, HIDDEN)) + 1
    del b["lm_head.weight"]
    results = compare(a, b, exclude=["attn.v"])
    statement = results.summary["verdict"]["statement"]
    for reason in ("shape (25,600 parameters)", "missing in b (25,600 parameters)", "excluded (16,384 parameters)"):
        assert reason in statement
    assert 0 < results.summary["coverage"]["fraction"] < 1


def test_pools(compare: Callable[..., Results]) -> None:
    """Biases are outside the pool of matrices; every pooled statistic is stored with its draws."""
    base = model(0)
    results = compare(base, mix(base, model(1), lambda name: name.endswith("bias")))
    assert results.summary["verdict"]["relation"] == "no_evidence"
    pools = {(row["level"], row["group"], row["role"], row["layer"]): row for row in results["nulls"].to_pylist()}
    assert pools["group", "attention", None, None]["tensors"] == 4 * LAYERS
    assert pools["layer", "mlp", None, 2]["tensors"] == 3 and pools["role", "mlp", "mlp.up", None]["tensors"] == LAYERS
    assert pools["component", None, None, None]["tensors"] == 7 * LAYERS
    for row in pools.values():
        draws = np.array(row["draws"])
        assert len(draws) == 127
        assert row["p"] == (1 + np.count_nonzero(draws >= np.float32(row["observed"]))) / 128
    layers = [np.array(pools["layer", "mlp", None, layer]["draws"]) for layer in range(LAYERS)]
    np.testing.assert_allclose(sum(layers), pools["group", "mlp", None, None]["draws"], atol=1e-4)


def test_draws_and_seed(compare: Callable[..., Results]) -> None:
    a, b = model(0), model(1)
    few, again, other, none = (
        group(compare(a, b, null=draws, seed=seed), "mlp") for draws, seed in ((40, 0), (40, 0), (40, 1), (0, 0))
    )
    assert few["draws"] == 40 and few["z"] == again["z"] != other["z"]
    assert (none["draws"], none["z"], none["p"], none["verdict"]) == (0, None, None, "not_tested")
    with pytest.raises(PlanError, match="a null of 18 draws can show nothing"):
        compare(a, a, null=18)

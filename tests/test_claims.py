"""The published analyses recomputed: against plain numpy, on kin and on strangers, with a third model, on bad input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file
from scipy.optimize import linear_sum_assignment

import weightkin
from commands import weightkin as command
from controversy import claim
from folders import write_checkpoint
from weightkin import PlanError, Results, comparison
from weightkin.cli import main
from weightkin.published.baseline import effect_size
from weightkin.published.norms import published_layers

Array = npt.NDArray[np.float64]

LAYERS = 6


def stored(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return x if x.size == 1 else x.astype(ml_dtypes.bfloat16)


def small_model(random: np.random.Generator) -> dict[str, Any]:
    """A mixture of experts whose gains lie near a constant that grows with depth."""
    shapes = {"input_layernorm": (192,), "post_attention_layernorm": (192,), "self_attn.q_norm": (16,),
              "self_attn.q_proj": (32, 192), "self_attn.k_proj": (16, 192), "self_attn.v_proj": (16, 192),
              "mlp.gate": (8, 192), "mlp.experts.0.gate_proj": (24, 192), "mlp.experts.1.gate_proj": (24, 192)}  # fmt: skip
    weights: dict[str, Any] = {"odd": np.zeros(1, np.uint8)}  # all others start at odd bytes
    weights["model.embed_tokens.weight"] = random.standard_normal((64, 192))
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            draw = random.standard_normal(shape)
            gain = (0.3 + 0.1 * layer) * (1 + 0.1 * draw)
            weights[f"model.layers.{layer}.{name}.weight"] = gain if "norm" in name else 0.02 * draw
    return weights


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """base, a model that was trained on from it, one that shares nothing with it, and one that has its norms alone."""
    folder, random = tmp_path_factory.mktemp("zoo"), np.random.default_rng(11)
    base, other = small_model(random), small_model(random)
    models = {
        "base": base,
        "finetuned": {name: x + 0.05 * x.std() * random.standard_normal(x.shape) for name, x in base.items()},
        "unrelated": other,
        "norms_only": {name: base[name] if "norm" in name else x for name, x in other.items()},
    }
    config = {"model_type": "qwen3_moe", "hidden_size": 192, "num_hidden_layers": LAYERS, "head_dim": 16}
    return {
        name: str(write_checkpoint(folder / name, {n: stored(x) for n, x in weights.items()}, config))
        for name, weights in models.items()
    }


@pytest.fixture(scope="module")
def unrelated(zoo: dict[str, str]) -> Results:
    return weightkin.claims([zoo["base"], zoo["unrelated"]])


def weights_of(path: str) -> dict[str, Array]:
    return {name: array.astype(np.float64) for name, array in load_file(Path(path) / "model.safetensors").items()}


def cosine(x: Array, y: Array) -> float:
    return float((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y))


def test_sigma_is_the_published_arithmetic() -> None:
    """The eight cosines that were published give the published 182, and with layer 0 the mean 0.817."""
    within = [0.375810, 0.375664, 0.377255, 0.379035]
    across = [0.981094, 0.991792, 0.991429, 0.991635]
    assert round(effect_size(across, within) or 0) == 182
    assert np.mean([*across, 0.127247]) == pytest.approx(0.817, abs=5e-4)
    assert effect_size(across[:1], within[:1]) is None
    assert effect_size([1.0, 1.0], [0.5, 0.5]) is None


@pytest.mark.parametrize(
    ("depth", "layers"), [(48, [10, 20, 30, 40]), (46, [10, 20, 30, 40]), (6, [1, 2, 3, 4]), (3, [1, 2]), (1, [])]
)
def test_layers_scale_with_depth(depth: int, layers: list[int]) -> None:
    assert published_layers(range(depth)) == layers


def test_norms_against_numpy(zoo: dict[str, str], unrelated: Results) -> None:
    a, b = weights_of(zoo["base"]), weights_of(zoo["unrelated"])
    rows = {(row["role"], row["layer"]): row for row in unrelated["claims_layers"].to_pylist()}
    names = {"norm.input": "input_layernorm", "norm.post_attention": "post_attention_layernorm",
             "attn.k": "self_attn.k_proj", "attn.v": "self_attn.v_proj", "attn.q_norm": "self_attn.q_norm"}  # fmt: skip
    for role, name in names.items():
        for layer in range(LAYERS):
            x, y = (weights[f"model.layers.{layer}.{name}.weight"].ravel() for weights in (a, b))
            gap, row = x - y, rows[role, layer]
            expected = {
                "cosine": cosine(x, y), "pearson": np.corrcoef(x, y)[0, 1], "mean_abs_difference": abs(gap).mean(),
                "relative_l2_a": np.linalg.norm(gap) / np.linalg.norm(x), "cv_a": x.std() / abs(x.mean()),
                "relative_l2_b": np.linalg.norm(gap) / np.linalg.norm(y), "cv_b": y.std() / abs(y.mean()),
                "p99_difference": abs(np.quantile(abs(x), 0.99) - np.quantile(abs(y), 0.99)),
            }  # fmt: skip
            for measure, value in expected.items():
                assert row[measure] == pytest.approx(value, rel=1e-6, abs=1e-6), (role, layer, measure)
    metrics = claim(unrelated, "seven_metrics")
    entry = next(one for one in metrics["corrected"]["roles"] if one["role"] == "attn.k")
    every = [rows["attn.k", layer]["relative_l2_b"] for layer in range(LAYERS)]
    assert entry["relative_l2_b"] == pytest.approx(np.mean(every))
    assert entry["range"]["relative_l2_b"] == [min(every), max(every)]
    chosen = metrics["published_style"]
    assert chosen["layers"] == published_layers(range(LAYERS))[:3]
    assert chosen["roles"]["attn.k"]["relative_l2"] != pytest.approx(entry["relative_l2_a"], rel=1e-9)


def test_baseline_against_numpy(zoo: dict[str, str], unrelated: Results) -> None:
    stacks = [
        np.stack([weights[f"model.layers.{layer}.input_layernorm.weight"] for layer in range(LAYERS)])
        for weights in map(weights_of, (zoo["base"], zoo["unrelated"]))
    ]
    found = claim(unrelated, "layer_0_baseline")
    chosen = found["published_style"]["layers"]
    across = [cosine(stacks[0][layer], stacks[1][layer]) for layer in range(LAYERS)]
    assert found["published_style"]["cosine_across"] == pytest.approx(np.mean([across[layer] for layer in chosen]))
    for side, stack in zip("ab", stacks, strict=True):
        from_0 = [cosine(stack[0], stack[layer]) for layer in chosen]
        assert found["published_style"][f"cosine_within_{side}"] == pytest.approx(np.mean(from_0))
        expected = effect_size([across[layer] for layer in chosen], from_0)
        assert found["published_style"][f"sigma_{side}"] == pytest.approx(expected, rel=1e-4)
        neighbours = [cosine(stack[layer], stack[layer + 1]) for layer in range(1, LAYERS - 1)]
        assert found["corrected"][f"cosine_within_{side}"] == pytest.approx(np.mean(neighbours))
        assert found["corrected"][f"sigma_{side}"] == pytest.approx(effect_size(across[1:], neighbours), rel=1e-4)


def routers_of(random: np.random.Generator, experts: int, width: int = 64) -> dict[str, Any]:
    """A model of two layers, the second with a router."""
    norm = "model.layers.{}.input_layernorm.weight"
    weights: dict[str, Any] = {norm.format(layer): 1 + 0.1 * random.standard_normal(width) for layer in (0, 1)}
    weights["model.layers.1.mlp.gate.weight"] = random.standard_normal((experts, width)) + 0.5
    return {name: array.astype(np.float32) for name, array in weights.items()}


@pytest.mark.parametrize(("experts_a", "experts_b"), [(8, 8), (8, 5), (5, 8)])
def test_routers_against_scipy(tmp_path: Path, experts_a: int, experts_b: int) -> None:
    """Rows that are too many stay alone: nothing is cropped to the first few."""
    config, random = {"model_type": "solar_open", "hidden_size": 64}, np.random.default_rng(7)
    models = [routers_of(random, experts) for experts in (experts_a, experts_b)]
    paths = [write_checkpoint(tmp_path / name, weights, config) for name, weights in zip("ab", models, strict=True)]
    found = claim(weightkin.claims(paths), "router_assignment")
    a, b = (weights["model.layers.1.mlp.gate.weight"].astype(float) for weights in models)
    scores = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    expected = scores[linear_sum_assignment(scores, maximize=True)].mean()
    assert found["published_style"]["cosine_assigned"] == pytest.approx(expected, abs=1e-6)
    assert abs(found["corrected"]["z"]) < 4
    # A shared mean of the rows is no kinship: the relabelled copies have it too, Gaussian routers do not.
    assert found["corrected"]["cosine_relabelled"] > found["corrected"]["cosine_gaussian"] + 0.05


def test_other_shapes_are_not_cropped(tmp_path: Path) -> None:
    """Keys of 4 and of 6 rows: no number, a row in the table with the reason, and a line in print."""
    random = np.random.default_rng(8)
    paths = []
    for rows in (4, 6):
        weights = routers_of(random, 8)
        weights["model.layers.1.self_attn.k_proj.weight"] = random.standard_normal((rows, 64)).astype(np.float32)
        config = {"model_type": "solar_open", "hidden_size": 64}
        paths.append(str(write_checkpoint(tmp_path / str(rows), weights, config)))
    results = weightkin.claims(paths)
    found = claim(results, "seven_metrics")["corrected"]
    assert [(entry["role"], entry["reason"]) for entry in found["not_compared"]] == [("attn.k", "shape")]
    assert "attn.k" not in [entry["role"] for entry in found["roles"]]
    row = next(row for row in results["claims_layers"].to_pylist() if row["role"] == "attn.k")
    assert (row["status"], row["reason"], row["cosine"], row["shape_b"]) == ("untested", "shape", None, [6, 64])
    shown = CliRunner().invoke(main, ["claims", *paths]).stdout
    assert "not compared (shape, 4x64 against 6x64): attn.k in 1 layer" in shown


def test_kin_stays_kin(zoo: dict[str, str]) -> None:
    """After fine-tuning every corrected value stays large."""
    results = weightkin.claims([zoo["base"], zoo["finetuned"]])
    norms = claim(results, "same_layer_norm_cosine")["corrected"]
    assert norms["pearson"] > 0.98 and norms["z"] > 10 and norms["p"] == pytest.approx(1 / (norms["draws"] + 1))
    baseline = claim(results, "layer_0_baseline")["corrected"]
    assert baseline["pearson_across"] > 0.98 > 0.3 > abs(baseline["pearson_within_a"])
    assert baseline["sigma_a"] > 5
    routers = claim(results, "router_assignment")["corrected"]
    assert routers["excess"] > 0.5 and routers["z"] > 10
    shuffle = claim(results, "norm_shuffle_test")
    assert shuffle["corrected"]["tensors_beyond_null"] == shuffle["corrected"]["tensors_tested"] == 2 * LAYERS
    assert claim(results, "third_model")["published_style"] is None


def third(zoo: Mapping[str, str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    results = weightkin.claims([zoo[name] for name in names])
    found = claim(results, "third_model")
    cosines = [pair["norm_cosine"] for pair in found["published_style"]["pairs"]]
    assert min(cosines) > 0.98, "a third model is as close, by that measure"
    return {entry["group"]: entry for entry in found["corrected"]["groups"]}


def test_third_model(zoo: dict[str, str]) -> None:
    related = third(zoo, ["base", "finetuned", "unrelated"])
    assert {"norms", "attention", "router", "experts"} <= set(related)
    for group in ("norms", "attention", "router", "experts"):
        assert related[group]["closest"] and related[group]["p"] < 0.02, group
        assert [pair["fraction"] for pair in related[group]["pairs"]] == [1, 1, 1]
    other = third(zoo, ["base", "unrelated", "finetuned"])
    for group in ("norms", "attention", "router", "experts"):
        assert not other[group]["closest"] and other[group]["p"] == 1, group


def test_third_model_with_only_the_norms(zoo: dict[str, str]) -> None:
    """C has A's norms exactly: there B is not the closest, elsewhere it still is."""
    found = third(zoo, ["base", "finetuned", "norms_only", "unrelated"])
    assert not found["norms"]["closest"] and found["experts"]["closest"] and found["experts"]["p"] < 0.02
    assert [(pair["a"], pair["b"]) for pair in found["norms"]["pairs"]] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]


def test_nothing_to_recompute_is_said(tmp_path: Path) -> None:
    """One layer, gains that are all one, no keys, no routers, no null."""
    weights = {"model.layers.0.input_layernorm.weight": np.ones(8, np.float32)}
    paths = [str(write_checkpoint(tmp_path / name, weights)) for name in "ab"]
    results = weightkin.claims(paths, null=0)
    found = claim(results, "layer_0_baseline")
    assert found["published_style"]["sigma_a"] is None and found["corrected"]["z"] is None
    assert claim(results, "same_layer_norm_cosine")["corrected"]["pearson"] is None
    assert claim(results, "router_assignment")["corrected"] is None
    shown = CliRunner().invoke(main, ["claims", *paths])
    assert shown.exit_code == 0, shown.output


def test_bad_input(tmp_path: Path, zoo: dict[str, str]) -> None:
    with pytest.raises(PlanError, match="1 models given"):
        weightkin.claims([zoo["base"]])
    norm, other = "model.layers.0.input_layernorm.weight", {"other": np.ones((3, 3), np.float32)}
    narrow, wide = (
        write_checkpoint(tmp_path / name, other | {norm: np.ones(width, np.float32)})
        for name, width in {"narrow": 8, "wide": 9}.items()
    )
    with pytest.raises(PlanError, match="narrow and wide have no norms in common"):
        weightkin.claims([narrow, wide])
    with pytest.raises(PlanError, match="no norms in common"):
        weightkin.claims([zoo["base"], zoo["finetuned"]], exclude=["norm.*"])
    assert "at least two models" in command("claims", zoo["base"], code=2).stderr
    failed = command("claims", narrow, wide, code=1)
    assert failed.stdout == "" and failed.stderr.count("\n") == 2


def test_json_is_all_of_stdout(zoo: dict[str, str], unrelated: Results, tmp_path: Path) -> None:
    shown = command("claims", zoo["base"], zoo["unrelated"], "--json", "-o", tmp_path / "out")
    summary = json.loads(shown.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["command"], summary["schema_version"], summary["component"]) == ("claims", 1, "text")
    assert summary["claims"] == unrelated.summary["claims"], "nothing in them is left to chance"
    for entry in summary["claims"]:
        assert entry["source"] and entry["why"] and {"published_style", "corrected"} <= set(entry)
    again = weightkin.load(tmp_path / "out")
    assert again["claims_layers"].equals(unrelated["claims_layers"])


def test_resume(zoo: dict[str, str], unrelated: Results, tmp_path: Path) -> None:
    """A run that was killed after it had read everything goes on; a finished one is only read."""
    paths = [zoo["base"], zoo["unrelated"]]
    include = unrelated.summary["options"]["include"]
    comparison.run("claims", paths, output=tmp_path / "out", include=include)
    results = weightkin.claims(paths, output=tmp_path / "out", resume=True)
    assert results.summary["claims"] == unrelated.summary["claims"]
    stamp = (tmp_path / "out" / "summary.json").stat().st_mtime_ns
    again = weightkin.claims(paths, output=tmp_path / "out", resume=True)
    assert again.summary == results.summary and (tmp_path / "out" / "summary.json").stat().st_mtime_ns == stamp


def test_dry_run_reads_what_the_run_would(zoo: dict[str, str], unrelated: Results) -> None:
    planned = json.loads(command("claims", zoo["base"], zoo["unrelated"], "--dry-run", "--json").stdout)
    assert planned["nbytes"] == unrelated.summary["throughput"]["bytes"]

"""The published analyses recomputed: against plain numpy, on a pair built to look like the controversy, on kin."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
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
from commands import environment
from commands import weightkin as command
from folders import write_checkpoint
from weightkin import PlanError, Results, comparison
from weightkin.cli import main
from weightkin.published.baseline import effect_size
from weightkin.published.norms import published_layers
from weightkin.published.routers import gaussian_baseline

Array = npt.NDArray[np.float64]

MOMENTS = Path(__file__).parent / "data" / "layernorm_moments.csv"
DEPTH, WIDTH, EXPERTS = 46, 4096, 128
NORMS = {"norm_pre": "input_layernorm", "norm_post": "post_attention_layernorm"}
CLAIMS = [
    "same_layer_norm_cosine", "layer_0_baseline", "norm_shuffle_test", "router_assignment", "seven_metrics",
    "third_model", "coverage",
]  # fmt: skip


def standard(x: Array) -> Array:
    """Mean 0 and deviation 1, exactly."""
    return (x - x.mean()) / x.std()


@cache
def moments() -> list[dict[str, str]]:
    with MOMENTS.open() as file:
        return list(csv.DictReader(file))


def published_norms(random: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Norms of two models with the published means, deviations and Pearsons; layers of one model are alike but for 0."""
    shared = [random.standard_normal(WIDTH) for _ in "ab"]
    models: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for row in moments():
        weight = 0.0 if row["layer"] == "0" else 0.5
        x, y = (
            standard(np.sqrt(weight) * part + np.sqrt(1 - weight) * random.standard_normal(WIDTH)) for part in shared
        )
        r = float(row["cosine_centered"])
        y = r * x + np.sqrt(1 - r * r) * standard(y - (x @ y) / WIDTH * x)
        name = f"model.layers.{row['layer']}.{NORMS[row['category']]}.weight"
        for weights, side, values in zip(models, "AB", (x, y), strict=True):
            gains = float(row[f"{side}_mean"]) + float(row[f"{side}_std"]) * values
            weights[name] = gains.astype(np.float32)
    return models


@pytest.fixture(scope="module")
def controversy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, list[str]]:
    """Two models that share nothing but the moments of their norms."""
    folder = tmp_path_factory.mktemp("controversy")
    random = np.random.default_rng(20260101)
    paths = []
    kinds = ("solar_open", "glm4_moe")
    for kind, weights, heads in zip(kinds, published_norms(random), (8, 12), strict=True):
        for layer in range(DEPTH):
            for name, rows in {"q": heads, "k": 4, "v": 4}.items():
                draw = 0.02 * random.standard_normal((rows, WIDTH), np.float32)
                weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = draw.astype(ml_dtypes.bfloat16)
        for layer in (1, 2):
            router = random.standard_normal((EXPERTS, WIDTH), np.float32)
            weights[f"model.layers.{layer}.mlp.gate.weight"] = router.astype(ml_dtypes.bfloat16)
        config = {"model_type": kind, "hidden_size": WIDTH, "num_hidden_layers": DEPTH}
        paths.append(str(write_checkpoint(folder / kind, weights, config)))
    return weightkin.claims(paths), paths


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


def claim(results: Results, name: str) -> dict[str, Any]:
    assert [entry["name"] for entry in results.summary["claims"]] == CLAIMS
    found: dict[str, Any] = results.summary["claims"][CLAIMS.index(name)]
    return found


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


def test_controversy_norms(controversy: tuple[Results, list[str]]) -> None:
    """The published cosines, and what they would be without any correlation."""
    results, _ = controversy
    found = claim(results, "same_layer_norm_cosine")
    published, corrected = found["published_style"], found["corrected"]
    assert published["tensors"] == 92 and published["chosen_layers"] == [10, 20, 30, 40]
    assert published["cosine"] == pytest.approx(0.967563, abs=1e-5)
    assert published["cosine_by_role"]["norm.input"] == pytest.approx(0.948743, abs=1e-5)
    assert published["cosine_by_role"]["norm.post_attention"] == pytest.approx(0.986383, abs=1e-5)
    assert published["cosine_chosen"] == pytest.approx(0.98899, abs=1e-4)
    assert published["cosine_chosen_and_layer_0"] == pytest.approx(0.81664, abs=1e-4)
    assert corrected["pearson"] == pytest.approx(0.005365, abs=1e-5)
    assert corrected["cosine_if_uncorrelated"] == pytest.approx(published["cosine"], abs=2e-3)
    assert abs(corrected["z"]) < 3 and corrected["draws"] == 256
    rows = {(row["layer"], row["role"]): row for row in results["claims_layers"].to_pylist()}
    for row in moments():
        role = {"norm_pre": "norm.input", "norm_post": "norm.post_attention"}[row["category"]]
        ours = rows[int(row["layer"]), role]
        assert ours["cosine"] == pytest.approx(float(row["cosine"]), abs=1e-6)
        assert ours["cosine_if_uncorrelated"] == pytest.approx(float(row["cosine"]), abs=0.012)
        assert ours["cosine_shuffled"] == pytest.approx(ours["cosine_if_uncorrelated"], abs=0.06)


def test_controversy_sigma(controversy: tuple[Results, list[str]]) -> None:
    """A hundred sigma as published; near zero against layers of one model."""
    found = claim(controversy[0], "layer_0_baseline")
    published, corrected = found["published_style"], found["corrected"]
    assert published["cosine_within_b"] == pytest.approx(0.377, abs=0.02)
    for side in "ab":
        assert 100 < published[f"sigma_{side}"] < 250
        assert abs(corrected[f"sigma_{side}"]) < 1
        assert corrected[f"pearson_within_{side}"] == pytest.approx(0.5, abs=0.05)
    assert corrected["lag"] == 10 and abs(corrected["pearson_across"]) < 0.02
    assert published["z_as_if_independent"] > 3 > abs(corrected["z"])
    assert corrected["p"] > 0.01


def test_controversy_shuffle_and_routers(controversy: tuple[Results, list[str]]) -> None:
    shuffle = claim(controversy[0], "norm_shuffle_test")
    assert abs(shuffle["published_style"]["difference"]) < 0.01
    assert shuffle["corrected"]["tensors_tested"] == 92
    routers = claim(controversy[0], "router_assignment")
    assert routers["published_style"]["cosine_assigned"] == pytest.approx(0.0380, abs=0.0012)
    assert routers["corrected"]["cosine_gaussian"] == pytest.approx(0.0380, abs=0.0003)
    assert routers["corrected"]["cosine_gaussian_deviation"] == pytest.approx(0.0006, abs=0.0002)
    assert routers["corrected"]["cosine_relabelled"] == pytest.approx(0.0380, abs=0.0003)
    assert abs(routers["corrected"]["z"]) < 4 and routers["corrected"]["draws"] == 32


def test_controversy_coverage_and_shapes(controversy: tuple[Results, list[str]]) -> None:
    """Queries of another shape are counted as not comparable, never cropped."""
    coverage = claim(controversy[0], "coverage")
    groups = {entry["group"]: entry for entry in coverage["corrected"]["groups"]}
    assert coverage["published_style"]["parameters"] == 92 * WIDTH
    per_layer = np.array([12 + 4 + 4, 4 + 4]) * WIDTH * DEPTH
    assert [groups["attention"]["parameters"], groups["attention"]["comparable"]] == per_layer.tolist()
    assert groups["router"]["comparable"] == 2 * EXPERTS * WIDTH
    assert coverage["corrected"]["untested"][0]["reason"] == "shape"


def test_controversy_printed(controversy: tuple[Results, list[str]]) -> None:
    """As its user reads it, in 80 columns."""
    shown = command("claims", *controversy[1], env=environment(COLUMNS="80")).stdout
    assert max(map(len, shown.splitlines())) <= 80
    sigma = claim(controversy[0], "layer_0_baseline")["published_style"]["sigma_b"]
    for piece in (f"sigma over B {sigma:>10.0f}", "as published", "corrected", "0.9676", "0.8166", "0.0380 ± 0.000"):
        assert " ".join(piece.split()) in " ".join(shown.split())
    assert all(f"\n{number}  " in shown for number in range(1, 8))


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


def test_gaussian_routers() -> None:
    mean, deviation = gaussian_baseline(EXPERTS, EXPERTS, WIDTH, seed=0)
    assert mean == pytest.approx(0.0380, abs=0.0003) and deviation == pytest.approx(0.0006, abs=0.0002)


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

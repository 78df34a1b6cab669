"""layers: planted orders are found, independent stacks give none, and the tables hold what numpy says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stacks
from commands import environment, weightkin
from comparisons import BF16, rows_of, same_tables
from folders import write_checkpoint
from interrupted import Stop, check_equal, stop_at
from weightkin import PlanError, Results, layers, load
from weightkin.cli.views.layer_maps import compact
from weightkin.comparison import open_models
from weightkin.correspondence.arrangement import runs
from weightkin.correspondence.compute import HostCompute
from weightkin.correspondence.layers import LayerMap, find_layer_maps

ORDERS = {
    "identity": [0, 1, 2, 3, 4, 5],
    "pruned": [0, 1, 3, 5],
    "depth_upscaled": [0, 1, 2, 3, 2, 3, 4, 5],
    "repeated": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
    "interleaved": [0, 1, -1, 2, 3, -1, 4, 5],
    "reordered": [5, 4, 3, 2, 1, 0],
    "none": [-1, -1, -1, -1, -1, -1],
}


def maps(a: Path, b: Path, **options: Any) -> dict[str, LayerMap]:
    return find_layer_maps(*open_models([a, b]), **options)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stacks.write(tmp_path_factory.mktemp("base") / "a", stacks.layers(6, 0))


@pytest.mark.parametrize("name", ORDERS)
def test_planted_orders(name: str, base: Path, tmp_path: Path) -> None:
    """Trained on until the correlation is 0.89, with fresh layers where there is no parent."""
    other = stacks.write(tmp_path / "b", stacks.derived(stacks.layers(6, 0), ORDERS[name]))
    found = maps(base, other)["text"]
    assert found.assignment.tolist() == ORDERS[name] and found.arrangement == name and found.in_place
    matched = found.assignment >= 0
    assert (found.z[matched] > 20).all() and (found.margin[matched] > 10).all() and (found.z[~matched] < 8).all()
    if name in ("identity", "pruned", "repeated", "interleaved", "none"):
        assert found.monotone.tolist() == ORDERS[name]


@pytest.mark.parametrize("name", ["identity", "depth_upscaled", "reordered"])
def test_lines_in_another_order(name: str, base: Path, tmp_path: Path) -> None:
    """Neurons and heads shuffled, negated and rescaled, on top of training: nothing is in place, the layers are found."""
    stack = stacks.shuffled(stacks.derived(stacks.layers(6, 0), ORDERS[name], noise=0.2))
    found = maps(base, stacks.write(tmp_path / "b", stack))["text"]
    assert found.assignment.tolist() == ORDERS[name] and found.arrangement == name and not found.in_place


def test_norms_alone_make_no_map(base: Path, tmp_path: Path) -> None:
    stack = [
        new | {"input_layernorm": old["input_layernorm"]}
        for new, old in zip(stacks.layers(6, 5), stacks.layers(6, 0), strict=True)
    ]
    results = layers([base, stacks.write(tmp_path / "b", stack)])
    entry = results.summary["layers"]["components"]["text"]
    assert entry["assignment"] == [-1] * 6
    norms = next(group for group in entry["groups"] if group["group"] == "norms")
    assert norms["assignment"] == [0, 1, 2, 3, 4, 5] and norms["z"] > 20
    assert "not proof of independence" in results.summary["layers"]["statement"]


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stack = stacks.derived(stacks.layers(6, 0), ORDERS["depth_upscaled"])
    return stacks.write(tmp_path_factory.mktemp("upscaled") / "b", stack, np.dtype(np.float32))


@pytest.fixture(scope="module")
def results(base: Path, upscaled: Path) -> Results:
    return layers([base, upscaled], threads=1)


def test_summary(results: Results, base: Path, upscaled: Path) -> None:
    found, wanted = results.summary["layers"], maps(base, upscaled, threads=2)["text"]
    entry = found["components"]["text"]
    assert found["assignment"] == entry["assignment"] == ORDERS["depth_upscaled"] == wanted.assignment.tolist()
    assert found["arrangement"] == entry["arrangement"] == "depth_upscaled"
    assert entry["z"] == wanted.z.tolist() and entry["margin"] == wanted.margin.tolist()
    assert entry["runs"] == [
        {"first_b": 0, "first_a": 0, "length": 4}, {"first_b": 4, "first_a": 2, "length": 4},
    ]  # fmt: skip
    assert [group["group"] for group in entry["groups"]] == ["norms", "attention", "mlp"]
    assert min(entry["pearson"]) > 0.85 and entry["draws"] == 63
    assert "depth up-scaling" in found["statement"]
    (row,) = [row for row in results["maps"].to_pylist() if row["group"] == "all" and row["layer_b"] == 4]
    assert (row["layer_a"], row["best"]) == (2, 2) and row["z"] == entry["z"][4] and row["p"] == 1 / 64


def test_similarities_are_those_of_whole_tensors(base: Path, upscaled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair of layers and group: cosine and Pearson over all elements, in float64; bf16 against f32, in odd slabs."""
    monkeypatch.setattr(HostCompute, "slab", 10_000)
    left = [{name: array.astype(BF16).astype(float) for name, array in one.items()} for one in stacks.layers(6, 0)]
    right = stacks.derived(stacks.layers(6, 0), ORDERS["depth_upscaled"])
    groups = {"attention": ["self_attn.q_proj", "self_attn.o_proj"], "mlp": ["mlp.up_proj", "mlp.down_proj"]}
    groups |= {"norms": ["input_layernorm"], "all": [*stacks.SHAPES]}
    rows = rows_of(layers([base, upscaled])["layers"], "group", "layer_a", "layer_b")
    assert len(rows) == 4 * 6 * 8
    for (group, a, b), row in rows.items():
        pairs = [(left[a][name], right[b][name].astype(np.float32).astype(float)) for name in groups[group]]
        x, y = (np.concatenate([both[side].ravel() for both in pairs]) for side in (0, 1))
        u, v = (np.concatenate([(both[side] - both[side].mean()).ravel() for both in pairs]) for side in (0, 1))
        assert row["elements"] == x.size
        assert row["cosine"] == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)), abs=1e-6)
        assert row["pearson"] == pytest.approx(u @ v / np.sqrt((u @ u) * (v @ v)), abs=1e-6)


def test_one_model(upscaled: Path) -> None:
    """Layers 2 and 3 were copied to 4 and 5; the baseline is of layers l and l + k."""
    found = layers([upscaled])
    entry = found.summary["layers"]["components"]["text"]
    assert entry["assignment"] == [-1, -1, 4, 5, 2, 3, -1, -1]
    assert found.table_names == ["layers", "maps", "layer_roles", "baselines"]
    rows = rows_of(found["layers"], "group", "layer_a", "layer_b")
    assert all(a != b for _, a, b in rows)
    baselines = rows_of(found["baselines"], "group", "distance", "with_first")
    apart = [rows["norms", layer, layer + 2]["pearson"] for layer in range(1, 6)]
    assert baselines["norms", 2, False]["pearson"] == pytest.approx(np.mean(apart))
    assert baselines["norms", 2, False]["pairs"] == 5 and baselines["norms", 2, True]["pairs"] == 1
    assert baselines["norms", 2, True]["cosine"] == rows["norms", 0, 2]["cosine"] > 0.98


def test_threads_change_nothing(results: Results, base: Path, upscaled: Path) -> None:
    assert same_tables(layers([base, upscaled], threads=3), results)


@pytest.mark.parametrize("call", [1, 3, 5])
def test_resume(call: int, base: Path, upscaled: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    layers([base, upscaled], output=whole)
    with pytest.raises(Stop):
        layers([base, upscaled], output=cut, progress=stop_at("comparing", call))
    done: list[int] = []
    layers([base, upscaled], output=cut, resume=True, progress=lambda _, now, __: done.append(now))
    assert (done[0] > 0) == (call > 1)
    check_equal(cut, whole)
    assert load(cut).summary["layers"]["arrangement"] == "depth_upscaled"


def mixture(seed: int, permuted: bool = False) -> dict[str, Any]:
    """Two layers of attention and 4 experts; with `permuted`, those of layer 1 in reverse."""
    random, out = np.random.default_rng(seed), {}
    for layer in range(2):
        stem = f"model.layers.{layer}"
        out[f"{stem}.self_attn.k_proj.weight"] = random.standard_normal((32, 64)).astype(BF16)
        out[f"{stem}.mlp.gate.weight"] = random.standard_normal((4, 64)).astype(BF16)
        for expert in range(4):
            held = 3 - expert if permuted and layer == 1 else expert
            out[f"{stem}.mlp.experts.{held}.up_proj.weight"] = random.standard_normal((24, 64)).astype(BF16)
    return out


def test_experts_take_part_on_request(tmp_path: Path) -> None:
    config = {"model_type": "qwen3_moe"}
    a = write_checkpoint(tmp_path / "a", mixture(0), config)
    b = write_checkpoint(tmp_path / "b", mixture(0, permuted=True), config)
    without, found = layers([a, b]).summary["layers"], layers([a, b], experts=True).summary["layers"]
    assert without["experts_left_out"] == 2 * 4 * 24 * 64 and found["experts_left_out"] == 0
    groups = [{group["group"]: group for group in one["components"]["text"]["groups"]} for one in (without, found)]
    assert "experts" not in groups[0] and groups[1]["experts"]["assignment"] == [0, -1]
    assert without["assignment"] == found["assignment"] == [0, 1]


def test_tensors_that_are_not_finite_show_nothing(base: Path, tmp_path: Path) -> None:
    stack = stacks.layers(6, 0)
    for name in stacks.SHAPES:
        stack[2][name][3, 5] = np.nan
        stack[4][name][7, 1] = np.inf
    found = layers([base, stacks.write(tmp_path / "b", stack)])
    assert found.summary["layers"]["assignment"] == [0, 1, -1, 3, -1, 5]
    rows = rows_of(found["layers"], "group", "layer_a", "layer_b")
    assert rows["all", 2, 2]["pearson"] is None and rows["all", 3, 3]["pearson"] == pytest.approx(1)


def test_refused(base: Path, tmp_path: Path) -> None:
    one = stacks.write(tmp_path / "one", stacks.layers(1, 0))
    wide = stacks.write(tmp_path / "wide", stacks.layers(6, 0, width=96))
    norms = stacks.write(tmp_path / "norms", [{"input_layernorm": np.ones(64)}] * 3)
    far = write_checkpoint(tmp_path / "far", {"model.layers.99999.mlp.up_proj.weight": np.ones((4, 64), np.float32)})
    refused = {
        "has one layer": [one],
        "residual streams of 64 and 96 channels": [base, wide],
        "no layers have a matrix of one role and shape": [base, norms],
        "only layers 0 to 255 can be mapped": [base, far],
        "3 models given": [base, base, base],
    }
    for message, paths in refused.items():
        with pytest.raises(PlanError, match=message) as caught:
            layers(paths)
        assert "\n" not in str(caught.value)
    with pytest.raises(PlanError, match="a null of 18 draws can show nothing"):
        layers([base, base], null=18)


@pytest.mark.parametrize("width", [80, 120])
def test_command(width: int, base: Path, upscaled: Path, tmp_path: Path) -> None:
    env = environment(COLUMNS=str(width))
    done = weightkin("layers", base, upscaled, "-o", tmp_path / "results", env=env)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert any("depth upscaled" in line for line in lines)
    rows = [line.split()[:2] for line in lines]
    assert ["0-3", "0-3"] in rows and ["4-7", "2-5"] in rows
    assert "layers.parquet, maps.parquet" in done.stderr
    again = weightkin("layers", base, upscaled, "-o", tmp_path / "results", "--resume", "--json", env=env)
    assert json.loads(again.stdout)["layers"]["assignment"] == ORDERS["depth_upscaled"]


def test_command_of_one_model_and_of_nothing_alike(base: Path, upscaled: Path, tmp_path: Path) -> None:
    shown = weightkin("layers", upscaled, "-v", env=environment(COLUMNS="80")).stdout
    assert "layers within one model" in shown and "so far apart" in shown
    other = stacks.write(tmp_path / "b", stacks.layers(3, 9))
    assert "no layer of b matches one of a" in " ".join(weightkin("layers", base, other).stdout.split())
    failed = weightkin("layers", base, tmp_path / "nowhere", code=1)
    assert failed.stderr.startswith("weightkin: ")
    assert "--resume needs the folder" in weightkin("layers", base, "--resume", code=2).stderr


def test_runs_in_a_line() -> None:
    def line(assignment: list[int]) -> str:
        return compact([run._asdict() for run in runs(np.array(assignment))])

    assert line([0, 1, 2, -1, 1, 2, 7]) == "0-2 <- 0-2, 4-5 <- 1-2, 6 <- 7"
    assert line([-1, -1]) == "none"
    assert line([9, 8, 7, 6, -1, 5, 4, 3, 0, 1]) == "9 of 10 layers, in 8 runs"

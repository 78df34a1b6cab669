"""weightkin experts: tables, summary, statement, export, resumption, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import weightkin
from commands import environment
from commands import weightkin as command
from expert_models import State, dense, moe, moved, noisy, renamed, shuffled, upcycled, write
from interrupted import Stop, check_equal, stop_at
from weightkin import PlanError, Results, ResultsError
from weightkin.correspondence.alignment import Mlp, read_alignment


@pytest.fixture(scope="module")
def state() -> State:
    return moe(0)


@pytest.fixture(scope="module")
def folders(state: State, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and a relative with experts and neurons in another order."""
    folder = tmp_path_factory.mktemp("models")
    return write(folder / "a", state), write(folder / "b", noisy(shuffled(state, 1)[0], 0.2))


@pytest.fixture(scope="module")
def results(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return weightkin.experts(*folders, output=tmp_path_factory.mktemp("results") / "out")


def test_summary(state: State, results: Results) -> None:
    _, orders, _ = shuffled(state, 1)
    found = results.summary["experts"]
    assert [layer["assignment"] for layer in found["layers"]] == [[], orders[1], orders[2]]
    assert [(layer["layer_a"], layer["layer_b"]) for layer in found["layers"]] == [(0, 0), (1, 1), (2, 2)]
    assert [layer["pattern"] for layer in found["layers"]] == ["in place", "permuted", "permuted"]
    for layer in found["layers"][1:]:
        share = np.mean(np.array(layer["assignment"]) == np.arange(8))
        assert layer["identity_fraction"] == share
        assert layer["matched"] > 0.7 and abs(layer["background"]) < 0.1 and layer["neuron_pearson"] > 0.8
    assert found["p"] == 1 / 64 and found["z"] > 30 and found["draws"] == 63
    assert found["parameters_tested"] == found["parameters"] == found["parameters_matched"]
    assert found["components"][0]["mlps_matched"] == 19
    assert "19 of 19 experts and other MLPs of b match one of a" in found["statement"]
    assert "another order: layers 1-2" in found["statement"]


def test_tables(state: State, results: Results) -> None:
    _, orders, neurons = shuffled(state, 1)
    rows = results["experts"].to_pylist()
    assert len(rows) == 1 + 9 + 9
    for row in rows:
        assert row["p"] == 1 / 64 and (row["margin"] or 1) > 0.5 and row["kind_a"] == row["kind_b"]
        assert row["score"] == row["best"] and abs(row["neuron_pearson_up"] - row["pearson_up"]) < 0.2
        if row["expert_b"] is not None:
            assert row["expert_a"] == orders[row["layer_b"]][row["expert_b"]] and row["router"] > 0.9
    for row in results["neurons"].to_pylist():
        if row["kind_b"] == "expert":
            assert row["permutation"] == neurons[row["layer_b"], row["expert_b"]].tolist() and row["matched"]
    layers = results["layers"].to_pylist()
    assert [len(row["statistic"]) for row in layers] == [64] * 3
    assert all(row["p_adjusted"] == 1 / 64 and row["neuron_z"] > 10 for row in layers)
    assert [row["router_z"] is None for row in layers] == [True, False, False]


def test_reopened(results: Results) -> None:
    assert results.folder is not None
    again = weightkin.load(results.folder)
    assert again.summary == results.summary and again.table_names == ["layers", "experts", "neurons"]


def test_export_can_be_read_back(state: State, folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, orders, neurons = shuffled(state, 1)
    file = tmp_path / "alignment.json"
    weightkin.experts(*folders, export=file)
    found = read_alignment(file)
    assert found.layers == {"text": {0: 0, 1: 1, 2: 2}}
    match = found.mlps[Mlp("text", 2, "expert", 4)]
    assert match.mlp == Mlp("text", 2, "expert", orders[2][4])
    assert match.neurons is not None and np.array_equal(match.neurons, neurons[2, 4])
    with pytest.raises(ResultsError, match="already exists"):
        weightkin.experts(*folders, export=file)


def test_an_export_knows_its_models(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Used for other files it says so; a copy with other times is one, too."""
    file = tmp_path / "alignment.json"
    weightkin.experts(*folders, export=file, neurons="none")
    a, b = folders
    assert weightkin.compare(a, b, align=file, null=0).summary["alignment"]["notes"] == []
    other = Path(shutil.copytree(b, tmp_path / "other", copy_function=shutil.copyfile))
    (note,) = weightkin.compare(a, other, align=file, null=0).summary["alignment"]["notes"]
    assert note == f"the alignment was found in the files of {b.name}, and those of other are others"


def test_an_export_that_cannot_be_written_is_refused_first(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there is no folder"):
        weightkin.experts(*folders, export=tmp_path / "none" / "e.json", progress=lambda *_: pytest.fail("searched"))
    weightkin.experts(*folders, output=tmp_path / "out", export=tmp_path / "out" / "e.json", neurons="none")
    assert (tmp_path / "out" / "e.json").exists()


@pytest.mark.parametrize("call", [0, 1, 9, 30])
def test_resumed_runs_are_the_same(folders: tuple[Path, Path], results: Results, call: int, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(Stop):
        weightkin.experts(*folders, output=output, progress=stop_at("matching", call))
    with pytest.raises(ResultsError, match="another comparison"):
        weightkin.experts(*folders, output=output, resume=True, seed=1)
    weightkin.experts(*folders, output=output, resume=True)
    assert results.folder is not None
    check_equal(output, results.folder)


def test_experts_of_other_layers(state: State, tmp_path: Path) -> None:
    a = write(tmp_path / "a", state)
    b = write(tmp_path / "b", noisy(shuffled(renamed(state, [0, 2, 1]), 1)[0], 0.2))
    same = weightkin.experts(a, b, layers="same").summary["experts"]
    assert [layer["pattern"] for layer in same["layers"]] == ["in place", "none", "none"]
    for how in ("auto", "all-pairs"):
        found = weightkin.experts(a, b, layers=how)  # type: ignore[arg-type]
        layers = found.summary["experts"]["layers"]
        assert [layer["layer_a"] for layer in layers] == [0, 2, 1]
        assert [layer["pattern"] for layer in layers] == ["in place", "permuted", "permuted"]
        assert "layers 1-2 of b match layers of other numbers" in found.summary["experts"]["statement"]
    assert [row["p_choice"] for row in found["layers"].to_pylist()] == [1 / 64] * 3


def test_all_pairs_of_strangers_stay_in_place(tmp_path: Path) -> None:
    found = weightkin.experts(write(tmp_path / "a", moe(0)), write(tmp_path / "b", moe(9)), layers="all-pairs")
    layers = found.summary["experts"]["layers"]
    assert [(layer["layer_a"], layer["how"], layer["pattern"]) for layer in layers] == [
        (layer, "same number", "none") for layer in range(3)
    ]
    statement = found.summary["experts"]["statement"]
    assert "No MLP of b matches one of a" in statement and "not proof of independence" in statement
    assert "each layer of b was held against all of a" in statement and "other layers" not in statement


def test_layers_without_counterpart_are_named(tmp_path: Path) -> None:
    parent = dense(0)
    a = write(tmp_path / "a", {name: x for name, x in parent.items() if ".layers.2." not in name}, "llama")
    b = write(tmp_path / "b", upcycled(parent, 4, 0.1), "mixtral")
    found = weightkin.experts(a, b, layers="same").summary["experts"]
    assert [layer["pattern"] for layer in found["layers"]] == ["upcycled"] * 2
    assert [layer["assignment"] for layer in found["layers"]] == [[0] * 4] * 2
    assert found["untested"] == [
        {"component": "text", "layer_b": 2, "reason": "A has no gated MLP in a layer of that number"}
    ]
    assert "Not tested: layer 2 of b" in found["statement"]
    assert found["parameters_tested"] / found["parameters"] == pytest.approx(2 / 3)


def test_a_dense_model_before_its_upcycled_copy(tmp_path: Path) -> None:
    """Its MLPs match all the copies alike, and none of A was pruned."""
    parent = dense(0)
    a = write(tmp_path / "a", upcycled(parent, 4, 0.1), "mixtral")
    found = weightkin.experts(a, write(tmp_path / "b", parent, "llama")).summary["experts"]
    assert {layer["pattern"] for layer in found["layers"]} == {"several alike"}
    assert "the reverse of upcycling: layers 0-2" in found["statement"] and "3 of 3 MLPs of b" in found["statement"]
    single = {name: x for name, x in parent.items() if ".layers.0." in name or "layers" not in name}
    found = weightkin.experts(a, write(tmp_path / "one", single, "llama")).summary["experts"]
    assert "in the one layer compared" in found["statement"]


def test_what_other_ways_of_matching_miss_is_said(folders: tuple[Path, Path]) -> None:
    weights = weightkin.experts(*folders, by="weights", layers="all-pairs").summary
    assert "neurons stand in another order" in weights["experts"]["statement"]
    router = weightkin.experts(*folders, by="router").summary
    assert "under a new router" in router["experts"]["statement"] and router["throughput"]["bytes"] > 0


def test_rotated_residual_streams_are_not_found(state: State, tmp_path: Path) -> None:
    """A relabelled copy of A itself is a draw of the null, and the statement says that such copies escape."""
    copy = moved(state, np.random.default_rng(0).permutation(64))
    found = weightkin.experts(write(tmp_path / "a", state), write(tmp_path / "b", copy))
    assert found.summary["experts"]["components"][0]["mlps_matched"] == 0
    assert "rotated residual stream" in found.summary["experts"]["statement"]


@pytest.mark.parametrize(("columns", "shown"), [("80", "neurons"), ("130", "router z")])
def test_command(folders: tuple[Path, Path], columns: str, shown: str) -> None:
    done = command("experts", *folders, "-v", "--layers", "same", env=environment(COLUMNS=columns))
    assert all(len(line) <= int(columns) for line in done.stdout.splitlines())
    for text in ("permuted", "9/9", "rank p = 0.016", "Expert of A for each expert of B", shown):
        assert text in done.stdout
    assert ("Too narrow for: rank p, router z" in done.stdout) == (columns == "80")
    assert "not stored: add -o DIR" in done.stderr


def test_command_prints_json(folders: tuple[Path, Path]) -> None:
    found = json.loads(command("experts", *folders, "--json", "-q", "--neurons", "none").stdout)
    assert found["command"] == "experts" and found["experts"]["layers"][1]["neuron_pearson"] is None


def test_refusals(folders: tuple[Path, Path], tmp_path: Path) -> None:
    narrow = write(tmp_path / "narrow", moe(1, hidden=48))
    assert "residual streams of 64 and 48 channels" in command("experts", folders[0], narrow, code=1).stderr
    bare = write(tmp_path / "bare", {"model.norm.weight": np.ones(64)})
    assert "no layer with a gated MLP" in command("experts", folders[0], bare, code=1).stderr
    assert "does not exist" in command("experts", folders[0], tmp_path / "none", code=1).stderr
    assert "-o DIR" in command("experts", *folders, "--resume", code=2).stderr
    with pytest.raises(PlanError, match="by='magic' is none of probe, router, weights"):
        weightkin.experts(*folders, by="magic")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="no routed experts"):
        weightkin.experts(write(tmp_path / "d", dense(0), "llama"), folders[1], by="router")

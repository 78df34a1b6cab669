"""series on checkpoints that do not all fit, in long rows, interrupted, and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands import weightkin
from comparisons import Array, model, perturbed
from folders import write_checkpoint
from interrupted import Stop, check_equal, stop_at
from weightkin import PlanError, series
from weightkin.trajectory import sums
from weightkin.trajectory.steps import number_in, steps_of

State = dict[str, Array]


def walk(count: int, layers: int = 2) -> list[State]:
    """States of a model that is moved at random."""
    states = [model(0, layers)]
    for _ in range(count - 1):
        states.append(perturbed(states[-1]))
    return states


def written(folder: Path, states: list[State]) -> list[Path]:
    return [write_checkpoint(folder / f"step{10 * number}", state) for number, state in enumerate(states)]


@pytest.fixture(scope="module")
def states() -> list[State]:
    return walk(6)


@pytest.fixture(scope="module")
def folders(states: list[State], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(tmp_path_factory.mktemp("walk"), states)


def test_more_checkpoints_than_a_kernel_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into slabs of a few rows, on any number of threads."""
    states = walk(21, layers=1)
    paths = written(tmp_path, states)
    whole = series(paths, null=19, threads=1)
    monkeypatch.setattr(sums, "SLAB", 21 * 64 * 5)
    small = series(paths, null=19, threads=3, memory=1 << 16)
    for results in (whole, small):
        (group,) = [one for one in results.summary["series"]["groups"] if one["group"] == "mlp"]
        names = [key for key in states[0] if "mlp" in key]
        for at in range(1, 21):
            gaps = sum(
                ((states[at][key].astype(float) - states[at - 1][key].astype(float)) ** 2).sum() for key in names
            )
            norm = sum((states[at - 1][key].astype(float) ** 2).sum() for key in names)
            assert group["relative_l2_previous"][at] == pytest.approx((gaps / norm) ** 0.5, rel=1e-5)
    for one, other in zip(whole.summary["series"]["groups"], small.summary["series"]["groups"], strict=True):
        for key, most in (("pearson_previous", 1e-6), ("pearson_last", 1e-6), ("turn", 1e-3), ("z_last", 1e-6)):
            assert one[key] == [x if x is None else pytest.approx(x, abs=most) for x in other[key]]


def test_parts_that_do_not_fit(states: list[State], tmp_path: Path) -> None:
    changed = [dict(state) for state in states]
    for state in changed[3:]:  # the vocabulary grows, and a layer is put on top
        state["model.embed_tokens.weight"] = np.concatenate([state["model.embed_tokens.weight"]] * 2)
        state |= {key.replace("layers.1.", "layers.2."): x for key, x in state.items() if "layers.1." in key}
    changed[4]["model.layers.0.input_layernorm.weight"] = changed[4]["model.layers.0.input_layernorm.weight"].astype(
        np.float32
    ) * np.float32(np.nan)
    results = series(written(tmp_path, changed), null=19)
    untested = {(one["role"], one["reason"]) for one in results.summary["coverage"]["untested"]}
    assert ("embed", "another shape in checkpoint 4 than in checkpoint 1") in untested
    assert ("norm.input", "NaN or infinity in checkpoint 5") in untested
    assert any(reason == "not in checkpoint 1" for _, reason in untested)
    assert 0.2 < results.summary["coverage"]["fraction"] < 1 and results.summary["series"]["other_architecture"] == []


def test_a_checkpoint_of_another_architecture(states: list[State], tmp_path: Path) -> None:
    paths = written(tmp_path, states)
    odd = write_checkpoint(tmp_path / "step25", {key: np.repeat(x, 2, axis=-1) for key, x in states[2].items()})
    summary = series([*paths[:3], odd, *paths[3:]], null=19).summary["series"]
    assert summary["other_architecture"] == [4] and summary["word"] == "jump" and not summary["jumps"]
    assert "Checkpoint 4 (step25) has another architecture" in summary["statement"]
    assert [one["compared"] for one in summary["checkpoints"]] == [True] * 3 + [False] + [True] * 3
    assert len(summary["groups"][0]["norm"]) == 6
    with pytest.raises(PlanError, match="nothing to compare"):
        series([paths[0], odd], null=19)


def test_interrupted(folders: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "results"
    whole = series(folders, null=19, output=tmp_path / "whole")
    with pytest.raises(Stop):
        series(folders, null=19, output=output, progress=stop_at("comparing", 5))
    assert [path.name for path in output.iterdir()] == ["journal"]
    assert whole.folder is not None
    series(folders, null=19, output=output, resume=True)
    check_equal(output, whole.folder)


def test_command(folders: list[Path], tmp_path: Path) -> None:
    done = weightkin("series", *folders, "-o", tmp_path / "results", "--null", "19", "--exclude", "mlp.down")
    for said in ("step50", "like the one before", "attention", "mlp.gate", "edge", "excluded", "Checkpoint 1 (step0)"):
        assert said in done.stdout, said
    assert "stored in" in done.stderr and {"steps.parquet", "start.parquet"} <= {
        path.name for path in (tmp_path / "results").iterdir()
    }
    found = json.loads(weightkin("series", *folders[:2], "--null", "19", "--json", "--steps", "1k,2.5k").stdout)
    assert [one["step"] for one in found["series"]["checkpoints"]] == [1000, 2500] and found["command"] == "series"
    assert weightkin("series", *folders, "--null", "19", "-v", "-q").stdout.count("step length") == 2 + 4
    assert "at least two" in weightkin("series", folders[0], code=2).stderr
    assert "not a list of steps" in weightkin("series", *folders, "--steps", "a,b", code=2).stderr
    assert "2 steps given for 6" in weightkin("series", *folders, "--steps", "1,2", code=1).stderr


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("checkpoint-1000", 1000), ("step_250", 250), ("OLMo-7B-step1000-tokens4B", 4e9), ("global_step_20k", 20_000),
        ("iter_0001000", 1000), ("model-7b", 7e9), ("final", None), ("ckpt-1.5T", 1.5e12),
    ],
)  # fmt: skip
def test_numbers_in_names(name: str, number: float | None) -> None:
    assert number_in(name) == number


def test_steps() -> None:
    assert steps_of(["step-0", "step-10", "step-20"], None).intervals([0, 2]) == [20]
    assert steps_of(["a-7b", "a-7b"], None).values is None  # of the model, not of its training
    assert steps_of(["step1", "final"], None) == (None, "none", ()) == steps_of(["a1", "b2"], None)
    unsorted = steps_of(["step0", "step10", "step5"], None)
    assert (
        unsorted.intervals([0, 1, 2]) is None
        and unsorted.intervals([0, 2]) == [5]
        and "checkpoint 3" in unsorted.notes[0]
    )
    assert steps_of(["a", "b"], [1, 2]) == ((1, 2), "given", ())

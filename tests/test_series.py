"""series: the diary of small models that were really trained, with pages torn out, swapped, and forged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainings import STEPS, State, fresh, load, save, train, write
from weightkin import PlanError, Results, series

Edit = Callable[[State, State], State]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine checkpoints of a training from scratch, the first before its first step."""
    return train(fresh(0), tmp_path_factory.mktemp("scratch"), seed=0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Another training, of the same text from another seed: its start, and two of its checkpoints."""
    return train(fresh(1), tmp_path_factory.mktemp("other"), seed=0, steps=(0, 40, 45))


@pytest.fixture(scope="module")
def results(scratch: list[Path]) -> Results:
    return series(scratch)


def found(paths: list[Path], **options: Any) -> dict[str, Any]:
    summary: dict[str, Any] = series(paths, **{"null": 63} | options).summary["series"]
    return summary


def jumps(summary: dict[str, Any]) -> list[tuple[str, int, int, bool, list[str]]]:
    return [
        (one["kind"], one["first"], one["last"], one["whole"], [group["group"] for group in one["groups"]])
        for one in summary["jumps"]
    ]


ALL = ["attention", "router", "experts"]


def test_from_scratch(results: Results) -> None:
    summary = results.summary["series"]
    assert summary["word"] == "no_jump" and summary["start"]["word"] == "random"
    assert not summary["jumps"] and not summary["unusual"] and not summary["start"]["failed"]
    assert [group["group"] for group in summary["tested"]] == ALL
    assert [one["step"] for one in summary["checkpoints"]] == list(STEPS) and summary["steps_from"] == "names"
    assert results.summary["coverage"]["fraction"] == 1
    for said in (
        "No step replaces weights",
        "consistent with a random initialisation",
        "still carries it",
        "What remains",
    ):
        assert said in summary["statement"]


def test_the_numbers(results: Results, scratch: list[Path]) -> None:
    states = [load(path) for path in scratch]
    group = next(one for one in results.summary["series"]["groups"] if one["group"] == "attention")
    names = [name for name in states[0] if "_proj" in name and "self_attn" in name]

    def centred(at: int) -> np.ndarray:
        return np.concatenate([(states[at][name] - states[at][name].mean()).numpy().ravel() for name in names])

    def pearson(a: int, b: int) -> float:
        return float(centred(a) @ centred(b) / np.linalg.norm(centred(a)) / np.linalg.norm(centred(b)))

    flat = [np.concatenate([state[name].numpy().ravel() for name in names]) for state in states]
    norms = [np.linalg.norm(x) for x in flat]
    assert group["norm"] == pytest.approx(norms, rel=1e-5)
    for at in range(1, len(flat)):
        step = np.linalg.norm(flat[at] - flat[at - 1]) / norms[at - 1]
        assert group["relative_l2_previous"][at] == pytest.approx(step, rel=1e-5)
        assert group["changed_fraction"][at] == pytest.approx(float(np.mean(flat[at] != flat[at - 1])))
        assert group["pearson_previous"][at] == pytest.approx(pearson(at - 1, at), abs=2e-6)
        assert group["pearson_last"][at] == pytest.approx(pearson(at, 8), abs=2e-6)
    before, after = flat[4] - flat[3], flat[5] - flat[4]
    turn = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    assert group["turn"][4] == pytest.approx(turn, abs=1e-3)
    assert min(group["z_previous"][1:]) > 100 and group["z_last"][0] > 100 and group["z_last"][8] is None


def test_tables(results: Results) -> None:
    steps = results["steps"].to_pylist()
    assert len(steps) == 9 * 5 and [row["checkpoint"] for row in steps[::5]] == list(range(1, 10))
    assert [row["group"] for row in steps[5:10]] == ["norms", *ALL, "embeddings"] and steps[5]["name"] == "checkpoint-5"
    start = results["start"].to_pylist()
    gains = [row for row in start if row["group"] == "norms"]
    matrices = [row for row in start if row["group"] != "norms"]
    assert {(row["smallest"], row["largest"]) for row in gains} == {(1.0, 1.0)} and len(start) == len(gains) + len(
        matrices
    )
    assert max(row[test] for row in matrices for test in ("rows", "columns", "edge", "correlation")) < 5
    assert all(row["scale"] == pytest.approx(0.02, rel=0.05) for row in matrices)


def test_a_checkpoint_of_another_training_is_named(scratch: list[Path], other: list[Path]) -> None:
    summary = found([*scratch[:4], other[1], *scratch[5:]])
    assert jumps(summary) == [("replaced", 5, 5, True, ALL)] and summary["word"] == "jump"
    # By its path, because the last checkpoint has the same name.
    assert f"Checkpoint 5 ({other[1]}) is not of this training" in summary["statement"]
    assert "only re-ordered or rotated would look replaced" in summary["statement"]
    assert summary["start"]["word"] == "random"


def test_a_trained_start(scratch: list[Path], tmp_path: Path) -> None:
    summary = found(scratch[5:])
    assert summary["word"] == "no_jump" and summary["start"]["word"] == "not_random"
    assert "Checkpoint 1 (checkpoint-40) is not a random initialisation" in summary["statement"]
    failing = {failed["test"] for failed in summary["start"]["failed"]}
    assert {"gains", "edge", "correlation"} <= failing
    # Trained matrices without trained gains, and the other way round.
    state = load(scratch[5])
    gains = {name: torch.ones_like(x) for name, x in state.items() if x.ndim == 1}
    summary = found([write(state | gains, scratch[0], tmp_path / "plain"), *scratch[6:]])
    assert summary["start"]["word"] == "not_random" and "gains" not in {
        one["test"] for one in summary["start"]["failed"]
    }
    trained = {name: x for name, x in state.items() if x.ndim == 1}
    summary = found([write(load(scratch[0]) | trained, scratch[0], tmp_path / "gains"), *scratch[6:]])
    assert summary["start"]["word"] == "not_random" and "themselves look drawn at random" in summary["statement"]


def test_other_places(scratch: list[Path], other: list[Path]) -> None:
    for paths, expected in (
        ([*scratch[:4], *other[1:], *scratch[6:]], ("replaced", 5, 6, True, ALL)),
        ([*scratch[:8], other[1]], ("from_here", 9, 9, True, ALL)),
        ([*scratch[:3], *other[1:]], ("from_here", 4, 5, True, ALL)),
        ([other[1], *scratch[4:]], ("until_here", 1, 1, True, ALL)),
    ):
        assert jumps(found(paths)) == [expected]
    # A random start of which nothing is left is no proof of anything.
    summary = found([other[0], *scratch[4:]])
    assert summary["word"] == "undecided" and not summary["jumps"] and len(summary["forgotten"]) == 3
    assert "did not begin there" in summary["statement"] and "Nothing of it can be seen" in summary["statement"]


def only(part: str) -> Edit:
    return lambda own, foreign: {name: foreign[name] if part in name else x for name, x in own.items()}


@pytest.mark.parametrize(
    ("edit", "expected", "count"),
    [
        (only("experts"), ("replaced", 5, 5, False, ["experts"]), 0),
        (only("layers.1."), ("replaced", 5, 5, False, ALL), 29),
        (only("layers.1.mlp.experts.3."), ("replaced", 5, 5, False, ["experts"]), 3),
        (only("embed_tokens"), ("moved_out", 5, 5, False, ["embeddings"]), 1),
        (lambda own, foreign: {name: 0.5 * x + 0.5 * foreign[name] for name, x in own.items()},
         ("moved_out", 5, 5, False, ["attention", "router"]), 0),
    ],
)  # fmt: skip
def test_in_part(
    edit: Edit, expected: tuple[Any, ...], count: int, scratch: list[Path], other: list[Path], tmp_path: Path
) -> None:
    forged = write(edit(load(scratch[4]), load(other[1])), scratch[0], tmp_path / "checkpoint-30")
    summary = found([*scratch[:4], forged, *scratch[5:]])
    assert jumps(summary) == [expected] and summary["jumps"][0]["count"] == count


def test_from_some_step_on(scratch: list[Path], other: list[Path], tmp_path: Path) -> None:
    """Experts that were replaced, or half replaced, and then trained."""
    foreign = load(other[1])

    def forged(name: str, share: float) -> list[Path]:
        return [
            write({
                key: share * foreign[key] + (1 - share) * x if "experts" in key else x for key, x in load(path).items()
            }, scratch[0], tmp_path / name / path.name)
            for path in scratch[7:]
        ]  # fmt: skip

    assert jumps(found([*scratch[:7], *forged("replaced", 0.97)])) == [("from_here", 8, 9, False, ["experts"])]
    summary = found([*scratch[:7], *forged("mixed", 0.8)])
    assert not summary["jumps"] and [one["checkpoint"] for one in summary["unusual"]] == [8]
    assert "The step to checkpoint 8 (checkpoint-60) is unusually long in experts" in summary["statement"]


def test_order(scratch: list[Path]) -> None:
    """As the shell sorts names: no forgery is seen in that, but it is said."""
    paths = [scratch[0], scratch[2], scratch[8], scratch[3], scratch[4], scratch[5]]
    summary = found(paths)
    assert summary["word"] == "no_jump" and not summary["unusual"]
    assert (
        "do not ascend" in summary["notes"][0] and "Detours and long steps were not looked for" in summary["statement"]
    )
    assert not found(scratch, steps=list(range(9)))["notes"]
    doubled = found([*scratch[:3], scratch[2], *scratch[3:]])
    assert doubled["same"] == [4] and "is the same as the one before it" in doubled["statement"]


INITIALISATIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "xavier": torch.nn.init.xavier_uniform_,
    "orthogonal": torch.nn.init.orthogonal_,
    "cut": lambda matrix: torch.nn.init.trunc_normal_(matrix, 0.0, 0.02, -0.04, 0.04),
    "kaiming": lambda matrix: torch.nn.init.kaiming_uniform_(matrix, a=5**0.5),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", INITIALISATIONS)
def test_initialisations(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """As they are, with residual projections scaled by depth, one projection zero, and padding in the embedding."""
    model = fresh(7, INITIALISATIONS[name])
    state = model.state_dict()
    for key, x in state.items():
        if key.endswith("o_proj.weight"):
            x /= (2 * (1 + int(key.split(".")[2]))) ** 0.5
    state["model.layers.2.self_attn.o_proj.weight"].zero_()
    state["model.embed_tokens.weight"][200:] = 0
    first = save(model, tmp_path / "first", dtype)
    for x in state.values():
        x += 0.01 * torch.randn_like(x)
    summary = found([first, save(model, tmp_path / "second", dtype)], null=31)
    assert summary["start"]["word"] == "random", summary["start"]["failed"]


def test_copied_experts(tmp_path: Path) -> None:
    """And blocks of rows that were drawn with one seed: neither is training, and neither is as usual."""
    state = fresh(7).state_dict()
    for key in list(state):
        if "experts" in key and state[key].ndim == 3:
            state[key][:] = state[key][:1]
    model = fresh(7)
    model.load_state_dict(state)
    summary = found([save(model, tmp_path / "first"), save(model, tmp_path / "second")], null=31)
    assert summary["start"]["word"] == "undecided" and "experts of expert.gate" in summary["start"]["copies"][0]
    assert summary["same"] == [2]
    model = fresh(7)
    for key, x in model.state_dict().items():
        if "q_proj" in key:
            x[48:] = x[:48]
    summary = found([save(model, tmp_path / "third"), save(model, tmp_path / "fourth")], null=31)
    assert summary["start"]["word"] == "undecided" and [one["test"] for one in summary["start"]["failed"]] == [
        "repeats"
    ]


def test_refusals(scratch: list[Path]) -> None:
    for arguments, line in (
        ((scratch[:1],), "at least two"), ((scratch, [1, 2]), "2 steps given for 9"), ((scratch, None, 5), "5 draws"),
    ):  # fmt: skip
        options = dict(zip(("paths", "steps", "null"), arguments, strict=False))
        with pytest.raises(PlanError, match=line):
            series(**options)

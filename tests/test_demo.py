"""The demo: what it makes is what it says, and its tour shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import weightkin as package
from weightkin.cli import main
from weightkin.demo import MODELS, make_models


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What `demo --keep` prints, and the folder that it keeps."""
    folder = tmp_path_factory.mktemp("demo") / "models"
    result = CliRunner().invoke(main, ["demo", "--keep", str(folder)], env={"COLUMNS": "100"})
    assert result.exit_code == 0 and result.stderr == ""
    return result.stdout, folder


def test_models_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    paths = make_models(tmp_path)
    assert list(paths) == list(MODELS)
    for path in paths.values():
        found = package.inspect(path)
        assert found.family == "qwen3_moe" and found.known_family
        assert not found.problems and not any(part.group == "other" for part in found.roles)
    results = package.matrix(list(paths.values()))
    at = {name: number for number, name in enumerate(paths)}
    relations = {(pair["a"], pair["b"]): pair["verdict"]["relation"] for pair in results.summary["pairs"]}
    assert relations[at["base"], at["finetuned"]] == "derived"
    assert relations[at["base"], at["unrelated"]] == "no_evidence"
    assert relations[at["base"], at["norms_only"]] == "norms_only"
    tables = {entry["group"]: entry for entry in results.summary["matrices"]}
    base, unrelated = at["base"], at["unrelated"]
    assert tables["norms"]["cosine"][base][unrelated] > 0.985
    assert abs(tables["norms"]["pearson"][base][unrelated]) < 0.1
    assert tables["experts"]["pearson"][base][at["finetuned"]] > 0.99
    assert abs(tables["experts"]["pearson"][base][unrelated]) < 0.01
    assert tables["embeddings"]["identical_fraction"][base][at["finetuned"]] == 1


def test_tour(tour: tuple[str, Path]) -> None:
    shown, folder = tour
    for part in ("weightkin compare base finetuned", "weightkin matrix", "says nothing", "What to take from this"):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert sorted(path.name for path in folder.iterdir()) == sorted([*MODELS, "report.html"])
    assert str(folder / "report.html") in shown.replace("\n", "")


def test_nothing_is_overwritten(tour: tuple[str, Path]) -> None:
    result = CliRunner().invoke(main, ["demo", "--keep", str(tour[1])])
    assert result.exit_code == 1 and "is not empty" in result.stderr

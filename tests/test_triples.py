"""Of three models, which two are closer: asked with the relabellings that both comparisons share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import weightkin
from folders import write_checkpoint
from weightkin import Results, compare, matrix

HIDDEN, CONFIG = 64, {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, one that was made from it, and two of their own."""
    random = np.random.default_rng(5)
    names = [f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in range(2) for part in "qkvo"]
    base, strange, stranger = ({name: random.standard_normal((HIDDEN, HIDDEN)) for name in names} for _ in range(3))
    child = {name: value + 0.5 * random.standard_normal(value.shape) for name, value in base.items()}
    return [
        write_checkpoint(
            tmp_path_factory.mktemp("models") / str(number),
            {name: value.astype(np.float32) for name, value in one.items()},
            CONFIG,
        )
        for number, one in enumerate((base, child, strange, stranger))
    ]


@pytest.fixture(scope="module")
def results(folders: list[Path]) -> Results:
    return matrix(folders)


def test_kin_are_closer_than_strangers(results: Results) -> None:
    rows = results["triples"].to_pylist()
    assert len(rows) == 4 * 3  # of each model, every pair of others
    for row in rows:
        kin = {row["a"], row["b"]} == {0, 1}
        assert (row["z"] > 10) == kin
        assert row["p"] == pytest.approx(2 / HIDDEN) if kin else row["p"] > 2 / HIDDEN
        assert row["difference"] == pytest.approx(row["aligned_b"] - row["aligned_c"]) and row["difference"] >= 0


def test_two_models_have_none(folders: list[Path]) -> None:
    assert "triples" not in compare(*folders[:2]).table_names


def test_printed(folders: list[Path]) -> None:
    printed = weightkin("matrix", *folders[:3]).stdout
    assert "Closer to one than to the other" in printed and "is closer to" in printed
    assert "no model, by no group" in weightkin("matrix", folders[0], *folders[2:]).stdout

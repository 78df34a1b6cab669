"""The canonical form: norm gains folded into the matrices that read them."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from commands import weightkin
from folders import write_checkpoint
from weightkin import compare

HIDDEN, HEAD, NEURONS = 64, 32, 48
CONFIG = {"model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2}
READERS = {"self_attn.q_proj": "input_layernorm", "mlp.up_proj": "post_attention_layernorm"}


@pytest.fixture
def rescaled(tmp_path: Path) -> list[Path]:
    """Two models of one function in float32: the second has other gains, and matrices that undo them."""
    random = np.random.default_rng(0)
    rows = {"self_attn.q_proj": HEAD, "mlp.up_proj": NEURONS}
    one: dict[str, np.ndarray] = {"model.layers.0.mlp.down_proj.weight": random.standard_normal((HIDDEN, NEURONS))}
    other = dict(one)
    for matrix, norm in READERS.items():
        weight, gain, turn = random.standard_normal((rows[matrix], HIDDEN)), *random.uniform(0.5, 2, (2, HIDDEN))
        one |= {f"model.layers.0.{matrix}.weight": weight, f"model.layers.0.{norm}.weight": gain}
        other |= {f"model.layers.0.{matrix}.weight": weight / turn, f"model.layers.0.{norm}.weight": gain * turn}
    folders = []
    for name, model in (("one", one), ("other", other)):
        tensors = {key: value.astype(np.float32) for key, value in model.items()}
        folders.append(write_checkpoint(tmp_path / name, tensors, CONFIG))
    return folders


def test_rescaling_is_undone(rescaled: list[Path]) -> None:
    plain, folded = (compare(*rescaled, canonical=canonical) for canonical in (False, True))
    for role in ("attn.q", "mlp.up"):
        before, after = (
            next(one for one in found.summary["roles"] if one["role"] == role) for found in (plain, folded)
        )
        assert before["pearson"] < 0.95 and after["pearson"] == pytest.approx(1, abs=1e-6)
        assert after["relative_l2"] < 1e-6
    untested = {(one["role"], one["reason"]) for one in folded.summary["coverage"]["untested"]}
    assert {role for role, reason in untested if reason.startswith("folded")} == {"norm.input", "norm.post_attention"}


def test_numbers_are_those_of_the_folded_matrices(rescaled: list[Path]) -> None:
    """Also where only the first axis of the tile is cut, and for bf16."""
    random = np.random.default_rng(1)
    models = [
        {
            "model.layers.0.self_attn.q_proj.weight": random.standard_normal((HEAD, HIDDEN)).astype(ml_dtypes.bfloat16),
            "model.layers.0.input_layernorm.weight": random.uniform(0.5, 2, HIDDEN).astype(ml_dtypes.bfloat16),
        }
        for _ in range(2)
    ]
    folders = [write_checkpoint(rescaled[0].parent / f"bf16-{i}", model, CONFIG) for i, model in enumerate(models)]
    (row,) = (row for row in compare(*folders, canonical=True)["tensors"].to_pylist() if row["role"] == "attn.q")
    x, y = (
        np.multiply(*(value.astype(np.float32) for value in model.values())).astype(np.float64).ravel()
        for model in models
    )
    assert row["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert row["mean_abs_difference"] == pytest.approx(np.abs(x - y).mean(), rel=1e-6)


def test_what_was_folded_is_not_called_identical(rescaled: list[Path]) -> None:
    """Equal products do not show that the bytes were equal."""
    rows = compare(rescaled[0], rescaled[0], canonical=True)["tensors"].to_pylist()
    found = {row["role"]: (row["changed_fraction"], row["identical"]) for row in rows if row["status"] == "compared"}
    assert found == {"attn.q": (0, False), "mlp.up": (0, False), "mlp.down": (0, True)}


def test_option(rescaled: list[Path]) -> None:
    done = weightkin("compare", *map(str, rescaled), "--canonical")
    assert "folded" in done.stdout

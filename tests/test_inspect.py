"""inspect: contents by component, group and role, from headers alone."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import weightkin as package
from commands import weightkin
from folders import write_checkpoint
from real_names import GLM_AIR, SOLAR_OPEN, glm_4_5_air, solar_open_100b, write_headers
from weightkin.cli import main


def test_glm_air(tmp_path: Path) -> None:
    found = package.inspect(write_headers(tmp_path / "glm", glm_4_5_air(), GLM_AIR))
    assert (found.name, found.family, found.known_family, found.shards) == ("glm", "glm4_moe", True, 1)
    assert sum(part.parameters for part in found.groups) == found.parameters == sum(found.dtypes.values())
    assert sum(part.parameters for part in found.roles) == found.parameters
    assert sum(part.nbytes for part in found.roles) == found.nbytes
    assert list(found.dtypes) == ["BF16", "F32"]
    assert [(name, extent.layers, extent.experts) for name, extent in found.extents.items()] == [
        ("text", 46, 128),
        ("mtp", 1, 128),
    ]
    order = [(part.component, part.group) for part in found.groups]
    assert order[:3] == [("text", "norms"), ("text", "attention"), ("text", "router")] and order[-1][0] == "mtp"
    assert (found.untested, found.problems) == ([], [])


def test_what_is_odd(tmp_path: Path) -> None:
    arrays = {
        "model.layers.0.self_attn.q_proj.weight": np.ones((8, 8), np.float32),
        "model.layers.0.input_layernorm.weight": np.ones(8, np.float32),
        "model.layers.0.mlp.up_proj.weight": np.ones((8, 5), np.float32),
        "model.layers.0.mlp.gate_proj.qweight": np.ones((8, 5), np.int32),
    }
    folder = write_checkpoint(tmp_path / "odd", arrays)
    (folder / "extra.safetensors").touch()
    found = package.inspect(folder)
    assert any("extra.safetensors" in problem for problem in found.problems)
    assert any("mlp.up_proj" in problem and "5 channels instead of 8" in problem for problem in found.problems)
    shown = CliRunner().invoke(main, ["inspect", str(folder), "-v"], env={"COLUMNS": "80"}).stdout
    assert shown.count("note: ") == len(found.problems)
    assert "attn.q" in shown and max(map(len, shown.splitlines())) <= 80


def test_packed_weights_are_named_with_their_reason(tmp_path: Path) -> None:
    stem = "model.layers.0.mlp.experts"
    arrays = {
        "model.layers.0.input_layernorm.weight": np.ones(64, np.float32),
        f"{stem}.gate_up_proj_blocks": np.zeros((2, 64, 2, 16), np.uint8),
        f"{stem}.gate_up_proj_scales": np.zeros((2, 64, 2), np.uint8),
    }
    folder = write_checkpoint(tmp_path / "packed", arrays, {"model_type": "gpt_oss", "hidden_size": 64})
    found = package.inspect(folder)
    assert found.untested and all("MXFP4" in entry.reason for entry in found.untested)
    result = CliRunner().invoke(main, ["inspect", str(folder)])
    assert "Cannot be compared" in result.stdout and "MXFP4" in result.stdout
    assert json.loads(CliRunner().invoke(main, ["inspect", str(folder), "--json"]).stdout) == found.to_dict()


def test_nineteen_thousand_tensors_in_a_moment(tmp_path: Path) -> None:
    folder = write_headers(tmp_path / "solar", solar_open_100b(), SOLAR_OPEN)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = weightkin("inspect", folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "18,963 tensors" in shown.stdout and "103B parameters" in shown.stdout
    # Time of this process alone, so that a busy machine fails nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5

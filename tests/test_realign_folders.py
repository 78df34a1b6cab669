"""align: what lies beside the weights, folders that are refused, nothing half-made, and the search on trained models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from weightkin.bench.zoo.architectures import MOE
from weightkin.bench.zoo.edits import permute, permute_heads, permute_neurons
from weightkin.bench.zoo.states import save, tensors, write

from commands import environment, weightkin
from families import family_folder
from folders import arrays, to_hub_cache, write_checkpoint
from realigned import SWAPPED, model_of, random_alignment, same_bytes, two_layers, written
from weightkin import ResultsError, WeightkinError, align, compare
from weightkin.checkpoint import open_checkpoint


def test_other_files_come_along(tmp_path: Path) -> None:
    b = write_checkpoint(tmp_path / "b", two_layers()[0] | two_layers()[1])
    (b / "tokenizer").mkdir()
    for name in ("tokenizer/vocab.txt", "README.md", "pytorch_model.bin", "other.safetensors", ".hidden"):
        (b / name).write_text(name)
    (tmp_path / "secret").write_text("not ours")
    (b / "link").symlink_to(tmp_path / "secret")
    found = align(b, b, tmp_path / "copy", alignment=written(tmp_path, SWAPPED))
    copied = sorted(
        str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()
    )
    assert copied == ["README.md", "config.json", "model.safetensors", "tokenizer/vocab.txt"]
    assert [line.split(":")[0] for line in found.left_out] == ["link", "other.safetensors", "pytorch_model.bin"]
    one = align(b, b / "model.safetensors", tmp_path / "one", alignment=written(tmp_path, SWAPPED))
    assert sorted(path.name for path in one.folder.iterdir()) == ["config.json", "model.safetensors"]


def test_from_a_hub_cache(tmp_path: Path) -> None:
    snapshot = to_hub_cache(write_checkpoint(tmp_path / "x", two_layers()), tmp_path / "hub")
    found = align(snapshot, snapshot.parent.parent, tmp_path / "copy", alignment=written(tmp_path, SWAPPED))
    assert not same_bytes(snapshot, found.folder) and found.left_out == []
    assert not any(path.is_symlink() for path in found.folder.iterdir())
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in snapshot.iterdir()}


def test_folders_that_are_refused(tmp_path: Path) -> None:
    b = write_checkpoint(tmp_path / "b", two_layers()[0] | two_layers()[1])
    (tmp_path / "link").symlink_to(b)
    (tmp_path / ".taken.partial").mkdir()
    cases = {"b": "exists", "b/copy": "lies inside", "link/copy": "lies inside", "taken": "partial: exists"}
    for output, text in cases.items():
        with pytest.raises(ResultsError, match=text):
            align(b, b, tmp_path / output, alignment=written(tmp_path, SWAPPED))
    assert sorted(path.name for path in b.iterdir()) == ["config.json", "model.safetensors"]


class Stop(BaseException):
    """As Ctrl-C."""


LIMITED = """
import resource, sys, weightkin
a, output, alignment = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    weightkin.align(a, a, output, alignment=alignment)
except weightkin.ResultsError as error:
    print(error)
"""


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt, where the disk is full, and where a shard changes while it is read."""
    b = write_checkpoint(tmp_path / "b", two_layers(300)[0] | two_layers(300)[1])
    shard, stored = b / "model.safetensors", written(tmp_path, SWAPPED)

    def stop(*_: object) -> None:
        raise Stop("asked to")

    def change(*_: object) -> None:
        shard.write_bytes(shard.read_bytes() + b"0")

    def check_left() -> None:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["alignment.json", "b"]

    command = [sys.executable, "-c", LIMITED, str(b), str(tmp_path / "copy"), str(stored)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == f"{tmp_path / 'copy'}: cannot be written: File too large\n"
    check_left()
    for progress, error, text in ((stop, Stop, "asked"), (change, WeightkinError, "changed")):
        with pytest.raises(error, match=text):
            align(b, b, tmp_path / "copy", alignment=stored, progress=progress)
        check_left()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(ResultsError, match=r"no room: .* bytes are needed, 10 are free"):
        align(b, b, tmp_path / "copy", alignment=stored)
    check_left()


def test_on_the_command_line(tmp_path: Path) -> None:
    b = family_folder("mixtral")
    stored = written(tmp_path, random_alignment(model_of(b), 5))
    done = weightkin("align", b, b, "-o", tmp_path / "copy", "--alignment", stored)
    assert done.stdout.startswith("re-ordered: ") and "attention heads in 3 layers" in done.stdout
    assert done.stderr == f"written to {tmp_path / 'copy'}\n"
    done = weightkin("align", b, b, "-o", tmp_path / "other", "--alignment", stored, "--json", "-q")
    assert json.loads(done.stdout)["moved"]["layers_with_heads"] == 3 and done.stderr == ""
    done = weightkin("align", b, b, "-o", tmp_path / "copy", "--alignment", stored, code=1)
    assert done.stderr == f"weightkin: {tmp_path / 'copy'}: exists\nhint: give a new folder\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, large enough to be told from others."""
    return save(fresh_small(0), tmp_path_factory.mktemp("models") / "base")


def fresh_small(seed: int) -> Any:
    automatic: Any = AutoModelForCausalLM
    torch.manual_seed(seed)
    arguments = MOE | dict(n_routed_experts=6, first_k_dense_replace=1, num_hidden_layers=2)
    return automatic.from_config(CONFIG_MAPPING["glm4_moe"](**arguments), dtype=torch.float32)


def test_search_align_and_compare(base: Path, tmp_path: Path) -> None:
    """A permuted model comes back to the byte, and `compare` without any alignment says so."""
    random = np.random.default_rng(0)
    state, _ = permute(tensors(base), random)
    state, _ = permute_heads(state, random, 16)
    b = write(permute_neurons(state, random), base, tmp_path / "b")
    assert not same_bytes(base, b)
    found = align(base, b, tmp_path / "copy", seed=1, threads=2)
    assert found.moved == {"layers": 0, "experts": 6, "mlps_with_neurons": 8, "layers_with_heads": 2}
    assert not [line for line in found.notes if "MLPs" in line or "heads" in line]
    assert same_bytes(base, tmp_path / "copy")
    summary = compare(base, tmp_path / "copy", threads=2).summary
    assert summary["verdict"]["relation"] == "identical"
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in b.iterdir()}


def test_nothing_of_another_model_is_moved(base: Path, tmp_path: Path) -> None:
    other = save(fresh_small(1), tmp_path / "other")
    done = weightkin("align", base, other, "-o", tmp_path / "copy", "--seed", "1", "-q", code=1)
    assert "weightkin: nothing of other can be moved to where it stands in base" in done.stderr
    assert "attention heads match none of A clearly" in done.stderr
    assert "8 of 8 MLPs match none of the same layer of A clearly" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(("name", "changed"), [("permuted", ()), ("shuffled", ("up_proj", "down_proj"))])
def test_trained_models_come_back(zoo: Path, tmp_path: Path, name: str, changed: tuple[str, ...]) -> None:
    """To the byte, but for the neurons that were rescaled too."""
    found = align(zoo / "base", zoo / name, tmp_path / "copy", threads=2)
    wanted, copy = (arrays(open_checkpoint(path)) for path in (zoo / "base", found.folder))
    differing = {tensor for tensor, x in wanted.items() if x.tobytes() != copy[tensor].tobytes()}
    assert differing == {tensor for tensor in wanted if changed and any(part in tensor for part in changed)}
    assert found.notes == []

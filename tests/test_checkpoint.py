"""Folders of every layout open, with every tensor in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from folders import (
    FIRST,
    ONES,
    SECOND,
    SHARDS,
    THIRD,
    arrays,
    refusal,
    write_checkpoint,
    write_index,
    write_raw,
    write_shard,
)
from weightkin.checkpoint import open_checkpoint


def test_sharded_folder(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "mine", SHARDS, {"model_type": "llama"}))
    assert checkpoint.name == "mine"
    assert checkpoint.config == {"model_type": "llama"}
    assert [shard.name for shard in checkpoint.shards] == [FIRST, SECOND, THIRD]
    assert list(checkpoint.tensors) == ["a", "b", "c", "d"]
    assert (checkpoint.parameters, checkpoint.nbytes, checkpoint.problems) == (21, 84, ())
    a, b = checkpoint.tensors["a"], checkpoint.tensors["b"]
    assert (a.dtype, a.shape, a.shard, a.parameters, a.nbytes) == ("F32", (2, 3), 0, 6, 24)
    assert a.end == b.begin and b.end == checkpoint.shards[0].stat().st_size


def test_file_index_and_folder_are_the_same(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mine", SHARDS)
    by_index = open_checkpoint(folder / "model.safetensors.index.json")
    assert by_index.name == "mine" and list(by_index.tensors) == ["a", "b", "c", "d"]
    single = open_checkpoint(str(write_checkpoint(tmp_path / "single", {"a": ONES}) / "model.safetensors"))
    assert single.name == "single" and single.config == {"model_type": "llama"} and single.problems == ()


def test_tensors_are_in_offset_order(tmp_path: Path) -> None:
    entries = {"late": [4, 8], "early": [0, 4]}
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": at} for name, at in entries.items()}
    checkpoint = open_checkpoint(write_raw(tmp_path / "x.safetensors", header, bytes(8)))
    assert list(checkpoint.tensors) == ["early", "late"]
    assert checkpoint.name == "x" and checkpoint.problems == ("there is no config.json",)


def test_folder_without_index(tmp_path: Path) -> None:
    write_shard(tmp_path / "one.safetensors", {"a": ONES})
    write_shard(tmp_path / "two.safetensors", {"b": ONES})
    write_shard(tmp_path / "._two.safetensors", {"b": ONES})
    assert list(open_checkpoint(tmp_path).tensors) == ["a", "b"]
    write_shard(tmp_path / "three.safetensors", {"a": ONES})
    refusal(tmp_path, "tensor 'a': the same tensor is in one.safetensors too", file=tmp_path / "three.safetensors")


def test_model_file_before_others(tmp_path: Path) -> None:
    write_shard(write_checkpoint(tmp_path, {"a": ONES}) / "adapter_model.safetensors", {"b": ONES})
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint.tensors) == ["a"]
    assert checkpoint.problems == ("'adapter_model.safetensors' is ignored: model.safetensors is there",)


def test_adapter_alone(tmp_path: Path) -> None:
    write_shard(tmp_path / "adapter_model.safetensors", {"lora": ONES})
    assert list(open_checkpoint(tmp_path).tensors) == ["lora"]


def test_shards_without_index_and_siblings(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path, SHARDS) / "model.safetensors.index.json").unlink()
    assert open_checkpoint(tmp_path).problems == ()
    assert open_checkpoint(tmp_path / FIRST).problems == ("only 1 of the 00003 shards model-*-of-00003 are read",)


def test_file_not_in_index(tmp_path: Path) -> None:
    write_shard(write_checkpoint(tmp_path, SHARDS) / "consolidated.safetensors", {"a": ONES})
    checkpoint = open_checkpoint(tmp_path)
    assert len(checkpoint.shards) == 3
    assert checkpoint.problems == ("'consolidated.safetensors' is ignored: not listed in model.safetensors.index.json",)


def test_tensor_not_in_index(tmp_path: Path) -> None:
    write_index(write_checkpoint(tmp_path, SHARDS), {"a": FIRST, "c": SECOND, "d": THIRD})
    checkpoint = open_checkpoint(tmp_path)
    assert "b" in checkpoint.tensors
    assert checkpoint.problems == (f"{FIRST}: 1 tensors are not in the index, such as 'b'",)


def test_index_decides_between_shards(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, [{"a": ONES, "b": ONES}, {"a": 2 * ONES, "c": ONES}])
    checkpoint = open_checkpoint(folder)
    assert arrays(checkpoint)["a"][0, 0] == 2
    first, second = (shard.name for shard in checkpoint.shards)
    assert checkpoint.problems == (f"{first}: 1 tensors are ignored: the index lists 'a' in {second}",)


def test_other_index_name_and_subfolder(tmp_path: Path) -> None:
    write_shard(tmp_path / "weights" / "x.safetensors", {"a": ONES})
    write_index(tmp_path, {"a": "./weights/x.safetensors"}, "transformer.safetensors.index.json")
    assert open_checkpoint(tmp_path).shards == (tmp_path / "weights" / "x.safetensors",)
    write_index(tmp_path, {"a": "weights/x.safetensors"}, "other.safetensors.index.json")
    refusal(tmp_path, "has 2 index files: other.safetensors.index.json, ", "give the path of one")


def test_bytes_of_no_tensor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"a": ONES, "b": ONES}, gap=3)
    assert open_checkpoint(tmp_path).problems == ("model.safetensors: 6 bytes belong to no tensor",)


def test_empty_tensors_and_metadata(tmp_path: Path) -> None:
    nothing = {"dtype": "F32", "shape": [2, 0], "data_offsets": [2, 2]}
    header = {"__metadata__": {"format": "pt"}, "a": nothing}
    header["b"] = {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}
    checkpoint = open_checkpoint(write_raw(tmp_path / "x.safetensors", header, bytes(4)))
    assert checkpoint.parameters == 1 and arrays(checkpoint)["a"].shape == (2, 0)


@pytest.mark.parametrize("dtype", ["F4", "F8_E8M0", "F6_E2M3", "C64"])
def test_unknown_dtype_stays(tmp_path: Path, dtype: str) -> None:
    header = {"a": {"dtype": dtype, "shape": [4, 8], "data_offsets": [0, 16]}}
    checkpoint = open_checkpoint(write_raw(tmp_path / "x.safetensors", header, bytes(16)))
    assert checkpoint.tensors["a"].dtype == dtype and checkpoint.parameters == 32


def test_fingerprint(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "x", SHARDS)
    fingerprints = [open_checkpoint(folder).fingerprint()]
    assert fingerprints == [open_checkpoint(folder / "model.safetensors.index.json").fingerprint()]
    times = (folder / SECOND).stat()
    renamed = json.dumps({"e": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}})
    write_index(folder, {"a": FIRST, "e": SECOND, "d": THIRD})
    write_raw(folder / SECOND, renamed, ONES.tobytes())
    os.utime(folder / SECOND, ns=(times.st_atime_ns, times.st_mtime_ns))
    fingerprints.append(open_checkpoint(folder).fingerprint())
    os.utime(folder / SECOND, ns=(0, 0))
    fingerprints.append(open_checkpoint(folder).fingerprint())
    assert len(set(fingerprints)) == 3

"""Mapped shards: arrays without copies, and files that change while they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from folders import DTYPE_NAMES, ONES, SECOND, SHARDS, THIRD, arrays, write_checkpoint, write_shard
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.errors import CheckpointError


def test_saved_by_safetensors(tmp_path: Path) -> None:
    saved: dict[str, np.ndarray[Any, Any]] = {
        "w": np.arange(12, dtype=np.float16).reshape(3, 4),
        "n": np.arange(3),
        "s": np.array(2.5),
    }
    safetensors.numpy.save_file(saved, tmp_path / "model.safetensors", {"format": "np"})
    for name, array in arrays(open_checkpoint(tmp_path)).items():
        np.testing.assert_array_equal(array, saved[name])


def test_saved_by_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    values = torch.linspace(-3, 3, 60).reshape(5, 12)
    dtypes = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
    save_file({name: values.to(dtype) for name, dtype in dtypes.items()}, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    for name, array in arrays(checkpoint).items():
        assert checkpoint.tensors[name].dtype == name
        np.testing.assert_array_equal(array.astype(np.float32), values.to(dtypes[name]).float().numpy())


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("dtype", DTYPE_NAMES, ids=DTYPE_NAMES.get)
def test_arrays_are_views(tmp_path: Path, dtype: np.dtype[Any], gap: int) -> None:
    values = np.random.default_rng(0).integers(0, 2, (4, 6, 5)).astype(dtype)
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, {"a": values[0, 0], "x": values}, gap=gap))
    shards, view = Shards(checkpoint), checkpoint.tensors["x"].view()
    whole = shards.array(view)
    address = whole.__array_interface__["data"][0]
    assert address == shards[0].address + view.offset
    assert not whole.flags.writeable
    np.testing.assert_array_equal(whole, values)
    np.testing.assert_array_equal(shards.array(view.permute((2, 0, 1))), values.transpose(2, 0, 1))
    np.testing.assert_array_equal(shards.array(view.split(1, 1, 2, "interleaved")), values[:, 1::2])
    np.testing.assert_array_equal(shards.array(view.index(0, 2).narrow(1, 1, 3)), values[2, :, 1:4])


def test_bfloat16_is_exact_at_odd_offsets(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(1000).astype(ml_dtypes.bfloat16)
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, {"x": values}, gap=1))
    array = arrays(checkpoint)["x"]
    assert array.dtype == ml_dtypes.bfloat16 and not array.flags.aligned
    np.testing.assert_array_equal(array.astype(np.float64), values.astype(np.float64))


def test_file_that_changes_before_it_is_mapped(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, SHARDS))
    shards = Shards(checkpoint)
    assert shards[0] is shards[0]
    write_shard(checkpoint.shards[1], {"c": ONES, "more": ONES})
    with pytest.raises(CheckpointError, match=f"{SECOND}: the file changed while it was being read"):
        shards[1]
    os.utime(checkpoint.shards[2], ns=(0, 0))
    with pytest.raises(CheckpointError, match=f"{THIRD}: the file changed while it was being read"):
        shards[2]
    checkpoint.shards[2].unlink()
    with pytest.raises(CheckpointError, match=f"{THIRD}: cannot be read: No such file or directory"):
        shards[2]


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, {"x": np.ones(1 << 16, np.float32)}))
    shards = Shards(checkpoint)
    array = shards.array(checkpoint.tensors["x"].view())
    assert array[:10].sum() == 10
    shards.check()
    os.truncate(checkpoint.shards[0], 4096)
    array.sum()  # no SIGBUS
    with pytest.raises(CheckpointError, match="the file shrank while it was being read"):
        shards.check()

"""Writes checkpoints by hand, the broken ones too, and opens them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from weightkin.checkpoint import Checkpoint, open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.errors import CheckpointError

Arrays = Mapping[str, np.ndarray[Any, Any]]

ONES = np.ones((2, 3), np.float32)
SHARDS: list[Arrays] = [{"a": ONES, "b": ONES[0]}, {"c": ONES}, {"d": ONES}]
FIRST, SECOND, THIRD = (f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3))

DTYPE_NAMES = {
    np.dtype(dtype): name
    for name, dtype in {
        "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
        "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
        "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
    }.items()
}  # fmt: skip


def write_raw(path: Path, header: dict[str, Any] | str | bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file of any header and data; `length` instead of the header's true length."""
    text = json.dumps(header) if isinstance(header, dict) else header
    encoded = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((len(encoded) if length is None else length).to_bytes(8, "little") + encoded + data)
    return path


def encode(arrays: Arrays, gap: int = 0) -> tuple[dict[str, Any], bytes]:
    """Header and data of `arrays`, in their order; `gap` unused bytes before each, for odd offsets."""
    header: dict[str, Any] = {}
    data = b""
    for name, array in arrays.items():
        data += b"\xff" * gap
        begin = len(data)
        data += array.tobytes()
        dtype = DTYPE_NAMES[array.dtype]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    return header, data


def write_shard(path: Path, arrays: Arrays, gap: int = 0) -> Path:
    """One safetensors file."""
    return write_raw(path, *encode(arrays, gap))


def write_checkpoint(
    folder: Path, arrays: Arrays | Sequence[Arrays], config: dict[str, Any] | None = None, gap: int = 0
) -> Path:
    """A Hugging Face folder: model.safetensors for one dict of arrays, numbered shards and an index for a list."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} if config is None else config))
    if isinstance(arrays, Mapping):
        write_shard(folder / "model.safetensors", arrays, gap)
        return folder
    weight_map: dict[str, str] = {}
    for number, part in enumerate(arrays, 1):
        file = f"model-{number:05}-of-{len(arrays):05}.safetensors"
        write_shard(folder / file, part, gap)
        weight_map |= dict.fromkeys(part, file)
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: Any, file: str = "model.safetensors.index.json") -> Path:
    """An index, whatever its `weight_map` is."""
    path = folder / file
    path.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return path


def to_hub_cache(folder: Path, cache: Path, repository: str = "org/name", commit: str = "0123abc") -> Path:
    """Moves the files of `folder` into a Hub cache, with refs/main; returns the snapshot folder full of links."""
    root = cache / ("models--" + repository.replace("/", "--"))
    snapshot, blobs = root / "snapshots" / commit, root / "blobs"
    for part in (snapshot, blobs, root / "refs"):
        part.mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        link = snapshot / file.relative_to(folder)
        blob = blobs / hashlib.sha256(str(file).encode()).hexdigest()
        file.rename(blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of a checkpoint, mapped."""
    shards = Shards(checkpoint)
    return {name: shards.array(tensor.view()) for name, tensor in checkpoint.tensors.items()}


def refusal(path: Path | str, rule: str, hint: str = "", file: Path | str | None = None) -> CheckpointError:
    """The error of opening `path`, which is about `file` and whose rule and hint match."""
    with pytest.raises(CheckpointError, match=rule) as caught:
        open_checkpoint(path)
    error = caught.value
    assert "\n" not in str(error)
    assert str(error).startswith(str(path if file is None else file) + ": ")
    assert re.search(hint, error.hint or "")
    return error

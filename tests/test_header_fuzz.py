"""Whatever bytes a shard or an index holds, opening it returns a valid checkpoint or raises `CheckpointError`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folders import encode, write_checkpoint, write_raw
from weightkin.checkpoint import Checkpoint, open_checkpoint
from weightkin.errors import CheckpointError
from weightkin.view import ITEM_SIZES

HEADER, DATA = encode({"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.uint8), "c": np.ones((), np.float16)})
TEXT = json.dumps({"__metadata__": {"format": "pt"}, **HEADER}).encode()
WHOLE = len(TEXT).to_bytes(8, "little") + TEXT + DATA

numbers = st.integers() | st.integers(0, 40) | st.floats() | st.booleans() | st.none()
scalars = numbers | st.text(max_size=20) | st.sampled_from([*ITEM_SIZES, "F4", "__metadata__"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from([*ITEM_SIZES, "F4"]) | values,
        "shape": st.lists(st.integers(0, 4) | numbers, max_size=4) | values,
        "data_offsets": st.lists(st.integers(0, 40) | numbers, min_size=1, max_size=3) | values,
    },
)
headers = st.dictionaries(
    st.sampled_from(["a", "b", "__metadata__"]) | st.text(max_size=8), entries | values, max_size=4
)
edits = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3), st.integers(0, 3)), max_size=4)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples, rewritten by each."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def open_or_refuse(path: Path) -> Checkpoint | None:
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000
        return None
    for tensor in checkpoint.tensors.values():
        size = checkpoint.shards[tensor.shard].stat().st_size
        assert 8 < tensor.begin <= tensor.end <= size
        if tensor.dtype in ITEM_SIZES:
            assert tensor.parameters * ITEM_SIZES[tensor.dtype] == tensor.nbytes
            assert tensor.view().extent == (tensor.begin, tensor.end)
    spans = sorted((tensor.begin, tensor.end) for tensor in checkpoint.tensors.values() if tensor.nbytes)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    return checkpoint


def test_unharmed(folder: Path) -> None:
    (folder / "x.safetensors").write_bytes(WHOLE)
    checkpoint = open_or_refuse(folder / "x.safetensors")
    assert checkpoint is not None and len(checkpoint.tensors) == 3


@given(st.binary(max_size=200))
def test_any_file(folder: Path, content: bytes) -> None:
    (folder / "x.safetensors").write_bytes(content)
    open_or_refuse(folder / "x.safetensors")


@given(st.binary(max_size=200))
def test_any_header(folder: Path, header: bytes) -> None:
    open_or_refuse(write_raw(folder / "x.safetensors", b"{" + header, DATA))


@settings(max_examples=400)
@given(edits, st.integers(0, len(DATA)))
def test_mutated_file(folder: Path, edits: list[tuple[int, bytes, int]], cut: int) -> None:
    content = WHOLE[: len(WHOLE) - cut]
    for at, replacement, length in edits:
        content = content[:at] + replacement + content[at + length :]
    (folder / "x.safetensors").write_bytes(content)
    open_or_refuse(folder / "x.safetensors")


@settings(max_examples=400)
@given(headers, st.integers(0, 40))
def test_any_json_header(folder: Path, header: dict[str, Any], size: int) -> None:
    open_or_refuse(write_raw(folder / "x.safetensors", header, bytes(size)))


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=30) | values, max_size=3) | values)
def test_any_index(folder: Path, weight_map: Any) -> None:
    path = write_checkpoint(folder / "indexed", {"a": np.ones(3, np.float32)})
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    open_or_refuse(path)


@given(st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode()))
def test_any_config(folder: Path, content: bytes) -> None:
    path = write_checkpoint(folder / "configured", {"a": np.ones(3, np.float32)})
    (path / "config.json").write_bytes(content)
    open_or_refuse(path)

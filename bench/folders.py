"""Folders of safetensors shards, written as a stream by several threads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .shapes import Tensor

SHARD_BYTES = 5_000_000_000

Fill = Callable[[Tensor], Iterator[npt.NDArray[Any]]]
"""The elements of a tensor, part by part, as flat arrays of its dtype."""


def write_shards(folder: Path, tensors: Iterable[Tensor], fill: Fill, shard_bytes: int, threads: int | None) -> None:
    """A folder as `save_pretrained` lays it out: numbered shards of at most `shard_bytes` (or one tensor), an index."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(tensors, shard_bytes)
    weight_map: dict[str, str] = {}
    total = 0
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for number, shard in enumerate(shards, 1):
            file = f"model-{number:05}-of-{len(shards):05}.safetensors"
            _write_shard(folder / file, shard, fill, pool)
            weight_map |= dict.fromkeys((tensor.name for tensor in shard), file)
            total += sum(tensor.nbytes for tensor in shard)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _shards(tensors: Iterable[Tensor], shard_bytes: int) -> Sequence[Sequence[Tensor]]:
    shards: list[list[Tensor]] = [[]]
    room = shard_bytes
    for tensor in tensors:
        if shards[-1] and tensor.nbytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(tensor)
        room -= tensor.nbytes
    return shards


def _write_shard(path: Path, tensors: Sequence[Tensor], fill: Fill, pool: ThreadPoolExecutor) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        offsets = [offset, offset + tensor.nbytes]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
        file.flush()

        def write(tensor: Tensor) -> None:
            at = 8 + len(text) + header[tensor.name]["data_offsets"][0]
            for elements in fill(tensor):
                at += os.pwrite(file.fileno(), elements.view(np.uint8).data, at)

        list(pool.map(write, tensors))

"""A checkpoint as its headers, its index and its config describe it. No weight is read."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .files import read_object
from .folder import Location, check_inside, locate
from .header import Header, Stamp, TensorEntry, read_header


@dataclass(frozen=True)
class Checkpoint:
    """Every tensor of a model and where its bytes are."""

    path: Path
    """As given."""
    name: str
    """Short name for display: of the folder or file, "org/name" in a Hub cache."""
    config: dict[str, Any]
    """config.json; empty if there is none."""
    shards: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    """What each shard was when its header was read."""
    tensors: dict[str, TensorEntry]
    """Every tensor of every shard, in order of shard and offset."""
    problems: tuple[str, ...]
    """What is worth telling, but is no error."""

    @property
    def parameters(self) -> int:
        """Number of elements of all tensors."""
        return sum(tensor.parameters for tensor in self.tensors.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """Parameters per safetensors dtype, most first."""
        counts: dict[str, int] = defaultdict(int)
        for tensor in self.tensors.values():
            counts[tensor.dtype] += tensor.parameters
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def fingerprint(self) -> str:
        """Hex digest that changes when a shard's name, size, time of change or header does. Weights are not read."""
        digest = hashlib.sha256()
        for shard, stamp in zip(self.shards, self.stamps, strict=True):
            digest.update(f"{shard.name}\n{stamp.size}\n{stamp.mtime_ns}\n".encode() + stamp.header)
        return digest.hexdigest()


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a folder, a .safetensors file, an index file, or a snapshot or model folder of a Hub cache.

    Raises `CheckpointError`, naming the file, the tensor and the rule that is broken.
    """
    given = Path(path)
    location = locate(given)
    # A file that the user names may be a link to anywhere; one that a folder or an index names may not.
    named_by_user = location.folder / location.files[0] == given
    shards = tuple(
        location.folder / file if named_by_user else check_inside(location.folder, file) for file in location.files
    )
    headers = [read_header(shard, number) for number, shard in enumerate(shards)]
    problems = list(location.problems)
    for file, header in zip(location.files, headers, strict=True):
        if header.spare:
            problems.append(f"{file}: {header.spare:,} bytes belong to no tensor")
    tensors = _merge(location, shards, headers, problems)
    config = _read_config(location.folder, problems)
    stamps = tuple(header.stamp for header in headers)
    return Checkpoint(given, location.name, config, shards, stamps, tensors, tuple(problems))


def _merge(
    location: Location, shards: Sequence[Path], headers: Sequence[Header], problems: list[str]
) -> dict[str, TensorEntry]:
    """One dict of all shards' tensors. Where several shards have a tensor, the index decides; without one: an error."""
    weight_map = location.weight_map or {}
    if location.index is not None:
        _check_listed(location.index, weight_map, dict(zip(location.files, headers, strict=True)))
    tensors: dict[str, TensorEntry] = {}
    not_listed: dict[str, list[str]] = defaultdict(list)
    listed_elsewhere: dict[str, list[str]] = defaultdict(list)
    for file, header in zip(location.files, headers, strict=True):
        for tensor in header.tensors:
            listed_in = weight_map.get(tensor.name)
            if location.index is not None and listed_in is None:
                not_listed[file].append(tensor.name)
            if listed_in is not None and listed_in != file:
                listed_elsewhere[file].append(tensor.name)
                continue
            first = tensors.setdefault(tensor.name, tensor)
            if first is not tensor:
                rule = f"the same tensor is in {location.files[first.shard]} too"
                raise CheckpointError(shards[tensor.shard], rule, tensor.name)
    for file, names in not_listed.items():
        problems.append(f"{file}: {len(names):,} tensors are not in the index, such as {names[0]!r}")
    for file, names in listed_elsewhere.items():
        where = f"{names[0]!r} in {weight_map[names[0]]}"
        problems.append(f"{file}: {len(names):,} tensors are ignored: the index lists {where}")
    if not tensors:
        raise CheckpointError(shards[0], "holds no tensors")
    return tensors


def _check_listed(index: Path, weight_map: Mapping[str, str], headers: Mapping[str, Header]) -> None:
    held = {file: {tensor.name for tensor in header.tensors} for file, header in headers.items()}
    for tensor, file in weight_map.items():
        if tensor not in held[file]:
            raise CheckpointError(index, f"in the index but not in the shard {file}", tensor[:200])


def _read_config(folder: Path, problems: list[str]) -> dict[str, Any]:
    if not os.path.lexists(folder / "config.json"):
        problems.append("there is no config.json")
        return {}
    return read_object(check_inside(folder, "config.json"), unique_names=False)

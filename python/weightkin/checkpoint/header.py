"""The header of one safetensors file, believed only where it keeps every rule of the format.

A file is 8 bytes of header length (little-endian), the header (a JSON object: tensor name -> dtype, shape,
data_offsets) and the data that the offsets count from. Source: the format section of the safetensors README.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..view import ITEM_SIZES, View
from .files import JSON_LIMIT, parse_object, quote, regular_file

MAX_RANK = 64  # numpy has no arrays of more
MAX_NAME = 1024
MAX_DTYPE = 32
INT64_END = 2**63


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor as the header says. `begin` and `end` are absolute byte offsets in the file of `shard`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    begin: int
    end: int

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.end - self.begin

    def view(self) -> View:
        """The whole tensor. Only for the dtypes of `ITEM_SIZES`."""
        return View.contiguous(self.shard, self.begin, self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a shard was when its header was read: bytes, time of change, SHA-256 of the header and its length."""

    size: int
    mtime_ns: int
    header: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A header that keeps the rules; `tensors` in offset order, `spare` bytes of data that belong to none of them."""

    stamp: Stamp
    tensors: list[TensorEntry]
    spare: int


def read_header(path: Path, shard: int) -> Header:
    """Reads and validates the header of shard number `shard`; raises `CheckpointError`."""
    with regular_file(path) as (file, status):
        size = status.st_size
        prefix = file.read(8)
        _check_prefix(path, prefix, size)
        text = file.read(int.from_bytes(prefix, "little"))
    start = 8 + int.from_bytes(prefix, "little")
    if 8 + len(text) < start:
        raise CheckpointError(path, "the file shrank while it was being read")
    if not text.startswith(b"{"):
        raise CheckpointError(path, "the header does not start with '{'")
    entries = parse_object(path, text, "the header")
    if not isinstance(entries.pop("__metadata__", {}), dict):
        raise CheckpointError(path, "the header's __metadata__ is not an object")
    tensors = [_entry(path, shard, start, name, value) for name, value in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end, tensor.name))
    spare = _spare(path, tensors, start, size)
    return Header(Stamp(size, status.st_mtime_ns, hashlib.sha256(prefix + text).digest()), tensors, spare)


def _check_prefix(path: Path, prefix: bytes, size: int) -> None:
    if size == 0:
        raise CheckpointError(path, "the file is empty", hint="download it again")
    if len(prefix) < 8:
        rule = f"the file has {size} bytes, fewer than the 8 of the header length"
        raise CheckpointError(path, rule, hint="download it again")
    if prefix == b"version ":  # also a length, but of a header far beyond the limit
        raise CheckpointError(path, "is a Git LFS pointer, not the weights", hint="run `git lfs pull` in its folder")
    length = int.from_bytes(prefix, "little")
    if length > JSON_LIMIT:
        rule = f"the header length {length:,} is over the limit of {JSON_LIMIT:,} bytes"
        raise CheckpointError(path, rule, hint="this is probably not a safetensors file")
    if length > size - 8:
        rule = f"truncated: the header has {length:,} bytes, only {size - 8:,} follow its length"
        raise CheckpointError(path, rule, hint="download it again")


def _entry(path: Path, shard: int, start: int, name: str, value: Any) -> TensorEntry:
    if len(name) > MAX_NAME or not name.isprintable():  # not printable: control characters, lone surrogates
        rule = f"the header has a tensor name that is not printable or over {MAX_NAME} characters: {quote(name)}"
        raise CheckpointError(path, rule)
    if not isinstance(value, dict):
        raise CheckpointError(path, f"its entry is not an object: {quote(value)}", name)
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    broken = _broken_rule(dtype, shape, offsets)
    if broken is not None:
        raise CheckpointError(path, broken, name)
    assert isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list)
    return TensorEntry(name, dtype, tuple(shape), shard, start + offsets[0], start + offsets[1])


def _broken_rule(dtype: Any, shape: Any, offsets: Any) -> str | None:
    """The first rule that one tensor's fields break by themselves."""
    if not isinstance(dtype, str) or len(dtype) > MAX_DTYPE or not dtype.isprintable():
        return f"dtype is not the name of one: {quote(dtype)}"
    if isinstance(shape, list) and len(shape) > MAX_RANK:
        return f"shape has {len(shape):,} dimensions, over the limit of {MAX_RANK}"
    # `type`, not `isinstance`: a bool is an int, but no extent.
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        return f"shape is not a list of non-negative integers: {quote(shape)}"
    item_size = ITEM_SIZES.get(dtype)
    elements = prod(shape)
    if (elements or prod(n for n in shape if n)) * (item_size or 1) >= INT64_END:  # strides overflow beside a 0 too
        return f"shape {quote(shape)} of {dtype} has more than 2**63 bytes"
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(offset) is not int for offset in offsets):
        return f"data_offsets are not two integers: {quote(offsets)}"
    begin, end = offsets
    if not 0 <= begin <= end < INT64_END:
        return f"data_offsets are not ordered and non-negative: {quote(offsets)}"
    # A dtype that is not known here (F4, F8_E8M0, ...) may pack several elements into a byte.
    if item_size is not None and end - begin != elements * item_size:
        return f"data_offsets span {end - begin:,} bytes, {dtype} of shape {quote(shape)} has {elements * item_size:,}"
    return None


def _spare(path: Path, tensors: list[TensorEntry], start: int, size: int) -> int:
    """Bytes of data in no tensor; raises if tensors leave the file or overlap. `tensors` are in offset order."""
    outside = next((tensor for tensor in tensors if tensor.end > size), None)
    if outside is not None:
        wanted = max(tensor.end for tensor in tensors)
        rule = f"truncated: the header wants {wanted:,} bytes, the file has {size:,}"
        raise CheckpointError(path, rule, outside.name, hint="download it again")
    spare, reached, before = 0, start, ""
    for tensor in tensors:
        if tensor.begin == tensor.end:
            continue
        if tensor.begin < reached:
            raise CheckpointError(path, f"its bytes overlap with those of tensor {before!r}", tensor.name)
        spare += tensor.begin - reached
        reached, before = tensor.end, tensor.name
    return spare + size - reached

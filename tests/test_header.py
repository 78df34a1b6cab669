"""Shards that are refused, in one line that names file, tensor and rule."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from folders import FIRST, SHARDS, refusal, write_checkpoint, write_raw


def entry(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}}


def text(replacement: str, of: str) -> str:
    return json.dumps(entry()).replace(of, replacement)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("", "the header does not start with '{'"),
        (" {}", "the header does not start with '{'"),
        ("{}", "holds no tensors"),
        ("{", "the header is not valid JSON: Expecting property name"),
        (b'{"\xff": 1}', "the header is not UTF-8 at byte 2"),
        ('{"a":' * 100_000, "the header is nested too deeply"),
        ('{"a":' + "[" * 100_000, "the header is nested too deeply"),
        (text("9" * 5000, "4"), "the header holds a number with too many digits"),
        ('{"a": {}, "a": {}}', "the header has the name 'a' twice"),
        (text('"dtype": "F16", "shape"', '"shape"'), "the header has the name 'dtype' twice"),
        ({"__metadata__": []}, "the header's __metadata__ is not an object"),
        ({"a\nb": 1}, r"tensor name that is not printable or over 1024 characters: 'a\\nb'"),
        ('{"\\ud800": 1}', r"tensor name that is not printable or over 1024 characters: '\\ud800'"),
        ({"a" * 2000: 1}, "tensor name that is not printable or over 1024"),
        ({"a": 1}, "tensor 'a': its entry is not an object: 1"),
        ({"a": {}}, "tensor 'a': dtype is not the name of one: None"),
        (entry(dtype=3), "tensor 'a': dtype is not the name of one: 3"),
        (entry(dtype=["F32"]), "tensor 'a': dtype is not the name of one"),
        (entry(dtype="F" * 99), "tensor 'a': dtype is not the name of one"),
        (entry(shape=None), "tensor 'a': shape is not a list of non-negative integers: None"),
        (entry(shape=[-1]), "tensor 'a': shape is not a list of non-negative integers"),
        (entry(shape=[True]), "tensor 'a': shape is not a list of non-negative integers"),
        (entry(shape=[1.0]), "tensor 'a': shape is not a list of non-negative integers"),
        (text("1e400", "1"), r"tensor 'a': shape is not a list of non-negative integers: \[inf\]"),
        (entry(shape=[1] * 65), "tensor 'a': shape has 65 dimensions, over the limit of 64"),
        (entry(shape=[2**31, 2**31]), r"tensor 'a': shape .* has more than 2\*\*63 bytes"),
        (entry(shape=[2**32, 0, 2**32]), r"tensor 'a': shape .* has more than 2\*\*63 bytes"),
        (entry(dtype="F4", shape=[10**4000]), r"tensor 'a': shape .* of F4 has more than 2\*\*63 bytes"),
        (entry(data_offsets=None), "tensor 'a': data_offsets are not two integers: None"),
        (entry(data_offsets=[0]), "tensor 'a': data_offsets are not two integers"),
        (entry(data_offsets=[0, True]), "tensor 'a': data_offsets are not two integers"),
        (entry(data_offsets=[-4, 0]), "tensor 'a': data_offsets are not ordered and non-negative"),
        (entry(data_offsets=[4, 0]), "tensor 'a': data_offsets are not ordered and non-negative"),
        (entry(data_offsets=[0, 2**63]), "tensor 'a': data_offsets are not ordered and non-negative"),
        (entry(data_offsets=[0, 5]), r"tensor 'a': data_offsets span 5 bytes, F32 of shape \[1\] has 4"),
        (entry(dtype="BF16"), r"tensor 'a': data_offsets span 4 bytes, BF16 of shape \[1\] has 2"),
        (entry(data_offsets=[8, 12]), r"tensor 'a': truncated: the header wants \d\d bytes, the file has \d\d"),
        ({**entry(), "b": entry()["a"]}, "tensor 'b': its bytes overlap with those of tensor 'a'"),
    ],
)
def test_broken_header(tmp_path: Path, header: dict[str, Any] | str | bytes, rule: str) -> None:
    path = write_raw(tmp_path / "model.safetensors", header, bytes(6))
    error = refusal(tmp_path, rule, file=path)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("mark", [",", "[", '{"":'])
def test_more_values_than_any_header_has(tmp_path: Path, mark: str) -> None:
    """Refused before they are objects, of which a header within the limit of bytes can make gigabytes."""
    path = write_raw(tmp_path / "model.safetensors", '{"a":' + mark * 1_600_000)
    refusal(tmp_path, "the header has 1,600,001 commas and opening brackets, over the limit of 1,600,000", file=path)
    write_raw(path, '{"a":' + mark * 1_599_999)
    refusal(tmp_path, "the header is not valid JSON" if mark == "," else "the header is nested too deeply", file=path)


@pytest.mark.parametrize("character", ["\u00e9", "\\u00e9"])
def test_long_text_beyond_ascii(tmp_path: Path, character: str) -> None:
    """Of which each character may take four bytes."""
    path = write_raw(tmp_path / "model.safetensors", '{"a' + character + " " * 25_000_000 + '":1}')
    refusal(tmp_path, "over the limit of 25,000,000 for JSON that is not all ASCII", file=path)
    write_raw(path, '{"a' + " " * 25_000_000 + '":1}')
    refusal(tmp_path, "tensor name that is not printable or over 1024 characters", file=path)


@pytest.mark.parametrize(
    ("data", "rule", "hint"),
    [
        (b"", "the file is empty", "download it again"),
        (b"\1\0", "the file has 2 bytes, fewer than the 8 of the header length", "download it again"),
        (b"\3" + bytes(7) + b"{}", "truncated: the header has 3 bytes, only 2 follow its length", "download it again"),
        (
            (100_000_001).to_bytes(8, "little") + b"{}",
            "100,000,001 is over the limit of 100,000,000 bytes",
            "not a saf",
        ),
        (b"\xff" * 20, "the header length 18,446,744,073,709,551,615 is over the limit", ""),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer", "git lfs pull"),
    ],
)
def test_broken_start(tmp_path: Path, data: bytes, rule: str, hint: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    refusal(tmp_path, rule, hint, file=path)


def test_truncated_shard(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, SHARDS) / FIRST
    size = path.stat().st_size
    os.truncate(path, size - 1)
    rule = f"tensor 'b': truncated: the header wants {size} bytes, the file has {size - 1}"
    refusal(tmp_path, rule, "download it again", file=path)

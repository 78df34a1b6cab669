"""Paths, indices and configs that are refused, in one line that names the file and the rule."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from folders import FIRST, ONES, SECOND, SHARDS, refusal, write_checkpoint, write_index, write_shard
from weightkin.checkpoint import open_checkpoint


@pytest.fixture
def without_privileges() -> Iterator[Path]:
    """A folder whose files' modes count, even if the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid()
        if user == 0:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        os.seteuid(user)


def test_path_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Solar-Open-100B").mkdir()
    refusal(tmp_path / "Solar-Open-10B", "does not exist", f"did you mean {tmp_path}/Solar-Open-100B?")
    refusal(tmp_path / "solar-open-100B" / "model.safetensors", "does not exist", "Solar-Open-100B?")
    monkeypatch.chdir(tmp_path)
    refusal("upstage/Solar-Open-100B", "does not exist", "hf download upstage/Solar-Open-100B")
    assert refusal("a/b/c", "does not exist").hint is None


@pytest.mark.parametrize("path", ["a\0b", "a\udcffb"])
def test_path_that_is_no_path(path: str) -> None:
    refusal(path, "is not a usable path", file=repr(path))


def test_folder_without_weights(tmp_path: Path) -> None:
    refusal(tmp_path, "the folder is empty")
    (tmp_path / "README.md").touch()
    refusal(tmp_path, r"has no \*.safetensors files")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickles(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    reason = "pickled weights, which are not read, because loading a pickle can run code"
    refusal(tmp_path, f"holds only {reason}: '{file}'", "convert it to safetensors")
    refusal(tmp_path / file, f"holds {reason}", "convert it to safetensors")
    index = write_index(tmp_path, {"a": file})
    refusal(tmp_path, f"names {reason}: '{file}'", file=index)


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    refusal(tmp_path / "model.gguf", "is neither a folder nor a")


def test_directory_as_shard(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").mkdir()
    refusal(tmp_path, "cannot be read: Is a directory", file=tmp_path / "x.safetensors")


def test_fifo(tmp_path: Path) -> None:
    for file in ("model.safetensors", "model.safetensors.index.json"):
        os.mkfifo(tmp_path / file)
        refusal(tmp_path, "is not a regular file", file=tmp_path / file)
        refusal(tmp_path / file, "is not a regular file")
    write_checkpoint(tmp_path / "x", {"a": ONES})
    (tmp_path / "x" / "config.json").unlink()
    os.mkfifo(tmp_path / "x" / "config.json")
    refusal(tmp_path / "x", "is not a regular file", file=tmp_path / "x" / "config.json")


def test_links(tmp_path: Path) -> None:
    outside = write_shard(tmp_path / "outside.safetensors", {"a": ONES})
    link = tmp_path / "x" / "model.safetensors"
    link.parent.mkdir()
    link.symlink_to(outside)
    refusal(link.parent, f"is a link that leads out of its folder, to '{outside}'", "really holds", file=link)
    assert open_checkpoint(link).tensors.keys() == {"a"}  # the user named it
    link.unlink()
    link.symlink_to(link)
    refusal(link.parent, "cannot be read: Too many levels of symbolic links", file=link)
    refusal(link, "cannot be read: Too many levels of symbolic links")


def test_config_that_leads_out(tmp_path: Path) -> None:
    config = write_checkpoint(tmp_path / "x", {"a": ONES}) / "config.json"
    config.rename(tmp_path / "config.json")
    config.symlink_to(tmp_path / "config.json")
    refusal(tmp_path / "x", "is a link that leads out of its folder", file=config)


def test_unreadable(without_privileges: Path) -> None:
    folder = write_checkpoint(without_privileges / "x", {"a": ONES})
    for part in (folder / "config.json", folder / "model.safetensors", folder):
        part.chmod(0)
        refusal(folder, "cannot be read: Permission denied", file=part)
    refusal(folder / "model.safetensors", "cannot be read: Permission denied")
    folder.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "the file is not valid JSON: Expecting value at character 0"),
        ("{", "the file is not valid JSON"),
        ("[1]", "the file is not a JSON object"),
        ("\udc80", "the file is not UTF-8 at byte 0"),
        ("[" * 100_000, "the file is nested too deeply"),
        ("9" * 10_000, "the file holds a number with too many digits"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "the file has the name 'a' twice"),
        ("{}", "has no object weight_map"),
        ('{"weight_map": []}', "has no object weight_map"),
        ('{"weight_map": {}}', "weight_map lists no tensors"),
        ('{"weight_map": {"a": 1}}', "tensor 'a': weight_map names a file that is not a string: 1"),
        ('{"weight_map": {"a": "../../etc/passwd"}}', "names a file outside its folder: '../../etc/passwd'"),
        ('{"weight_map": {"a": "x/../../y.safetensors"}}', "names a file outside its folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "names a file outside its folder: '/etc/passwd'"),
        ('{"weight_map": {"a": "config.json"}}', r"names a file that is not \*.safetensors: 'config.json'"),
        ('{"weight_map": {"a": ""}}', r"names a file that is not \*.safetensors: ''"),
        ('{"weight_map": {"a": "\\u0000.safetensors"}}', "names a file that is not printable or too long"),
        ('{"weight_map": {"a": "\\ud800.safetensors"}}', "names a file that is not printable or too long"),
    ],
)
def test_broken_index(tmp_path: Path, text: str, rule: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text.encode(errors="surrogateescape"))
    for path in (tmp_path, index):
        refusal(path, rule, file=index)


def test_index_too_large(tmp_path: Path) -> None:
    index = write_index(tmp_path, {})
    os.truncate(index, 100_000_001)
    refusal(tmp_path, "has 100,000,001 bytes, over the limit of 100,000,000", file=index)


def test_index_and_shards_that_disagree(tmp_path: Path) -> None:
    index = write_index(write_checkpoint(tmp_path, SHARDS), {"a": FIRST, "z" * 5000: SECOND})
    error = refusal(tmp_path, f"z': in the index but not in the shard {SECOND}", file=index)
    assert len(str(error)) < 1000
    write_index(tmp_path, {"a": FIRST, "b": "gone.safetensors", "c": SECOND})
    refusal(
        tmp_path, r"1 of 3 shards are missing\)$", "download the missing files again$", tmp_path / "gone.safetensors"
    )


def test_unfinished_local_download(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path, SHARDS) / FIRST).unlink()
    (tmp_path / ".cache/huggingface/download").mkdir(parents=True)
    (tmp_path / ".cache/huggingface/download/abc.incomplete").touch()
    refusal(tmp_path, "; 1 unfinished downloads", file=tmp_path / FIRST)


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff", "[" * 100_000])
def test_broken_config(tmp_path: Path, text: str) -> None:
    config = write_checkpoint(tmp_path, {"a": ONES}) / "config.json"
    config.write_bytes(text.encode(errors="surrogateescape"))
    refusal(tmp_path, "the file is ", file=config)


def test_config_may_repeat_names(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path, {"a": ONES}) / "config.json").write_text('{"x": 1, "x": 2}')
    assert open_checkpoint(tmp_path).config == {"x": 2}

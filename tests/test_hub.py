"""Snapshots of the Hub's cache open; half-downloaded and torn ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from folders import FIRST, ONES, SECOND, SHARDS, THIRD, refusal, to_hub_cache, write_checkpoint
from weightkin.checkpoint import open_checkpoint


@pytest.mark.parametrize("repository", ["org/name", "gpt2", "org/my--name"])
def test_hub_snapshot(tmp_path: Path, repository: str) -> None:
    snapshot = to_hub_cache(write_checkpoint(tmp_path / "x", SHARDS), tmp_path, repository)
    (tmp_path / "short").symlink_to(snapshot)
    for path in (snapshot, snapshot.parent.parent, snapshot / "model.safetensors.index.json", tmp_path / "short"):
        checkpoint = open_checkpoint(path)
        assert checkpoint.name == repository and len(checkpoint.tensors) == 4 and checkpoint.problems == ()
    assert open_checkpoint(snapshot / FIRST).tensors["a"].parameters == 6


def test_hub_snapshot_choice(tmp_path: Path) -> None:
    old = to_hub_cache(write_checkpoint(tmp_path / "x", {"old": ONES}), tmp_path, commit="aaa")
    root = old.parent.parent
    (root / "refs" / "main").unlink()
    assert "old" in open_checkpoint(root).tensors
    to_hub_cache(write_checkpoint(tmp_path / "x", {"new": ONES}), tmp_path, commit="bbb")
    assert "new" in open_checkpoint(root).tensors
    (root / "refs" / "main").write_text("../../..")
    refusal(root, "has 2 snapshots, and refs/main names none of them", "snapshots/aaa")
    (tmp_path / "models--org--empty" / "snapshots").mkdir(parents=True)
    refusal(tmp_path / "models--org--empty", "has no snapshot", "hf download org/empty")


def test_hub_subfolder(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x" / "text_encoder", {"a": ONES})
    snapshot = to_hub_cache(tmp_path / "x", tmp_path)
    assert "a" in open_checkpoint(snapshot / "text_encoder").tensors
    refusal(snapshot, r"has no \*.safetensors files", "one of its folders, such as 'text_encoder'")


def test_hub_half_downloaded(tmp_path: Path) -> None:
    snapshot = to_hub_cache(write_checkpoint(tmp_path / "x", SHARDS), tmp_path)
    for file in (SECOND, THIRD):
        blob = (snapshot / file).resolve()
        (snapshot / file).unlink()
        blob.rename(blob.with_suffix(".incomplete"))
    rule = r"the index names this shard, but it is not there \(2 of 3 shards are missing\); 2 unfinished downloads"
    refusal(snapshot, rule, "again: hf download org/name", file=snapshot / SECOND)


def test_hub_without_blobs(tmp_path: Path) -> None:
    snapshot = to_hub_cache(write_checkpoint(tmp_path / "x", SHARDS), tmp_path)
    (tmp_path / "models--org--name" / "blobs").rename(tmp_path / "elsewhere")
    index = snapshot / "model.safetensors.index.json"
    refusal(snapshot, r"is a link to '\.\./\.\./blobs/\w+', which does not exist", "needs the blobs folder", file=index)
    (tmp_path / "models--org--name" / "blobs").symlink_to(tmp_path / "elsewhere")
    refusal(snapshot, "is a link that leads out of its folder", file=index)

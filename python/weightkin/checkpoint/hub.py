"""The layout of the Hugging Face Hub's cache.

In the folder `models--org--name` of a model, `refs/main` holds the commit that main points at, `snapshots/<commit>/`
has links into `../../blobs/`, and `blobs/` the bytes, as `*.incomplete` while they are being downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CheckpointError
from .files import reading, regular_file

PREFIX = "models--"


def is_repository(folder: Path) -> bool:
    """Whether `folder` is a `models--org--name` of the cache."""
    return folder.name.startswith(PREFIX) and os.path.isdir(folder / "snapshots")


def repository_of(folder: Path) -> Path | None:
    """The `models--org--name` above a snapshot or a folder in one. `folder` has no links in its path."""
    for snapshot in (folder, *folder.parents):
        if snapshot.parent.name == "snapshots" and snapshot.parent.parent.name.startswith(PREFIX):
            return snapshot.parent.parent
    return None


def repository_id(repository: Path) -> str:
    """The name on the Hub: "org/name"."""
    return "/".join(repository.name.removeprefix(PREFIX).split("--", 1))


def current_snapshot(repository: Path) -> Path:
    """The snapshot that refs/main names, or else the only one."""
    snapshots = repository / "snapshots"
    with reading(snapshots):
        commits = sorted(entry.name for entry in os.scandir(snapshots) if entry.is_dir(follow_symlinks=False))
    main = repository / "refs" / "main"
    if os.path.isfile(main):
        with regular_file(main) as (file, _):
            commit = file.read(256).decode(errors="replace").strip()
        if commit in commits:
            return snapshots / commit
    if len(commits) == 1:
        return snapshots / commits[0]
    if commits:
        rule = f"has {len(commits)} snapshots, and refs/main names none of them"
        raise CheckpointError(repository, rule, hint=f"give one of them, for example {snapshots / commits[0]}")
    raise CheckpointError(repository, "has no snapshot", hint=f"download it: hf download {repository_id(repository)}")


def unfinished_downloads(folder: Path) -> int:
    """Number of `*.incomplete` files that a download to a cache or a `--local-dir` left. No links in `folder`."""
    repository = repository_of(folder)
    downloads = repository / "blobs" if repository else folder / ".cache" / "huggingface" / "download"
    return sum(1 for _ in downloads.rglob("*.incomplete"))

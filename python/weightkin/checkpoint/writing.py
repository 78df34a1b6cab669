"""A checkpoint as a new folder: it appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import CheckpointError, ResultsError
from .checkpoint import Checkpoint
from .copying import Move, copy_shard
from .files import JSON_LIMIT, regular_file
from .folder import PICKLES, WEIGHTS, check_inside, locate
from .mapping import Shards

OTHER_WEIGHTS = (WEIGHTS, *PICKLES, ".gguf", ".h5", ".msgpack", ".onnx")
LARGEST = JSON_LIMIT
"""Bytes of a file beside the weights that is copied with them."""


def new_folder(output: Path, sources: Sequence[Checkpoint]) -> Path:
    """`output` without links, if it can become a folder beside `sources`. Raises `ResultsError`."""
    if os.path.lexists(output):
        raise ResultsError(f"{output}: exists", "give a new folder")
    target = Path(os.path.realpath(output))
    for source in sources:
        if not _is_one_file(source) and target.is_relative_to(os.path.realpath(locate(source.path).folder)):
            raise ResultsError(f"{output}: lies inside {source.path}", "give a folder elsewhere")
    return target


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `target` when the block ends and goes when it fails. OSError: `ResultsError`."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except FileExistsError:
        raise ResultsError(f"{partial}: exists", "remove it, unless another run is writing there now") from None
    except OSError as error:
        raise ResultsError(f"{target}: cannot be written: {error.strerror}") from None
    try:
        yield partial
        partial.rename(target)
    except OSError as error:
        reason = error.strerror or error
        raise ResultsError(f"{target}: cannot be written: {reason}", "nothing is left of it") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_shards(source: Checkpoint, moves: Iterable[Move], to: Path, on_bytes: Callable[[int, int], None]) -> None:
    """Every shard under its name in the folder `to`, but for what `moves` bring elsewhere; `on_bytes` gets bytes done and
    in all. Raises OSError, and `CheckpointError` if a shard changes meanwhile."""
    shards, total, done = Shards(source), sum(stamp.size for stamp in source.stamps), 0
    free = shutil.disk_usage(to).free
    if free < total:
        raise ResultsError(f"{to.parent}: no room: {total:,} bytes are needed, {free:,} are free")
    by_shard: dict[int, list[Move]] = defaultdict(list)
    for move in moves:
        by_shard[move.target.shard].append(move)

    def count(written: int) -> None:
        nonlocal done
        done += written
        on_bytes(done, total)

    for number, file in enumerate(locate(source.path).files):
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        copy_shard(shards, number, by_shard[number], to / file, count)
    shards.check()


def copy_other_files(source: Checkpoint, to: Path) -> list[str]:
    """Config, index, tokenizer and whatever else is neither hidden nor weights nor large; returns what was left out and
    why, one line each. Raises OSError."""
    location, left_out = locate(source.path), []
    for file in _other_files(source, location.folder):
        if str(file) in location.files:
            continue
        try:
            data = _read(location.folder, file)
        except CheckpointError as error:
            left_out.append(f"{file}: {error.rule}")
            continue
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        (to / file).write_bytes(data)
    return left_out


def _read(folder: Path, file: Path) -> bytes:
    path = check_inside(folder, str(file))
    if file.name.endswith(OTHER_WEIGHTS):
        raise CheckpointError(path, "holds other weights")
    with regular_file(path) as (opened, status):
        if status.st_size > LARGEST:
            raise CheckpointError(
                path, f"has {status.st_size:,} bytes, more than a file beside the weights should have"
            )
        return opened.read(LARGEST)


def _other_files(source: Checkpoint, folder: Path) -> Iterator[Path]:
    """Relative paths. Of one file that the user named only the config beside it: what else lies there may be anything."""
    if _is_one_file(source):
        if (folder / "config.json").exists():
            yield Path("config.json")
        return
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name).relative_to(folder) for name in sorted(files) if not name.startswith("."))


def _is_one_file(source: Checkpoint) -> bool:
    return source.path.name.endswith(WEIGHTS) and not source.path.is_dir()

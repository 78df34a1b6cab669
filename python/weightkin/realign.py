"""align: a copy of one checkpoint in the order of another."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .checkpoint.copying import Move, copy_shard
from .checkpoint.files import regular_file
from .checkpoint.folder import PICKLES, WEIGHTS, check_inside, locate
from .checkpoint.mapping import Shards
from .comparison import open_models, usable_cores
from .correspondence.alignment import read_alignment
from .correspondence.reordering import Note, reorder
from .correspondence.search import Found, find_alignment
from .errors import CheckpointError, ResultsError
from .results.verdict import layers_text
from .schema import Model
from .statistics.null import DRAWS

Progress = Callable[[str, int, int], None]

OTHER_WEIGHTS = (WEIGHTS, *PICKLES, ".gguf", ".h5", ".msgpack", ".onnx")
LARGEST = 100_000_000
"""Bytes of a file beside the weights that is copied too."""


@dataclass(frozen=True)
class Aligned:
    """What `align` wrote."""

    folder: Path
    moved: dict[str, int]
    """How much came to another place: layers, experts, MLPs with neurons, layers with heads."""
    notes: list[str]
    """What did not, and why; one line each."""
    left_out: list[str]
    """Files that were not copied, and why."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def align(
    a: str | Path,
    b: str | Path,
    output: str | Path,
    *,
    alignment: str | Path | None = None,
    seed: int = 0,
    null: int = DRAWS,
    threads: int | None = None,
    progress: Progress = lambda *_: None,
) -> Aligned:
    """Writes a copy of `b` to the new folder `output`, its parts in the order of their counterparts in `a`.

    Expert i of the copy is the expert of B that matches expert i of A, with its router row; neurons, attention heads and
    layers likewise. What matches nothing takes the places that are left, in its order. `alignment`: a JSON file that says
    what matches what; without it both models are searched, and only clear matches count. Names, dtypes, shards and every
    other file are those of B. Either the whole folder appears or nothing.

    Raises `CheckpointError`, `AlignmentError`, `ResultsError`, and OSError where the disk is full.
    """
    models = open_models([a, b])
    target = _new_folder(Path(output), models)
    stored = None if alignment is None else read_alignment(Path(alignment))
    found, notes = (stored, []) if stored is not None else _search(models, seed, null, threads, progress)
    reordering = reorder(*models, found)
    with _appearing(target) as partial:
        left_out = _copy_other_files(models[1], partial)
        _copy_shards(models[1], reordering.moves, partial, progress)
    return Aligned(target, reordering.moved, notes + reordering.notes, left_out)


def _search(
    models: list[Model], seed: int, null: int, threads: int | None, progress: Progress
) -> tuple[Alignment, list[Note]]:
    from .correspondence.search import find_alignment

    found, notes = find_alignment(*models, seed=seed, threads=threads or usable_cores(), draws=null, progress=progress)
    return found, notes


def _new_folder(output: Path, models: list[Model]) -> Path:
    """`output`, if it can become one. Raises `ResultsError`."""
    target = Path(os.path.realpath(output))
    if os.path.lexists(output):
        raise ResultsError(f"{output}: exists", "give a new folder")
    for model in models:
        path = model.checkpoint.path
        folder = Path(os.path.realpath(path if path.is_dir() else path.parent))
        if target.is_relative_to(folder) and not path.name.endswith(WEIGHTS):
            raise ResultsError(f"{output}: lies inside {path}", "give a folder elsewhere")
    return target


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder to write to that gets the name `target` when the block ends, or is removed if it fails."""
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
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _copy_shards(model: Model, moves: list[Move], to: Path, progress: Progress) -> None:
    shards, total, done = Shards(model.checkpoint), sum(stamp.size for stamp in model.checkpoint.stamps), 0
    by_shard: dict[int, list[Move]] = defaultdict(list)
    for move in moves:
        by_shard[move.target.shard].append(move)

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        progress("writing", done, total)

    for number, file in enumerate(locate(model.checkpoint.path).files):
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        copy_shard(shards, number, by_shard[number], to / file, on_bytes)
    shards.check()


def _copy_other_files(model: Model, to: Path) -> list[str]:
    """Config, index, tokenizer and whatever else lies in the folder and is not large; returns what was left out."""
    location, left_out = locate(model.checkpoint.path), []
    for file in _other_files(model, location.folder):
        name = str(file)
        if name in location.files:
            continue
        try:
            with regular_file(check_inside(location.folder, name)) as (source, status):
                if name.endswith(OTHER_WEIGHTS) or status.st_size > LARGEST:
                    left_out.append(f"{name}: {'other weights' if name.endswith(OTHER_WEIGHTS) else 'too large'}")
                    continue
                (to / file).parent.mkdir(parents=True, exist_ok=True)
                with open(to / file, "xb") as copy:
                    shutil.copyfileobj(source, copy)
        except CheckpointError as error:
            left_out.append(f"{name}: {error.rule}")
    return left_out


def _other_files(model: Model, folder: Path) -> Iterator[Path]:
    """Relative paths. Of a single shard that the user named, only its config: what else lies there may be anything."""
    if model.checkpoint.path.name.endswith(WEIGHTS):
        if (folder / "config.json").exists():
            yield Path("config.json")
        return
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name).relative_to(folder) for name in sorted(files) if not name.startswith("."))

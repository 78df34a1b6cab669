"""From the path that a user gives to the names of the shards. Reads listings and the index, no shard."""

from __future__ import annotations

import difflib
import os
import posixpath
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import CheckpointError
from . import hub
from .files import quote, read_object, reading

WEIGHTS = ".safetensors"
INDEX = ".safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
NO_PICKLES = "pickled weights, which are not read, because loading a pickle can run code"
CONVERT = "convert it to safetensors first, where you trust it: load it with transformers and call save_pretrained"
MAX_SUGGESTION_NAMES = 2000


@dataclass(frozen=True, slots=True)
class Location:
    """Where a checkpoint lies: `files` are shard names relative to `folder`, sorted."""

    folder: Path
    name: str
    files: tuple[str, ...]
    weight_map: dict[str, str] | None
    """Tensor name -> one of `files`, from the index, if there is one."""
    index: Path | None
    problems: tuple[str, ...]


def locate(path: Path) -> Location:
    """Finds the shards at `path`: a folder, a shard, an index, a Hub cache snapshot or its `models--org--name`."""
    try:
        mode = os.stat(str(path).encode()).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise _missing_path(path) from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL or bytes that are not UTF-8
        raise CheckpointError(quote(str(path)), "is not a usable path") from error
    if stat.S_ISDIR(mode):
        return _locate_in_folder(path)
    if path.name.endswith(INDEX):
        return _locate_by_index(path, ignored=())
    if path.suffix == WEIGHTS:
        name = path.stem if path.stem != "model" else _display_name(path.parent)
        return Location(path.parent, name, (path.name,), None, None, _numbering_problems([path.name]))
    if path.suffix in PICKLES:
        raise CheckpointError(path, f"holds {NO_PICKLES}", hint=CONVERT)
    raise CheckpointError(path, f"is neither a folder nor a *{WEIGHTS} or *{INDEX} file")


def check_inside(folder: Path, file: str) -> Path:
    """`folder / file`, unless links lead it out of the folder, or out of the blobs of the Hub cache that it lies in."""
    path = folder / file
    with reading(path):
        if os.path.islink(path) and not os.path.lexists(os.path.realpath(path)):
            hint = "a Hub snapshot holds only links: it needs the blobs folder of its models--org--name"
            raise CheckpointError(path, f"is a link to {os.readlink(path)!r}, which does not exist", hint=hint)
        real, root = Path(os.path.realpath(path, strict=True)), Path(os.path.realpath(folder))
    repository = hub.repository_of(root)
    if not real.is_relative_to(root) and not (repository and real.is_relative_to(repository / "blobs")):
        hint = "give the folder that really holds the files"
        raise CheckpointError(path, f"is a link that leads out of its folder, to {str(real)!r}", hint=hint)
    return path


def _locate_in_folder(folder: Path) -> Location:
    repository = Path(os.path.realpath(folder))
    if hub.is_repository(repository):
        folder = hub.current_snapshot(repository)
    with reading(folder):
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    weights = [name for name in names if name.endswith(WEIGHTS)]
    indices = [name for name in names if name.endswith(INDEX)]
    if "model" + INDEX in indices:
        indices = ["model" + INDEX]
    if len(indices) > 1:
        rule = f"has {len(indices)} index files: {', '.join(indices[:3])}"
        raise CheckpointError(folder, rule, hint="give the path of one of them")
    if indices:
        check_inside(folder, indices[0])
        return _locate_by_index(folder / indices[0], ignored=weights)
    if not weights:
        raise _no_weights(folder, names)
    files = ["model" + WEIGHTS] if "model" + WEIGHTS in weights else weights
    for file in files:
        _check_file_name(folder, file)
    problems = _ignored_problems(weights, files, f"model{WEIGHTS} is there") + _numbering_problems(files)
    return Location(folder, _display_name(folder), tuple(files), None, None, problems)


def _locate_by_index(index: Path, ignored: Sequence[str]) -> Location:
    """`ignored`: the weight files beside the index, which are ignored if it does not list them."""
    folder = index.parent
    listed = read_object(index).get("weight_map")
    if not isinstance(listed, dict):
        raise CheckpointError(index, "has no object weight_map")
    if not listed:
        raise CheckpointError(index, "weight_map lists no tensors")
    weight_map: dict[str, str] = {}
    for tensor, file in listed.items():
        if not isinstance(file, str):
            raise CheckpointError(index, f"weight_map names a file that is not a string: {quote(file)}", tensor[:200])
        weight_map[tensor] = posixpath.normpath(file)
    for file in set(listed.values()):
        _check_file_name(index, file)
    files = sorted(set(weight_map.values()))
    missing = [file for file in files if not os.path.lexists(folder / file)]
    if missing:
        raise _missing_shards(folder, missing, len(files))
    problems = _ignored_problems(ignored, files, f"not listed in {index.name}")
    return Location(folder, _display_name(folder), tuple(files), weight_map, index, problems)


def _check_file_name(source: Path, file: str) -> None:
    """Raises unless `file`, named by `source`, is a relative path of a safetensors file below the folder."""
    if not file.isprintable() or len(file) > 1024:
        raise CheckpointError(source, f"names a file that is not printable or too long: {quote(file)}")
    if file.startswith("/") or ".." in file.split("/"):
        raise CheckpointError(source, f"names a file outside its folder: {file!r}")
    if file.endswith(PICKLES):
        raise CheckpointError(source, f"names {NO_PICKLES}: {file!r}", hint=CONVERT)
    if not file.endswith(WEIGHTS):
        raise CheckpointError(source, f"names a file that is not *{WEIGHTS}: {file!r}")


def _display_name(folder: Path) -> str:
    repository = hub.repository_of(Path(os.path.realpath(folder)))
    return hub.repository_id(repository) if repository else Path(os.path.abspath(folder)).name or str(folder)


def _ignored_problems(present: Sequence[str], used: Sequence[str], reason: str) -> tuple[str, ...]:
    return tuple(f"{file!r} is ignored: {reason}" for file in sorted(set(present) - set(used)))


def _numbering_problems(files: Sequence[str]) -> tuple[str, ...]:
    """Shards "...-00002-of-00005" whose siblings are not among `files`: without an index nothing else says so."""
    numbered = [match for file in files if (match := re.search(r"^(.*)-\d+-of-(\d{1,9})\.safetensors$", file))]
    groups: dict[tuple[str, str], int] = {}
    for match in numbered:
        groups[match[1], match[2]] = groups.get((match[1], match[2]), 0) + 1
    return tuple(
        f"only {found} of the {total} shards {stem}-*-of-{total} are read"
        for (stem, total), found in groups.items()
        if found < int(total)
    )


def _missing_shards(folder: Path, missing: Sequence[str], total: int) -> CheckpointError:
    rule = f"the index names this shard, but it is not there ({len(missing)} of {total} shards are missing)"
    real = Path(os.path.realpath(folder))
    unfinished, repository = hub.unfinished_downloads(real), hub.repository_of(real)
    if unfinished:
        rule += f"; {unfinished} unfinished downloads (*.incomplete) were found"
    again = f": hf download {hub.repository_id(repository)}" if repository else ""
    return CheckpointError(folder / missing[0], rule, hint=f"download the missing files again{again}")


def _no_weights(folder: Path, names: Sequence[str]) -> CheckpointError:
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        return CheckpointError(folder, f"holds only {NO_PICKLES}: {pickles[0]!r}", hint=CONVERT)
    if not names:
        return CheckpointError(folder, "the folder is empty")
    folders = [repr(name) for name in names if os.path.isdir(folder / name)][:3]
    hint = f"perhaps you mean one of its folders, such as {', '.join(folders)}" if folders else None
    return CheckpointError(folder, f"has no *{WEIGHTS} files", hint=hint)


def _missing_path(path: Path) -> CheckpointError:
    """Suggests what the first part of `path` that does not exist may have been meant to be."""
    child, parent = path, path.parent
    while child != parent and not os.path.isdir(parent):
        child, parent = parent, parent.parent
    with reading(parent):
        names = [entry.name for entry in islice(os.scandir(parent), MAX_SUGGESTION_NAMES)]
    close = difflib.get_close_matches(child.name, names)
    hint = None
    if close:
        hint = f"did you mean {' or '.join(str(parent / name) for name in close)}?"
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(path)):
        hint = f"to get it from the Hugging Face Hub: hf download {path} (it prints the folder to give here)"
    return CheckpointError(path, "does not exist", hint=hint)

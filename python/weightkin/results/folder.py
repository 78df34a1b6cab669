"""A results folder: summary.json and parquet tables. Written atomically, read back with checks."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ResultsError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
SUMMARY = "summary.json"
JOURNAL = "journal"
PARQUET_END = b"PAR1"


class Results:
    """What a run found: `summary` (as in summary.json) and its tables as pyarrow Tables (`results["tensors"]`)."""

    def __init__(self, summary: dict[str, Any], tables: dict[str, pa.Table], folder: Path | None = None) -> None:
        self.summary = summary
        self.folder = folder
        """Where it is stored; None if it is only in memory."""
        self._tables = tables

    def __getitem__(self, name: str) -> pa.Table:
        """A table by name; raises `ResultsError` if there is none of that name or its file is damaged."""
        if name not in self._tables:
            if name not in self.table_names or self.folder is None:
                known = ", ".join(self.table_names)
                raise ResultsError(f"{self.folder or 'these results'}: no table {name!r}; there are {known}")
            self._tables[name] = _read_table(self.folder / f"{name}.parquet")
        return self._tables[name]

    @property
    def table_names(self) -> list[str]:
        return list(self.summary["tables"])

    def __repr__(self) -> str:
        models = " x ".join(model["name"] for model in self.summary["models"])
        return f"<weightkin.Results {self.summary['command']} {models}: {', '.join(self.table_names)}>"


def load(folder: str | Path) -> Results:
    """Reopens a results folder. Raises `ResultsError` if it is unfinished, damaged, or of a newer program."""
    folder = Path(folder)
    try:
        summary = json.loads((folder / SUMMARY).read_bytes())
    except FileNotFoundError:
        if (folder / JOURNAL).exists():
            raise ResultsError(f"{folder}: the run that writes here is not finished", "add --resume to go on") from None
        raise ResultsError(f"{folder}: holds no {SUMMARY}, so it is no results folder") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{folder / SUMMARY}: cannot be read: {error}") from None
    version = summary.get("schema_version") if isinstance(summary, dict) else None
    if not isinstance(version, int) or not isinstance(summary.get("tables"), list):
        raise ResultsError(f"{folder / SUMMARY}: is not a summary of weightkin")
    if version > SCHEMA_VERSION:
        hint = "update weightkin"
        raise ResultsError(
            f"{folder / SUMMARY}: has schema_version {version}, this program reads up to {SCHEMA_VERSION}", hint
        )
    for name in summary["tables"]:
        if not (folder / f"{name}.parquet").is_file():
            raise ResultsError(f"{folder}: the table {name}.parquet is missing")
        _check_whole(folder / f"{name}.parquet")
    return Results(summary, {}, folder)


def _check_whole(path: Path) -> None:
    """Whether a table ends as parquet files do: one that nothing reads now must not be found cut short later."""
    try:
        with open(path, "rb") as file:
            file.seek(-min(len(PARQUET_END), path.stat().st_size), os.SEEK_END)
            end = file.read()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    if end != PARQUET_END:
        raise ResultsError(f"{path}: cannot be read: it was cut short, or is no parquet file")


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A name to write to; `path` appears whole when the block ends, or not at all. OSError becomes `ResultsError`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        hint = "free some room, then add --resume" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        raise ResultsError(f"{path}: cannot be written: {reason}", hint) from None
    finally:
        partial.unlink(missing_ok=True)


def strict_json(value: Any) -> Any:
    """NaN and infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def prepare(output: Path, resume: bool) -> Path | None:
    """Makes the folder for a new run or finds that of an interrupted one; None if a finished one is there to resume.

    Raises `ResultsError` rather than overwrite anything.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        held = sorted(entry.name for entry in output.iterdir())
        if not os.access(output, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ResultsError(f"{output}: cannot be used for results: {error.strerror}") from None
    if SUMMARY in held:
        if resume:
            return None
        raise ResultsError(f"{output}: already holds results", "give another folder, or remove this one")
    if held and JOURNAL not in held:
        raise ResultsError(f"{output}: is not empty ({held[0]}, ...)", "give a new folder")
    return output / JOURNAL

"""Reading files from strangers: regular files only, and strict JSON."""

from __future__ import annotations

import json
import os
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError

JSON_LIMIT = 100_000_000
"""Largest JSON text that is parsed, in bytes: the limit that safetensors sets for its header."""
MARKS_LIMIT = 1_600_000
"""Most commas and opening brackets of a JSON text: every value comes after one, and a value of two bytes may become an object
of 200. A matrix has 8 in a header, so this is 200,000 in one shard: ten times those of a whole model of 100B parameters."""
WIDE_LIMIT = 25_000_000
"""Largest JSON text with characters beyond ASCII, which take 4 bytes each, and with them all others of their string."""

SHORT = reprlib.Repr()
SHORT.maxstring = 200


class DuplicateName(ValueError):
    """An object of a JSON text has one name twice."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns an `OSError` about `path` into a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error


@contextmanager
def regular_file(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """The opened file and its status. Anything but a regular file is refused, without waiting for a FIFO's writer."""
    with reading(path), open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(path, "is not a regular file")
        yield file, status


def read_object(path: Path, unique_names: bool = True) -> dict[str, Any]:
    """The JSON object that a whole file holds."""
    with regular_file(path) as (file, status):
        if status.st_size > JSON_LIMIT:
            raise CheckpointError(path, f"has {status.st_size:,} bytes, over the limit of {JSON_LIMIT:,} for JSON")
        data = file.read(JSON_LIMIT)
    return parse_object(path, data, "the file", unique_names)


def parse_object(path: Path, data: bytes, what: str, unique_names: bool = True) -> dict[str, Any]:
    """The JSON object in `data`, which is `what` of the file at `path` ("the header")."""
    marks = sum(data.count(mark) for mark in b",{[")
    if marks > MARKS_LIMIT:
        raise CheckpointError(
            path, f"{what} has {marks:,} commas and opening brackets, over the limit of {MARKS_LIMIT:,}"
        )
    if len(data) > WIDE_LIMIT and (b"\\u" in data or not data.isascii()):
        rule = f"{what} has {len(data):,} bytes, over the limit of {WIDE_LIMIT:,} for JSON that is not all ASCII"
        raise CheckpointError(path, rule)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique if unique_names else None)
    except UnicodeDecodeError as error:
        raise CheckpointError(path, f"{what} is not UTF-8 at byte {error.start:,}") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(path, f"{what} is not valid JSON: {error.msg} at character {error.pos:,}") from error
    except RecursionError as error:
        raise CheckpointError(path, f"{what} is nested too deeply") from error
    except DuplicateName as error:
        raise CheckpointError(path, f"{what} has the name {quote(error.args[0])} twice") from error
    except ValueError as error:  # Python refuses to convert integers of thousands of digits
        raise CheckpointError(path, f"{what} holds a number with too many digits") from error
    if not isinstance(value, dict):
        raise CheckpointError(path, f"{what} is not a JSON object")
    return value


def quote(value: object) -> str:
    """`value` for an error message: on one line, and short whatever a file puts there."""
    return SHORT.repr(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DuplicateName(name)
            seen.add(name)
    return value

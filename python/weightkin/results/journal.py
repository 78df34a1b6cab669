"""The journal of a run: what every finished unit found, appended as it comes, so that a killed run can go on.

A file of records. The first holds a key that says which run this is; each of the others a unit's number and its bytes.
A record is its length, a checksum and its bytes; a record that a kill cut short ends the journal.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import zlib
from io import FileIO
from pathlib import Path

from ..errors import ResultsError

_FRAME = struct.Struct("<QI")
_UNIT = struct.Struct("<Q")


class Journal:
    """Append-only store of bytes by unit number. Without a path it lives in an unnamed temporary file."""

    def __init__(self, path: Path | None, key: str, resume: bool) -> None:
        """Opens `path`. An existing journal is an error, unless `resume` is set and it was written for the same key."""
        self._places: dict[int, int] = {}
        self._path = path
        if path is None:
            self._file: FileIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed by close()
            return
        existed = path.exists()
        if existed and not resume:
            raise ResultsError(
                f"{path.parent}: holds an unfinished run", "add --resume to go on, or give another folder"
            )
        self._file = _open(path, existed)
        try:
            self._recover(key.encode())
        except ResultsError:
            self.close()
            raise

    def _recover(self, key: bytes) -> None:
        """Finds the whole records and cuts off what a kill left of the last; writes the key if not even that is there."""
        first, size = _record(key), os.fstat(self._file.fileno()).st_size
        head = self._file.read(len(first))
        if not first.startswith(head):
            hint = "give another folder: the models, the options, the kind of device or the program's version differ"
            raise ResultsError(f"{self._path}: was written by another comparison, or is damaged", hint)
        if head != first:
            self._file.truncate(0)
            self._write(key)
            return
        end = len(first)
        while (payload := self._read(end, size)) is not None:
            self._places[_UNIT.unpack_from(payload)[0]] = end
            end += _FRAME.size + len(payload)
        self._file.truncate(end)

    def _read(self, at: int, size: int) -> bytes | None:
        self._file.seek(at)
        frame = self._file.read(_FRAME.size)
        if len(frame) < _FRAME.size:
            return None
        length, checksum = _FRAME.unpack(frame)
        if length > size - at - _FRAME.size:
            return None
        payload = self._file.read(length)
        return payload if zlib.crc32(payload) == checksum else None

    def _write(self, payload: bytes) -> int:
        """Appends a record; returns where it begins. Unbuffered, so that closing the file has nothing left to write."""
        at: int = self._file.seek(0, os.SEEK_END)
        rest = memoryview(_record(payload))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if self._path is None:
                hint = "free some room there, set TMPDIR, or give a folder for the results"
                raise ResultsError(f"{tempfile.gettempdir()}: cannot be written: {error.strerror}", hint) from None
            hint = "free some room, then add --resume"
            raise ResultsError(f"{self._path}: cannot be written: {error.strerror}", hint) from None
        return at

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the units that are done."""
        return frozenset(self._places)

    def append(self, number: int, found: bytes) -> None:
        """Stores what a finished unit found; it survives whatever happens to the process afterwards."""
        self._places[number] = self._write(_UNIT.pack(number) + found)

    def __getitem__(self, number: int) -> bytes:
        """What a finished unit found."""
        payload = self._read(self._places[number], 1 << 62)
        if payload is None:
            raise ResultsError(f"{self._path}: changed while it was in use")
        return payload[_UNIT.size :]

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        """Closes and deletes it: the run is finished."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _open(path: Path, existed: bool) -> FileIO:
    """The locked file of a journal; raises `ResultsError`."""
    try:
        file = open(path, "r+b" if existed else "x+b", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ResultsError(f"{path.parent}: another run is writing here") from None
    except OSError:  # a network file system without locks: nobody can be asked
        pass
    return file


def _record(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload

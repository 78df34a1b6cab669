"""Files that are not in memory: dropping them from the page cache, and every way to read them back fast."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from weightkin._core import Mapping
from weightkin.errors import WeightkinError

from .registry import Run

THREADS = (1, 2, 4)
CHUNKS = (4 << 20, 16 << 20)
PROBES = 64
MAX_CACHED = 0.02

Reader = Callable[[Path, Iterator[int], int], None]
"""Reads `chunk` bytes of a file at each of some offsets."""


def drop(paths: Sequence[Path]) -> None:
    """Drops the files from the page cache, which any user may do. Raises `WeightkinError` if they stay there."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)  # pages that are not on the disk yet cannot be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            cached = _cached(file)
        finally:
            os.close(file)
        if cached > MAX_CACHED:
            rule = f"{path}: {cached:.0%} of the file stays in memory, so a cold read cannot be measured"
            raise WeightkinError(rule, hint="choose a folder on a disk with --data")


def ways(paths: Sequence[Path]) -> dict[str, Run]:
    """Runs that read all the files, from first to last byte."""
    readers: dict[str, Reader] = {"pread": _pread, "direct pread": _pread_direct, "populate mapping": _populate}
    return {
        f"{name}, {threads} x {chunk >> 20} MiB": partial(_read_all, reader, paths, threads, chunk)
        for name, reader in readers.items()
        for threads in THREADS
        for chunk in CHUNKS
    }


def _read_all(reader: Reader, paths: Sequence[Path], threads: int, chunk: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            offsets = iter(range(0, path.stat().st_size, chunk))  # shared: each thread takes the next
            for done in [pool.submit(reader, path, offsets, chunk) for _ in range(threads)]:
                done.result()


def _pread(path: Path, offsets: Iterator[int], chunk: int, flags: int = 0) -> None:
    file = os.open(path, os.O_RDONLY | flags)
    try:
        with mmap.mmap(-1, chunk) as buffer:  # aligned to a page, as direct reads demand
            for offset in offsets:
                os.preadv(file, [buffer], offset)
    finally:
        os.close(file)


def _pread_direct(path: Path, offsets: Iterator[int], chunk: int) -> None:
    _pread(path, offsets, chunk, os.O_DIRECT)


def _populate(path: Path, offsets: Iterator[int], chunk: int) -> None:
    mapping = Mapping(str(path))
    for offset in offsets:
        mapping.prefetch(offset, offset + chunk)
        mapping.release(offset, offset + chunk)


def _cached(file: int) -> float:
    """The share of some evenly spread bytes that can be had without waiting for the disk."""
    size, hits = os.fstat(file).st_size, 0
    for probe in range(PROBES):
        try:
            hits += bool(os.preadv(file, [bytearray(1)], probe * size // PROBES, os.RWF_NOWAIT))
        except BlockingIOError:
            continue
    return hits / PROBES

"""Files that are not in memory: dropping them from the page cache, and every way to read them back fast."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from weightkin._core import Mapping
from weightkin.errors import WeightkinError

from .registry import Run
from .timing import seconds

THREADS = (1, 2, 4)
CHUNKS = (4 << 20, 16 << 20)
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
        finally:
            os.close(file)
        cached = _cached(path)
        if cached > MAX_CACHED:
            rule = f"{path}: {cached:.0%} of the file stays in memory, so a cold read cannot be measured"
            raise WeightkinError(rule, hint="choose a folder on a disk with --data")


def ways(paths: Sequence[Path], counts: Sequence[int] = THREADS, chunks: Sequence[int] = CHUNKS) -> dict[str, Run]:
    """Runs that read all the files, from first to last byte, by so many threads and bytes at a time."""
    readers: dict[str, Reader] = {"pread": _pread, "direct pread": _pread_direct, "populate mapping": _populate}
    return {
        f"{name}, {threads} x {chunk >> 20} MiB": partial(_read_all, reader, paths, threads, chunk)
        for name, reader in readers.items()
        for threads in counts
        for chunk in chunks
    }


def fastest(paths: Sequence[Path], count: int = 3) -> dict[str, Run]:
    """The ways that win a first trial. A final of all would favour them: the best of many runs is good by luck."""
    trials: dict[str, float] = {}
    every = ways(paths)
    for name, run in every.items():
        drop(paths)
        trials[name] = seconds(run)
    return {name: every[name] for name in sorted(trials, key=trials.__getitem__)[:count]}


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


def _cached(path: Path) -> float:
    """The share of a file's pages that are in memory. Unlike reads that must not block, asking brings none in."""
    mapping = Mapping(str(path))
    pages = np.empty(-(-len(mapping) // mmap.PAGESIZE), np.uint8)
    arguments = (ctypes.c_void_p(mapping.address), ctypes.c_size_t(len(mapping)), ctypes.c_void_p(pages.ctypes.data))
    if ctypes.CDLL(None, use_errno=True).mincore(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return float(np.mean(pages & 1))

"""Copies shards with some of their elements in another order, region by region, in little memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from ..view import ITEM_SIZES, View
from .mapping import NUMPY_DTYPES, Shards

CHUNK = 8 << 20
"""Bytes that are copied at a time where nothing changes."""

OnBytes = Callable[[int], None]


class Move(NamedTuple):
    """What the copy has at `target`: the elements at `source`, of some axes only the given entries, in their order."""

    target: View
    source: View
    gathers: tuple[tuple[int, npt.NDArray[np.int64]], ...]


class Region(NamedTuple):
    """Bytes [begin, end) of a shard that are written at once, because the elements of its moves may alternate there."""

    begin: int
    end: int
    moves: tuple[Move, ...]


def regions(moves: Iterable[Move]) -> list[Region]:
    """Moves of one shard, together where the bytes between their first and last elements overlap; in file order."""
    found: list[Region] = []
    for move in sorted(moves, key=lambda move: move.target.extent):
        begin, end = move.target.extent
        if found and begin < found[-1].end:
            last = found[-1]
            found[-1] = Region(last.begin, max(last.end, end), (*last.moves, move))
        else:
            found.append(Region(begin, end, (move,)))
    return found


def copy_shard(shards: Shards, number: int, moves: Sequence[Move], to: Path, on_bytes: OnBytes) -> None:
    """Writes the new file `to`: shard `number`, header and all, but for what `moves` bring to it from any shard.

    Memory: two or three times the largest region, which is one matrix, or one expert of a stacked tensor. Raises OSError.
    """
    mapping, at = shards[number], 0
    with open(to, "xb") as file:
        for region in regions(moves):
            _copy(shards, number, at, region.begin, file, on_bytes)
            file.write(_rewritten(shards, number, region))
            on_bytes(region.end - region.begin)
            at = region.end
        _copy(shards, number, at, len(mapping), file, on_bytes)
        file.flush()
        os.fsync(file.fileno())


def _copy(shards: Shards, number: int, begin: int, end: int, file: IO[bytes], on_bytes: OnBytes) -> None:
    mapping = shards[number]
    for at in range(begin, end, CHUNK):
        stop = min(at + CHUNK, end)
        # Not the mapping itself: if the file shrinks, a copy of its pages is zeros, where a system call would fail.
        file.write(bytes(memoryview(mapping)[at:stop]))
        mapping.release(at, stop)
        on_bytes(stop - at)


def _rewritten(shards: Shards, number: int, region: Region) -> bytearray:
    mapping = shards[number]
    out = bytearray(memoryview(mapping)[region.begin : region.end])
    for move in region.moves:
        source = shards.array(_codes(move.source))
        for axis, entries in move.gathers:
            source = np.take(source, entries, axis)
        target = _codes(move.target)
        dtype = NUMPY_DTYPES[target.dtype]
        np.ndarray(target.shape, dtype, out, target.offset - region.begin, target.strides)[...] = source
        shards[move.source.shard].release(*move.source.extent)
    mapping.release(region.begin, region.end)
    return out


def _codes(view: View) -> View:
    """The same bytes as unsigned integers, which are copied as they are."""
    return replace(view, dtype=f"U{8 * ITEM_SIZES[view.dtype]}")

"""The checkpoints that cases run on: generated once, opened, mapped and cut into slabs for threads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from weightkin import _core
from weightkin.checkpoint import Checkpoint, open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.ops import Operand
from weightkin.view import ITEM_SIZES

from .generate import write_copy, write_model
from .registry import Settings
from .shapes import fit

BLOCK = 1 << 20
"""Elements per block of results."""

SLAB = 16 * BLOCK
"""Elements of each model that a thread takes at a time."""

Result = TypeVar("Result")
Array = npt.NDArray[Any]


class Slab(NamedTuple):
    """Consecutive blocks of one tensor in every model."""

    operands: tuple[Operand, ...]
    arrays: tuple[Array, ...]
    """The same, flat."""
    bounds: npt.NDArray[np.int64]

    def rows(self, block: int) -> list[Array]:
        """The elements of one block, in every model."""
        begin, end = self.bounds[block : block + 2]
        return [array[begin:end] for array in self.arrays]


@dataclass(frozen=True)
class Models:
    """Models with the same tensors, mapped and in memory, and threads to work on them."""

    checkpoints: Sequence[Checkpoint]
    shards: Sequence[Shards]
    slabs: Sequence[Slab]
    pool: ThreadPoolExecutor

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(checkpoint.nbytes for checkpoint in self.checkpoints)

    def spread(self, function: Callable[[Slab], Result]) -> list[Result]:
        """`function` of every slab, by all threads; in order of the slabs."""
        return list(self.pool.map(function, self.slabs))

    def read(self) -> list[int]:
        """The roof: every byte once, in the order and by the threads that the kernels use."""
        return self.spread(_read)

    def tensors(self) -> list[tuple[Array, ...]]:
        """Each tensor, flat, in every model."""
        return [slab.arrays for slab in self.slabs if slab.bounds[0] == 0]


def folders(settings: Settings, count: int, related: bool = False) -> list[Path]:
    """`count` checkpoints of `settings.nbytes` together; if `related`, the others are noisy copies of the first."""
    decoder = fit(settings.decoder, settings.nbytes // count)
    stem = f"{decoder.model_type}-{decoder.hidden}-{decoder.layers}x{decoder.experts}"
    paths: list[Path] = []
    for number in range(count):
        seed = settings.seed + number
        path = settings.data / f"{stem}-{'copy' if related and number else 'model'}-{seed}"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            if related and number:
                write_copy(unfinished, paths[0], seed=seed, threads=settings.threads)
            else:
                write_model(unfinished, decoder, seed, threads=settings.threads)
            unfinished.rename(path)
        paths.append(path)
    return paths


@contextmanager
def mapped(paths: Sequence[Path], threads: int) -> Iterator[Models]:
    """Models with the same tensors, mapped, with every byte in memory."""
    checkpoints = [open_checkpoint(path) for path in paths]
    shards = [Shards(checkpoint) for checkpoint in checkpoints]
    for checkpoint, mappings in zip(checkpoints, shards, strict=True):
        for number in range(len(checkpoint.shards)):
            mappings[number].prefetch(0, len(mappings[number]))
    with ThreadPoolExecutor(threads) as pool:
        yield Models(checkpoints, shards, list(_slabs(checkpoints, shards)), pool)


def _slabs(checkpoints: Sequence[Checkpoint], shards: Sequence[Shards]) -> Iterator[Slab]:
    for name, first in checkpoints[0].tensors.items():
        views = [checkpoint.tensors[name].view() for checkpoint in checkpoints]
        operands = tuple(
            Operand(mappings[view.shard], view.offset, view.dtype, view.shape, view.strides)
            for mappings, view in zip(shards, views, strict=True)
        )
        arrays = tuple(mappings.array(view).reshape(-1) for mappings, view in zip(shards, views, strict=True))
        for begin in range(0, first.parameters, SLAB):
            end = min(begin + SLAB, first.parameters)
            yield Slab(operands, arrays, np.append(np.arange(begin, end, BLOCK), end))


def _read(slab: Slab) -> int:
    total = 0
    for operand in slab.operands:
        item = ITEM_SIZES[operand.dtype]
        begin, end = (operand.offset + item * int(bound) for bound in (slab.bounds[0], slab.bounds[-1]))
        total ^= _core.read(operand.buffer, begin, end)
    return total

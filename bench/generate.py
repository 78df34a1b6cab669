"""Writes checkpoints of real names and shapes with random weights, as large as the disk allows, in little memory.

python -m weightkin.bench.generate solar-open-100b a --layers 2 --experts 16
python -m weightkin.bench.generate --copy-of a b
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import click
import numpy as np
import numpy.typing as npt

from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import NUMPY_DTYPES, Shards
from weightkin.view import FLOAT_DTYPES

from .folders import SHARD_BYTES, write_shards
from .shapes import DECODERS, Decoder, Tensor, first_layers, tiny

CHUNK = 1 << 20
"""Elements drawn at a time: they stay in cache, so memory and time do not grow with the tensor."""

WEIGHT_DEVIATION = 0.02
NORM_MEAN, NORM_DEVIATION = 0.3, 0.05
FINE_TUNING = 2e-4
"""Standard deviation of the noise of a copy: changes most weights by a few bf16 steps and few norm gains at all."""


def write_model(
    folder: Path, decoder: Decoder, seed: int = 0, shard_bytes: int = SHARD_BYTES, threads: int | None = None
) -> Path:
    """Random weights: normal, of deviation 0.02; norm gains positive, near 0.3. A tensor depends on name and seed."""

    def fill(tensor: Tensor) -> Iterator[npt.NDArray[Any]]:
        mean, deviation = (NORM_MEAN, NORM_DEVIATION) if "norm" in tensor.name else (0.0, WEIGHT_DEVIATION)
        values = _values(mean, deviation, tensor.dtype)
        for codes in _codes(tensor, seed, 0):
            yield values[codes]

    write_shards(folder, decoder.tensors(), fill, shard_bytes, threads)
    (folder / "config.json").write_text(json.dumps(decoder.config(), indent=2))
    return folder


def write_copy(
    folder: Path,
    source: Path,
    noise: float = FINE_TUNING,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    threads: int | None = None,
) -> Path:
    """A fine-tuned relative of any checkpoint: every float tensor plus normal noise, rounded to its dtype."""
    original = open_checkpoint(source)
    shards = Shards(original)
    tensors = (Tensor(entry.name, entry.dtype, entry.shape) for entry in original.tensors.values())

    def fill(tensor: Tensor) -> Iterator[npt.NDArray[Any]]:
        entry = original.tensors[tensor.name]
        elements = shards.array(entry.view()).reshape(-1)
        for number, codes in enumerate(_codes(tensor, seed, 1)):
            part = elements[number * CHUNK : (number + 1) * CHUNK]
            changed = part.astype(np.float32) + np.float32(noise) * quantiles()[codes]
            yield changed.astype(part.dtype) if tensor.dtype in FLOAT_DTYPES else part
        shards[entry.shard].release(entry.begin, entry.end)

    write_shards(folder, tensors, fill, shard_bytes, threads)
    shutil.copyfile(source / "config.json", folder / "config.json")
    return folder


@cache
def quantiles() -> npt.NDArray[np.float32]:
    """[65536]: equally likely values of the standard normal, so that 16 random bits choose one (|x| < 4.4)."""
    from scipy.special import ndtri

    levels: npt.NDArray[np.float64] = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16))
    return levels.astype(np.float32)


@cache
def _values(mean: float, deviation: float, dtype: str) -> npt.NDArray[Any]:
    return (mean + deviation * quantiles()).astype(NUMPY_DTYPES[dtype])


def _codes(tensor: Tensor, seed: int, stream: int) -> Iterator[npt.NDArray[np.uint16]]:
    """Uniform 16-bit codes for the elements of a tensor, `CHUNK` at a time; streams of one seed are independent."""
    generator = np.random.Generator(np.random.SFC64([seed, stream, crc32(tensor.name.encode())]))
    size = int(np.prod(tensor.shape))
    for begin in range(0, size, CHUNK):
        count = min(CHUNK, size - begin)
        words = generator.integers(0, (1 << 64) - 1, -(-count // 4), np.uint64, endpoint=True)
        yield words.view(np.uint16)[:count]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", type=click.Choice(sorted(DECODERS)), help="Whose names and shapes to write.")
@click.option("--layers", type=click.IntRange(1), help="Only the first so many layers, without embeddings.")
@click.option("--experts", type=click.IntRange(1), help="Only the first so many experts of each layer.")
@click.option("--tiny", "names_only", is_flag=True, help="All names, with tiny shapes.")
@click.option("--copy-of", type=click.Path(path_type=Path, exists=True), help="A perturbed copy of that folder.")
@click.option("--noise", default=FINE_TUNING, show_default=True, help="Standard deviation of a copy's noise.")
@click.option("--seed", default=0, show_default=True)
@click.option("--shard-bytes", default=SHARD_BYTES, show_default=True, help="Size of a shard file, at most.")
def main(
    folder: Path,
    model: str | None,
    layers: int | None,
    experts: int | None,
    names_only: bool,
    copy_of: Path | None,
    noise: float,
    seed: int,
    shard_bytes: int,
) -> None:
    """Writes FOLDER: random weights with the names and shapes of a model, or a copy of another folder plus noise."""
    if copy_of is not None:
        write_copy(folder, copy_of, noise, seed, shard_bytes)
        return
    if model is None:
        raise click.UsageError("give either --model or --copy-of")
    decoder = DECODERS[model]
    if layers is not None or experts is not None:
        decoder = first_layers(decoder, layers or decoder.layers, experts)
    write_model(folder, tiny(decoder) if names_only else decoder, seed, shard_bytes)


if __name__ == "__main__":
    main()

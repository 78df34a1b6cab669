"""`compare` from end to end: from files that are not in memory to all numbers, and how much memory that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import weightkin
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.schema import resolve

from . import cold
from .checks import similarities
from .generate import write_copy, write_model
from .models import folders
from .processes import peak_anonymous, python
from .registry import Case, Settings, Target, Work
from .shapes import first_layers, tiny

LARGER = 8
"""The large models of the memory case have so many times the bytes of the small ones."""

CHECKED = 24
COMPARE = (
    "import sys, weightkin; weightkin.compare(sys.argv[1], sys.argv[2], threads=int(sys.argv[3]), device=sys.argv[4])"
)
LAYERS = 6
"""Of a model of tiny tensors, which has 2,400 of them."""


@contextmanager
def cold_files(settings: Settings) -> Iterator[Work]:
    """A model and a perturbed copy, dropped from the page cache before every run."""
    paths = folders(settings, 2, related=True)
    shards = [shard for path in paths for shard in open_checkpoint(path).shards]
    compare = partial(weightkin.compare, *paths, threads=settings.threads, device=settings.device)
    yield Work(
        ours=compare,
        check=lambda: error(compare(), paths),
        roofs=cold.fastest(shards),
        nbytes=sum(open_checkpoint(path).nbytes for path in paths),
        before=lambda: cold.drop(shards),
    )


@contextmanager
def memory(settings: Settings) -> Iterator[Work]:
    """The same command on small and on large models: what it holds besides pages of the files."""

    def peak(nbytes: int) -> int:
        paths = folders(replace(settings, nbytes=nbytes), 2, related=True)
        return peak_anonymous(python("-c", COMPARE, *map(str, paths), str(settings.threads), settings.device))

    small, large = settings.nbytes, LARGER * settings.nbytes
    yield Work(
        ours=lambda: peak(large),
        check=lambda: _untested(
            weightkin.compare(*folders(settings, 2, related=True), threads=settings.threads, device=settings.device)
        ),
        roofs={f"of {small / 1e9:g} GB, not {large / 1e9:g}": lambda: peak(small)},
    )


@contextmanager
def tensors(settings: Settings) -> Iterator[Work]:
    """Many tiny tensors: what each costs beside its bytes, most of it in the interpreter."""
    decoder = tiny(first_layers(settings.decoder, min(LAYERS, max(1, settings.nbytes >> 26))))
    paths = [settings.data / f"tiny-{decoder.layers}-{name}" for name in ("model", "copy")]
    if not paths[1].exists():
        write_model(paths[0], decoder, settings.seed)
        write_copy(paths[1], paths[0], seed=settings.seed)
    compare = partial(weightkin.compare, *paths, threads=settings.threads, device=settings.device)
    yield Work(
        ours=compare,
        check=lambda: error(compare(), paths),
        roofs={"opening both": lambda: [resolve(open_checkpoint(path)) for path in paths]},
        elements=sum(1 for _ in decoder.tensors()),
        counted="tensors",
    )


def error(results: weightkin.Results, paths: Sequence[Path]) -> float:
    """Largest error of cosine or Pearson of evenly spread tensors."""
    checkpoints = [open_checkpoint(path) for path in paths]
    shards = [Shards(checkpoint) for checkpoint in checkpoints]
    table = results["tensors"].select(["name_a", "cosine", "pearson"]).to_pylist()
    errors = [float(_untested(results))]
    for place in np.unique(np.linspace(0, len(table) - 1, CHECKED).astype(int)).tolist():
        name, *found = table[place].values()
        rows = np.array(
            [
                mapped.array(checkpoint.tensors[name].view()).reshape(-1).astype(np.float64)
                for mapped, checkpoint in zip(shards, checkpoints, strict=True)
            ]
        )
        expected = similarities(rows @ rows.T, rows.sum(axis=1), rows.shape[1])[:, 0, 1]
        errors.append(float(np.abs(np.array(found) - expected).max()))
    return float(np.max(errors))


def _untested(results: weightkin.Results) -> int:
    """Parameters that should have been compared and were not."""
    coverage = results.summary["coverage"]
    return int(coverage["parameters"]) - int(coverage["compared"])


CASES = (
    Case("compare/cold", "two models from disk to results", cold_files, 1e-6, (Target("roof", 0.85),)),
    Case("compare/tensors", "many tiny tensors", tensors, 1e-6, (), rounds=2),
    Case(
        "compare/memory", "anonymous memory at most", memory, 0, (Target("roof", 0.9), Target(None, 1e9)),
        unit="B", rounds=2,
    ),
)  # fmt: skip

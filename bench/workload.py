"""What comparing two models asks of a machine: bytes, elements, products and assignments, counted from headers alone.

The models are written as folders of the true names and shapes whose shards are holes: 400 GB that take 10 MB of disk.
What is counted is the program's own plan of them, so a change of the program changes the counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from weightkin.comparison import open_models
from weightkin.correspondence.descriptors import Side
from weightkin.correspondence.experts import BASELINE_LAGS, BASELINE_PAIRS, unsearchable
from weightkin.correspondence.orbit import Orbit
from weightkin.plan import make_plan
from weightkin.relabelling import Relabellings
from weightkin.schema import Model
from weightkin.statistics.null import DRAWS

from .folders import SHARD_BYTES, write_shards
from .shapes import Decoder

COMPLEX = 8
"""Floating point operations of a complex multiply-add."""


@dataclass(frozen=True)
class Workload:
    """One phase of a command."""

    name: str
    nbytes: int = 0
    """Read from storage, staged, and sent to a device once."""
    swept: int = 0
    """Bytes that `gram`, `difference` and `census` go over."""
    relabelled: int = 0
    """Elements of all members that `lagged` goes over."""
    probed: int = 0
    """Floating point operations of products with probe inputs: few rows on one side."""
    products: int = 0
    """Floating point operations of products of many rows with many."""
    assignments: tuple[tuple[int, int], ...] = ()
    """(problems, size of the larger side)."""
    tensors: int = 0
    """Results that the interpreter handles one by one."""


@contextmanager
def models_of(decoders: Sequence[Decoder]) -> Iterator[tuple[Model, ...]]:
    """The models, with all of their headers and none of their weights."""
    with TemporaryDirectory(prefix="weightkin-shapes-") as folder:
        paths = [Path(folder) / f"{number}-{decoder.model_type}" for number, decoder in enumerate(decoders)]
        for path, decoder in zip(paths, decoders, strict=True):
            write_shards(path, decoder.tensors(), lambda _: iter(()), SHARD_BYTES, 1)
            (path / "config.json").write_text(json.dumps(decoder.config()))
        yield tuple(open_models(paths))


def compare(models: Sequence[Model], draws: int = DRAWS) -> list[Workload]:
    """`compare --align none`: one pass over everything that meets in place, with the null."""
    plan = make_plan(models)
    relabellings = Relabellings(plan, draws, seed=0)
    elements = 0
    for unit in plan.units:
        chosen = relabellings.of(unit)
        if chosen is not None:
            elements += len(chosen.lines) * unit.views[0].shape[chosen.axis] * len(unit.members)
    return [
        Workload(
            "in place", nbytes=plan.nbytes, swept=plan.nbytes, relabelled=elements,
            tensors=sum(1 for a, b in plan.pairs for _ in plan.untested(a, b)) + len(plan.units),
        )
    ]  # fmt: skip


def experts(models: Sequence[Model], related: bool) -> list[Workload]:
    """`experts --layers same`: the answers of all MLPs, and if `related`, the neurons of every matched pair."""
    a, b = (Side(model) for model in models)
    nbytes = probed = scored = products = 0
    assignments: list[tuple[int, int]] = []
    searches: list[tuple[int, int]] = []
    for component, layer in sorted(a.layers.keys() & b.layers.keys()):
        if unsearchable(a, b, (component, layer, layer)) is not None:
            continue
        one, other = a.layers[component, layer], b.layers[component, layer]
        orbit = Orbit.of(one.width)
        nbytes += one.nbytes + other.nbytes
        probed += 2 * orbit.size * sum(mlp.parameters for side in (one, other) for mlp in side.mlps)
        scored += COMPLEX * (orbit.size // 2 + 1) * len(one.mlps) * len(other.mlps) * one.width
        assignments.append((orbit.size, max(len(one.mlps), len(other.mlps))))
        if related:
            pairs = list(zip(one.mlps, other.mlps, strict=False))
            sizes = [(left.neurons, right.neurons) for left, right in pairs]
            # Gate and up of each pair, and of a few pairs gate in relabelled copies too.
            repeats = 2 + min(BASELINE_PAIRS, len(pairs)) * BASELINE_LAGS / len(pairs)
            products += int(sum(2 * repeats * left * right * one.width for left, right in sizes))
            searches += [(int(repeats * len(pairs)), max(max(sizes)))]
    found = [
        Workload(
            "answers of experts", nbytes=nbytes, probed=probed, products=scored, assignments=tuple(assignments),
            tensors=len(assignments),
        )
    ]  # fmt: skip
    if related:
        # Read already: a layer stays in memory, or on the device, until it is done.
        found.append(Workload("neurons", products=products, assignments=tuple(searches), tensors=len(searches)))
    return found

"""layers: from one or two paths to results, along the layers."""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from . import _core
from .checkpoint.mapping import Shards
from .comparison import Progress, open_models, usable_cores
from .correspondence.layer_scores import Scores, draws_of, unit_scores
from .correspondence.layer_similarity import nothing, unit_sums
from .correspondence.layer_units import MATRIX_GROUPS, depth, layer_units
from .correspondence.layers import ALL, pool_groups, without_itself
from .correspondence.maps import Array, layer_map
from .errors import PlanError
from .results.folder import Results
from .results.journal import Journal
from .results.layer_summary import Group, summarise
from .results.layer_tables import BASELINES, baselines, layers_table, maps_table, schemas
from .results.recording import Write, record
from .results.summary import describe_models
from .schema import Model
from .similarity import PairSums
from .statistics.null import DRAWS
from .statistics.verdict import FEWEST_DRAWS


def layers(
    paths: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    seed: int = 0,
    null: int = DRAWS,
    experts: bool = False,
    progress: Progress = lambda *_: None,
) -> Results:
    """Compares every layer of A with every layer of B (or of A itself, if one path is given), and says which layer of A each
    layer of B comes from.

    `experts`: routed experts too, each with that of its number, which is most of the bytes of a mixture. Other options are
    those of `weightkin.matrix`. The tables are `layers` and `maps`, of one model also `baselines`; the summary has "layers".

    Raises `CheckpointError`, `PlanError` or `ResultsError`, each one line.
    """
    if len(paths) not in (1, 2):
        raise PlanError(f"{len(paths)} models given: layers compares two, or one with itself")
    if null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}")
    if threads is not None and threads < 1:
        raise PlanError(f"{threads} threads given: at least 1 is needed")
    run = _Run(open_models(paths), experts, null, seed, threads or usable_cores(), progress)
    options = {"null": null, "seed": seed, "experts": experts}
    return record(
        "layers", options, [model.checkpoint.fingerprint() for model in run.models],
        output=output, resume=resume, units=len(run.units), compute=run.compute, schemas=schemas(len(paths)),
        collect=run.collect,
    )  # fmt: skip


class _Run:
    """Units of work, each one role: computed into the journal, then collected by group and component."""

    def __init__(
        self, models: list[Model], experts: bool, null: int, seed: int, threads: int, progress: Progress
    ) -> None:
        self.models, self.pair = models, (models[0], models[-1])
        self.one = len(models) == 1
        self.units = layer_units(*self.pair, experts)
        self.draws = draws_of(self.units, null)
        self.seed, self.threads, self.progress = seed, threads, progress

    def depths(self, component: str) -> tuple[int, int]:
        return depth(self.pair[0], component), depth(self.pair[1], component)

    def compute(self, journal: Journal) -> dict[str, Any]:
        """Every unit that the journal lacks."""
        first = Shards(self.models[0].checkpoint)
        shards = (first, first if self.one else Shards(self.models[1].checkpoint))
        total = sum(unit.nbytes for unit in self.units)
        waiting = [unit for unit in self.units if unit.index not in journal.finished]
        done = before = total - sum(unit.nbytes for unit in waiting)
        start = time.perf_counter()

        def on_read(count: int) -> None:
            nonlocal done
            done += count
            self.progress("comparing", done, total)

        on_read(0)
        for unit in waiting:
            depths, draws = self.depths(unit.component), self.draws.get(unit.component, 0)
            scores = unit_scores(unit, shards, depths, draws, self.seed, self.threads)
            sums = unit_sums(unit, shards, depths, self.threads, on_read)
            for one in shards:
                one.check()
            journal.append(unit.index, _pack(scores, sums))
        seconds = time.perf_counter() - start
        rate = (done - before) / seconds / 1e9 if seconds else 0.0
        self.progress("writing", total, total)
        return {
            "devices": [{"kind": "cpu", "instruction_set": _core.instruction_set(), "threads": self.threads}],
            "throughput": {"bytes": done - before, "seconds": round(seconds, 3), "gb_per_s": round(rate, 3)},
        }

    def collect(self, journal: Journal, write: Write) -> dict[str, Any]:
        """Tables, and what summary.json says."""
        found: dict[tuple[str, str], Group] = {}
        scores: dict[tuple[str, str], list[Scores]] = defaultdict(list)
        for unit in self.units:
            score, aligned, sums = _unpack(journal[unit.index])
            for name in (unit.group, *([ALL] if unit.group in MATRIX_GROUPS else [])):
                place = unit.component, name
                found.setdefault(place, Group(nothing(self.depths(unit.component)))).add(unit, sums, aligned)
            if score is not None:
                scores[unit.component, unit.group].append(score)
        for place, stacked in pool_groups(scores).items():
            found[place].map = layer_map(without_itself(stacked) if self.one else stacked)
        for place, group in found.items():
            write["layers"](layers_table(*place, group.sums, group.aligned, group.map, self.one))
            if group.map is not None:
                write["maps"](maps_table(*place, group.map))
            if self.one:
                write["baselines"](pa.Table.from_pylist(list(baselines(*place, group.sums)), BASELINES))
        return {"models": describe_models(self.models), "layers": summarise(found, self.models)}


def _pack(scores: tuple[Scores, Array] | None, sums: PairSums) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {"sums": np.stack([getattr(sums, field.name) for field in fields(PairSums)])}
    if scores is not None:
        arrays |= {"scores": scores[0], "aligned": scores[1]}
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _unpack(payload: bytes) -> tuple[Scores | None, Array | None, PairSums]:
    with np.load(io.BytesIO(payload)) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    return held.get("scores"), held.get("aligned"), PairSums(*held["sums"])

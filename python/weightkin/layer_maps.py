"""layers: from one or two paths to results, along the layers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa

from .checkpoint.mapping import Shards
from .comparison import Progress, open_models, thread_count
from .correspondence.compute import Compute
from .correspondence.layer_scores import Scores, draws_of, unit_scores
from .correspondence.layer_similarity import nothing, unit_sums
from .correspondence.layer_units import MATRIX_GROUPS, LayerUnit, depth, layer_units
from .correspondence.layers import ALL, UNORDERED, out_of_order, pool_groups, without_itself
from .correspondence.maps import Array, LayerMap, layer_map, pool
from .correspondence.workers import Workers
from .devices import Device, describe_devices, kinds, opened_devices
from .devices.choosing import AUTO
from .errors import PlanError
from .results.folder import Results
from .results.journal import Journal
from .results.layer_packing import pack, unpack
from .results.layer_summary import Group, summarise
from .results.layer_tables import BASELINES, baselines, layers_table, maps_table, schemas
from .results.recording import Write, describe_throughput, record
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
    device: str = AUTO,
    threads: int | None = None,
    seed: int = 0,
    null: int = DRAWS,
    experts: bool = False,
    progress: Progress = lambda *_: None,
) -> Results:
    """Compares every layer of A with every layer of B (or of A itself, if one path is given), and says which layer of A each
    layer of B comes from.

    `experts`: routed experts too, each with that of its number, which is most of the bytes of a mixture. Other options are
    those of `weightkin.matrix`. The tables are `layers`, `layer_roles` and `maps`, of one model also `baselines`; the summary
    has "layers".

    Raises `CheckpointError`, `PlanError`, `DeviceError` or `ResultsError`, each one line.
    """
    if len(paths) not in (1, 2):
        raise PlanError(f"{len(paths)} models given: layers compares two, or one with itself")
    if null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}")
    models = open_models(paths)
    options = {"null": null, "seed": seed, "experts": experts}
    with opened_devices(device, thread_count(threads)) as devices:
        run = _Run(models, experts, null, seed, devices, progress)
        return record(
            "layers", options, [model.checkpoint.fingerprint() for model in models], output=output, resume=resume,
            kinds=kinds(devices), units=len(run.units) * len(paths), compute=run.compute, schemas=schemas(len(paths)),
            collect=run.collect,
        )  # fmt: skip


class _Run:
    """Units of work, each one role: computed into the journal, then collected by group and component."""

    def __init__(
        self, models: list[Model], experts: bool, null: int, seed: int, devices: Sequence[Device], progress: Progress
    ) -> None:
        self.models, self.pair = models, (models[0], models[-1])
        self.one = len(models) == 1
        self.units = layer_units(*self.pair, experts)
        if self.one and max(depth(models[0], unit.component) for unit in self.units) < 2:
            raise PlanError(f"{models[0].checkpoint.name}: has one layer, and no other to compare it with")
        self.draws = draws_of(self.units, null)
        self.seed, self.devices, self.progress = seed, devices, progress
        self.workers = Workers.of(devices)

    def depths(self, component: str) -> tuple[int, int]:
        return depth(self.pair[0], component), depth(self.pair[1], component)

    def compute(self, journal: Journal) -> dict[str, Any]:
        """Every unit that the journal lacks."""
        first = Shards(self.models[0].checkpoint)
        shards = (first, first if self.one else Shards(self.models[1].checkpoint))
        total = sum(unit.nbytes for unit in self.units)
        waiting = [unit for unit in self.units if unit.index not in journal.finished]
        done = before = total - sum(unit.nbytes for unit in waiting)
        start, counting = time.perf_counter(), Lock()

        def on_read(count: int) -> None:
            nonlocal done
            with counting:
                done += count
            self.progress("comparing", min(done, total), total)

        on_read(0)

        def compare(compute: Compute, unit: LayerUnit) -> tuple[tuple[Scores, Array] | None, PairSums]:
            scores = self._scores(unit, shards, True, self.workers.share)
            return scores, unit_sums(unit, shards, self.depths(unit.component), compute, on_read)

        for unit, (scores, sums) in self.workers.spread(waiting, compare, lambda unit: unit.nbytes):
            for one in shards:
                one.check()
            journal.append(unit.index, pack(scores, sums))
        for unit in self.out_of_order(journal):
            if self.again(unit) not in journal.finished:
                self.progress("looking for layers out of order", total, total)
                journal.append(self.again(unit), pack(self._scores(unit, shards, False, self.workers.threads), None))
        for one in shards:
            one.check()
        seconds = time.perf_counter() - start
        self.progress("writing", total, total)
        return {
            "devices": describe_devices(self.devices),
            "throughput": describe_throughput(done - before, seconds),
        }

    def _scores(
        self, unit: LayerUnit, shards: tuple[Shards, Shards], in_place: bool, threads: int
    ) -> tuple[Scores, Array] | None:
        depths, draws = self.depths(unit.component), self.draws.get(unit.component, 0)
        return unit_scores(unit, shards, depths, draws, self.seed, threads, in_place)

    def again(self, unit: LayerUnit) -> int:
        """The number in the journal of what was found of a unit out of order."""
        return len(self.units) + unit.index

    def out_of_order(self, journal: Journal) -> list[LayerUnit]:
        """Units to look at once more, without regard to the order of their lines."""
        if self.one:
            return []
        deciding = {component: one for (component, group), one in self.maps(journal).items() if group == ALL}
        return out_of_order(self.units, deciding)

    def maps(self, journal: Journal) -> dict[tuple[str, str], LayerMap]:
        """Of every component's groups, in place."""
        scores: dict[tuple[str, str], list[Scores]] = defaultdict(list)
        for unit in self.units:
            score = unpack(journal[unit.index])[0]
            if score is not None:
                scores[unit.component, unit.group].append(score)
        pooled = pool_groups(scores)
        return {place: layer_map(without_itself(stacked) if self.one else stacked) for place, stacked in pooled.items()}

    def collect(self, journal: Journal, write: Write) -> dict[str, Any]:
        """Tables, and what summary.json says."""
        found: dict[tuple[str, str], Group] = {}

        def add(name: str, unit: LayerUnit, number: int) -> None:
            place = unit.component, name
            if place not in found:
                found[place] = Group(nothing(self.depths(unit.component)))
            _, aligned, sums = unpack(journal[number])
            found[place].add(unit, sums, aligned)

        for unit in self.units:
            add(unit.group, unit, unit.index)
            if unit.group in MATRIX_GROUPS:
                add(ALL, unit, unit.index)
        for place, one in self.maps(journal).items():
            found[place].map = one
        again = self.out_of_order(journal)
        scores: dict[tuple[str, str], list[Scores]] = defaultdict(list)
        for unit in again:
            add(UNORDERED, unit, self.again(unit))
            score = unpack(journal[self.again(unit)])[0]
            if score is not None:
                scores[unit.component, unit.group].append(score)
        for (component, group), stacked in pool_groups(scores).items():
            if group == ALL:
                found[component, UNORDERED].map = layer_map(stacked, in_place=False)
        for place, each in found.items():
            write["layers"](layers_table(*place, each.sums, each.aligned, each.map, self.one))
            if each.map is not None:
                write["maps"](maps_table(*place, each.map))
            if self.one:
                write["baselines"](pa.Table.from_pylist(list(baselines(*place, each.sums)), BASELINES))
        self._collect_roles(journal, write)
        return {"models": describe_models(self.models), "layers": summarise(found, self.models)}

    def _collect_roles(self, journal: Journal, write: Write) -> None:
        """The table of single roles, in place; a role may have tensors of several shapes."""
        roles: dict[tuple[str, str, str], list[LayerUnit]] = defaultdict(list)
        for unit in self.units:
            roles[unit.component, unit.group, unit.role].append(unit)
        for (component, group, role), units in roles.items():
            found, scores = Group(nothing(self.depths(component))), list[Scores]()
            for unit in units:
                score, aligned, sums = unpack(journal[unit.index])
                found.add(unit, sums, aligned)
                if score is not None:
                    scores.append(score)
            pooled = pool(scores) if scores else None
            if pooled is not None:
                found.map = layer_map(without_itself(pooled) if self.one else pooled)
            write["layer_roles"](layers_table(component, group, found.sums, found.aligned, found.map, self.one, role))

"""series: from the paths of checkpoints to results. Every byte is read once, whatever the number of checkpoints."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import ops
from ..comparison import Progress, open_models, thread_count
from ..devices import HostDevice, Weights, describe_devices
from ..devices.weights import READ
from ..engine import READERS, WINDOW
from ..errors import PlanError
from ..plan import Plan
from ..relabelling import Relabellings
from ..results.folder import Results
from ..results.journal import Journal
from ..results.recording import Write, describe_throughput, record
from ..results.series_summary import summarise
from ..results.series_tables import SCHEMAS, start_table, steps_table
from ..results.summary import describe_models
from ..statistics.null import DRAWS
from ..statistics.verdict import FEWEST_DRAWS
from ..units import Unit
from .course import Course, plan_course
from .gather import gather
from .start import sample_start
from .steps import Steps, steps_of
from .sums import Slab, Sums, null_statistics, pack, slab_sums, slabs_of


def series(
    paths: Sequence[str | Path],
    *,
    steps: Sequence[float] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    seed: int = 0,
    null: int = DRAWS,
    progress: Progress = lambda *_: None,
) -> Results:
    """Follows one training through its checkpoints, given in order: likeness of each to its neighbours and to the last, norms,
    whether the first looks like a random initialisation, and whether some step replaces weights.

    `steps`: the training step (or number of tokens) of each checkpoint; by default the number in its name, if all have one.
    The other options are those of `weightkin.matrix`. The tables are `steps` (checkpoint by group of roles) and `start`
    (tensors of the first checkpoint); the summary has "series".

    Raises `CheckpointError`, `PlanError` or `ResultsError`, each one line.
    """
    if len(paths) < 2:
        raise PlanError("a series needs at least two checkpoints", "give them in the order of training")
    if null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}")
    models = open_models(paths)
    given = steps_of([model.checkpoint.name for model in models], steps)
    course = plan_course(models, include, exclude)
    run = _Run(course, given, null, seed, thread_count(threads), memory or WINDOW, progress)
    options = {"include": [*include], "exclude": [*exclude], "null": null, "seed": seed,
               "steps": None if steps is None else ",".join(f"{step:.15g}" for step in steps)}  # fmt: skip
    return record(
        "series", options, [model.checkpoint.fingerprint() for model in models], output=output, resume=resume,
        units=len(course.units), compute=run.compute, schemas=SCHEMAS, collect=run.collect,
    )  # fmt: skip


class _Run:
    def __init__(
        self, course: Course, steps: Steps, null: int, seed: int, threads: int, memory: int, progress: Progress
    ) -> None:
        self.course, self.steps, self.seed, self.threads, self.memory = course, steps, seed, threads, memory
        self.progress = progress
        self.host = HostDevice(threads)
        members = tuple(course.models[number] for number in course.members)
        # As of two models: a draw turns the second of a pair.
        relabellings = Relabellings(Plan(members[:2], course.units, {}, {}, (), {}), null, seed)
        self.weights = Weights(Plan(members, course.units, {}, {}, (), {}), relabellings)

    def compute(self, journal: Journal) -> dict[str, Any]:
        """Every unit that the journal lacks."""
        waiting = [unit for unit in self.course.units if unit.index not in journal.finished]
        total = self.course.nbytes
        done = before = total - sum(unit.nbytes for unit in waiting)
        start = time.perf_counter()
        self.progress("comparing", done, total)
        for slab, found in self._in_order(slab for unit in waiting for slab in slabs_of(unit)):
            done += slab.nbytes
            self.progress("comparing", done, total)
            if found is not None:
                journal.append(slab.unit.index, found)
        self.weights.check()
        seconds = time.perf_counter() - start
        self.progress("writing", total, total)
        self.host.units, self.host.nbytes = len(waiting), done - before
        return {"devices": describe_devices([self.host]), "throughput": describe_throughput(done - before, seconds)}

    def _in_order(self, slabs: Iterator[Slab]) -> Iterator[tuple[Slab, bytes | None]]:
        """Each slab, and with a unit's last one what was found of the unit. At most `memory` bytes are mapped at a time."""
        flying: deque[tuple[Slab, Future[Sums]]] = deque()
        ending: deque[tuple[Slab, Future[bytes]]] = deque()
        parts: list[Sums] = []
        with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(self.threads) as workers:
            upcoming = next(slabs, None)
            while upcoming is not None or flying:
                while upcoming is not None and (not flying or self._has_room(flying, upcoming)):
                    reading = [readers.submit(self._read, upcoming, place) for place in range(len(self.course.members))]
                    flying.append((upcoming, workers.submit(self._compute, upcoming, reading)))
                    upcoming = next(slabs, None)
                slab, task = flying.popleft()
                parts.append(task.result())
                if slab.ends_unit:
                    ending.append((slab, workers.submit(self._finish, slab.unit, sum(parts[1:], parts[0]))))
                    parts = []
                else:
                    yield slab, None
                if len(ending) > self.threads:
                    slab, end = ending.popleft()
                    yield slab, end.result()
            for slab, end in ending:
                yield slab, end.result()

    def _has_room(self, flying: Sequence[tuple[Slab, Any]], upcoming: Slab) -> bool:
        mapped = sum(slab.nbytes for slab, _ in flying) + upcoming.nbytes
        return len(flying) < 4 * self.threads and mapped <= self.memory

    def _read(self, slab: Slab, place: int) -> None:
        view = slab.views()[place]
        begin, end = view.extent
        for at in range(begin, end, READ):
            self.weights.shards[place][view.shard].prefetch(at, min(at + READ, end))

    def _compute(self, slab: Slab, reading: Sequence[Future[None]]) -> Sums:
        for each in reading:
            each.result()
        views = slab.views()
        found = slab_sums(self._operands(views), views[0].size, self.course.pairs)
        self.weights.release(slab.unit.members, views)
        return found

    def _finish(self, unit: Unit, whole: Sums) -> bytes:
        """Adds the null and the look at the first checkpoint, from pages that the sums have just brought in."""
        relabelling = self.weights.relabelling(unit)
        statistic = np.zeros((len(self.course.pairs), 0))
        if relabelling is not None:
            asked = relabelling.axis, relabelling.lines, relabelling.lags
            statistic = null_statistics(self.weights.operands(unit), self.course.pairs, *asked)
        start = sample_start(unit, self.weights.shards[0].array(unit.views[0]), self.seed)
        self.weights.release(unit.members, unit.views)
        return pack(whole, statistic, start)

    def _operands(self, views: Sequence[Any]) -> list[ops.Operand]:
        return [
            ops.Operand(shards[view.shard], view.offset, view.dtype, view.shape, view.strides)
            for shards, view in zip(self.weights.shards, views, strict=True)
        ]

    def collect(self, journal: Journal, write: Write) -> dict[str, Any]:
        """Tables, and what summary.json says."""
        gathered = gather(self.course, journal)
        found = summarise(self.course, self.steps, gathered)
        write["steps"](steps_table(self.course, self.steps, gathered))
        write["start"](start_table(gathered))
        return {"models": describe_models(self.course.models), **found}

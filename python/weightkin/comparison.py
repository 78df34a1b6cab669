"""compare and matrix: from paths to results, along the one way through the program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import aligning, engine
from .checkpoint import open_checkpoint
from .devices import Device, describe_devices, kinds, opened_devices
from .devices.choosing import AUTO
from .errors import PlanError
from .ops import MAX_MODELS
from .plan import Plan, make_plan
from .relabelling import Relabellings
from .results.collect import collect
from .results.folder import Results
from .results.journal import Journal
from .results.packing import pack
from .results.recording import Write, describe_throughput, record
from .results.summary import describe_models, numbers
from .results.tables import schemas
from .schema import Model, resolve
from .statistics.null import DRAWS
from .statistics.verdict import FEWEST_DRAWS

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many bytes of how many are."""


def open_models(paths: Sequence[str | Path]) -> list[Model]:
    """Headers, addresses and axes of each checkpoint; no weight is read."""
    return [resolve(open_checkpoint(path)) for path in paths]


def compare(a: str | Path, b: str | Path, *, align: str | Path = "auto", **options: Any) -> Results:
    """Compares two checkpoints tensor by tensor; see `matrix` for the other options.

    `align`: "auto" compares in place, and, if that leaves matrices unexplained, searches for layers, experts, neurons and
    attention heads that were re-ordered and compares again through what it found; "none" stays in place; or a JSON file of
    an alignment (correspondence/alignment.py). `AlignmentError` if that cannot be read or does not fit the models.

    The results' summary has the pair's coverage, roles and groups at its top; the tables are `tensors` and `blocks`.
    """
    return run("compare", [a, b], align=align, **options)


def matrix(paths: Sequence[str | Path], **options: Any) -> Results:
    """Compares all pairs of 2 to 16 checkpoints, in place, in one pass that reads each byte once.

    Options: `output`, a new folder for the results (None: in memory only); `resume`, to go on with the interrupted run
    in `output`; `device`, where to compute: "auto" (all GPUs that can be used, or else the CPU), "cpu", "cuda", "cuda:1" or
    several with commas between them; `threads` (default: every core this process may use); `memory`, bytes that may be
    mapped at a time;
    `include` and `exclude`, globs over roles and tensor names; `null`, how many relabellings of the second model the null
    has (0: no evidence, similarities only); `canonical`, whether norm gains are folded into the matrices
    that read them; `seed`, of everything drawn at random; `progress`, a callback.

    Raises `CheckpointError`, `PlanError`, `DeviceError` or `ResultsError`, each one line. A device that fails meanwhile gives
    a `DeviceWarning`, and the others go on.
    """
    return run("matrix", paths, **options)


def run(
    command: str,
    paths: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    resume: bool = False,
    device: str = AUTO,
    threads: int | None = None,
    memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    seed: int = 0,
    null: int = DRAWS,
    canonical: bool = False,
    align: str | Path | None = None,
    progress: Progress = lambda *_: None,
) -> Results:
    if not 2 <= len(paths) <= MAX_MODELS:
        raise PlanError(f"{len(paths)} models given: 2 to {MAX_MODELS} can be compared in one run")
    if 0 < null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}, or 0 for none")
    threads = thread_count(threads)
    start = time.perf_counter()
    way = aligning.Way.of(align, null) if align is not None else None
    in_place = make_plan(open_models(paths), include, exclude, canonical)
    options = {"include": [*include], "exclude": [*exclude], "null": null, "canonical": canonical, "seed": seed}
    if way is not None:
        options["align"] = way.key

    def compute(journal: Journal) -> dict[str, Any]:
        work.run(way, journal)
        progress("writing", work.plan.nbytes, work.plan.nbytes)
        return {"devices": describe_devices(devices)}

    def collected(journal: Journal, write: Write) -> dict[str, Any]:
        totals = collect(work.plan, journal, write)
        found = numbers(command, work.plan, totals, work.alignment)
        throughput = work.throughput() | {"elapsed": round(time.perf_counter() - start, 3)}
        return {"models": describe_models(in_place.models), "throughput": throughput, **found}

    with opened_devices(device, threads) as devices:
        work = Work(in_place, null, seed, threads, devices, memory, progress)
        return record(
            command, options, [model.checkpoint.fingerprint() for model in in_place.models], output=output,
            resume=resume, kinds=kinds(devices), units=lambda: len(work.plan.numbers), compute=compute,
            schemas=schemas(len(paths)), collect=collected,
        )  # fmt: skip


def thread_count(threads: int | None) -> int:
    """`threads` if given, else one per usable core. Raises `PlanError` if there would be none."""
    if threads is not None and threads < 1:
        raise PlanError(f"{threads} threads given: at least 1 is needed")
    return threads or usable_cores()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Work:
    """One run: its plan, which an alignment may change on the way, and how much was read how fast."""

    plan: Plan
    null: int
    seed: int
    threads: int
    devices: Sequence[Device]
    memory: int | None
    progress: Progress
    alignment: dict[str, Any] | None = None
    """How parts were paired, as in summary.json; None where that is no question."""
    _bytes: int = 0
    _seconds: float = 0.0

    def run(self, way: aligning.Way | None, journal: Journal) -> None:
        relabellings = Relabellings(self.plan, self.null, self.seed)

        def sweep(plan: Plan) -> None:
            self.plan = plan
            self.sweep(plan, journal, relabellings)

        from .correspondence.workers import Workers  # slow to import

        workers = Workers.of(self.devices)
        search = partial(aligning.search, seed=self.seed, workers=workers, draws=self.null, progress=self.progress)
        if way is None:
            sweep(self.plan)
        else:
            self.alignment = aligning.align(self.plan, way, journal, sweep, search)

    def throughput(self) -> dict[str, float]:
        """Of comparing in this run, without what an earlier one had done."""
        return describe_throughput(self._bytes, self._seconds)

    def sweep(self, plan: Plan, journal: Journal, relabellings: Relabellings) -> None:
        """Runs what the journal lacks."""
        relabellings.extend(plan)
        waiting = [unit for unit in plan.units if unit.index not in journal.finished]
        done = before = plan.nbytes - sum(unit.nbytes for unit in waiting)
        start = time.perf_counter()

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            self.progress("comparing", done, plan.nbytes)

        self.progress("comparing", done, plan.nbytes)
        for unit, sweep in engine.run(plan, waiting, relabellings, self.devices, self.memory, on_bytes):
            journal.append(unit.index, pack(sweep))
        self._bytes += done - before
        self._seconds += time.perf_counter() - start

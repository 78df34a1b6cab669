"""compare and matrix: from paths to results, along the one way through the program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import _core, engine
from .checkpoint import open_checkpoint
from .errors import PlanError
from .ops import MAX_MODELS
from .plan import Plan, make_plan
from .relabelling import Relabellings
from .results.collect import collect
from .results.folder import Results
from .results.journal import Journal
from .results.packing import pack
from .results.recording import Write, record
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


def compare(a: str | Path, b: str | Path, **options: Any) -> Results:
    """Compares two checkpoints tensor by tensor; see `matrix` for the options.

    The results' summary has the pair's coverage, roles and groups at its top; the tables are `tensors` and `blocks`.
    """
    return run("compare", [a, b], **options)


def matrix(paths: Sequence[str | Path], **options: Any) -> Results:
    """Compares all pairs of 2 to 16 checkpoints in one pass that reads each byte once.

    Options: `output`, a new folder for the results (None: in memory only); `resume`, to go on with the interrupted run
    in `output`; `threads` (default: every core this process may use); `memory`, bytes that may be mapped at a time;
    `include` and `exclude`, globs over roles and tensor names; `null`, how many relabellings of the second model the null
    has (0: no evidence, similarities only); `canonical`, whether norm gains are folded into the matrices
    that read them; `seed`, of everything drawn at random; `progress`, a callback.

    Raises `CheckpointError`, `PlanError` or `ResultsError`, each one line.
    """
    return run("matrix", paths, **options)


def run(
    command: str,
    paths: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    seed: int = 0,
    null: int = DRAWS,
    canonical: bool = False,
    progress: Progress = lambda *_: None,
) -> Results:
    if not 2 <= len(paths) <= MAX_MODELS:
        raise PlanError(f"{len(paths)} models given: 2 to {MAX_MODELS} can be compared in one run")
    if 0 < null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}, or 0 for none")
    if threads is not None and threads < 1:
        raise PlanError(f"{threads} threads given: at least 1 is needed")
    plan = make_plan(open_models(paths), include, exclude, canonical)
    options = {"include": [*include], "exclude": [*exclude], "null": null, "canonical": canonical, "seed": seed}
    threads = threads or usable_cores()

    def compute(journal: Journal) -> dict[str, Any]:
        relabellings = Relabellings(plan, null, seed)
        throughput = _sweep(plan, journal, relabellings, threads, memory or engine.WINDOW, progress)
        progress("writing", plan.nbytes, plan.nbytes)
        devices = [{"kind": "cpu", "instruction_set": _core.instruction_set(), "threads": threads}]
        return {"devices": devices, "throughput": throughput}

    def collected(journal: Journal, write: Write) -> dict[str, Any]:
        totals = collect(plan, journal, write)
        return {"models": describe_models(plan.models), **numbers(command, plan, totals)}

    return record(
        command, options, [model.checkpoint.fingerprint() for model in plan.models],
        output=output, resume=resume, units=len(plan.units), compute=compute, schemas=schemas(len(paths)), collect=collected,
    )  # fmt: skip


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sweep(
    plan: Plan, journal: Journal, relabellings: Relabellings, threads: int, memory: int, progress: Progress
) -> dict[str, float]:
    """Runs what the journal lacks. Returns the throughput of this run."""
    waiting = [unit for unit in plan.units if unit.index not in journal.finished]
    done = before = plan.nbytes - sum(unit.nbytes for unit in waiting)
    start = time.perf_counter()

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        progress("comparing", done, plan.nbytes)

    progress("comparing", done, plan.nbytes)
    for unit, sweep in engine.run(plan, waiting, relabellings, threads, memory, on_bytes):
        journal.append(unit.index, pack(sweep))
    seconds = time.perf_counter() - start
    rate = (done - before) / seconds / 1e9 if seconds else 0.0
    return {"bytes": done - before, "seconds": round(seconds, 3), "gb_per_s": round(rate, 3)}

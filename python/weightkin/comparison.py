"""compare and matrix: from paths to results, along the one way through the program."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from . import __version__, _core, engine
from .checkpoint import open_checkpoint
from .errors import Interrupted, PlanError, ResultsError
from .ops import MAX_MODELS
from .plan import Plan, make_plan
from .relabelling import Relabellings
from .results.collect import Sink, collect
from .results.folder import JOURNAL, SCHEMA_VERSION, SUMMARY, Results, atomic, load, prepare, strict_json
from .results.journal import Journal
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
    if resume and output is None:
        raise PlanError("to resume a run, name the folder of its results", "add -o FOLDER")
    plan = make_plan(open_models(paths), include, exclude, canonical)
    options = {"include": [*include], "exclude": [*exclude], "null": null, "canonical": canonical, "seed": seed}
    key = _key(command, plan, options)
    threads = threads or usable_cores()
    journal_path = None
    if output is not None:
        output = Path(output)
        journal_path = prepare(output, resume)
        if journal_path is None:
            return _finished(output, key)
    journal = Journal(journal_path, key, resume)
    try:
        relabellings = Relabellings(plan, null, seed)
        throughput = _sweep(plan, journal, relabellings, threads, memory or engine.WINDOW, progress)
        progress("writing", plan.nbytes, plan.nbytes)
        with ExitStack() as stack:
            sinks = {name: Sink(name, schema, output, stack) for name, schema in schemas(len(paths)).items()}
            totals = collect(plan, journal, {name: sink.write for name, sink in sinks.items()})
        summary = {
            "schema_version": SCHEMA_VERSION, "command": command, "seed": seed, "options": options,
            "argv": sys.argv[1:], "key": key,
            "versions": {"weightkin": __version__, "python": sys.version.split()[0], "pyarrow": pa.__version__},
            "devices": [{"kind": "cpu", "instruction_set": _core.instruction_set(), "threads": threads}],
            "models": describe_models(plan), "tables": list(sinks),
            **numbers(command, plan, totals), "throughput": throughput,
        }  # fmt: skip
        summary = strict_json(summary)
        if output is None:
            return Results(summary, {name: sink.table() for name, sink in sinks.items()})
        with atomic(output / SUMMARY) as partial:
            partial.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
        journal.remove()
        return load(output)
    except KeyboardInterrupt:
        raise Interrupted(len(journal.finished), len(plan.units), output) from None
    finally:
        journal.close()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _key(command: str, plan: Plan, options: Mapping[str, Any]) -> str:
    """What must be equal for a run to go on where another stopped."""
    models = [model.checkpoint.fingerprint() for model in plan.models]
    isa = _core.instruction_set()
    return json.dumps({"version": __version__, "command": command, "models": models, "isa": isa, **options})


def _finished(output: Path, key: str) -> Results:
    results = load(output)
    if results.summary.get("key") != key:
        hint = "give another folder: the models, the options or the program's version differ"
        raise ResultsError(f"{output}: holds the results of another comparison", hint)
    (output / JOURNAL).unlink(missing_ok=True)  # of a run that was killed between its last two steps
    return results


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
        journal.append(unit, sweep)
    seconds = time.perf_counter() - start
    rate = (done - before) / seconds / 1e9 if seconds else 0.0
    return {"bytes": done - before, "seconds": round(seconds, 3), "gb_per_s": round(rate, 3)}

"""A run and what it leaves: a journal while it goes on, then tables and summary.json, in a folder or in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__, _core
from ..errors import Interrupted, PlanError, ResultsError
from .folder import JOURNAL, SCHEMA_VERSION, SUMMARY, Results, atomic, load, prepare, strict_json
from .journal import Journal

Write = Mapping[str, Callable[[pa.Table], None]]
"""By the name of a table: takes a piece of it."""


class Sink:
    """Takes a table in pieces: to a parquet file that appears when the run's `ExitStack` closes, or to memory."""

    def __init__(self, name: str, schema: pa.Schema, output: Path | None, stack: ExitStack) -> None:
        self._schema, self._pieces = schema, list[pa.Table]()
        self._writer = None
        if output is not None:
            partial = stack.enter_context(atomic(output / f"{name}.parquet"))
            self._writer = stack.enter_context(pq.ParquetWriter(partial, schema, compression="zstd"))

    def write(self, piece: pa.Table) -> None:
        if self._writer is None:
            self._pieces.append(piece)
        else:
            self._writer.write_table(piece)

    def table(self) -> pa.Table:
        """Everything written, if it was to memory."""
        return pa.concat_tables([self._schema.empty_table(), *self._pieces])


def record(
    command: str,
    options: Mapping[str, Any],
    fingerprints: object,
    *,
    output: str | Path | None,
    resume: bool,
    kinds: Sequence[str] = (),
    units: int | Callable[[], int],
    compute: Callable[[Journal], dict[str, Any]],
    schemas: Mapping[str, pa.Schema],
    collect: Callable[[Journal, Write], dict[str, Any]],
) -> Results:
    """Runs `compute`, which brings the journal to `units` finished units, then `collect`, which writes the tables.

    `kinds`: of the devices that compute, if they are others than the CPU alone. `units` is called where their number is not
    known before. Both return keys of the summary. With `resume`, goes on with the interrupted run in `output`, if the
    command, its options, the kinds of devices and the models' fingerprints are those of that run; a finished one is only
    loaded. Raises `ResultsError`, and `Interrupted` on Ctrl-C.
    """
    if resume and output is None:
        raise PlanError("to resume a run, name the folder of its results", "add -o FOLDER")
    isa = _core.instruction_set()
    devices = {"devices": [*kinds]} if set(kinds) - {f"cpu {isa}"} else {}
    key = json.dumps(
        {"version": __version__, "command": command, "models": fingerprints, "isa": isa, **devices, **options}
    )
    journal_path = None
    if output is not None:
        output = Path(output)
        journal_path = prepare(output, resume)
        if journal_path is None:
            return _finished(output, key)
    journal = Journal(journal_path, key, resume)
    try:
        computed = compute(journal)
        with ExitStack() as stack:
            sinks = {name: Sink(name, schema, output, stack) for name, schema in schemas.items()}
            collected = collect(journal, {name: sink.write for name, sink in sinks.items()})
        summary = strict_json({
            "schema_version": SCHEMA_VERSION, "command": command, "seed": options["seed"], "options": options,
            "argv": sys.argv[1:], "key": key,
            "versions": {"weightkin": __version__, "python": sys.version.split()[0], "pyarrow": pa.__version__},
            "tables": list(sinks), **collected, **computed,
        })  # fmt: skip
        if output is None:
            return Results(summary, {name: sink.table() for name, sink in sinks.items()})
        with atomic(output / SUMMARY) as partial:
            partial.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
        journal.remove()
        return load(output)
    except KeyboardInterrupt:
        done, total = len(journal.finished), units() if callable(units) else units
        raise Interrupted(done, max(done, total), output) from None
    finally:
        journal.close()


def describe_throughput(nbytes: int, seconds: float) -> dict[str, float]:
    """The `throughput` of summary.json: what this run read, without what an earlier one had done."""
    rate = nbytes / seconds / 1e9 if seconds else 0.0
    return {"bytes": nbytes, "seconds": round(seconds, 3), "gb_per_s": round(rate, 3)}


def _finished(output: Path, key: str) -> Results:
    results = load(output)
    if results.summary.get("key") != key:
        hint = "give another folder: the models, the options, the kind of device or the program's version differ"
        raise ResultsError(f"{output}: holds the results of another comparison", hint)
    (output / JOURNAL).unlink(missing_ok=True)  # of a run that was killed between its last two steps
    return results

"""lineage: from paths, or from stored results of `matrix`, to a family tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..comparison import Progress, Work, open_models, thread_count
from ..devices import describe_devices, kinds, opened_devices
from ..devices.choosing import AUTO
from ..errors import PlanError, ResultsError
from ..ops import MAX_MODELS
from ..plan import make_plan
from ..relabelling import Relabellings
from ..results.folder import SUMMARY, Results, load
from ..results.journal import Journal
from ..results.recording import Write, describe_throughput, record
from ..results.summary import describe_models
from ..statistics.null import DRAWS
from ..statistics.verdict import FEWEST_DRAWS
from .direction import Facts
from .distances import DISTANCES, from_tables
from .growing import forest
from .kinship import Kin
from .searching import Searcher
from .summary import describe, facts, tokens_of
from .tables import EDGES, distances_table, edges_table
from .tracing import Traced, Tracer

SCHEMAS = {"edges": EDGES, "distances": DISTANCES}


def lineage(
    paths: Sequence[str | Path],
    *,
    align: Literal["auto", "none"] = "auto",
    output: str | Path | None = None,
    resume: bool = False,
    device: str = AUTO,
    threads: int | None = None,
    memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    seed: int = 0,
    null: int = DRAWS,
    progress: Progress = lambda *_: None,
) -> Results:
    """The family tree, or forest, of 2 to 16 checkpoints; or of stored results of `matrix`, if one folder of such is given.

    All models are compared in place in one pass. With `align` "auto", those that this does not explain are then searched for
    re-ordered parts, against one model of each family that was found, and families with such members are compared once more
    in the order of one. Other options are those of `weightkin.matrix`. The summary has "lineage" (nodes, edges, trees, notes)
    and "pairs"; the tables are `edges` and `distances`. Stored results of `lineage` are only loaded.

    Raises `CheckpointError`, `PlanError`, `DeviceError` or `ResultsError`, each one line.
    """
    if len(paths) == 1 and (Path(paths[0]) / SUMMARY).is_file():
        return _of_results(load(paths[0]), output, resume, seed)
    if not 2 <= len(paths) <= MAX_MODELS:
        raise PlanError(f"{len(paths)} given: a tree takes 2 to {MAX_MODELS} models, or one folder of stored results")
    if null < FEWEST_DRAWS:
        raise PlanError(f"a null of {null} draws can show nothing: give at least {FEWEST_DRAWS}")
    threads = thread_count(threads)
    start = time.perf_counter()
    models = open_models(paths)
    plan = make_plan(models, include, exclude)
    options = {"include": [*include], "exclude": [*exclude], "null": null, "align": align, "seed": seed}
    found: list[Traced] = []

    def compute(journal: Journal) -> dict[str, Any]:
        found.append(Tracer(plan, work, Relabellings(plan, null, seed), journal, searcher).trace())
        progress("growing the tree", plan.nbytes, plan.nbytes)
        return {"devices": describe_devices(devices)}

    def collect(_: Journal, write: Write) -> dict[str, Any]:
        described = describe_models(models)
        known = facts(described, found[0], [tokens_of(model) for model in models])
        throughput = work.throughput() | {"elapsed": round(time.perf_counter() - start, 3)}
        tree = _collected(known, found[0], seed, align == "auto", write)
        return {"models": described, "throughput": throughput, **tree}

    with opened_devices(device, threads) as devices:
        work = Work(plan, null, seed, threads, devices, memory, progress)
        searcher = (
            Searcher(null, seed, threads, devices, memory, progress, include, exclude) if align == "auto" else None
        )
        return record(
            "lineage", options, [model.checkpoint.fingerprint() for model in models], output=output, resume=resume,
            kinds=kinds(devices), units=len(plan.units), compute=compute, schemas=SCHEMAS, collect=collect,
        )  # fmt: skip


def _of_results(results: Results, output: str | Path | None, resume: bool, seed: int) -> Results:
    """Of stored results, whose models are not read."""
    summary = results.summary
    if summary["command"] == "lineage":
        if output is not None:
            raise ResultsError(
                f"{results.folder}: holds a family tree already", "leave -o out to look at it, or --export it"
            )
        return results
    if summary["command"] != "matrix":
        raise ResultsError(
            f"{results.folder}: holds results of {summary['command']}; a tree needs those of matrix or lineage"
        )
    kin = {(pair["a"], pair["b"]): Kin(pair["a"], pair["b"], pair, "in place") for pair in summary["pairs"]}
    traced = Traced(kin, [from_tables(results, range(len(summary["models"])))])

    def collect(_: Journal, write: Write) -> dict[str, Any]:
        known = facts(summary["models"], traced, _tokens(results))
        return {"models": summary["models"], **_collected(known, traced, seed, False, write)}

    def nothing_to_read(_: Journal) -> dict[str, Any]:
        return {"devices": summary["devices"], "throughput": describe_throughput(0, 0)}

    fingerprints = [str(results.folder), *(model["fingerprint"] for model in summary["models"])]
    options = {"seed": seed, "align": "none", "null": summary["options"]["null"]}
    compute: Callable[[Journal], dict[str, Any]] = nothing_to_read
    return record(
        "lineage", options, fingerprints, output=output, resume=resume, units=0, compute=compute, schemas=SCHEMAS,
        collect=collect,
    )  # fmt: skip


def _tokens(results: Results) -> list[int]:
    """Rows of each model's token embedding, from the shapes in `tensors`."""
    out = [0] * len(results.summary["models"])
    table = results["tensors"].select(["a", "b", "role", "shape_a", "shape_b"])
    for row in table.to_pylist():
        if row["role"] == "embed":
            for side in "ab":
                shape = row[f"shape_{side}"]
                if shape:
                    out[row[side]] = max(out[row[side]], shape[0])
    return out


def _collected(known: Facts, traced: Traced, seed: int, searched: bool, write: Write) -> Mapping[str, Any]:
    grown = forest(len(known.names), traced, seed)
    described = describe(known, grown, traced, searched)
    for number, family in enumerate([*grown.families, *(one for _, one in grown.between)]):
        write["distances"](distances_table(number, family.distances))
    write["edges"](edges_table(described))
    return described

"""Runs a comparison or only plans it, and prints what it found: the common part of `compare` and `matrix`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console import message, print_json, progress_bar, shown_warnings, stdout
from .options import RunOptions
from .text import duration, safe, size

if TYPE_CHECKING:
    from rich.console import Console

    from ..results import Results

MUCH_LONGER = 1.2
"""A run that took this many times as long as its reading, and a second more, says so."""
Show = Callable[["Console", "Results", bool], None]


def run(function: Callable[..., Results], models: Sequence[str], options: RunOptions, show: Show) -> None:
    """`function` is weightkin.compare or another that takes its options; `show` prints its results."""
    settings: dict[str, Any] = {
        "output": options.output, "resume": options.resume, "device": options.device, "threads": options.threads,
        "memory": options.memory,
        "include": options.include, "exclude": options.exclude, "seed": options.seed, **_null(options.null),
        **({"canonical": True} if options.canonical else {}),
    }  # fmt: skip
    run_with(function, models, settings, show, as_json=options.as_json, quiet=options.quiet, verbose=options.verbose)


def run_with(
    function: Callable[..., Results],
    models: Sequence[str],
    settings: Mapping[str, Any],
    show: Show,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Runs any function that reads weights, with its own `settings`, and prints what it found."""
    ran = False
    with progress_bar(quiet) as progress:

        def on_progress(what: str, done: int, total: int) -> None:
            nonlocal ran
            ran = True
            progress(what, done, total)

        with shown_warnings(quiet):
            results = function(*models, progress=on_progress, **settings)
    if as_json:
        print_json(results.summary)
    else:
        show(stdout(), results, verbose)
    _say_where(results, ran, quiet)


def dry_run(models: Sequence[str], options: RunOptions) -> None:
    """Prints what the same command would do without --dry-run."""
    chosen = (
        options.include,
        options.exclude,
        options.null,
        options.device,
        options.threads,
        options.as_json,
        options.verbose,
    )
    show_plan(models, *chosen, canonical=options.canonical)


def show_plan(
    models: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    null: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
    verbose: bool,
    canonical: bool = False,
) -> None:
    """Prints the plan of a comparison of all pairs of `models`."""
    from ..estimate import estimate

    found = estimate(
        models, include=include, exclude=exclude, device=device, threads=threads, canonical=canonical, **_null(null)
    )
    if as_json:
        print_json(found.to_dict())
        return
    from .views.plan import show_estimate

    show_estimate(stdout(), found, verbose)


def _null(draws: int | None) -> dict[str, int]:
    """The argument, left out to have its default: the constant lives where importing it takes long."""
    return {} if draws is None else {"null": draws}


def _say_where(results: Results, ran: bool, quiet: bool) -> None:
    """`ran`: whether weights were read now, not by the finished run that --resume found."""
    throughput: dict[str, Any] = results.summary["throughput"]
    read = f"{size(throughput['bytes'])} in {duration(throughput['seconds'])} ({throughput['gb_per_s']:.2f} GB/s)"
    elapsed = throughput.get("elapsed", 0.0)
    if elapsed > MUCH_LONGER * throughput["seconds"] + 1:
        searched = results.summary.get("alignment", {}).get("searched")
        read += f"; {duration(elapsed)} in all{', with the search' if searched else ''}"
    message(f"read {read}" if ran else "that run had finished: nothing was read now", quiet)
    if results.folder is None:
        message("not stored: add -o DIR to keep these numbers, and the tables they come from", quiet)
    else:
        tables = ", ".join(f"{name}.parquet" for name in results.table_names)
        message(f"stored in {safe(str(results.folder))}: summary.json, {tables}", quiet)

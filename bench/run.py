"""The runner: chooses cases, measures them one after the other, prints a table and stores the results."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click

from weightkin.comparison import usable_cores
from weightkin.errors import WeightkinError

from . import (
    cases_assign,
    cases_compare,
    cases_cross_gram,
    cases_difference,
    cases_experts,
    cases_gram,
    cases_lagged,
    cases_open,
    machine,
)
from .measure import Row, measure
from .registry import Case, Settings

WIDTH = 96
"""Columns of the table where it goes to a file or a narrow terminal."""

CASES: tuple[Case, ...] = (
    *cases_gram.CASES,
    *cases_cross_gram.CASES,
    *cases_difference.CASES,
    *cases_lagged.CASES,
    *cases_assign.CASES,
    *cases_open.CASES,
    *cases_compare.CASES,
    *cases_experts.CASES,
)


def select(pattern: str) -> list[Case]:
    """The cases whose name matches a glob."""
    return [case for case in CASES if fnmatch(case.name, pattern)]


def report(rows: Sequence[Row], settings: Settings, command: Sequence[str]) -> dict[str, Any]:
    """What the results file holds."""
    return {
        "schema_version": 1,
        "date": machine.now(),
        "command": list(command),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": {"bytes": settings.nbytes, "threads": settings.threads, "rounds": settings.rounds},
        "cases": [row.as_json() for row in rows],
    }


@click.command()
@click.option("--case", "pattern", default="*", metavar="GLOB", help="Only cases of such names.")
@click.option("--size", default=2.0, show_default=True, metavar="GB", help="All checkpoints of a case together.")
@click.option("--threads", type=click.IntRange(1), help="[default: all cores]")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Runs of each participant.")
@click.option("--data", type=click.Path(path_type=Path), help="Where generated checkpoints are kept.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: bench/results/<date>.json]")
@click.option("--list", "list_only", is_flag=True, help="Names the cases and stops.")
def main(
    pattern: str,
    size: float,
    threads: int | None,
    rounds: int,
    data: Path | None,
    output: Path | None,
    list_only: bool,
) -> None:
    """Measures weightkin against the speed of the machine and against other libraries.

    Every case is first checked against a float64 reference; one that is wrong is reported as FAILED, without a speed.
    Exit status 1 if a case failed. A missed target is not a failure: machines differ.
    """
    from rich.console import Console

    from .table import table

    cases = select(pattern)
    if not cases:
        raise click.UsageError(f"no case is called {pattern!r}; --list shows them")
    if list_only:
        for case in cases:
            click.echo(f"{case.name:24} {case.summary}")
        return
    folder = data or Path(tempfile.gettempdir()) / "weightkin-bench"
    settings = Settings(folder, int(size * 1e9), threads or usable_cores(), rounds)
    messages, rows = Console(stderr=True), []
    for case in cases:
        with messages.status(f"{case.name}: {case.summary}"):
            try:
                rows.append(measure(case, settings))
            except WeightkinError as error:
                hint = f" (hint: {error.hint})" if error.hint else ""
                raise click.ClickException(f"{case.name}: {error}{hint}") from error
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table(rows))
    date = machine.now()
    path = output or Path("bench/results") / f"{date[:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report(rows, settings, sys.argv), indent=1, allow_nan=False) + "\n")
    messages.print(f"stored in {path}")
    if not all(row.passed for row in rows):
        sys.exit(1)

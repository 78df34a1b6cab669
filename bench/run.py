"""The runner: chooses cases, measures them one after the other, prints a table and stores the results."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from .measure import Row, broken, measure
from .registry import Case, Settings
from .shapes import DECODERS, narrow

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


SIZE, DEVICE_SIZE, INTERPRETED_SIZE = 2.0, 16.0, 4e-5
"""GB of a case: on a device many times its cache, and enough of `compare` to predict larger models from."""


def select(patterns: Sequence[str], cases: Sequence[Case] = CASES) -> list[Case]:
    """The cases whose name matches one of the globs; all if there are none."""
    return [case for case in cases if any(fnmatch(case.name, pattern) for pattern in patterns or "*")]


def report(
    rows: Sequence[Row], settings: Settings, command: Sequence[str], found: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the results file holds. `found`: of the device, `device` and `rates`."""
    return {
        "schema_version": 1,
        "date": machine.now(),
        "command": list(command),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": {"bytes": settings.nbytes, "threads": settings.threads, "rounds": settings.rounds},
        **(found or {}),
        "cases": [row.as_json() for row in rows],
    }


def attempt(case: Case, settings: Settings) -> Row:
    """`measure`; a case that breaks is a failed one, and the next ones are measured all the same."""
    try:
        return measure(case, settings)
    except WeightkinError as error:
        hint = f" (hint: {error.hint})" if error.hint else ""
        return broken(case, f"{error}{hint}")
    except Exception as error:
        traceback.print_exc()
        return broken(case, f"{type(error).__name__}: {error}".splitlines()[0])


def store(path: Path, stored: dict[str, Any], keep: bool) -> None:
    """Writes a results file; with `keep`, cases that it holds and that were not measured now stay in it."""
    if keep and path.exists():
        measured = {row["case"] for row in stored["cases"]}
        held = json.loads(path.read_text())["cases"]
        stored["cases"] = [row for row in held if row["case"] not in measured] + stored["cases"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1, allow_nan=False) + "\n")


@click.command()
@click.option("--case", "patterns", multiple=True, metavar="GLOB", help="Only cases of such names (repeatable).")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="cuda or cuda:1: the cases of a GPU. interpreter: the same at tiny sizes on the processor, to try them out.",
)
@click.option(
    "--size", type=float, metavar="GB", help=f"All data of a case. [default: {SIZE:g}; on a GPU {DEVICE_SIZE:g}]"
)
@click.option("--threads", type=click.IntRange(1), help="[default: all cores]")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Runs of each participant.")
@click.option("--data", type=click.Path(path_type=Path), help="Where generated checkpoints are kept.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: bench/results/<date>.json]")
@click.option("--keep", is_flag=True, help="Other cases that FILE holds stay in it.")
@click.option("--list", "list_only", is_flag=True, help="Names the cases and stops.")
def main(
    patterns: tuple[str, ...],
    device: str,
    size: float | None,
    threads: int | None,
    rounds: int,
    data: Path | None,
    output: Path | None,
    keep: bool,
    list_only: bool,
) -> None:
    """Measures weightkin against the speed of the machine and against other libraries.

    Every case is first checked against a float64 reference; one that is wrong is reported as FAILED, without a speed.
    Exit status 1 if a case failed. A missed target is not a failure: machines differ.
    """
    from rich.console import Console

    from .table import rates_table, table

    folder = data or Path(tempfile.gettempdir()) / "weightkin-bench"
    settings = Settings(folder, int((size or SIZE) * 1e9), threads or usable_cores(), rounds)
    cases: Sequence[Case] = CASES
    if device != "cpu":
        settings, cases = _on_device(device, size, settings)
    cases = select(patterns, cases)
    if not cases:
        raise click.UsageError(f"no case is called {' or '.join(patterns)}; --list shows them")
    if list_only:
        for case in cases:
            click.echo(f"{case.name:24} {case.summary}")
        return
    path = output or Path("bench/results") / f"{machine.now()[:10]}.json"
    console, messages = Console(), Console(stderr=True)
    console.width = max(console.width, WIDTH)
    found, rows = {}, []
    if device != "cpu":
        from .device import describe_and_rate, forget

        held = json.loads(path.read_text()) if keep and path.exists() else {}
        found = describe_and_rate(settings, held)
        console.print(rates_table(found))
    for case in cases:
        with messages.status(f"{case.name}: {case.summary}"):
            rows.append(attempt(case, settings))
        store(path, report(rows, settings, sys.argv, found), keep)  # each time: it may be stopped before the end
        if device != "cpu":
            forget()
    console.print(table(rows))
    messages.print(f"stored in {path}")
    if not all(row.passed for row in rows):
        sys.exit(1)


def _on_device(name: str, size: float | None, settings: Settings) -> tuple[Settings, Sequence[Case]]:
    """The settings and the cases of a device. Raises `click.ClickException` where there is none."""
    from .device import INTERPRETER, choose, timer

    try:
        device = choose(name)
    except WeightkinError as error:
        raise click.ClickException(f"{error}{f' (hint: {error.hint})' if error.hint else ''}") from error
    from .device_cases import CASES as device_cases

    interpreted = name == INTERPRETER
    nbytes = int((size or (INTERPRETED_SIZE if interpreted else DEVICE_SIZE)) * 1e9)
    decoder = narrow(settings.decoder) if interpreted else DECODERS["solar-open-100b"]
    return replace(settings, nbytes=nbytes, decoder=decoder, device=str(device), timer=timer(device)), device_cases

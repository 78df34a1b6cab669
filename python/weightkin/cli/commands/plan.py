"""weightkin plan"""

from __future__ import annotations

import click

from ..options import Command, with_options
from ..running import show_plan


@click.command(cls=Command, section="Compare models")
@click.argument("models", nargs=-1, required=True, metavar="A B [C...]")
@with_options("as_json", "include", "exclude", "null", "device", "threads", "verbose")
def command(
    models: tuple[str, ...],
    as_json: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    null: int | None,
    device: str,
    threads: int | None,
    verbose: bool,
) -> None:
    """Say what a comparison would read, and how long it may take."""
    if len(models) < 2:
        raise click.UsageError("give at least two models")
    show_plan(models, include, exclude, null, device, threads, as_json, verbose)

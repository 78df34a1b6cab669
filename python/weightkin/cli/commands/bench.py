"""weightkin bench"""

from __future__ import annotations

from importlib import import_module

import click

from ..options import Command


@click.command(
    cls=Command,
    section="Try and measure",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Measure speed against the machine's limits and other programs."""
    import_module("weightkin.bench.__main__").main(args=list(arguments), prog_name="weightkin bench")

"""weightkin inspect"""

from __future__ import annotations

import click

from ..console import print_json, stdout
from ..options import Command, with_options


@click.command(cls=Command, section="Look at one model")
@click.argument("model")
@with_options("as_json", "verbose")
def command(model: str, as_json: bool, verbose: bool) -> None:
    """Say what a checkpoint holds, from its headers alone."""
    from ...inspection import inspect

    found = inspect(model)
    if as_json:
        print_json(found.to_dict())
        return
    from ..views.inspection import show_inspection

    show_inspection(stdout(), found, verbose)

"""weightkin compare"""

from __future__ import annotations

import click

from ..options import Command, RunOptions, run_options
from ..running import dry_run, run


@click.command(cls=Command, section="Compare models")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@run_options
def command(a: str, b: str, options: RunOptions) -> None:
    """Compare two checkpoints, tensor by tensor.

    A and B are folders, .safetensors files, index files, or snapshots in a Hugging Face cache.
    """
    if options.dry_run:
        dry_run([a, b], options)
        return
    from ...comparison import compare
    from ..views.comparison import show_comparison

    run(compare, [a, b], options, show_comparison)

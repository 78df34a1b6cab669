"""weightkin matrix"""

from __future__ import annotations

import click

from ..options import Command, RunOptions, run_options
from ..running import dry_run, run


@click.command(cls=Command, section="Compare models")
@click.argument("models", nargs=-1, required=True, metavar="M1 M2 [M3...]")
@run_options
def command(models: tuple[str, ...], options: RunOptions) -> None:
    """Compare all pairs of 2 to 16 checkpoints; each byte is read once.

    Models may have different architectures: what does not fit is counted as not compared, pair by pair. Parts are compared
    with those of the same name and layer; `compare` also finds what was re-ordered.
    """
    if len(models) < 2:
        raise click.UsageError("give at least two models")
    if options.dry_run:
        dry_run(models, options)
        return
    from ...comparison import matrix
    from ..views.matrix import show_matrix

    run(lambda *paths, **settings: matrix(paths, **settings), models, options, show_matrix)

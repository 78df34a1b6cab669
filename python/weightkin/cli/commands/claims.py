"""weightkin claims"""

from __future__ import annotations

from dataclasses import replace

import click

from ..options import Command, RunOptions, run_options
from ..running import dry_run, run


@click.command(cls=Command, section="Compare models")
@click.argument("models", nargs=-1, required=True, metavar="A B [C...]")
@run_options
def command(models: tuple[str, ...], options: RunOptions) -> None:
    """Recompute the published analyses, each beside its correction.

    Norm cosines and their sigma, the shuffle test, router assignments, the seven metrics: of A and B, from their norms,
    keys, values and routers. With a third model also whether A and B stand out, for which all weights are read.
    """
    if len(models) < 2:
        raise click.UsageError("give at least two models")
    if options.canonical:
        raise click.UsageError("--canonical folds norm gains away, and they are what most of these analyses are about")
    if options.dry_run:
        from ...comparison import open_models
        from ...plan import make_plan
        from ...published.run import selection

        include = options.include or selection(make_plan(open_models(models)))
        dry_run(models, replace(options, include=include))
        return
    from ...published import claims
    from ..views.claims import show_claims

    run(lambda *paths, **settings: claims(paths, **settings), models, options, show_claims)

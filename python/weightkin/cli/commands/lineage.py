"""weightkin lineage"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import message
from ..options import Command, Option, with_options
from ..running import run_with
from ..text import safe

if TYPE_CHECKING:
    from ...results import Results


@click.command(cls=Command, section="Compare models")
@click.argument("models", nargs=-1, required=True, metavar="M1 M2 [M3...] | RESULTS")
@click.option(
    "--export", cls=Option, group="Results", type=click.Path(path_type=Path), metavar="FILE",
    help="New file for the tree: .graphml, .nwk (Newick, a line per tree) or .json.",
)  # fmt: skip
@with_options("output", "resume", "as_json", "include", "exclude")
@click.option(
    "--align", cls=Option, group="Selection", type=click.Choice(["auto", "none"]), default="auto", show_default=True,
    help="auto: search for re-ordered parts in models that are not explained in place; none: stay in place.",
)  # fmt: skip
@with_options("null", "seed", "device", "threads", "memory", "quiet", "verbose")
def command(
    models: tuple[str, ...],
    export: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    null: int | None,
    **settings: Any,
) -> None:
    """Draw the family tree of 2 to 16 checkpoints.

    Models are joined where the verdict of `compare` allows, nearest kin first, with the support of every edge, and with the
    reasons where something tells who came first. RESULTS is a folder that `matrix` or `lineage` wrote with -o: then no
    weights are read, and nothing that was re-ordered is searched for.
    """
    if settings["resume"] and settings["output"] is None:
        raise click.UsageError("--resume needs the folder of the interrupted run: -o DIR")
    from ...descent import lineage
    from ...descent.export import check
    from ...descent.export import export as write
    from ..views.lineage import show_lineage

    if export is not None:
        check(export)
    given = settings | ({} if null is None else {"null": null})

    def of_models(*paths: str, **options: Any) -> Results:
        results = lineage(paths, **options)
        if export is not None:
            write(results.summary, export)
        return results

    run_with(of_models, models, given, show_lineage, as_json=as_json, quiet=quiet, verbose=verbose)
    if export is not None:
        message(f"wrote {safe(str(export))}", quiet)

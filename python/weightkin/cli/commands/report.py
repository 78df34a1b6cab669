"""weightkin report"""

from __future__ import annotations

from pathlib import Path

import click

from ..console import message
from ..options import Command
from ..text import safe, size


@click.command(cls=Command, section="Show results")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, metavar="FILE",
    help="The page to write; one of that name is replaced.",
)  # fmt: skip
def command(results: tuple[Path, ...], output: Path) -> None:
    """Render stored results as one HTML page that works offline.

    RESULTS are folders that other commands wrote with -o: one, or several on one page. No weights are read.
    """
    from ...report import report

    written = report(results, output)
    click.echo(safe(str(written)))
    message(f"{size(written.stat().st_size)}; open it in any browser, it needs no network")

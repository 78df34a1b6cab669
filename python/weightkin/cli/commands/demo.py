"""weightkin demo"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import ResultsError
from ..console import stdout
from ..options import Command
from ..text import coefficient, percent, safe

if TYPE_CHECKING:
    from rich.console import Console

    from ...results import Results


@click.command(cls=Command, section="Try and measure")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep the models in this new folder.")
def command(keep: Path | None) -> None:
    """Compare small made-up models, related and not."""
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ResultsError(f"{keep}: is not empty", "give a new folder")
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="weightkin-demo-") as folder:
        page = _tour(stdout(), Path(folder), keep)
    if page is not None:
        click.echo(f"\nThe same as a page to look at: {safe(str(page))}")
    if keep is None:
        click.echo("\nThe models are gone again; --keep DIR keeps them.", err=True)


def _tour(console: Console, folder: Path, keep: Path | None) -> Path | None:
    """Prints it all; returns where the report is, if what it needs is installed."""
    from rich.table import Table
    from rich.text import Text

    from ...comparison import compare, matrix
    from ...demo import MODELS, make_models
    from ..views.comparison import show_comparison
    from ..views.matrix import show_matrix

    paths = make_models(folder)
    console.print(Text.assemble(("Four small models in ", "bold"), safe(str(folder))))
    rows = Table.grid(padding=(0, 2))
    for name, what in MODELS.items():
        rows.add_row(Text(name, "bold cyan"), f"{what}.")
    console.print(rows)

    _step(console, 1, "compare base finetuned", "Two models that are related. Look at the Pearson of the large groups.")
    related = compare(paths["base"], paths["finetuned"])
    show_comparison(console, related, False)

    _step(
        console, 2, "compare base unrelated", "Two models that are not related. Look at the norms: cosine, and Pearson."
    )
    unrelated = compare(paths["base"], paths["unrelated"])
    show_comparison(console, unrelated, False)

    _step(console, 3, "matrix base finetuned unrelated norms_only", "All pairs in one pass over the files.")
    every = matrix(list(paths.values()))
    show_matrix(console, every, False)

    console.rule(style="cyan")
    console.print(Text.assemble(("What to take from this", "bold")))
    for line in _lessons(related, unrelated):
        console.print(Text(f"* {line}"))
    return _report([related, unrelated, every], keep)


def _report(results: Sequence[Results], keep: Path | None) -> Path | None:
    """The page: beside the models if they are kept, otherwise among the temporary files, where it stays."""
    from ...report import missing, report

    if missing():
        return None
    if keep is not None:
        return report(results, keep / "report.html")
    with tempfile.NamedTemporaryFile(prefix="weightkin-demo-", suffix=".html", delete=False) as file:
        return report(results, file.name)


def _step(console: Console, number: int, arguments: str, what: str) -> None:
    from rich.text import Text

    console.print()
    console.rule(
        Text.assemble(f"{number}  ", ("weightkin ", "dim"), (arguments, "bold cyan")), align="left", style="cyan"
    )
    console.print(Text(what, "italic"))
    console.print()


def _lessons(related: Results, unrelated: Results) -> list[str]:
    ours, theirs = ({entry["group"]: entry for entry in found.summary["groups"]} for found in (related, unrelated))
    share = theirs["norms"]["parameters"] / unrelated.summary["coverage"]["parameters"]
    return [
        f"The norms of two unrelated models have a cosine of {coefficient(theirs['norms']['cosine'])}, because their "
        f"gains lie near a constant. Their Pearson is {coefficient(theirs['norms']['pearson'])}.",
        f"The experts tell: Pearson {coefficient(ours['experts']['pearson'])} after fine-tuning, "
        f"{coefficient(theirs['experts']['pearson'])} between the unrelated.",
        "A Pearson near 0 is no proof of independence: permuted experts or neurons look the same, weight by weight.",
        f"Norms are {percent(share)} of the parameters. norms_only has those of base, and nothing else of it.",
    ]

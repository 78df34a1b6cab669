"""weightkin align"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import message, print_json, progress_bar
from ..options import Command, Option, with_options
from ..text import safe

if TYPE_CHECKING:
    from ...realign import Aligned


MOVED = {
    "layers": "{:,} layers",
    "experts": "{:,} experts",
    "mlps_with_neurons": "neurons in {:,} MLPs",
    "layers_with_heads": "attention heads in {:,} layers",
}


@click.command(cls=Command, section="Compare models")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "-o", "--output", cls=Option, group="Results", required=True, type=click.Path(path_type=Path), metavar="DIR",
    help="New folder for the copy of B.",
)  # fmt: skip
@click.option(
    "--alignment", cls=Option, group="Selection", type=click.Path(path_type=Path), metavar="FILE",
    help="JSON that says what matches what, instead of searching.",
)  # fmt: skip
@with_options("as_json", "seed", "device", "threads", "quiet")
def command(
    a: str,
    b: str,
    output: Path,
    alignment: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    threads: int | None,
    quiet: bool,
) -> None:
    """Write a copy of B whose layers, experts, neurons and heads stand in the order of A.

    The copy is a folder like B. `weightkin compare A DIR` then compares what corresponds, tensor by tensor. Where nothing
    would move there is no copy, and the exit status is 1.
    """
    from ...realign import align

    with progress_bar(quiet) as progress:
        found = align(a, b, output, alignment=alignment, seed=seed, device=device, threads=threads, progress=progress)
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)
    message(f"written to {safe(str(found.folder))}", quiet)


def _show(found: Aligned) -> None:
    moved = [what.format(found.moved[key]) for key, what in MOVED.items() if found.moved[key]]
    click.echo(f"re-ordered: {', '.join(moved) or 'nothing'}")
    for line in found.notes:
        click.echo(f"not aligned: {safe(line)}")
    for line in found.left_out:
        click.echo(f"not copied: {safe(line)}")

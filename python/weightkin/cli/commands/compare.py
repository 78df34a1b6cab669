"""weightkin compare"""

from __future__ import annotations

from functools import partial

import click

from ..options import Command, RunOptions, run_options, with_options
from ..running import dry_run, run


@click.command(cls=Command, section="Compare models")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@run_options
@with_options("align")
def command(a: str, b: str, align: str, options: RunOptions) -> None:
    """Compare two checkpoints, tensor by tensor.

    A and B are folders, .safetensors files, index files, or snapshots in a Hugging Face cache. Where tensors of the same
    name do not explain each other, layers, experts, neurons and attention heads that were re-ordered are searched for.
    """
    if options.dry_run:
        dry_run([a, b], options)
        return
    from ...comparison import compare
    from ..views.comparison import show_comparison

    run(partial(compare, align=align), [a, b], options, show_comparison)

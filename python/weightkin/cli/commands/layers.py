"""weightkin layers"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Command, Option, with_options
from ..running import run_with

if TYPE_CHECKING:
    from ...results import Results


@click.command(cls=Command, section="Compare models")
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", required=False)
@click.option(
    "--experts", cls=Option, group="Selection", is_flag=True,
    help="Routed experts too, by number: most of the bytes of a mixture.",
)  # fmt: skip
@with_options("output", "resume", "as_json")
@click.option(
    "--null", cls=Option, group="Statistics", type=int, metavar="N",
    help="Relabelled copies that the numbers are held against, at least 19  [default: 256]",
)  # fmt: skip
@with_options("seed", "device", "threads", "quiet", "verbose")
def command(
    a: str,
    b: str | None,
    experts: bool,
    output: Path | None,
    resume: bool,
    as_json: bool,
    null: int | None,
    seed: int,
    device: str,
    threads: int | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Say which layer of A each layer of B comes from.

    Every layer is held against every layer, in place and under the null, in attention, MLP, router and norms. Finds layers
    that were left out, repeated, put in another order, or stacked a second time (depth up-scaling). Given one model, says
    how alike its own layers are, and whether some are copies of others.
    """
    if resume and output is None:
        raise click.UsageError("--resume needs the folder of the interrupted run: -o DIR")
    from ...layer_maps import layers
    from ..views.layer_maps import show_layer_maps

    settings: dict[str, Any] = {
        "output": output, "resume": resume, "device": device, "threads": threads, "seed": seed, "experts": experts,
        **({} if null is None else {"null": null}),
    }  # fmt: skip

    def of_models(*models: str, **given: Any) -> Results:
        return layers(models, **given)

    models = [a] if b is None else [a, b]
    run_with(of_models, models, settings, show_layer_maps, as_json=as_json, quiet=quiet, verbose=verbose)

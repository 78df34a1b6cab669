"""weightkin experts"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import Command, Option, with_options
from ..running import run_with


@click.command(cls=Command, section="Compare models")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--by",
    cls=Option,
    group="Matching",
    type=click.Choice(["probe", "router", "weights"]),
    default="probe",
    show_default=True,
    help="What experts are matched by: answers to random inputs, router rows, weights in place.",
)
@click.option(
    "--layers",
    cls=Option,
    group="Matching",
    type=click.Choice(["auto", "same", "all-pairs"]),
    default="auto",
    show_default=True,
    help="Layers that are paired: by the layer map of the other weights, by number, or by experts.",
)
@click.option(
    "--neurons",
    cls=Option,
    group="Matching",
    type=click.Choice(["matched", "all", "none"]),
    default="matched",
    show_default=True,
    help="Experts in which neurons are matched; all: those that do not stand out too.",
)
@click.option(
    "--export",
    cls=Option,
    group="Results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="New JSON file for the layers, experts and neurons that match.",
)
@with_options("output", "resume", "as_json", "seed", "device", "threads", "quiet", "verbose")
def command(a: str, b: str, as_json: bool, quiet: bool, verbose: bool, **settings: Any) -> None:
    """Which expert of A is which of B, neuron by neuron.

    Matches routed experts, shared experts and dense MLPs of each layer, whatever their order and width: by what they answer
    to random inputs, which no re-ordering or rescaling of neurons changes. Evidence is held against copies of B whose
    residual channels are relabelled and which are searched in the same way.
    """
    if settings["resume"] and settings["output"] is None:
        raise click.UsageError("--resume needs the folder of the interrupted run: -o DIR")
    from ...matching import experts
    from ..views.experts import show_experts

    run_with(experts, [a, b], settings, show_experts, as_json=as_json, quiet=quiet, verbose=verbose)

"""weightkin series"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Command, Option, with_options
from ..running import run_with

if TYPE_CHECKING:
    from ...results import Results


class StepList(click.ParamType):  # type: ignore[type-arg]  # older versions of click are not generic
    """Numbers with commas between them, such as 0,500,1k,2.5B."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        from ...trajectory.steps import quantity

        found = [quantity(part.strip()) for part in str(value).split(",")]
        if None in found:
            self.fail(f"{value!r} is not a list of steps such as 0,1000,2000 or 1B,2B", param, ctx)
        return [step for step in found if step is not None]


@click.command(cls=Command, section="Compare models")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT_1 CKPT_2 [CKPT_3...]")
@with_options("output", "resume", "as_json", "include", "exclude")
@click.option(
    "--steps", cls=Option, group="Selection", type=StepList(), metavar="N,N,...",
    help="Training step, or number of tokens, of each checkpoint  [default: the number in its name]",
)  # fmt: skip
@click.option(
    "--null", cls=Option, group="Statistics", type=int, metavar="N",
    help="Relabelled copies that the numbers are held against, at least 19  [default: 256]",
)  # fmt: skip
@with_options("seed", "threads", "memory", "quiet", "verbose")
def command(
    checkpoints: tuple[str, ...], as_json: bool, null: int | None, quiet: bool, verbose: bool, output: Path | None,
    resume: bool, **given: Any,
) -> None:  # fmt: skip
    """Follow one training through its checkpoints.

    Each is held against the one before it and against the last, group by group. Says whether the first looks like a random
    initialisation, and whether some step replaces weights instead of moving them: what a claim of training from scratch can be
    checked by. Give the checkpoints in the order of training; any number of them, and each byte is read once.
    """
    if len(checkpoints) < 2:
        raise click.UsageError("give at least two checkpoints")
    if resume and output is None:
        raise click.UsageError("--resume needs the folder of the interrupted run: -o DIR")
    from ...trajectory import series
    from ..views.series import show_series

    def of_checkpoints(*paths: str, **settings: Any) -> Results:
        return series(paths, **settings)

    settings = {**given, "output": output, "resume": resume, **({} if null is None else {"null": null})}
    run_with(of_checkpoints, checkpoints, settings, show_series, as_json=as_json, quiet=quiet, verbose=verbose)

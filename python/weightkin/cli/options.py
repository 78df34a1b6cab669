"""Options that commands share, grouped in their help."""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from ..errors import AlignmentError

ALIGN = ("auto", "none")
DEVICE_NAME = r"auto|cpu|cuda(:\d{1,4})?"


class Option(click.Option):
    """An option that knows the group under which help lists it."""

    def __init__(self, *arguments: Any, group: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class Command(click.Command):
    """A subcommand: `section` is its place in the help of `weightkin`, and its own help groups the options."""

    def __init__(self, *arguments: Any, section: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class Size(click.ParamType):  # type: ignore[type-arg]  # older versions of click are not generic
    """Bytes: 512MB, 2GiB, 1.5G or a plain number."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(?:([kmgt])(i?))?b?", str(value).strip().lower())
        nbytes = int(float(match[1]) * (1024 if match[3] else 1000) ** "_kmgt".index(match[2] or "_")) if match else 0
        if nbytes < 1:
            self.fail(f"{value!r} is not a size such as 512MB or 2GiB", param, ctx)
        return nbytes


def _device(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str:
    for name in ",".join(values).split(","):
        if not re.fullmatch(DEVICE_NAME, name):
            raise click.BadParameter(f"{name!r} is not auto, cpu, cuda or cuda:N")
    return ",".join(values)


def _align(_: click.Context, __: click.Parameter, value: str) -> str:
    if value in ALIGN or os.path.exists(value):
        return value
    close = difflib.get_close_matches(value, ALIGN, 1)
    hint = f"did you mean {close[0]}?" if close else "leave --align out to have what was re-ordered searched for"
    raise AlignmentError(f"--align {value}: neither auto, none nor a file", hint)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a command that reads weights was told."""

    output: Path | None
    resume: bool
    as_json: bool
    dry_run: bool
    include: Sequence[str]
    exclude: Sequence[str]
    null: int | None
    canonical: bool
    seed: int
    device: str
    threads: int | None
    memory: int | None
    quiet: bool
    verbose: bool


def _option(*names: str, group: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, group=group, **settings)


OPTIONS = {
    "output": _option(
        "-o", "--output", group="Results", type=click.Path(path_type=Path), metavar="DIR",
        help="New folder for summary.json and parquet tables.",
    ),
    "resume": _option(
        "--resume", group="Results", is_flag=True, help="Go on with the interrupted run in the folder of --output."
    ),
    "as_json": _option("--json", "as_json", group="Results", is_flag=True, help="Print JSON instead of tables."),
    "dry_run": _option(
        "--dry-run", group="Results", is_flag=True, help="Print what would be read, and how long it may take."
    ),
    "include": _option(
        "--include", group="Selection", multiple=True, metavar="GLOB",
        help="Only these roles or tensor names, such as 'attn.*' (repeatable).",
    ),
    "exclude": _option(
        "--exclude", group="Selection", multiple=True, metavar="GLOB", help="Not these (repeatable)."
    ),
    "align": _option(
        "--align", group="Selection", default="auto", show_default=True, metavar="auto|none|FILE",
        callback=_align,
        help="What is compared with what. auto: in place, and where that explains too little, through layers, experts, "
        "neurons and heads that are searched for; FILE: as a JSON alignment says.",
    ),
    "null": _option(
        "--null", group="Statistics", type=click.IntRange(0), metavar="N",
        help="Relabelled copies that the numbers are held against; 0: no p-values  [default: 256]",
    ),
    "canonical": _option(
        "--canonical", group="Statistics", is_flag=True, help="Fold norm gains into the matrices that read them first."
    ),
    "seed": _option("--seed", group="Statistics", type=int, default=0, show_default=True, help="Seed of the copies."),
    "device": _option(
        "--device", group="Machine", multiple=True, default=("auto",), metavar="auto|cpu|cuda|cuda:N", callback=_device,
        help="Where to compute (repeatable). auto: on all GPUs that can be used, or else on the CPU  [default: auto]",
    ),
    "threads": _option(
        "-j", "--threads", group="Machine", type=click.IntRange(1), metavar="N",
        help="Threads that compute  [default: every usable core]",
    ),
    "memory": _option(
        "--memory", group="Machine", type=Size(), metavar="SIZE",
        help="Most bytes of weights mapped at a time  [default: 512MiB]",
    ),
    "quiet": _option("-q", "--quiet", group="Messages", is_flag=True, help="No progress and no messages but errors."),
    "verbose": _option("-v", "--verbose", group="Messages", is_flag=True, help="More rows and reasons."),
}  # fmt: skip
"""By the name of the parameter, in the order of help."""


def with_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the named options to a command."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            function = OPTIONS[name](function)
        return function

    return decorate


def run_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds all of them, handed to the command as `options`, a `RunOptions`."""
    names = [field.name for field in fields(RunOptions)]

    @functools.wraps(function)
    def wrapper(**given: Any) -> None:
        options = RunOptions(**{name: given.pop(name) for name in names})
        if options.resume and options.output is None:
            raise click.UsageError("--resume needs the folder of the interrupted run: -o DIR")
        function(**given, options=options)

    return with_options(*names)(wrapper)

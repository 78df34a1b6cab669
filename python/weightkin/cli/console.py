"""Where output goes: tables to stdout, messages and progress to stderr."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..errors import DeviceWarning
from .text import duration, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, Task

PIPE_WIDTH = 160
"""Columns where nobody says how many there are: in a pipe or a file, tables need not be narrow."""


def stdout() -> Console:
    """The console of a command's data: styled on a terminal, plain in a pipe."""
    from rich.console import Console

    class DataConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError  # the group decides, as for any other write

    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a name that the encoding lacks ends nothing
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return DataConsole(highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def message(text: str, quiet: bool = False) -> None:
    """One line on stderr."""
    if not quiet:
        click.echo(text, err=True)


@contextmanager
def shown_warnings(quiet: bool) -> Iterator[None]:
    """A device that fails while others go on is told at once, in one line."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(text: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, DeviceWarning):
                message(f"warning: {text}", quiet)
            else:
                show(text, category, *place, **more)

        warnings.simplefilter("always", DeviceWarning)
        warnings.showwarning = tell  # type: ignore[assignment]  # its place is handed on as it came
        yield


def print_json(value: Any) -> None:
    """The whole of stdout under --json."""
    click.echo(json.dumps(value, indent=1, allow_nan=False))


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A callback that moves one bar over bytes on stderr; it does nothing unless stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    with _bar() as progress:
        task = progress.add_task("opening", total=None)

        def update(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield update


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
    from rich.text import Text

    class Bytes(ProgressColumn):
        def render(self, task: Task) -> RenderableType:
            if not task.total:
                return Text("")
            line = f"{size(task.completed)} of {size(task.total)}"
            if task.speed:
                left = duration((task.total - task.completed) / task.speed)
                line += f"  {task.speed / 1e9:.2f} GB/s  {left} left"
            return Text(line)

    columns = (TextColumn("{task.description}"), BarColumn(24), TaskProgressColumn(), Bytes())
    return Progress(*columns, console=Console(stderr=True), transient=True)

"""The command group: finds subcommands, loads only the one that is asked for, and turns failures into exit codes.

0 done, 1 a known failure, 2 wrong usage, 130 interrupted. Anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import difflib
import errno
import os
import pkgutil
import shlex
import sys
from importlib import import_module
from typing import IO, Any

import click

from .. import __version__
from ..errors import Interrupted, WeightkinError
from . import commands
from .options import Command
from .text import safe

SECTIONS = ("Compare models", "Look at one model", "Show results", "Try and measure")
"""Of the help, in order; others follow."""


class Failure(click.ClickException):
    """A known failure: one line, a hint if there is one, exit code 1."""

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"weightkin: {safe(self.message)}", file, err=True)
        if self.hint:
            click.echo(f"hint: {safe(self.hint)}", file, err=True)


class App(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{commands.__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name.isidentifier() and name not in self.list_commands(ctx):
            close = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert isinstance(command, Command)
            sections.setdefault(command.section, []).append((name, command.get_short_help_str(80)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except WeightkinError as error:
            raise Failure(str(error), error.hint) from None
        except KeyboardInterrupt as interrupt:
            _report_interrupt(interrupt)
            ctx.exit(130)
        except BrokenPipeError:
            # Who reads stdout has seen enough. What is still buffered must not fail again when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except ImportError as error:
            if "WEIGHTKIN_ISA" not in str(error):  # which the native part reads when it is loaded
                raise
            raise Failure(str(error), None) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Failure(f"no room to write: {error}", "free some room on that disk") from None


def _report_interrupt(interrupt: KeyboardInterrupt) -> None:
    click.echo(err=True)
    if not isinstance(interrupt, Interrupted):
        click.echo("weightkin: interrupted", err=True)
        return
    done = f"{interrupt.done:,} of {interrupt.total:,} units are done"
    if interrupt.output is None:
        click.echo(f"weightkin: interrupted: {done}; they are lost, because no -o DIR was given", err=True)
        return
    click.echo(f"weightkin: interrupted: {done} and stored in {safe(str(interrupt.output))}", err=True)
    arguments = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
    click.echo(f"hint: to go on: weightkin {shlex.join(arguments)}", err=True)


@click.group(
    cls=App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, options_metavar=""
)
@click.version_option(__version__, "-V", "--version", prog_name="weightkin")
def main() -> None:
    """Does one large language model come from another?

    Compares checkpoints (Hugging Face folders of safetensors) weight by weight, at the speed of memory.

    \b
      weightkin demo                         what it does, on small made-up models
      weightkin compare MODEL_A MODEL_B      two folders, tensor by tensor
      weightkin compare A B -o results       ... and keep every number
    """

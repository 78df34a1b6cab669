"""weightkin env"""

from __future__ import annotations

import click

from ..console import print_json, stdout
from ..options import Command, with_options


@click.command(cls=Command, section="Try and measure")
@with_options("as_json")
def command(as_json: bool) -> None:
    """Print versions, the machine, and what is installed."""
    from ...environment import environment

    found = environment()
    if as_json:
        print_json(found)
        return
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid(padding=(0, 2))
    for section, entries in found.items():
        rows.add_row(Text(section, "bold cyan"))
        for name, value in entries.items():
            rows.add_row(f"  {name}", Text(str(value)))
    stdout().print(rows)

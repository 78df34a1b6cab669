"""The look of every table: no boxes, numbers to the right, aligned in a pipe as on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..text import coefficient


def table(labels: Sequence[str], numbers: Sequence[str] = ()) -> Table:
    """Columns of text, then columns of numbers."""
    found = Table(box=None, header_style="dim", pad_edge=False)
    for name in labels:
        found.add_column(name, overflow="fold")
    for name in numbers:
        found.add_column(name, justify="right", no_wrap=True)
    return found


def wanted_width(console: Console, what: RenderableType) -> int:
    """Columns of the terminal that `what` would take if there were room."""
    return Measurement.get(console, console.options.update(max_width=1000), what).maximum


def heat(value: float | None) -> str:
    """Style of a correlation, by its size alone."""
    if value is None or abs(value) < 0.1:
        return "dim"
    return "yellow" if abs(value) < 0.5 else "green" if abs(value) < 0.99 else "bold green"


def correlation(value: float | None) -> Text:
    """A Pearson, in the colour of its size."""
    return Text(coefficient(value), heat(value))

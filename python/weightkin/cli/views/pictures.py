"""Pictures made of characters: bars of shares, and strips with a mark per layer. They read the same without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from ..text import UNDEFINED, percent, safe
from .tables import heat

HEIGHTS, DIGITS = "▁▂▃▄▅▆▇█", "01234567"
"""From low to high; the second for terminals without blocks."""
SHADES, LETTERS = "█░▒·", "#.:x"
"""Of the parts of a bar: what was tested, the two largest reasons why others were not, all other reasons."""
WIDTH = 36
"""Of a bar."""
BELOW = "."
LABEL = 20
RULER = 10
"""Marks between two numbers of layers."""

Strip = tuple[str | Text, Mapping[int, float]]
"""What it is called (from a file, or ready to be shown), and its value in every layer that has one."""
Parts = Sequence[tuple[str, float]]
"""What a part of a bar is, and how much: first what was tested, then all else, if only to say that there is none."""


class Scale(NamedTuple):
    """From the lowest mark to the highest. What is less than `floor` is a dot."""

    name: str
    low: float
    high: float
    floor: float | None = None

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return min(max((value - self.low) / (self.high - self.low or 1.0), 0.0), 1.0)


def marks(console: Console) -> str:
    """Eight characters from low to high."""
    return HEIGHTS if console.encoding.startswith("utf") else DIGITS


def mark(console: Console, scale: Scale, value: float | None) -> tuple[str, str]:
    """The character of a value, and its style; None is what was not compared."""
    if value is None:
        return UNDEFINED, "dim"
    if scale.floor is not None and value < scale.floor:
        return BELOW, "dim"
    share, shown = scale.share(value), marks(console)
    return shown[round(share * (len(shown) - 1))], heat(share)


def show_strips(console: Console, scale: Scale, strips: Sequence[Strip], of: str = "layer") -> None:
    """A line per strip, a mark per layer; several layers share one, which then shows their mean, where the terminal is
    narrow. After an empty line; nothing at all for a single layer, which a table describes."""
    last = max((max(values, default=0) for _, values in strips), default=0)
    if last == 0:
        return
    room = max(console.width - LABEL, RULER)
    step = -(-(last + 1) // room)
    console.print()
    console.print(Text.assemble((f"{scale.name} by {of}", "bold"), (f"  ({legend(console, scale, step)})", "dim")))
    for name, values in strips:
        label = name.copy() if isinstance(name, Text) else Text(safe(name))
        label.truncate(LABEL - 1, overflow="ellipsis" if console.encoding.startswith("utf") else "crop")
        label.pad_right(LABEL - label.cell_len)
        console.print(label.append(strip(console, scale, values, last, step)))
    numbers = "".join(f"{layer:<{RULER}}" for layer in range(0, last + 1, RULER * step))
    console.print(Text(f"{'':<{LABEL}}{numbers.rstrip()}", "dim", no_wrap=True, overflow="crop"))


def legend(console: Console, scale: Scale, step: int = 1) -> str:
    """What the marks of a strip mean."""
    shown = marks(console)
    parts = [f"{shown[0]}={scale.low:.3g} to {shown[-1]}={scale.high:.3g}"] if scale.high > scale.low else []
    parts += [f"{BELOW} less{'' if parts else f' than {scale.floor:.3g}'}"] if scale.floor is not None else []
    parts += [f"{UNDEFINED} not compared", *([f"mean of {step} layers per mark"] if step > 1 else [])]
    return "; ".join(parts)


def strip(console: Console, scale: Scale, values: Mapping[int, float], last: int, step: int = 1) -> Text:
    """Marks for layers 0 to `last`."""
    line = Text(no_wrap=True)
    for first in range(0, last + 1, step):
        held = [values[layer] for layer in range(first, first + step) if layer in values]
        line.append(*mark(console, scale, sum(held) / len(held) if held else None))
    return line


def bar(console: Console, parts: Parts, width: int = WIDTH) -> Text:
    """Shares of a whole, the first one being what was tested; it is all or nothing only if that is exactly so."""
    total, shades = sum(amount for _, amount in parts), _shades(console)
    done = parts[0][1] / total if total else 0.0
    ends = [min(max(round(done * width), int(done > 0)), width - int(done < 1))]
    reached = parts[0][1]
    for _, amount in parts[1:]:
        reached += amount
        ends.append(max(ends[-1], round(reached / total * width) if total else width))
    line = Text(no_wrap=True)
    for number, (begin, end) in enumerate(pairwise([0, *ends[:-1], width])):
        line.append(shades[min(number, len(shades) - 1)] * (end - begin), "cyan" if number == 0 else "dim")
    return line.append(f" {percent(done)}")


def show_bar(console: Console, title: str, parts: Parts, of: str) -> None:
    """A bar with what it is a share of, and, under it, what its other parts are. Reasons of nothing are left out."""
    held = [parts[0], *sorted(parts[1:], key=lambda part: -part[1])]
    console.print(Text.assemble((f"{title}  ", "bold"), bar(console, held), f" of {of}"))
    shades, total = _shades(console), sum(amount for _, amount in held)
    held = [part for part in held if part[1] > 0 or part is held[0]]
    if len(held) > 1:
        named = [f"{shades[number]} {safe(name)} {percent(amount / total)}" for number, (name, amount) in
                 enumerate(held[: len(shades) - 1])]  # fmt: skip
        rest = held[len(shades) - 1 :]
        if rest:
            name = rest[0][0] if len(rest) == 1 else f"{len(rest)} other reasons"
            named.append(f"{shades[-1]} {safe(name)} {percent(sum(amount for _, amount in rest) / total)}")
        console.print(Text(f"{'':<{len(title) + 2}}{'  '.join(named)}", "dim"))


def _shades(console: Console) -> str:
    return SHADES if console.encoding.startswith("utf") else LETTERS

"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

UNDEFINED = "-"
"""Shown for a measure that has no value, such as the Pearson of a constant tensor."""


def count(number: float) -> str:
    """Three digits and a unit: 1234567 -> "1.23M"."""
    return _scaled(number, ("", "K", "M", "B", "T"))


def size(nbytes: float) -> str:
    """Decimal bytes: 1234567 -> "1.23 MB"."""
    return _scaled(nbytes, (" B", " kB", " MB", " GB", " TB"))


def _scaled(number: float, units: tuple[str, ...]) -> str:
    power = 0
    while number >= 999.5 and power < len(units) - 1:
        number, power = number / 1000, power + 1
    decimals = 0 if power == 0 or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{decimals}f}{units[power]}"


def duration(seconds: float) -> str:
    """ "0.24 s", "48 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 0.01:
        return "<0.01 s"
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def coefficient(value: float | None) -> str:
    """A cosine or Pearson: four decimals, or up to the six that are exact where four would round to 1."""
    if value is None:
        return UNDEFINED
    decimals = next((places for places in (4, 5, 6) if round(abs(value), places) != 1), 4)
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0: no "-0.0000"


def magnitude(value: float | None) -> str:
    """Four significant digits."""
    if value is None:
        return UNDEFINED
    if value == 0:
        return "0"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}" if decimals < 8 else f"{value:.3e}"


def percent(fraction: float | None) -> str:
    """0% and 100% mean exactly none and all."""
    if fraction is None:
        return UNDEFINED
    if fraction in (0, 1):
        return f"{fraction:.0%}"
    if fraction < 0.0001:
        return "<0.01%"
    return f"{min(fraction, 0.9999):.2%}"


def probability(value: float | None, extrapolated: bool) -> str:
    """One digit and the power of ten; "~" where it is extrapolated beyond what the draws can show."""
    if value is None:
        return UNDEFINED
    if value < 1e-99:
        return ("~" if extrapolated else "") + "<1e-99"
    return ("~" if extrapolated else "") + (f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}")


def plural(number: int, noun: str) -> str:
    """1, "tensor" -> "1 tensor"; 19000 -> "19,000 tensors"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shape(extents: Iterable[int]) -> str:
    """(64, 128) -> "64x128"."""
    return "x".join(map(str, extents)) or "scalar"


def safe(text: str) -> str:
    """Names from files, without what a terminal would take for a command."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def labels(models: Iterable[Mapping[str, str]]) -> list[str]:
    """A label for each model of a summary: its name, or its path where names repeat."""
    models = list(models)
    names = [model["name"] for model in models]
    paths = [model["path"] for model in models]
    return [safe(path if names.count(name) > 1 else name) for name, path in zip(names, paths, strict=True)]


def edge_numbers(edge: Mapping[str, Any]) -> Iterator[str]:
    """What was measured of an edge of a family tree (summary["lineage"]["edges"])."""
    same = edge["distance"] is not None and edge["support"] is None
    if edge["distance"] is not None and not same:
        yield f"{magnitude(round(edge['distance'], 6))} away"
    if edge["pearson"] is not None:
        yield f"Pearson {coefficient(edge['pearson'])}"
    if edge["support"] is not None:
        yield f"support {percent(edge['support'])}"
    elif same and edge["relation"] != "identical":
        yield "there the same but for rounding" if edge["relation"] == "partial" else "the same but for rounding"

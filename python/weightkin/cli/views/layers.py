"""A strip per group of roles: one character per layer, as high as the mean Pearson of the layer's tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from ..text import safe
from .tables import heat

BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "01234567"
"""For terminals without the blocks."""
LABEL = 20

Strips = dict[tuple[str, str], dict[int, float]]


def layer_means(tensors: pa.Table) -> Strips:
    """Component and group -> layer (of B) -> Pearson, the mean over tensors weighted by parameters."""
    sums: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    columns = [tensors[name].to_pylist() for name in ("component", "group", "layer_b", "pearson", "parameters")]
    for component, group, layer, pearson, parameters in zip(*columns, strict=True):
        if layer is not None and pearson is not None:
            cell = sums[component, group][layer]
            cell[0] += pearson * parameters
            cell[1] += parameters
    return {place: {layer: total / weight for layer, (total, weight) in cells.items()} for place, cells in sums.items()}


def show_layers(console: Console, tensors: pa.Table, order: Sequence[tuple[str, str]]) -> None:
    """Strips of the groups that have layers, in the given order of (component, group)."""
    strips = layer_means(tensors)
    last = max((max(cells) for cells in strips.values()), default=0)
    if last == 0:
        return
    step = -(-(last + 1) // max(console.width - LABEL, 10))
    legend = f"0 to {last}{f', {step} per mark' if step > 1 else ''}; low to high: {marks(console)}; .: not compared"
    console.print(Text.assemble(("Pearson by layer", "bold"), (f"  ({legend})", "dim")))
    several = len({component for component, _ in strips}) > 1
    for place in order:
        if place in strips:
            label = " ".join(place) if several else place[1]
            console.print(
                Text.assemble(f"{safe(label)[: LABEL - 1]:<{LABEL}}", _strip(console, strips[place], last, step))
            )


def _strip(console: Console, cells: dict[int, float], last: int, step: int) -> Text:
    line = Text(no_wrap=True)
    shown: Any = marks(console)
    for first in range(0, last + 1, step):
        held = [cells[layer] for layer in range(first, first + step) if layer in cells]
        if held:
            mean = sum(held) / len(held)
            line.append(shown[round(max(mean, 0.0) * (len(shown) - 1))], heat(mean))
        else:
            line.append(".", "dim")
    return line


def marks(console: Console) -> str:
    """Eight characters from low to high."""
    return BLOCKS if console.encoding.startswith("utf") else DIGITS

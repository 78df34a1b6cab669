"""A strip per group of roles, or per pair of models: a mark per layer, as high as the mean Pearson of the layer's tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from .pictures import Scale, show_strips

PEARSON = Scale("Pearson", 0.0, 1.0)


def layer_means(tensors: pa.Table, *keys: str) -> dict[tuple[Any, ...], dict[int, float]]:
    """By the values of the columns `keys`: layer (of B) -> Pearson, the mean over tensors weighted by parameters."""
    known = tensors.filter(pc.and_(pc.is_valid(tensors["layer_b"]), pc.is_valid(tensors["pearson"])))
    weighted = known.append_column("weighted", pc.multiply(known["pearson"], known["parameters"]))
    pooled = weighted.group_by([*keys, "layer_b"]).aggregate([("weighted", "sum"), ("parameters", "sum")])
    out: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for row in pooled.to_pylist():
        out[tuple(row[key] for key in keys)][row["layer_b"]] = row["weighted_sum"] / row["parameters_sum"]
    return dict(out)


def show_layers(console: Console, tensors: pa.Table, order: Sequence[tuple[str, str]]) -> None:
    """Strips of the groups that have layers, in the given order of (component, group)."""
    found = layer_means(tensors, "component", "group")
    several = len({component for component, _ in found}) > 1
    strips = [(" ".join(place) if several else place[1], found[place]) for place in order if place in found]
    show_strips(console, PEARSON, strips)

"""Whether devices find what the processor finds, and several of them the same bits as one.

python -m weightkin.bench.device_agreement --device cuda
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import weightkin

from .generate import write_copy, write_model
from .shapes import DECODERS, first_layers, narrow

MEASURES = ("cosine", "pearson")
TOLERANCE = 1e-6
"""Between a device and the processor; between devices of one kind nothing may differ."""


@click.command()
@click.option("--device", default="cuda", show_default=True, help="All of these, the first of them, and the processor.")
@click.option("--layers", default=8, show_default=True, help="Of the model that is made to compare.")
@click.option("--whole", is_flag=True, help="At the width of a real model, not a narrow one.")
def main(device: str, layers: int, whole: bool) -> None:
    """Compares a generated model with a copy of it on the devices; exit status 1 if results differ."""
    decoder = DECODERS["glm-4.5-air"]
    decoder = first_layers(decoder if whole else narrow(decoder), layers, experts=8)
    with TemporaryDirectory(prefix="weightkin-agreement-") as folder:
        a = write_model(Path(folder) / "a", decoder)
        b = write_copy(Path(folder) / "b", a)
        first = f"{device}:0" if device == "cuda" else device
        found = [weightkin.compare(a, b, device=name) for name in ("cpu", first, device)]
    gap = max(difference(found[0], one) for one in found[1:])
    between = difference(found[1], found[2])
    click.echo(
        f"largest difference of {' or '.join(MEASURES)}: {gap:.2g} from the processor, {between:.2g} among devices"
    )
    if not (gap <= TOLERANCE and between == 0):
        sys.exit(1)


def difference(one: weightkin.Results, other: weightkin.Results) -> float:
    """Largest gap of any measure of any block; infinite if the rows are not those of the same blocks."""
    gaps = [0.0]
    for name in ("tensors", "blocks"):
        tables = [results[name].sort_by([(key, "ascending") for key in KEYS[name]]) for results in (one, other)]
        if any(not tables[0][key].equals(tables[1][key]) for key in KEYS[name]):
            return float("inf")
        for measure in MEASURES:
            values = [table[measure].to_numpy().astype(np.float64) for table in tables]
            if np.any(np.isnan(values[0]) != np.isnan(values[1])):
                return float("inf")
            gaps.append(float(np.nanmax(np.abs(values[0] - values[1]), initial=0.0)))
    return max(gaps)


KEYS = {"tensors": ["name_b"], "blocks": ["row", "block"]}
"""Columns that name a row."""

if __name__ == "__main__":
    main()

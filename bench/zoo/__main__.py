"""python -m weightkin.bench.zoo: trains zoos, or takes given ones, and says how good the verdicts on them are."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from .calibration import Calibration, calibrate
from .evaluate import Judged, auc_by_relation, judge_zoo
from .synthetic import judge_synthetic
from .table import auc_table, calibration_table, pairs_table

SCORES: dict[str, Callable[[Judged], float]] = {
    "matrices": lambda pair: pair.matrices,
    "norms": lambda pair: pair.norms,
}

WIDTH = 150
"""Columns of the tables where they go to a file or a narrow terminal."""


@click.command()
@click.argument("zoos", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--train", type=click.Path(path_type=Path), metavar="FOLDER", help="Train zoos there first.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Of the zoos to train.")
@click.option("--quick", is_flag=True, help="Train them for a fifth of the steps.")
@click.option("--synthetic", default=0, metavar="PAIRS", help="Also compare so many pairs of random models.")
@click.option("--align", type=click.Choice(["auto", "none"]), default="auto", show_default=True, help="As of compare.")
@click.option("--threads", type=click.IntRange(1), help="[default: all cores]")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Store the numbers as JSON.")
def main(
    zoos: tuple[Path, ...],
    train: Path | None,
    seeds: str,
    quick: bool,
    synthetic: int,
    align: str,
    threads: int | None,
    output: Path | None,
) -> None:
    """Compares all pairs of each zoo's truth.json. Exit status 1 if an independent pair shows what it must not."""
    if train is not None:
        zoos += tuple(_trained(train, [int(seed) for seed in seeds.split(",")], quick))
    if not zoos and not synthetic:
        raise click.UsageError("name a zoo, or give --train FOLDER or --synthetic PAIRS")
    console, messages = Console(), Console(stderr=True)
    console.width = max(console.width, WIDTH)
    pairs: list[Judged] = []
    with messages.status("comparing"):
        for zoo in zoos:
            pairs += judge_zoo(zoo, threads, align)
    report: dict[str, Any] = {"pairs": [pair.as_json() for pair in pairs]}
    report["auc"] = {name: auc_by_relation(pairs, score) for name, score in SCORES.items()}
    sets = {name: calibrate(members) for name, members in _sets(pairs, synthetic, messages) if members}
    report["calibration"] = {name: one.as_json() for name, one in sets.items()}
    if pairs:
        console.print(pairs_table(pairs))
        console.print()
        console.print(auc_table(report["auc"]))
        console.print()
    console.print(calibration_table(sets))
    if output is not None:
        output.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    sys.exit(_complain(sets, messages))


def _trained(folder: Path, seeds: list[int], quick: bool) -> Iterator[Path]:
    from ..make_zoo import make_zoo

    for seed in seeds:
        yield make_zoo(folder / f"zoo{seed}", seed, quick=quick)


def _sets(pairs: list[Judged], synthetic: int, messages: Console) -> Iterator[tuple[str, list[Judged]]]:
    """Sets of independent pairs."""
    strangers = [pair for pair in pairs if not pair.related]
    yield "primary", [pair for pair in strangers if pair.primary]
    yield "all", strangers
    if synthetic:
        with tempfile.TemporaryDirectory() as folder, messages.status("comparing random models"):
            yield "random", list(judge_synthetic(Path(folder), synthetic))
            yield "random, outliers meet", list(judge_synthetic(Path(folder), synthetic, seed=1, meeting=True))


def _complain(sets: dict[str, Calibration], messages: Console) -> int:
    failures = {failure for one in sets.values() for failure in one.failures}
    for failure in sorted(failures):
        messages.print(f"FAILED {failure}", style="red", highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    main(prog_name="python -m weightkin.bench.zoo")

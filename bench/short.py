"""A results file in a few lines: python -m weightkin.bench.short FILE"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from .measure import OURS
from .table import RATES, amount


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """What the machine is, what it can do at most, and each case with what it reached of the roof and of its targets."""
    device = report.get("device", {})
    yield f"{device.get('name', report['machine']['cpu'])}, {report['date']}"
    for name, rate in report.get("rates", {}).items():
        scale, unit = (1e12, "TFLOP/s") if name == "matmul" else (1e9, "GB/s")
        yield f"  {RATES[name]:38}{rate / scale:10.4g} {unit}"
    for row in report["cases"]:
        if not row["passed"]:
            problem = row.get("problem") or f"error {row['error']}"
            yield f"  {row['case']:22}FAILED: {problem}"
            continue
        best = row["participants"][OURS]["best"]
        told = [f"  {row['case']:22}{amount(best, row['unit']):>10}", _rate(row, best)]
        roofs = [one["ratio"] for one in row["participants"].values() if one["kind"] == "roof"]
        told.append(f"{min(roofs):6.2f} of the roof" if roofs else "")
        for target in row["targets"]:
            if target["against"] not in (None, "roof") and target["value"] is not None:
                told.append(f"{target['value']:.3g}x {target['against']}")
        missed = [target for target in row["targets"] if target["met"] is False]
        yield "  ".join(filter(None, told)) + ("   MISSED " + _wanted(missed) if missed else "")


def _rate(row: Mapping[str, Any], best: float) -> str:
    if row["unit"] != "s":
        return ""
    if row["flops"] and row["case"].startswith(("cross_gram", "probe", "lagged")):
        return f"{row['flops'] / best / 1e12:8.2f} TFLOP/s"
    return f"{row['nbytes'] / best / 1e9:8.1f} GB/s" if row["nbytes"] else ""


def _wanted(targets: list[Mapping[str, Any]]) -> str:
    return ", ".join(f"{target['target']:g} of {target['against'] or 'cost'}" for target in targets)


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(path: Path) -> None:
    """Prints a results file of `weightkin bench` in a few lines."""
    for line in lines(json.loads(path.read_text())):
        click.echo(line)


if __name__ == "__main__":
    main()

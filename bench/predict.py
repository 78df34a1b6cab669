"""Predicts how long two models take from measured rates: python -m weightkin.bench.predict RATES.json --storage 7

Each phase takes as long as its slowest resource: storage, staging, host memory, links, devices (kernels and assignments)
and the interpreter work at the same time. What was not measured is left out and named. The prediction is held against
what the same file measured of `compare` and `experts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from . import workload
from .cases_experts import layer
from .rates import Rates, read, seconds, storage
from .shapes import DECODERS, Decoder, fit
from .workload import Workload, models_of

TOUCHES = 3
"""How often host memory moves a byte on its way: read from the page cache, written to a pinned slot, read by the link."""
SLICE = 16e9
"""Bytes that a measured run must have read to say something about models of hundreds of gigabytes."""
RESOURCES = ("storage", "staging", "memory", "link", "kernels", "assignment", "interpreter")


@dataclass(frozen=True)
class Phase:
    """A workload on a machine."""

    name: str
    resources: Mapping[str, float]
    """Seconds that each would take alone."""
    unmeasured: tuple[str, ...]

    @property
    def bound(self) -> str:
        """What it waits for."""
        return max(self.resources, key=lambda name: _busy(self.resources)[name], default="nothing")

    @property
    def seconds(self) -> float:
        return max(_busy(self.resources).values(), default=0.0)


class Check(NamedTuple):
    """A prediction beside its measurement."""

    case: str
    nbytes: int
    predicted: float
    measured: float


def phase(work: Workload, rates: Rates, devices: int = 1) -> Phase:
    """What `work` costs each resource of a machine with so many devices."""
    resources: dict[str, float] = {}
    unmeasured = []

    def cost(resource: str, amount: float, rate: float | None) -> None:
        if not amount:
            return
        if rate is None:
            unmeasured.append(resource)
        else:
            resources[resource] = resources.get(resource, 0.0) + amount / rate

    cost("storage", work.nbytes, rates.storage)
    if rates.link is not None:
        cost("staging", work.nbytes, rates.staging)
        cost("memory", TOUCHES * work.nbytes, rates.memory)
        cost("link", work.nbytes, rates.link * devices)
    kernels = (work.swept, rates.sweep), (work.relabelled, rates.lagged), (work.probed, rates.probe)
    for amount, rate in (*kernels, (work.products, rates.products)):
        cost("kernels", amount, None if rate is None else rate * devices)
    for problems, side in work.assignments:
        rate = rates.problems(side)
        cost("assignment", problems, None if rate is None else rate * devices)
    cost("interpreter", work.tensors, rates.tensors)
    return Phase(work.name, resources, tuple(dict.fromkeys(unmeasured)))


def checks(report: Mapping[str, Any]) -> Iterator[Check]:
    """Every run of a whole command that the file holds, predicted from the file's other rates."""
    rates = read(report)
    for row in report["cases"]:
        if row["unit"] != "s" or not row["participants"]:
            continue
        name, found = row["case"], rates
        if name in ("compare/cold", "compare/warm"):
            decoders = [fit(DECODERS["solar-open-100b"], row["nbytes"] // 2)] * 2
            found = replace(rates, storage=storage(row) if name == "compare/cold" else None)
        elif name in ("experts/strangers", "experts/neurons"):
            decoders = [layer(model, row["nbytes"] // 2) for model in ("glm-4.5-air", "solar-open-100b")]
            fewest = min(decoder.experts for decoder in decoders)
            decoders = [replace(decoder, experts=fewest) for decoder in decoders]
            found = replace(rates, storage=None)
        else:
            continue
        with models_of(decoders) as models:
            work = workload.compare(models) if name.startswith("compare") else workload.experts(models, "neurons" in name)
        if sum(one.nbytes for one in work[:1]) == row["nbytes"]:
            yield Check(name, row["nbytes"], sum(phase(one, found).seconds for one in work), seconds(row))


def _busy(resources: Mapping[str, float]) -> dict[str, float]:
    """Kernels and assignments take turns on a device, so either one's time is that of both."""
    both = resources.get("kernels", 0.0) + resources.get("assignment", 0.0)
    return {name: both if name in ("kernels", "assignment") else cost for name, cost in resources.items()}


def _lines(name: str, works: Sequence[Workload], rates: Rates, devices: int) -> Iterator[str]:
    phases = [phase(work, rates, devices) for work in works]
    yield f"{name}, {devices} x: {sum(one.seconds for one in phases):.1f} s"
    for one in phases:
        parts = ", ".join(f"{key} {one.resources[key]:.1f}" for key in RESOURCES if key in one.resources)
        missing = f"; not measured: {', '.join(one.unmeasured)}" if one.unmeasured else ""
        yield f"  {one.name}: {one.seconds:.1f} s, bound by {one.bound} ({parts}{missing})"


def _commands(decoders: Sequence[Decoder]) -> dict[str, list[Workload]]:
    with models_of(decoders) as models:
        return {
            "compare --align none": workload.compare(models),
            "experts, nothing matches": workload.experts(models, related=False),
            "experts, all neurons match": workload.experts(models, related=True),
        }


@click.command()
@click.argument("path", metavar="RATES.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--storage", "rate", type=float, metavar="GB/S", help="Of the files; as measured if not given.")
@click.option("--devices", default="1,4,8", show_default=True, help="Numbers of devices, of the kind that was measured.")
@click.option("--models", nargs=2, type=click.Choice(sorted(DECODERS)), default=("solar-open-100b", "glm-4.5-air"))
def main(path: Path, rate: float | None, devices: str, models: tuple[str, str]) -> None:
    """Seconds that `compare` and `experts` of two models take at the rates that `weightkin bench` stored in RATES.json."""
    report = json.loads(path.read_text())
    rates = read(report)
    if rate is not None:
        rates = replace(rates, storage=rate * 1e9)
    counts = [int(count) for count in devices.split(",")] if rates.link is not None else [1]
    click.echo(f"{models[0]} x {models[1]}, rates of {path.name}")
    for name, works in _commands([DECODERS[model] for model in models]).items():
        for count in counts:
            click.echo("\n".join(_lines(name, works, rates, count)))
    click.echo("predicted and measured:")
    for case, nbytes, predicted, measured in checks(report):
        small = "" if nbytes >= SLICE else f"; less than the {SLICE / 1e9:.0f} GB that a check should have"
        click.echo(f"  {case}, {nbytes / 1e9:.1f} GB: {predicted:.2f} s, {measured:.2f} s, {predicted / measured:.2f}x{small}")


if __name__ == "__main__":
    main()

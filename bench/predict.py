"""Predicts how long two models take from measured rates: python -m weightkin.bench.predict RATES.json --storage 7

Each phase takes as long as its slowest resource: storage, staging, host memory, links, devices (kernels and assignments)
and the interpreter work at the same time. What was not measured is left out and named. The prediction is held against
what the same file measured of `compare` and `experts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from weightkin.schema import Model

from . import workload
from .cases_experts import layer
from .rates import Rates, read, seconds, storage
from .shapes import DECODERS, Decoder, fit
from .workload import Workload, models_of

TOUCHES = 3
"""How often host memory moves a byte on its way: read from the page cache, written to a pinned slot, read by the link."""
SLICE = 16e9
"""Bytes that a measured run must have read to say something about models of hundreds of gigabytes."""
RESOURCES = ("storage", "staging", "memory", "link", "kernels", "assignment", "Python")


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
    command: str
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
    cost("Python", work.tensors, rates.tensors)
    return Phase(work.name, resources, tuple(dict.fromkeys(unmeasured)))


def checks(report: Mapping[str, Any]) -> Iterator[Check]:
    """Runs of whole commands that the file holds, predicted from its other rates; none from a rate that it gave itself."""
    rates = read(report)
    for row in report["cases"]:
        slice_ = SLICES.get(row["case"])
        if slice_ is None or not row["participants"] or row["case"] == rates.probe_from:
            continue
        command, decoders_of = slice_
        held = replace(rates, storage=storage(row) if row["case"] == "compare/cold" else None)
        with models_of(decoders_of(row["nbytes"])) as models:
            works = COMMANDS[command](models)
        if works[0].nbytes == row["nbytes"]:  # else it was made by another version of the bench
            yield Check(
                row["case"], command, row["nbytes"], sum(phase(one, held).seconds for one in works), seconds(row)
            )


def _pair(nbytes: int) -> list[Decoder]:
    """The models that `compare` is measured on."""
    return [fit(DECODERS["solar-open-100b"], nbytes // 2)] * 2


def _layers(nbytes: int) -> list[Decoder]:
    """Those of `experts`, of which `nbytes` are MLPs: as many experts and a shared one in each."""
    layers = [layer(name, nbytes, DECODERS[name].hidden) for name in ("glm-4.5-air", "solar-open-100b")]
    one = sum(3 * 2 * decoder.hidden * decoder.expert_width for decoder in layers)
    return [replace(decoder, experts=max(1, nbytes // one - 1)) for decoder in layers]


COMMANDS: Mapping[str, Callable[[Sequence[Model]], list[Workload]]] = {
    "compare --align none": workload.compare,
    "experts, nothing matches": partial(workload.experts, related=False),
    "experts, all neurons match": partial(workload.experts, related=True),
}
SLICES: Mapping[str, tuple[str, Callable[[int], list[Decoder]]]] = {
    "compare/cold": ("compare --align none", _pair),
    "compare/warm": ("compare --align none", _pair),
    "experts/strangers": ("experts, nothing matches", _layers),
    "experts/neurons": ("experts, all neurons match", _layers),
}
"""Cases that measure a command on a part of a model: which command, and the models by the bytes of the case."""


def _busy(resources: Mapping[str, float]) -> dict[str, float]:
    """Kernels and assignments take turns on a device, so either one's time is that of both."""
    both = resources.get("kernels", 0.0) + resources.get("assignment", 0.0)
    return {name: both if name in ("kernels", "assignment") else cost for name, cost in resources.items()}


def _lines(name: str, works: Sequence[Workload], rates: Rates, devices: int, found: Sequence[Check]) -> Iterator[str]:
    phases = [phase(work, rates, devices) for work in works]
    total = sum(one.seconds for one in phases)
    slower = [one.measured / one.predicted for one in found if one.command == name]
    like = f", {total * max(slower):.1f} s if it goes as the measured part did" if slower else ""
    yield f"{name}, {devices} device{'' if devices == 1 else 's'}: {total:.1f} s{like}"
    for work, one in zip(works, phases, strict=True):
        parts = ", ".join(f"{key} {one.resources[key]:.1f}" for key in RESOURCES if key in one.resources)
        missing = f"; not measured: {', '.join(one.unmeasured)}" if one.unmeasured else ""
        size = f", {work.nbytes / 1e9:.1f} GB" if work.nbytes else ""
        yield f"  {one.name}{size}: {one.seconds:.1f} s, bound by {one.bound} ({parts}{missing})"


@click.command()
@click.argument("path", metavar="RATES.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--storage", "rate", type=float, metavar="GB/S", help="Of the files; as measured if not given.")
@click.option(
    "--devices", default="1,4,8", show_default=True, help="Numbers of devices, of the kind that was measured."
)
@click.option("--models", nargs=2, type=click.Choice(sorted(DECODERS)), default=("solar-open-100b", "glm-4.5-air"))
def main(path: Path, rate: float | None, devices: str, models: tuple[str, str]) -> None:
    """Seconds that `compare` and `experts` of two models take at the rates that `weightkin bench` stored in RATES.json."""
    report = json.loads(path.read_text())
    rates = read(report)
    if rate is not None:
        rates = replace(rates, storage=rate * 1e9)
    counts = [int(count) for count in devices.split(",")] if rates.link is not None else [1]
    found = list(checks(report))
    click.echo(f"{models[0]} x {models[1]}, rates of {path.name}; seconds of each resource alone in brackets")
    with models_of([DECODERS[model] for model in models]) as held:
        works = {name: command(held) for name, command in COMMANDS.items()}
    for name, phases in works.items():
        for count in counts:
            click.echo("\n".join(_lines(name, phases, rates, count, found)))
    click.echo(f"predicted and measured:{'' if found else ' nothing of that size'}")
    for case, command, nbytes, predicted, measured in found:
        short = command.startswith("compare") and nbytes < SLICE
        small = f"; less than the {SLICE / 1e9:.0f} GB that a check should have" if short else ""
        ratio = f"{measured / predicted:.2f} times as long"
        click.echo(f"  {case}, {nbytes / 1e9:.1f} GB: {predicted:.2f} s, {measured:.2f} s, {ratio}{small}")


if __name__ == "__main__":
    main()

"""experts: which expert of one model is which of another, layer by layer, neuron by neuron."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from .comparison import Progress, open_models, thread_count
from .correspondence.alignment import Alignment, Mlp, MlpMatch, Source, to_json
from .correspondence.compute import Compute
from .correspondence.descriptors import Side
from .correspondence.experts import match_layer, unsearchable
from .correspondence.layer_choice import Choice, LayerPair, Layers, choose_layers
from .correspondence.layer_match import By, LayerMatch
from .correspondence.workers import Workers
from .devices import Device, describe_devices, kinds, opened_devices
from .devices.choosing import AUTO
from .errors import PlanError, ResultsError
from .results.experts import SCHEMAS, pack, unpack
from .results.experts_summary import summarise
from .results.folder import Results, atomic
from .results.journal import Journal
from .results.recording import Write, describe_throughput, record
from .results.summary import describe_models
from .statistics.multiplicity import benjamini_hochberg

NEURONS = ("matched", "all", "none")
CHOICE = 0
"""Number of the journal's record of which layers are paired; the pairs follow."""


def experts(
    a: str | Path, b: str | Path, *, output: str | Path | None = None, resume: bool = False, device: str = AUTO,
    threads: int | None = None, by: By = "probe", layers: Layers = "auto", neurons: str = "matched",
    export: str | Path | None = None, seed: int = 0, progress: Progress = lambda *_: None,
) -> Results:  # fmt: skip
    """Which expert, shared expert or dense MLP of `a` each of `b` is, and which neuron inside each.

    `by`: what experts are matched by: their answers to random inputs ("probe"), "router" rows, or "weights" of the same
    place. `layers`: "same" number, "auto" (through the layer map that the rest of the layers gives), or "all-pairs": each
    layer of `b` in whichever layer of `a` its experts match best. `neurons`: of "matched" experts, of "all" (the best pairs
    too), or "none". `export`: a new file for what was found, as JSON. The others are those of `compare`.

    The results' tables are `layers`, `experts` and `neurons`. Raises `CheckpointError`, `PlanError`, `DeviceError` or
    `ResultsError`.
    """
    for value, known, name in (
        (by, get_args(By), "by"),
        (layers, get_args(Layers), "layers"),
        (neurons, NEURONS, "neurons"),
    ):
        if value not in known:
            raise PlanError(f"{name}={value!r} is none of {', '.join(known)}")
    if export is not None:
        _check_export(Path(export), output)
    models = open_models([a, b])
    sides = Side(models[0]), Side(models[1])
    for side in sides:
        if not side.layers:
            raise PlanError(f"{side.model.checkpoint.path}: has no layer with a gated MLP that can be read")
    options = {"by": by, "layers": layers, "neurons": neurons, "seed": seed}
    with opened_devices(device, thread_count(threads)) as devices:
        run = _Run(*sides, by, layers, neurons, seed, devices, progress)
        results = record(
            "experts", options, [model.checkpoint.fingerprint() for model in models], output=output, resume=resume,
            kinds=kinds(devices), units=1 + len(sides[1].layers), compute=run.compute, schemas=SCHEMAS,
            collect=run.collect,
        )  # fmt: skip
    if export is not None:
        write_alignment(results, Path(export))
    return results


def _check_export(path: Path, output: str | Path | None) -> None:
    """Raises `ResultsError` if `path` cannot become a file once the search, which may take hours, is over."""
    if path.exists():
        raise ResultsError(f"{path}: already exists", "give another name, or remove it")
    made = output is not None and path.parent.resolve() == Path(output).resolve()
    if not path.parent.is_dir() and not made:
        raise ResultsError(f"{path}: there is no folder {path.parent}", "make it first, or give another")


class _Run:
    """One search, from the choice of layers to tables."""

    def __init__(
        self,
        a: Side,
        b: Side,
        by: By,
        layers: Layers,
        neurons: str,
        seed: int,
        devices: Sequence[Device],
        progress: Progress,
    ) -> None:
        self.a, self.b, self.by, self.layers, self.neurons = a, b, by, layers, neurons
        self.seed, self.devices, self.progress = seed, devices, progress
        self.workers = Workers.of(devices)
        self.done = self.total = 0
        self.counting = Lock()

    def compute(self, journal: Journal) -> dict[str, Any]:
        start = time.perf_counter()
        both = sum(layer.nbytes for side in (self.a, self.b) for layer in side.layers.values())
        self.total = both
        if CHOICE not in journal.finished:
            journal.append(CHOICE, json.dumps(self._choose()._asdict()).encode())
        pairs = _choice(journal).pairs
        waiting = [(number, pair) for number, pair in enumerate(pairs, 1) if number not in journal.finished]
        self.total = self.done + sum(map(self._nbytes, waiting))
        for (number, pair), match in self.workers.spread(waiting, self._match, self._nbytes):
            journal.append(number, pack(match, pair))
        self.a.weights.check()
        self.b.weights.check()
        throughput = describe_throughput(self.done, time.perf_counter() - start)
        return {"devices": describe_devices(self.devices), "throughput": throughput}

    def _nbytes(self, task: tuple[int, LayerPair]) -> int:
        _, pair = task
        places = (self.a, pair.layer_a), (self.b, pair.layer_b)
        return sum(side.layers[pair.component, layer].nbytes for side, layer in places)

    def _match(self, compute: Compute, task: tuple[int, LayerPair]) -> LayerMatch:
        _, pair = task
        self._say(f"layer {pair.layer_b}")
        return match_layer(
            self.a, self.b, (pair.component, pair.layer_a, pair.layer_b), by=self.by, neurons=self.neurons,
            seed=self.seed, compute=compute, on_bytes=self._on_bytes,
        )  # fmt: skip

    def _choose(self) -> Choice:
        """Raises `PlanError` if no layer can be searched."""
        found = choose_layers(
            self.a, self.b, self.layers, seed=self.seed, workers=self.workers, on_bytes=self._on_bytes, say=self._say
        )
        pairs, untested = [], list(found.untested)
        for pair in found.pairs:
            reason = unsearchable(self.a, self.b, (pair.component, pair.layer_a, pair.layer_b), self.by)
            if reason is None:
                pairs.append(pair)
            else:
                untested.append((pair.component, pair.layer_b, reason))
        if not pairs:
            names = " and ".join(side.model.checkpoint.name for side in (self.a, self.b))
            reasons = [reason for _, _, reason in untested]
            raise PlanError(f"{names}: no MLPs can be matched: {max(reasons, key=reasons.count)}")
        return Choice(pairs, untested)

    def collect(self, journal: Journal, write: Write) -> dict[str, Any]:
        choice = _choice(journal)
        numbers = range(1, 1 + len(choice.pairs))
        p = [unpack(journal[number])["layers"][0]["p"] for number in numbers]
        found = []
        for number, adjusted in zip(numbers, benjamini_hochberg(np.array(p)), strict=True):
            rows = unpack(journal[number])
            rows["layers"][0]["p_adjusted"] = float(adjusted)
            for name, schema in SCHEMAS.items():
                held = rows[name] if name == "layers" else rows.pop(name)
                write[name](pa.Table.from_pylist(held, schema))
            found.append(rows)
        models = [self.a.model, self.b.model]
        names = [model.checkpoint.name for model in models]
        parameters = sum(one.parameters for layer in self.b.layers.values() for one in layer.mlps)
        entry = summarise(names, self.by, self.layers, found, choice.untested, parameters)
        return {"models": describe_models(models), "experts": entry}

    def _on_bytes(self, count: int) -> None:
        with self.counting:
            self.done += count
        self._say("matching")

    def _say(self, what: str) -> None:
        self.progress(what, min(self.done, self.total), self.total)


def _choice(journal: Journal) -> Choice:
    found = json.loads(journal[CHOICE])
    return Choice([LayerPair(*pair) for pair in found["pairs"]], [tuple(one) for one in found["untested"]])


def write_alignment(results: Results, path: Path) -> None:
    """What an `experts` run matched, as a JSON file that `read_alignment` reads."""
    layers: dict[str, dict[int, int]] = {}
    for row in results["layers"].select(["component", "layer_a", "layer_b"]).to_pylist():
        layers.setdefault(row["component"], {})[row["layer_b"]] = row["layer_a"]
    permutations = {
        Mlp(row["component"], row["layer_b"], row["kind_b"], row["expert_b"]): np.array(row["permutation"], np.int64)
        for row in results["neurons"].to_pylist()
    }
    mlps = {}
    for row in results["experts"].to_pylist():
        if row["kind_a"] is not None:
            mlp = Mlp(row["component"], row["layer_b"], row["kind_b"], row["expert_b"])
            parent = Mlp(row["component"], row["layer_a"], row["kind_a"], row["expert_a"])
            mlps[mlp] = MlpMatch(parent, permutations.get(mlp))
    of_a, of_b = (Source(model["name"], model["fingerprint"]) for model in results.summary["models"])
    with atomic(path) as partial:
        partial.write_text(json.dumps(to_json(Alignment(layers, mlps, found_in=(of_a, of_b)))) + "\n")

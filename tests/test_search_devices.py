"""Searches with torch (on a GPU, or in Triton's interpreter): what the host finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import families
from expert_models import moe, noisy, reordered_pair, write
from torch_devices import TorchDevice, torch_device
from triton_cases import interpret
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.compute import HostCompute
from weightkin.correspondence.descriptors import Side
from weightkin.correspondence.experts import match_layer
from weightkin.correspondence.layer_choice import choose_layers
from weightkin.correspondence.layer_match import LayerMatch
from weightkin.correspondence.neurons import NeuronPair
from weightkin.correspondence.orbit import Orbit
from weightkin.correspondence.workers import Workers
from weightkin.devices import HostDevice, choosing
from weightkin.layer_maps import layers
from weightkin.schema import Model, resolve

with pytest.MonkeyPatch.context() as environment:
    interpret(environment)
    from weightkin.correspondence import torch_neurons
    from weightkin.correspondence.torch_compute import TorchCompute


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    one, other = reordered_pair(tmp_path_factory.mktemp("models"))
    return resolve(open_checkpoint(one)), resolve(open_checkpoint(other))


def host() -> HostCompute:
    return HostCompute(HostDevice(1))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[TorchDevice]:
    interpret(monkeypatch)
    found = torch_device()
    yield found
    found.close()


def check_near(found: LayerMatch, wanted: LayerMatch) -> None:
    """What a device finds and what the host does."""
    assert np.array_equal(found.assignment, wanted.assignment)
    assert found.z == pytest.approx(wanted.z, rel=1e-3) and found.p == wanted.p
    assert found.scores == pytest.approx(wanted.scores, abs=1e-4)
    assert found.neurons.keys() == wanted.neurons.keys()
    for at, neurons in wanted.neurons.items():
        mine = found.neurons[at]
        assert np.array_equal(mine.permutation, neurons.permutation) and mine.agreement == neurons.agreement
        assert mine.scores == pytest.approx(neurons.scores, rel=1e-3, abs=1e-3)
        assert mine.pearson == pytest.approx(neurons.pearson, abs=1e-5)
        assert mine.neuron_pearson == pytest.approx(neurons.neuron_pearson, abs=1e-5)
    assert found.neuron_z() == pytest.approx(wanted.neuron_z(), rel=1e-3)


@pytest.mark.parametrize("memory", [1 << 27, 0])
def test_torch_finds_what_the_host_finds(memory: int, models: tuple[Model, Model], device: TorchDevice) -> None:
    """Whether weights stay on the device or not."""
    one, other = (Side(model) for model in models)
    wanted, found = (
        match_layer(one, other, ("text", 1, 1), seed=0, compute=compute)
        for compute in (host(), TorchCompute(device, 1, memory))
    )
    check_near(found, wanted)


@pytest.mark.parametrize("together", [1 << 28, 2 * 4 * 64 * 10])
def test_neurons_of_several_pairs_at_a_time(
    together: int, models: tuple[Model, Model], device: TorchDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one group, of which the last two pairs differ in shape, or two by two."""
    monkeypatch.setattr(torch_neurons, "TOGETHER", together)
    one, other = (Side(model) for model in models)
    (dense,), experts = (one.layers["text", layer].mlps for layer in (0, 1))
    (other_dense,), other_experts = (other.layers["text", layer].mlps for layer in (0, 1))
    pairs = [NeuronPair(a, b, ()) for a, b in zip(experts, other_experts, strict=True)]
    pairs += [NeuronPair(dense, other_experts[0], ()), NeuronPair(experts[0], other_dense, ())]
    weights, orbit = (one.weights, other.weights), Orbit.of(64)
    wanted, found = (
        compute.match_neurons(weights, pairs, orbit) for compute in (host(), TorchCompute(device, 1, 1 << 20))
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.array_equal(ours.permutation, theirs.permutation) and ours.agreement == theirs.agreement
        assert ours.scores == pytest.approx(theirs.scores, rel=1e-3, abs=1e-3)
        assert ours.pearson == pytest.approx(theirs.pearson, abs=1e-5)
        assert ours.neuron_pearson == pytest.approx(theirs.neuron_pearson, abs=1e-5)


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, np.float64])
def test_other_dtypes(dtype: Any, device: TorchDevice, tmp_path: Path) -> None:
    a = moe(0, experts=2, neurons=6, layers=2)
    folders = [write(tmp_path / name, state, dtype=dtype) for name, state in (("a", a), ("b", noisy(a, 0.2)))]
    one, other = (Side(resolve(open_checkpoint(folder))) for folder in folders)
    wanted, found = (
        match_layer(one, other, ("text", 1, 1), seed=0, compute=compute)
        for compute in (host(), TorchCompute(device, 1, 1 << 27))
    )
    assert len(wanted.matched) == 3
    check_near(found, wanted)


@pytest.mark.parametrize("family", ["gpt_oss", "gemma2"])
def test_descriptors_of_other_layouts(family: str, device: TorchDevice) -> None:
    """Experts stacked, transposed, interleaved and with biases; a dense MLP of another activation."""
    side = Side(resolve(open_checkpoint(families.family_folder(family))))
    layer = side.layers["text", 1]
    orbit = Orbit.of(layer.width)
    read: list[int] = []
    wanted = host().probe(side.weights, layer, orbit, 0, lambda _: None)
    found = TorchCompute(device, 1, 1 << 20).probe(side.weights, layer, orbit, 0, read.append)
    assert np.abs(found.numpy(force=True) - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert sum(read) == layer.nbytes


def test_all_pairs_of_layers(models: tuple[Model, Model], device: TorchDevice) -> None:
    sides = Side(models[0]), Side(models[1])
    wanted, found = (
        choose_layers(*sides, "all-pairs", seed=0, workers=workers, on_bytes=lambda _: None)
        for workers in (Workers([host()], host()), Workers.of([device, HostDevice(1, spare=True)]))
    )
    assert found == wanted and {pair.how for pair in found.pairs} == {"best of all"}


def test_layers_by_the_command(
    models: tuple[Model, Model], device: TorchDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [model.checkpoint.path for model in models]
    wanted = layers(paths, null=19, device="cpu")
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: [device, HostDevice(1, spare=True)])
    found = layers(paths, null=19)
    assert found.summary["devices"] == [device.describe()] and device.units > 0 and device.nbytes > 0
    for name in wanted.table_names:
        for row, same in zip(found[name].to_pylist(), wanted[name].to_pylist(), strict=True):
            assert row == pytest.approx(same, abs=1e-5, nan_ok=True)

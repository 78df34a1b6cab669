"""Searches on several devices: what one finds, also when some of them fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from expert_models import reordered_pair
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.compute import Compute, HostCompute
from weightkin.correspondence.layer_match import LayerMatch
from weightkin.correspondence.neurons import NeuronMatch
from weightkin.correspondence.search import Found, find_alignment
from weightkin.correspondence.workers import Workers
from weightkin.devices import HostDevice
from weightkin.errors import DeviceError, DeviceWarning
from weightkin.schema import Model, resolve


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    one, other = reordered_pair(tmp_path_factory.mktemp("models"))
    return resolve(open_checkpoint(one)), resolve(open_checkpoint(other))


def host() -> HostCompute:
    return HostCompute(HostDevice(1))


class Failing(HostCompute):
    """Fails in its search for neurons number `after` (from 0), and would in all later ones."""

    def __init__(self, after: int) -> None:
        super().__init__(HostDevice(1))
        self.left, self.forgotten = after, 0

    def match_neurons(self, *given: Any) -> list[NeuronMatch]:
        self.left -= 1
        if self.left < 0:
            raise DeviceError("out of memory")
        return super().match_neurons(*given)

    def forget(self) -> None:
        self.forgotten += 1


def found_by(models: tuple[Model, Model], computes: Sequence[Compute]) -> Found:
    return find_alignment(*models, seed=0, workers=Workers(computes, host()), draws=19, wanted={("text", "experts")})


def check_same(one: LayerMatch, other: LayerMatch) -> None:
    assert np.array_equal(one.assignment, other.assignment) and np.array_equal(one.statistic, other.statistic)
    assert one.neurons.keys() == other.neurons.keys()
    for at, neurons in one.neurons.items():
        assert np.array_equal(neurons.permutation, other.neurons[at].permutation)
        assert np.array_equal(neurons.scores, other.neurons[at].scores)
        assert neurons.pearson == other.neurons[at].pearson


@pytest.fixture(scope="module")
def alone(models: tuple[Model, Model]) -> Found:
    found = found_by(models, [host()])
    assert [match.layer_b for match in found.mlps] == [0, 1, 2] and len(found.alignment.mlps) == 10
    return found


@pytest.mark.parametrize("count", [2, 8])
def test_several_devices_find_what_one_finds(count: int, models: tuple[Model, Model], alone: Found) -> None:
    computes = [host() for _ in range(count)]
    found = found_by(models, computes)
    for one, other in zip(alone.mlps, found.mlps, strict=True):
        check_same(one, other)
    assert sum(compute.device.units for compute in computes) == 3
    assert sum(compute.device.nbytes for compute in computes) == 2 * (3 * 2 * 20 + 2 * 5 * 3 * 2 * 10) * 64


def test_a_device_that_fails_gives_its_layers_back(models: tuple[Model, Model], alone: Found) -> None:
    failing, other = Failing(0), host()
    with pytest.warns(DeviceWarning, match="cpu failed and is not used any more: out of memory; going on with cpu"):
        found = found_by(models, [failing, other])
    for one, two in zip(alone.mlps, found.mlps, strict=True):
        check_same(one, two)
    assert failing.device.retired == "out of memory" and (failing.device.units, other.device.units) == (0, 3)
    assert failing.forgotten == 1


@pytest.mark.filterwarnings("ignore::weightkin.errors.DeviceWarning")
@pytest.mark.parametrize("after", [(0,), (1, 0)])
def test_the_host_goes_on_when_no_device_is_left(
    after: tuple[int, ...], models: tuple[Model, Model], alone: Found
) -> None:
    failing = [Failing(each) for each in after]
    found = found_by(models, failing)
    for one, other in zip(alone.mlps, found.mlps, strict=True):
        check_same(one, other)
    assert all(compute.device.retired == "out of memory" for compute in failing)


def test_a_mistake_of_ours_is_not_taken_for_a_failing_device(models: tuple[Model, Model]) -> None:
    class Wrong(HostCompute):
        def lag_scores(self, *_: Any) -> Any:
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        found_by(models, [Wrong(HostDevice(1)), Wrong(HostDevice(1))])

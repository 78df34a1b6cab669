"""A TorchDevice where there is one: on a GPU, or on torch's CPU device with Triton's interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest

from triton_cases import DEVICE, interpret, poisoned, torch
from weightkin import _core, engine, ops
from weightkin.devices import Device, choose_devices
from weightkin.plan import Plan
from weightkin.relabelling import Relabellings, largest_statistic, null_axis
from weightkin.units import Unit

with pytest.MonkeyPatch.context() as environment:
    interpret(environment)
    from weightkin.devices.torch_device import TorchDevice

__all__ = ["TorchDevice", "check", "poisoned", "swept", "torch", "torch_device"]

EXACT = ("unequal", "nans", "infinities", "quantile", "tensor_quantile")


def torch_device(name: str = "torch", memory: int = 1 << 26) -> Device:
    """One of its own, so that several can be had of one GPU."""
    if DEVICE == "cuda":
        device = choose_devices("cuda:0", 2)[0]
        assert isinstance(device, TorchDevice)
        return device
    # Slots smaller than most tensors here: they come in many copies.
    return TorchDevice(torch.device("cpu"), name, "torch cpu", memory, lambda: _core.Ring(2, 1000, 2), {})


def swept(plan: Plan, units: Sequence[Unit], devices: Sequence[Device], draws: int = 8) -> dict[int, ops.Sweep]:
    """By the unit's number."""
    try:
        return {unit.index: found for unit, found in engine.run(plan, units, Relabellings(plan, draws, 0), devices)}
    finally:
        for device in devices:
            device.close()


def check(unit: Unit, found: ops.Sweep, wanted: ops.Sweep) -> None:
    """What one device found is what the other did: counts and quantiles to the bit, sums within 1e-6."""
    for name in EXACT:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    norm = np.sqrt(np.einsum("bii->bi", wanted.gram))
    sizes = np.sqrt(np.diff(unit.bounds))[:, None]
    pairs = np.array([(i, j) for i in range(norm.shape[1]) for j in range(i + 1, norm.shape[1])]).T
    within(found.gram, wanted.gram, norm[:, :, None] * norm[:, None, :])
    within(found.sum, wanted.sum, norm * sizes)
    within(found.sum_abs, wanted.sum_abs, wanted.sum_abs)
    within(found.sum_square, wanted.sum_square, wanted.sum_square)
    within(found.max_abs, wanted.max_abs, wanted.max_abs)
    assert found.gram.shape[1] == len(unit.members) and pairs.shape[1] == found.sum_abs.shape[1]
    for name in ("lagged", "opposite"):
        largest = largest_statistic(unit) if null_axis(unit) is not None else 1.0
        assert getattr(found, name).shape == getattr(wanted, name).shape
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=0, atol=1e-6 * largest)


def within(found: np.ndarray, wanted: np.ndarray, scale: np.ndarray) -> None:
    """NaN and infinity where they are wanted, elsewhere within 1e-6 of `scale`."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    finite = np.isfinite(wanted) & np.isfinite(scale)
    with np.errstate(invalid="ignore"):
        assert np.all((np.abs(found - wanted) <= 1e-6 * scale)[finite])


def same(found: ops.Sweep, wanted: ops.Sweep) -> bool:
    """Bit for bit."""
    return all(
        getattr(found, field.name).tobytes() == getattr(wanted, field.name).tobytes() for field in fields(ops.Sweep)
    )


@pytest.fixture(autouse=True)
def interpreted(poisoned: None) -> None:
    """For every test of a module that imports it."""

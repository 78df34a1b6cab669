"""TorchDevice: the numbers of the CPU from every kind of unit, the same bits from any number of devices."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from comparisons import BF16, Array, model, pair, perturbed
from folders import write_checkpoint
from torch_devices import TorchDevice, check, interpreted, poisoned, same, swept, torch, torch_device
from weightkin import CheckpointError, compare, estimate, units
from weightkin.comparison import open_models
from weightkin.devices import HostDevice, Part, Weights, choosing, pieces
from weightkin.errors import DeviceWarning
from weightkin.plan import Plan, make_plan
from weightkin.relabelling import Relabellings
from weightkin.slabs import Slab
from weightkin.units import Unit, make_unit

__all__ = ["interpreted", "poisoned"]

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter's arithmetic, in every thread

E4M3, E5M2 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e5m2)
F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
Q, DOWN, NORM = (f"model.layers.0.{name}.weight" for name in ("self_attn.q_proj", "mlp.down_proj", "input_layernorm"))


def planned(folder: Path, members: Sequence[Mapping[str, Array]], canonical: bool = False, gap: int = 0) -> Plan:
    paths = [write_checkpoint(folder / str(number), arrays, gap=gap) for number, arrays in enumerate(members)]
    return make_plan(open_models(paths), canonical=canonical)


def check_plan(plan: Plan, given: Sequence[Unit] | None = None) -> None:
    """Every unit, from one device, which takes all of them."""
    given = plan.units if given is None else given
    device = torch_device()
    assert all(device.accepts(unit) for unit in given)
    found, wanted = swept(plan, given, [device]), swept(plan, given, [HostDevice(1)])
    assert device.units == len(given) == len(found)
    for unit in given:
        check(unit, found[unit.index], wanted[unit.index])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks in a tensor, one in a slab."""
    monkeypatch.setattr(units, "BLOCK", 500)
    monkeypatch.setattr("weightkin.devices.torch_device.SLAB", 1)


@pytest.mark.parametrize(
    "dtypes",
    [(BF16, BF16), (F16, F16), (F32, F32), (E4M3, E4M3), (BF16, F32), (F16, BF16), (E5M2, E4M3), (E4M3, F16)],
    ids=lambda dtypes: "-".join(map(str, dtypes)),
)
def test_dtypes(dtypes: tuple[np.dtype[Any], np.dtype[Any]], tmp_path: Path) -> None:
    """At odd offsets; with values that are not finite."""
    tensors = model(0, 1, dtype=F32)
    members = [{name: tensor.astype(dtypes[0]) for name, tensor in tensors.items()}]
    members.append({name: tensor.astype(dtypes[1]) for name, tensor in perturbed(tensors).items()})
    members[1][Q][3, 5] = np.nan
    if dtypes[0] != E4M3:
        members[0][DOWN][2, 7] = np.inf
    check_plan(planned(tmp_path, members, gap=1))


@pytest.mark.usefixtures("small")
def test_slabs_of_three_models(tmp_path: Path) -> None:
    """The null goes both ways, and of `down` its axis is the one that slabs divide."""
    members = [{name: tensors[name] for name in (Q, DOWN, NORM)} for tensors in (model(0, 1), model(3, 1))]
    check_plan(planned(tmp_path, [members[0], perturbed(members[0]), members[1]]))


@pytest.mark.usefixtures("small")
def test_folded_gains(tmp_path: Path) -> None:
    tensors = model(0, 1, mean=1.0)
    plan = planned(tmp_path, [tensors, perturbed(tensors)], canonical=True)
    assert any(unit.gains for unit in plan.units)
    check_plan(plan)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("turned", [(False, False), (True, True), (False, True)])
def test_gathered_entries(axis: int, turned: tuple[bool, bool], tmp_path: Path) -> None:
    """Of one or both members, stored alike, or one of them the other way round."""
    shape = (40, 24)
    members = [
        np.random.default_rng(seed).standard_normal(shape[::-1] if turn else shape) for seed, turn in enumerate(turned)
    ]
    norm = {"model.norm.weight": np.ones(24, BF16)}  # that the two share
    paths = [write_checkpoint(tmp_path / str(number), {Q: x.astype(BF16)} | norm) for number, x in enumerate(members)]
    models = open_models(paths)
    slots = {}
    for number, (one, turn) in enumerate(zip(models, turned, strict=True)):
        slot, view = one.slots[0], one.slots[0].view
        assert view is not None
        slots[number] = replace(slot, view=view.permute([1, 0]) if turn else view)
    random = np.random.default_rng(5)
    taken = 30 if axis == 0 else 20
    for rows in ([random.permutation(shape[axis])[:taken] for _ in members], [None, random.permutation(shape[axis])]):
        unit = make_unit(0, slots[0].address, slots, rows, gather_axis=axis)
        check_plan(make_plan(models), [unit])


def test_parts_of_fused_tensors(tmp_path: Path) -> None:
    """Ranges that lie apart: experts stacked in one tensor, their gates and ups in turn or one behind the other."""
    config = {"model_type": "gpt_oss", "num_hidden_layers": 1}
    random = np.random.default_rng(0)
    stacked = {
        "model.layers.0.mlp.experts.gate_up_proj": random.standard_normal((3, 24, 32)).astype(BF16),
        "model.layers.0.mlp.experts.down_proj": random.standard_normal((3, 16, 24)).astype(BF16),
    }
    paths = [
        write_checkpoint(tmp_path / name, arrays, config)
        for name, arrays in (("a", stacked), ("b", perturbed(stacked)))
    ]
    plan = make_plan(open_models(paths))
    assert len(plan.units) == 9
    check_plan(plan)


@pytest.mark.usefixtures("small")
def test_the_same_bits_from_any_number_of_devices(tmp_path: Path) -> None:
    """Also from slabs of one block and of whole units."""
    tensors = {name: tensor for name, tensor in model(0, 1).items() if name in (Q, DOWN, NORM)}
    plan = planned(tmp_path, [tensors, perturbed(tensors)])
    whole = torch_device()
    whole._slab = 1 << 20  # type: ignore[attr-defined]
    wanted = swept(plan, plan.units, [whole])
    for number in (1, 2, 8):
        found = swept(plan, plan.units, [torch_device(f"torch:{at}") for at in range(number)])
        assert all(same(found[unit.index], wanted[unit.index]) for unit in plan.units)


def test_experts_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one shape: the bits of each alone; with ragged blocks, of which some need float64."""
    monkeypatch.setattr(units, "BLOCK", 500)
    random = np.random.default_rng(0)
    names = [f"model.layers.0.mlp.experts.{number}.up_proj.weight" for number in range(7)]
    experts = {name: random.normal(number == 3, 0.1, (40, 32)).astype(BF16) for number, name in enumerate(names)}
    paths = [
        write_checkpoint(tmp_path / name, x, {"model_type": "qwen3_moe"})
        for name, x in (("a", experts), ("b", perturbed(experts)))
    ]
    plan = make_plan(open_models(paths))
    alone = swept(plan, plan.units, [torch_device()])
    monkeypatch.setattr("weightkin.devices.torch_device.SMALLEST", 1)
    device = torch_device()
    batch = [Slab(unit, 0, len(unit.bounds) - 1) for unit in plan.units]
    assert all(device.joins(batch[0], slab) for slab in batch)
    weights = Weights(plan, Relabellings(plan, 8, 0))
    for slab, part in zip(batch, device.compute(weights, batch), strict=True):
        assert same(device.finish(weights, slab.unit, [part]), alone[slab.unit.index])
    device.close()
    together = swept(plan, plan.units, [torch_device()])
    assert all(same(found, alone[number]) for number, found in together.items())


def test_ranges_are_copied_once(tmp_path: Path) -> None:
    """Rows that lie apart come without what is between them, and short pieces with it."""
    config = {"model_type": "llama", "hidden_size": 512}
    fused = {"model.layers.0.self_attn.qkv_proj.weight": np.zeros((96, 512), BF16)}
    (one,) = open_models([write_checkpoint(tmp_path, fused, config)])
    view = one.slots[0].view
    assert view is not None
    wide = replace(view, shape=(8, 512), strides=(4 * view.strides[0], view.strides[1]))
    narrow = view.permute([1, 0]).narrow(1, 0, 8)
    for part, ranges, nbytes in ((wide, 8, wide.nbytes), (narrow, 1, narrow.extent[1] - narrow.extent[0])):
        unit = make_unit(0, one.slots[0].address, {0: replace(one.slots[0], view=part)})
        piece = pieces.piece_of(unit, 0, 0, unit.views[0].shape[0])
        assert (len(piece.offsets), piece.nbytes) == (ranges, nbytes)


def test_what_it_leaves_to_the_host(tmp_path: Path) -> None:
    tensors = {
        "int": np.arange(50, dtype=np.int32),
        "wide": np.ones((4, 9), F64),
        "model.norm.weight": np.ones(32, BF16),
    }
    plan = planned(tmp_path, [tensors, tensors])
    device = torch_device()
    accepted = {unit.address.role: device.accepts(unit) for unit in plan.units}
    assert sorted(accepted.values()) == [False, False, True]
    host = HostDevice(1, spare=True)
    assert len(swept(plan, plan.units, [device, host])) == 3
    assert (device.units, host.units) == (1, 2)
    assert not torch_device(memory=1000).accepts(plan.units[0])


class Broken(TorchDevice):
    """Runs out of memory at its third slab."""

    slabs_left = 2

    def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
        with self.lane():
            self.slabs_left -= 1
            if self.slabs_left < 0:
                raise torch.OutOfMemoryError("tried to allocate 1 TiB")
        return super().compute(weights, batch)


@pytest.mark.usefixtures("small")
def test_out_of_memory(tmp_path: Path) -> None:
    """Its slabs go to the host, which also finishes what it had begun."""
    tensors = model(0, 1)
    plan = planned(tmp_path, [tensors, perturbed(tensors)])
    device, host = torch_device(), HostDevice(1, spare=True)
    device.__class__ = Broken
    with pytest.warns(DeviceWarning, match="failed and is not used any more: out of memory .*; going on with cpu$"):
        found = swept(plan, plan.units, [device, host])
    assert host.units > 0 and device.retired is not None
    wanted = swept(plan, plan.units, [HostDevice(1)])
    for unit in plan.units:
        check(unit, found[unit.index], wanted[unit.index])


def test_our_own_mistakes_are_not_the_devices(tmp_path: Path) -> None:
    tensors = model(0, 1)
    plan = planned(tmp_path, [tensors, tensors])
    device = torch_device()
    device.compute = lambda *_: torch.zeros(2) + torch.zeros(3)  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(RuntimeError, match="size of tensor"):
        swept(plan, plan.units, [device, HostDevice(1, spare=True)])


def test_a_shard_that_shrinks(tmp_path: Path) -> None:
    tensors = model(0, 1)
    plan = planned(tmp_path, [tensors, perturbed(tensors)])
    shard = tmp_path / "1" / "model.safetensors"

    class Shrinking(TorchDevice):
        def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
            weights.shards[1][0]  # mapped while it was whole
            os.truncate(shard, 4096)
            return super().compute(weights, batch)

    device = torch_device()
    device.__class__ = Shrinking
    with pytest.raises(CheckpointError, match=f"^{shard}: the file (shrank|changed) while it was being read$"):
        swept(plan, plan.units, [device, HostDevice(1, spare=True)])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run: verdict and summary are those of the CPU, but for the device that they name."""
    folders = pair(tmp_path, layers=1)
    wanted = compare(*folders, device="cpu", null=19, align="none")
    devices = [torch_device(), HostDevice(1, spare=True)]
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: devices)
    found = compare(*folders, null=19, align="none")
    assert found.summary["verdict"] == wanted.summary["verdict"]
    (entry,) = found.summary["devices"]
    assert entry["units"] == 5 and entry["name"] == devices[0].name
    for one, other in zip(found.summary["roles"], wanted.summary["roles"], strict=True):
        assert one["pearson"] == pytest.approx(other["pearson"], abs=1e-6)
        assert one["z"] == pytest.approx(other["z"], rel=1e-4)


def test_plan_measures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a comparison is estimated from this device, which the plan names."""
    folders = pair(tmp_path, layers=1)
    monkeypatch.setattr(estimate, "BLOCK", 500)
    monkeypatch.setattr("weightkin.devices.rates.COPIED", 1 << 16)
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: [torch_device("cuda:0"), HostDevice(1, spare=True)])
    found = estimate.estimate(folders)
    assert found.devices == ["cuda:0"] and found.seconds["memory"] == found.nbytes / found.compute_rate > 0

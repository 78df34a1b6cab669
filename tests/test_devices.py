"""devices: several on one queue give the bits of one; --device says which, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from comparisons import BF16, pair, same_tables
from folders import write_checkpoint
from weightkin import DeviceError, ResultsError, compare, slabs, units
from weightkin.devices import Device, HostDevice, choose_devices, choosing, describe_devices, kinds
from weightkin.errors import DeviceWarning
from weightkin.results import Results


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("devices"), layers=3)


class Named(HostDevice):
    """A host device of another name, that may decline units of one axis."""

    def __init__(self, name: str, threads: int = 1, spare: bool = False, declines: int = -1) -> None:
        super().__init__(threads, spare)
        self.name, self._declines = name, declines

    def accepts(self, unit: units.Unit) -> bool:
        return len(unit.axes) != self._declines


def on(devices: Sequence[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: list(devices))


def compared(folders: tuple[Path, Path], devices: Sequence[Device], monkeypatch: pytest.MonkeyPatch) -> Results:
    on(devices, monkeypatch)
    return compare(*folders)


@pytest.mark.parametrize("number", [1, 2, 8])
def test_the_same_bits_from_any_number_of_devices(
    number: int, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BLOCK", 300)
    monkeypatch.setattr(slabs, "SLAB", 2000)
    reference = compare(*folders, device="cpu", threads=1)
    devices = [Named(f"cpu:{at}", threads=1 + at % 2) for at in range(number)]
    found = compared(folders, devices, monkeypatch)
    assert same_tables(reference, found)
    entries = found.summary["devices"]
    assert [entry["name"] for entry in entries] == [f"cpu:{at}" for at in range(number)]
    assert sum(entry["units"] for entry in entries) == reference.summary["devices"][0]["units"] == 13
    assert sum(entry["bytes"] for entry in entries) == found.summary["throughput"]["bytes"]


def test_a_spare_device_takes_what_the_others_decline(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norms, of which there are three."""
    reference = compare(*folders, device="cpu")
    found = compared(folders, [Named("one", declines=1), HostDevice(2, spare=True)], monkeypatch)
    assert same_tables(reference, found)
    assert [(entry["name"], entry["units"]) for entry in found.summary["devices"]] == [("one", 10), ("cpu", 3)]


def test_a_spare_device_that_did_nothing_is_not_listed() -> None:
    one, spare = HostDevice(1), HostDevice(1, spare=True)
    assert [entry["name"] for entry in describe_devices([one, spare])] == ["cpu"]
    assert kinds([one, spare]) == [one.kind]


def test_a_run_is_not_resumed_on_another_kind(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Named("other")
    other.kind = "other 1.0"
    on([other, HostDevice(1, spare=True)], monkeypatch)
    found = compare(*folders, output=tmp_path / "results")
    assert compare(*folders, output=tmp_path / "results", resume=True).summary == found.summary
    monkeypatch.undo()
    with pytest.raises(ResultsError, match="holds the results of another comparison"):
        compare(*folders, output=tmp_path / "results", resume=True, device="cpu")


def test_a_tensor_without_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        write_checkpoint(tmp_path / name, {"scale": np.array(value, BF16)}) for name, value in (("a", 2), ("b", 3))
    ]
    found = compared((paths[0], paths[1]), [Named("one"), Named("two")], monkeypatch)
    assert found["tensors"]["max_abs_difference"].to_pylist() == [1.0]


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "native_cuda", lambda: None)


class Native:
    """What choosing asks of the module of CUDA kernels."""

    def __init__(self, count: int | None) -> None:
        self._count = count

    def device_count(self) -> int:
        if self._count is None:
            raise RuntimeError("CUDA: cudaGetDeviceCount: system has unsupported display driver")
        return self._count


@pytest.mark.usefixtures("no_cuda")
def test_without_cuda() -> None:
    for text in ("auto", "cpu", "cpu,auto"):
        (device,) = choose_devices(text, 3)
        assert isinstance(device, HostDevice) and device.lanes == 3 and not device.spare
    with pytest.raises(DeviceError, match=r"^--device cuda:1: this build has no CUDA kernels$") as caught:
        choose_devices("cpu,cuda:1", 1)
    assert "nvcc" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["tpu", "", "cuda:", "cuda:x", "cpu,,cuda", "CPU"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(DeviceError, match=r"is not auto, cpu, cuda or cuda:N"):
        choose_devices(text, 1)


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(choosing, "native_cuda", lambda: Native(0))
    with pytest.raises(DeviceError, match="there is no NVIDIA GPU"):
        choose_devices("cuda", 1)
    assert len(choose_devices("auto", 1)) == 1
    monkeypatch.setattr(choosing, "native_cuda", lambda: Native(None))
    with pytest.raises(DeviceError, match="unsupported display driver"):
        choose_devices("cuda", 1)
    monkeypatch.setattr(choosing, "driver", lambda: "580.1")
    with pytest.warns(DeviceWarning, match="no GPU is used: CUDA: cudaGetDeviceCount: .* driver"):
        assert len(choose_devices("auto", 1)) == 1
    monkeypatch.setattr(choosing, "native_cuda", lambda: Native(0))
    monkeypatch.setattr(choosing, "driver", lambda: None)
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name == "triton" else name)
    with pytest.raises(DeviceError, match="triton is not installed") as caught:
        choose_devices("cuda", 1)
    assert caught.value.hint == "pip install 'weightkin[gpu]'"
    monkeypatch.setattr(choosing, "native_cuda", lambda: Native(2))
    monkeypatch.setattr(choosing, "lacking", lambda: None)
    with pytest.raises(DeviceError, match=r"^--device cuda:2: there is no such GPU$") as caught:
        choose_devices("cuda:2", 1)
    assert caught.value.hint == "those here have the numbers 0 to 1"

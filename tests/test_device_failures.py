"""Devices that fail: their slabs come back, one warning names them, and the numbers stay what they are."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from comparisons import pair, same_tables
from weightkin import DeviceError, compare, ops, slabs, units
from weightkin.devices import Device, HostDevice, Part, Weights, choosing
from weightkin.errors import DeviceWarning
from weightkin.slabs import Slab


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("failures"), layers=3)


@pytest.fixture(autouse=True)
def many_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BLOCK", 300)
    monkeypatch.setattr(slabs, "SLAB", 2000)


class Failing(HostDevice):
    """Computes as the host does until it has computed `after` slabs, or until the `whole`th unit is to be finished."""

    def __init__(self, name: str, after: int = 1 << 30, whole: int = 1 << 30, threads: int = 1) -> None:
        super().__init__(threads)
        self.name, self._left, self._whole = name, after, whole

    def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
        self._left -= 1
        if self._left < 0:
            raise DeviceError("out of memory")
        return super().compute(weights, batch)

    def finish(self, weights: Weights, unit: units.Unit, parts: Sequence[Part]) -> ops.Sweep:
        self._whole -= 1
        if self._whole < 0:
            raise DeviceError("lost")
        return super().finish(weights, unit, parts)


def check(folders: tuple[Path, Path], devices: Sequence[Device], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings of a run that gives the numbers of the host alone."""
    reference = compare(*folders, device="cpu", threads=1)
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: list(devices))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = compare(*folders)
    assert same_tables(reference, found)
    entries = {entry["name"]: entry for entry in found.summary["devices"]}
    assert {name for name, entry in entries.items() if "retired" in entry} == {
        device.name for device in devices if device.retired is not None
    }
    assert sum(entry["bytes"] for entry in entries.values()) == found.summary["throughput"]["bytes"]
    assert all(issubclass(one.category, DeviceWarning) for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("after", [0, 1, 7])
def test_one_of_two_fails(after: int, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [Failing("bad", after=after, threads=3), Failing("good")]
    (warning,) = check(folders, devices, monkeypatch)
    assert warning == "bad failed and is not used any more: out of memory; going on with good"
    assert devices[0].retired == "out of memory" and devices[1].retired is None


def test_a_unit_that_cannot_be_finished_is_finished_by_another(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (warning,) = check(folders, [Failing("bad", whole=0), Failing("good")], monkeypatch)
    assert "lost" in warning


def test_the_host_takes_over_when_all_fail(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [Failing("one", after=2), Failing("two", after=3), HostDevice(2, spare=True)]
    warnings_ = check(folders, devices, monkeypatch)
    assert [warning.split(" failed")[0] for warning in warnings_] in (["one", "two"], ["two", "one"])
    assert warnings_[1].endswith("going on with cpu")


def test_no_device_is_left(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    monkeypatch.setattr(choosing, "choose_devices", lambda *_: [Failing("only", after=3)])
    with pytest.raises(DeviceError, match=r"^only: out of memory$"):
        compare(*folders)
    assert threading.active_count() == before


def test_other_errors_are_not_hidden(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(HostDevice):
        def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
            raise ZeroDivisionError(f"a mistake in {len(batch)} of {weights}")

    monkeypatch.setattr(choosing, "choose_devices", lambda *_: [Wrong(2), HostDevice(1, spare=True)])
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        compare(*folders)


COMMAND_THAT_FAILS = """
import sys
from weightkin import DeviceError
from weightkin.cli import main
from weightkin.devices import HostDevice, choosing

class Lost(HostDevice):
    name = "cuda:0"
    def compute(self, weights, batch):
        raise DeviceError("the GPU is lost")

choosing.choose_devices = lambda *_: [Lost(1), HostDevice(2, spare=True)]
sys.argv = ["weightkin", *sys.argv[1:]]
main()
"""


def test_the_command_says_so_in_one_line(folders: tuple[Path, Path]) -> None:
    command = [sys.executable, "-c", COMMAND_THAT_FAILS, "compare", *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        "warning: cuda:0 failed and is not used any more: the GPU is lost; going on with cpu"
    )
    assert "warning" not in done.stdout

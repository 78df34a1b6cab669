"""A GPU to measure: which one, how its time is told, and what is known of it. Imports torch when it is asked for one."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from weightkin.errors import WeightkinError

from .machine import package_version
from .registry import Run, Settings, Timer
from .timing import seconds

if TYPE_CHECKING:
    import torch

INTERPRETER = "interpreter"
"""In place of a device's name: its cases run on the processor, in Triton's interpreter."""
LONG = 1.0
"""Seconds of a run of which one is enough to warm up."""
WINDOW = 0.03
"""Seconds of one measurement: short runs are queued until they fill it, so that launches hide behind the work."""
MOST_REPEATS = 200
CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw", "power.limit", "temperature.gpu")
PACKAGES = ("torch", "triton", "lapx")


class NoDeviceError(WeightkinError):
    """There is no such GPU, or nothing to use it with."""


class EventClock:
    """Seconds of a run by CUDA's own events; what a run leaves on the default stream is waited for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._repeats: WeakKeyDictionary[Run, int] = WeakKeyDictionary()  # a run holds gigabytes of the device

    def __call__(self, run: Run) -> float:
        if run not in self._repeats:
            took = self._elapsed(run, 1)
            if took < LONG:  # it compiled kernels or created handles, perhaps; a long run hardly changes by that
                took = self._elapsed(run, 1)
            self._repeats[run] = min(MOST_REPEATS, max(1, ceil(WINDOW / took)))
        return self._elapsed(run, self._repeats[run])

    def _elapsed(self, run: Run, repeats: int) -> float:
        import torch

        with torch.cuda.device(self._device):
            event: Any = torch.cuda.Event
            start, end = (event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            for _ in range(repeats):
                run()
            end.record()
            torch.cuda.synchronize()
            return float(start.elapsed_time(end)) / 1e3 / repeats


def choose(name: str) -> torch.device:
    """The device of a name as `--device` takes it. Raises `NoDeviceError`."""
    if name == INTERPRETER:
        os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are defined, so before any of them is imported
    try:
        import torch
        import triton  # noqa: F401
    except ImportError as error:
        raise NoDeviceError(f"{error.name} is not installed", hint="pip install 'weightkin[gpu]'") from error
    if name == INTERPRETER:
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise NoDeviceError(f"{name!r} is not a device: cpu, cuda, cuda:0, ..., or {INTERPRETER}") from error
    if device.type != "cuda":
        raise NoDeviceError(f"only CUDA devices are measured, not {device.type}")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= found:
        raise NoDeviceError(f"there is no device {name}: this machine has {found} that CUDA can use")
    return torch.device("cuda", device.index or 0)


def timer(device: torch.device) -> Timer:
    """Seconds of a run on the device."""
    return EventClock(device) if device.type == "cuda" else seconds


def forget() -> None:
    """Gives back what is left of a case: the next one, and the engine, ask how much memory is free."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def describe(device: torch.device) -> dict[str, Any]:
    """Name, memory, driver, versions and clocks."""
    import torch

    versions = {name: package_version(name) for name in PACKAGES}
    if device.type != "cuda":
        return {"name": "Triton's interpreter", "count": 0, "versions": versions}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "count": torch.cuda.device_count(),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "l2_mb": round(properties.L2_cache_size / 1e6, 1),
        "cuda": torch.version.cuda,
        "versions": versions,
        **smi(device.index, "driver_version", *CLOCKS),
    }


def describe_and_rate(settings: Settings, held: Mapping[str, Any]) -> dict[str, Any]:
    """`device` and `rates` of a results file; the rates that it holds of this device, `held`, are not measured again."""
    import torch

    from .device_rates import measure_rates

    device = torch.device(settings.device)
    found = describe(device)
    if held.get("device", {}).get("name") == found["name"] and "rates" in held:
        return {"device": held["device"], "rates": held["rates"]}
    rates = measure_rates(device, settings)
    forget()
    return {"device": found | describe(device), "rates": rates}  # clocks while they are high


def smi(index: int, *fields: str) -> dict[str, str]:
    """What nvidia-smi says of a device; nothing where it says nothing."""
    command = ["nvidia-smi", f"--id={index}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in run.stdout.strip().split(",")]
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}

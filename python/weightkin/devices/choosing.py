"""--device: which devices a run computes on."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ..errors import DeviceError, DeviceWarning
from .device import Device
from .driver import driver, native_cuda
from .host import HostDevice

AUTO, CPU = "auto", "cpu"
_NAME = re.compile(r"auto|cpu|cuda(:\d{1,4})?")


def device_names(text: str) -> list[str]:
    """The parts of "cuda:0,cuda:1", each once. Raises ValueError if one is no device's name."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not auto, cpu, cuda or cuda:N")
    return names


def choose_devices(text: str, threads: int) -> list[Device]:
    """The devices of a run, best first; the last is always the host's cores, `threads` of them.

    `text`: "auto" for all GPUs that are there, or else the CPU (with a `DeviceWarning` where there is a driver for
    some); or names with commas between them: "cpu", "cuda" for all GPUs, "cuda:1" for one. Unless "cpu" is among
    them, the host is a spare beside GPUs (`Device.spare`): it takes what they do not accept, and everything if all of
    them fail. GPUs are opened when they are first used, and closed by `Device.close`. Raises `DeviceError` if a GPU
    that is named cannot be used, and says what is missing.
    """
    try:
        names = device_names(text)
    except ValueError as error:
        raise DeviceError(f"--device: {error}") from None
    numbers: dict[int, None] = {}
    for name in names:
        if name == CPU:
            continue
        missing = lacking()
        if missing is not None and name == AUTO:
            if driver() is not None:
                warnings.warn(
                    DeviceWarning(
                        f"this machine has an NVIDIA driver, but no GPU is used: {missing[0]} ({missing[1]})"
                    ),
                    stacklevel=2,
                )
            continue
        if missing is not None:
            raise DeviceError(f"--device {name}: {missing[0]}", missing[1])
        numbers |= dict.fromkeys(_numbers(name))
    if not numbers:
        return [HostDevice(threads)]
    from .torch_device import cuda_device  # imports torch

    each = max(1, threads // len(numbers))
    return [*(cuda_device(number, each) for number in numbers), HostDevice(threads, spare=CPU not in names)]


@contextmanager
def opened_devices(text: str, threads: int) -> Iterator[list[Device]]:
    """`choose_devices`, closed at the end."""
    devices = choose_devices(text, threads)
    try:
        yield devices
    finally:
        for device in devices:
            device.close()


def lacking() -> tuple[str, str] | None:
    """What GPUs lack here, and a hint; None if they can be used. Imports torch only where everything else is there."""
    native = native_cuda()
    if native is None:
        return "this build has no CUDA kernels", "build it where the CUDA toolkit is (nvcc), or give --device cpu"
    for package in ("torch", "triton"):
        if find_spec(package) is None:
            return f"{package} is not installed", "pip install 'weightkin[gpu]'"
    try:
        count = native.device_count()
    except RuntimeError as error:
        return str(error), "the driver and the CUDA version of this build do not go together"
    if not count:
        return "there is no NVIDIA GPU that can be used", "weightkin env says what was found"
    import torch

    if not torch.cuda.is_available():
        return "this PyTorch has no CUDA, or finds no driver", "install a build of PyTorch for CUDA"
    return None


def _numbers(name: str) -> list[int]:
    """Of the GPUs that "auto", "cuda" or "cuda:N" names; there is at least one."""
    count = native_cuda().device_count()
    _, _, number = name.partition(":")
    if number and int(number) >= count:
        last = f"0 to {count - 1}" if count > 1 else "0 alone"
        raise DeviceError(f"--device {name}: there is no such GPU", f"those here have the numbers {last}")
    return [int(number)] if number else list(range(count))

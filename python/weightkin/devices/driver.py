"""What is known of GPUs without opening one."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_DRIVER = Path("/sys/module/nvidia/version")


def driver() -> str | None:
    """Version of the NVIDIA driver; None without one."""
    try:
        return _DRIVER.read_text().strip()
    except OSError:
        return None


def native_cuda() -> Any:
    """The module of CUDA kernels; None in a build without them."""
    try:
        from .. import _cuda
    except ImportError:
        return None
    return _cuda


def gpus() -> dict[str, Any]:
    """A section of `weightkin env`. Does not import torch: what it was built for stands in a file."""
    native = native_cuda()
    found: dict[str, Any] = {"CUDA kernels": "not in this build"}
    if native is not None:
        runtime, newest = native.versions()
        found["CUDA kernels"] = f"built with CUDA {runtime}; " + (
            f"the driver takes up to {newest}" if newest else "there is no driver to run them"
        )
    found["driver"] = driver() or "none"
    found["torch built for"] = _torch_cuda()
    try:
        every = [native.properties(number) for number in range(native.device_count() if native is not None else 0)]
    except RuntimeError as error:  # a driver in trouble is what `env` is asked about
        return found | {"trouble": str(error)}
    for number, properties in enumerate(every):
        memory, free = (f"{properties[key] / 1e9:.1f} GB" for key in ("total_memory", "free_memory"))
        capability = ".".join(map(str, properties["capability"]))
        found[f"cuda:{number}"] = f"{properties['name']}, capability {capability}, {memory}, {free} free"
    return found


def _torch_cuda() -> str:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "torch is not installed"
    version = Path(spec.origin).with_name("version.py")
    match = re.search(r"^cuda\b[^=]*=\s*'([\d.]+)'", version.read_text() if version.exists() else "", re.MULTILINE)
    return f"CUDA {match[1]}" if match else "the CPU alone"

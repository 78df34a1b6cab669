"""What a result or a bug report must say about the machine and the programs on it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__

BASE = ("numpy", "scipy", "pyarrow", "safetensors", "ml_dtypes", "click", "rich")
EXTRAS = {
    "gpu": ("torch", "triton"),
    "hub": ("huggingface_hub",),
    "report": ("plotly", "jinja2"),
    "bench": ("numkong",),
    "test": ("pytest", "hypothesis", "transformers", "pandas", "polars", "duckdb", "selenium"),
}
"""Distributions by the name of the extra that asks for them."""


def environment() -> dict[str, dict[str, Any]]:
    """Sections of names and values. Imports none of the packages whose versions it tells."""
    from . import _core
    from .comparison import usable_cores
    from .devices.driver import gpus

    page = os.sysconf("SC_PAGE_SIZE")
    return {
        "weightkin": {"version": __version__, "folder": str(Path(__file__).parent)},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": f"{usable_cores()} usable of {os.cpu_count()}",
            "memory": f"{page * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
            "page size": f"{page:,} bytes",
            "instruction set": _core.instruction_set(),
            "instruction sets that run here": ", ".join(_core.INSTRUCTION_SETS),
            "WEIGHTKIN_ISA": os.environ.get("WEIGHTKIN_ISA", "not set"),
        },
        "GPUs": gpus(),
        "packages": {"python": platform.python_version()} | {name: _version(name) for name in BASE},
        **{f"extra: {extra}": {name: _version(name) for name in names} for extra, names in EXTRAS.items()},
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # systems without it
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

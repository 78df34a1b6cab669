"""The kernels where they can run: on a CUDA device, or else in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from operands import Row

torch = pytest.importorskip("torch")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def interpret(environment: pytest.MonkeyPatch) -> None:
    """Triton looks when it is imported, when kernels are defined, and at their first launch."""
    if DEVICE == "cpu":
        environment.setenv("TRITON_INTERPRET", "1")


with pytest.MonkeyPatch.context() as environment:
    interpret(environment)
    pytest.importorskip("triton")
    from weightkin.kernels import chunks, difference, gram

__all__ = [
    "DEVICE",
    "TORCH_DTYPES",
    "check_compilation",
    "chunks",
    "difference",
    "far_apart",
    "gram",
    "poisoned",
    "tensor",
    "torch",
]

TORCH_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def tensor(row: Row, dtype: str) -> torch.Tensor:
    """A copy of a row on the device."""
    codes = torch.from_numpy(row.view(f"i{row.dtype.itemsize}").copy())
    return codes.view(TORCH_DTYPES[dtype]).to(DEVICE)


def far_apart(row: Row) -> torch.Tensor:
    """A BF16 row on the device whose neighbours lie 2^30 elements apart, in memory that is otherwise left alone."""
    room = 2**30 * (row.size - 1) + 1
    if DEVICE == "cpu":
        memory = torch.from_numpy(np.empty(room, np.int16))
    else:
        memory = torch.empty(room, dtype=torch.int16, device=DEVICE)
    far = memory.view(torch.bfloat16)[:: 2**30]
    far.copy_(tensor(row, "BF16"))
    return far


def check_compilation(calls: Sequence[str], folder: Path) -> None:
    """What launchers launch compiles, and no kernel spills registers. In a process of its own, without the interpreter."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("triton_compilation.py")
    run = subprocess.run([sys.executable, script, *calls], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    compiled: dict[str, list[tuple[str, int]]] = json.loads(run.stdout)
    for call in calls:
        assert compiled[call] and all(local == 0 for _, local in compiled[call]), (call, compiled[call])


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that a launcher leaves uninitialised holds NaN; the interpreter's arithmetic does not warn."""
    interpret(monkeypatch)
    torch.use_deterministic_algorithms(True)
    with np.errstate(all="ignore"):
        yield
    torch.use_deterministic_algorithms(False)

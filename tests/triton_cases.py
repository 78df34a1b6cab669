"""The kernels where they can run: on a CUDA device, or else in Triton's interpreter."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from operands import Row, normal

torch = pytest.importorskip("torch")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def interpret(environment: pytest.MonkeyPatch) -> None:
    """Triton looks when it is imported, when kernels are defined, and at their first launch."""
    if DEVICE == "cpu":
        environment.setenv("TRITON_INTERPRET", "1")


with pytest.MonkeyPatch.context() as environment:
    interpret(environment)
    pytest.importorskip("triton")
    from weightkin.kernels import activation, chunks, cross_gram, difference, gram, lagged, probe

__all__ = [
    "DEVICE",
    "TORCH_DTYPES",
    "activation",
    "chunks",
    "compiled",
    "cross_gram",
    "difference",
    "far_apart",
    "gram",
    "lagged",
    "matrix",
    "poisoned",
    "probe",
    "tensor",
    "torch",
]

TORCH_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def tensor(row: Row, dtype: str) -> torch.Tensor:
    """A copy of an array on the device."""
    codes = torch.from_numpy(row.view(f"i{row.dtype.itemsize}").copy())
    return codes.view(TORCH_DTYPES[dtype]).to(DEVICE)


def matrix(seed: int, dtype: str, *shape: int) -> torch.Tensor:
    """Normal numbers on the device."""
    return tensor(normal(seed, math.prod(shape), dtype), dtype).reshape(shape)


def far_apart(values: torch.Tensor) -> torch.Tensor:
    """A copy of a BF16 tensor whose entries along the first axis lie 2^30 elements apart, in memory otherwise left alone."""
    room = 2**30 * (len(values) - 1) + values[0].numel()
    if DEVICE == "cpu":
        memory = torch.from_numpy(np.empty(room, np.int16))
    else:
        memory = torch.empty(room, dtype=torch.int16, device=DEVICE)
    far = memory.view(torch.bfloat16).as_strided(values.shape, (2**30, *values[0].contiguous().stride()))
    far.copy_(values)
    return far


def compiled(calls: Sequence[str], folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """What triton_compilation.py finds. In a process of its own, without the interpreter."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("triton_compilation.py")
    run = subprocess.run([sys.executable, script, *calls], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, list[tuple[str, int, int]]] = json.loads(run.stdout)
    return found


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory that a launcher leaves uninitialised holds NaN; the interpreter's arithmetic does not warn."""
    interpret(monkeypatch)
    torch.use_deterministic_algorithms(True)
    with np.errstate(all="ignore"):
        yield
    torch.use_deterministic_algorithms(False)

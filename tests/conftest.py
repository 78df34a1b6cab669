"""Fixtures that several tests share."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weightkin import _core

PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
if PARALLEL:  # a process per core: torch, which is imported later, must not add its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

BODIES = [name for name in _core.INSTRUCTION_SETS if name not in {"amx", "avx512_bf16"}]
"""Those with kernels of their own; the rest differ from avx512 in cross_gram alone."""


@pytest.fixture(params=BODIES)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn; the one that was in use comes back."""
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


MEMBERS = (
    "twin", "sft", "cpt", "permuted", "shuffled", "laundered", "upscaled", "pruned", "regrown", "transplant", "upcycled",
    "vlm_b", "vlm_c",
)  # fmt: skip


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a zoo: small models that were really trained, and truth.json. One for all processes of a run.

    Training takes two minutes on two free cores. The environment variable WEIGHTKIN_ZOO may name a ready zoo instead
    (python -m weightkin.bench.make_zoo).
    """
    ready = os.environ.get("WEIGHTKIN_ZOO")
    if ready:
        return Path(ready)
    base = tmp_path_factory.getbasetemp().parent if PARALLEL else tmp_path_factory.getbasetemp()
    folder = base / "zoo"
    with open(base / "zoo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "truth.json").exists():
            _train(folder)
    return folder


def _train(folder: Path) -> None:
    command = [sys.executable, "-m", "weightkin.bench.make_zoo", "--quick", "--out", str(folder), "--only", *MEMBERS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""What is built where: CUDA sources where nvcc is, and everything else where it is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
NVCC = shutil.which(os.environ.get("CUDACXX", "nvcc"))
CMAKE, NINJA = shutil.which("cmake"), shutil.which("ninja")


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_kernels_keep_to_registers(source: Path, tmp_path: Path) -> None:
    """Compiled for one architecture: no kernel has a stack or spills registers to memory, and none warns."""
    command = [str(NVCC), "-std=c++17", "-O3", "-arch=sm_90", "-Xptxas", "-v", "-Werror", "all-warnings"]
    command += ["-c", str(source), "-o", str(tmp_path / "object.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(said) == done.stderr.count("Compiling entry function") > 0
    assert {number for kernel in said for number in kernel} == {"0"}, done.stderr


def configure(folder: Path, cuda: str, nvcc: str) -> subprocess.CompletedProcess[str]:
    """Runs CMake alone. `nvcc`: the only one that it may take."""
    pybind11 = pytest.importorskip("pybind11")
    command = [str(CMAKE), "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"-DWEIGHTKIN_CUDA={cuda}"]
    command += [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDACXX": nvcc}, check=False)


def targets(folder: Path) -> set[str]:
    listed = subprocess.run(
        [str(NINJA), "-C", str(folder), "-t", "targets"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"\b(_core|_cuda)\b", listed.stdout))


@pytest.mark.skipif(CMAKE is None or NINJA is None, reason="needs cmake and ninja")
def test_builds_without_nvcc(tmp_path: Path) -> None:
    """One that is broken, one that is missing, and none wanted."""
    broken = tmp_path / "nvcc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    for cuda, nvcc, reason in (
        ("AUTO", str(broken), "no working nvcc was found"),
        ("OFF", "nvcc", "WEIGHTKIN_CUDA=OFF"),
    ):
        done = configure(tmp_path / cuda, cuda, nvcc)
        assert done.returncode == 0, done.stderr
        assert f"weightkin: without CUDA ({reason})" in done.stdout
        assert targets(tmp_path / cuda) == {"_core"}
    done = configure(tmp_path / "ON", "ON", str(tmp_path / "absent"))
    assert done.returncode != 0
    assert "WEIGHTKIN_CUDA=ON, but no working nvcc was found" in done.stderr
    done = configure(tmp_path / "ON", "on", "nvcc")
    assert done.returncode != 0 and "WEIGHTKIN_CUDA must be AUTO, ON or OFF, not on" in done.stderr

"""The native module as a whole: instruction sets, the read roof, the GIL, files that shrink, and its objects."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from weightkin import _core
from weightkin.ops import Operand, sweep

SOURCES = Path(__file__).parents[1] / "csrc" / "cpu"
COMPILER = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")


def python(
    script: str, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


@pytest.mark.parametrize("name", _core.INSTRUCTION_SETS)
def test_environment_forces_an_instruction_set(name: str) -> None:
    done = python("from weightkin import _core; print(_core.instruction_set())", WEIGHTKIN_ISA=name)
    assert (done.returncode, done.stdout.strip()) == (0, name)


def test_best_instruction_set_is_the_default() -> None:
    done = python("from weightkin import _core; print(_core.instruction_set())", WEIGHTKIN_ISA="")
    assert done.stdout.strip() == _core.INSTRUCTION_SETS[0]
    assert _core.INSTRUCTION_SETS[-1] == "scalar"


def test_unknown_instruction_set() -> None:
    done = python("from weightkin import _core", WEIGHTKIN_ISA="avx1024")
    choices = " ".join(_core.INSTRUCTION_SETS)
    expected = f"ImportError: instruction set WEIGHTKIN_ISA = 'avx1024' is not one of this machine's: {choices}"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, expected)
    before = _core.instruction_set()
    with pytest.raises(ValueError, match=f"instruction set 'avx1024' is not one of this machine's: {choices}"):
        _core.use_instruction_set("avx1024")
    assert _core.instruction_set() == before


@pytest.mark.usefixtures("instruction_set")
def test_read_sees_every_byte() -> None:
    """The XOR of all bytes; how they are grouped into words is left to the instruction set."""
    data: Any = np.random.default_rng(0).integers(0, 256, 5000, np.uint8)
    for begin, end in ((0, 5000), (1, 4999), (3, 3), (7, 8), (0, 257)):
        words = _core.read(data, begin, end).to_bytes(8, "little")
        assert np.bitwise_xor.reduce(np.frombuffer(words, np.uint8)) == np.bitwise_xor.reduce(data[begin:end])
    for begin, end in ((0, 5001), (2, 1)):
        with pytest.raises(ValueError, match="range outside the buffer"):
            _core.read(data, begin, end)


def test_gil_is_released() -> None:
    """While a long sweep runs, this thread runs too."""
    one = Operand(bytes(4), 0, "F32", [1 << 27], [0])
    ran: list[float] = []

    def work() -> None:
        ran.append(time.monotonic())
        sweep([one, one], [0, 1 << 27], difference=False)
        ran.append(time.monotonic())

    thread, seen = Thread(target=work), []
    thread.start()
    while thread.is_alive():
        seen.append(time.monotonic())
        time.sleep(0.001)
    assert sum(ran[0] < at < ran[1] for at in seen) >= 5


SHRINK = """
import os, sys, threading, time
from weightkin import _core, ops
with open(sys.argv[1], "wb") as file:
    file.write(bytes(1 << 24))
mapping = _core.Mapping(sys.argv[1])
x = ops.Operand(mapping, 1, "BF16", [4, 1 << 20], [1 << 22, 2])
y = ops.Operand(mapping, 1 << 21, "BF16", [4, 1 << 20], [1 << 21, 2])
def sweep():
    while not mapping.faulted:
        found = ops.sweep([x, y], [0, 1 << 22])
threads = [threading.Thread(target=sweep) for _ in range(2)]
for thread in threads: thread.start()
time.sleep(0.05)
assert not mapping.faulted
os.truncate(sys.argv[1], 100_000)
for thread in threads: thread.join()
ops.sweep([x, y], [0, 1 << 22])
print(mapping.faulted)
"""


def test_file_that_shrinks_during_a_sweep(tmp_path: Path) -> None:
    done = python(SHRINK, str(tmp_path / "shard"))
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


OTHER_FAULT = """
import mmap, os, resource, sys
from weightkin import _core
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for name in ("ours", "theirs"):
    with open(name, "wb") as file:
        file.write(bytes(1 << 16))
ours = _core.Mapping("ours")
os.truncate("ours", 0)
print(_core.read(ours, 0, 1 << 16), ours.faulted, flush=True)
theirs = mmap.mmap(os.open("theirs", os.O_RDONLY), 1 << 16, prot=mmap.PROT_READ)
os.truncate("theirs", 0)
theirs[0]
print("survived")
"""


def test_fault_of_someone_else_still_kills(tmp_path: Path) -> None:
    done = python(OTHER_FAULT, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (-signal.SIGBUS, "0 True")


AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
FLAGS = {
    "scalar": [],
    "avx2": AVX2,
    "avx512": AVX512,
    "avx512_bf16": [*AVX512, "-mavx512bf16"],
    "amx": [*AVX512, "-mamx-tile", "-mamx-bf16"],
}
TABLES = {"avx512_bf16": "kAvx512Bf16CrossGram", "amx": "kAmxCrossGram"}


@pytest.mark.skipif(COMPILER is None or shutil.which("nm") is None, reason="needs a C++ compiler and nm")
@pytest.mark.parametrize("name", _core.INSTRUCTION_SETS)
def test_objects_export_their_table_only(tmp_path: Path, name: str) -> None:
    """A weak symbol could be the copy that the linker keeps for all sources, made of instructions few machines have.

    Compiled without optimisation: nothing is inlined away, so whatever could be a symbol is one.
    """
    built = tmp_path / "object.o"
    command = [str(COMPILER), "-std=c++20", "-O0", "-fPIC", "-ffp-contract=fast", "-w", "-DWEIGHTKIN_X86"]
    subprocess.run([*command, *FLAGS[name], "-c", str(SOURCES / f"{name}.cpp"), "-o", str(built)], check=True)
    listed = subprocess.run(["nm", "-C", str(built)], capture_output=True, text=True, check=True).stdout
    exported = [line.split(maxsplit=2)[1:] for line in listed.splitlines() if not line.startswith(" ")]
    assert not [symbol for kind, symbol in exported if kind in "WwVvu"]
    assert [symbol for kind, symbol in exported if kind.isupper()] == [
        f"weightkin::{TABLES.get(name, f'k{name.capitalize()}Kernels')}"
    ]

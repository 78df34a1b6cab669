"""Every way that a ring can end, what it is built on failing, and the ring of a device where there is one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ring_files import DATA, MEBIBYTE, empty, mapped
from weightkin import _core

COMPILER = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
SOURCES = Path(__file__).parents[1] / "csrc" / "io"


@pytest.fixture
def mapping(tmp_path: Path) -> _core.Mapping:
    return mapped(tmp_path / "shard")


def threads_of_process() -> int:
    return len(os.listdir("/proc/self/task"))


def test_close_while_busy(mapping: _core.Mapping) -> None:
    """Someone waits for the last of many requests: the ring is closed under it."""
    before = threads_of_process()
    ring, out = _core.Ring(2, 4096, 3), empty(DATA.size)
    tickets = [ring.submit(mapping, 0, DATA.size, out.ctypes.data) for _ in range(2000)]
    assert threads_of_process() > before
    caught: list[str] = []

    def wait() -> None:
        try:
            ring.wait(tickets[-1])
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    ring.wait(tickets[0])
    ring.close()
    thread.join()
    out[:] = 0
    assert caught == ["the ring was closed before the copy was made"]
    assert not out.any()  # nothing is copied any more
    deadline = time.monotonic() + 20  # the system lists a thread for a moment after it was joined
    while threads_of_process() > before:
        assert time.monotonic() < deadline, "threads are left"
    ring.wait(tickets[0])
    with pytest.raises(RuntimeError, match="the ring was closed before the copy was made"):
        ring.wait(tickets[-1])
    with pytest.raises(RuntimeError, match="the ring is closed"):
        ring.submit(mapping, 0, 1, out.ctypes.data)
    ring.close()


BUSY = """
import signal, sys, threading
import numpy as np
from weightkin import _core
mapping = _core.Mapping(sys.argv[1])
out = np.empty(len(mapping), np.uint8)
ring = _core.Ring(2, 256, 2)
tickets = [ring.submit(mapping, 0, out.size, out.ctypes.data) for _ in range(1000)]
"""
INTERRUPTED = """
threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
try:
    ring.wait(tickets[-1])
except KeyboardInterrupt:
    print("interrupted")
"""
RAISED = "raise SystemExit('in the middle')"


@pytest.mark.usefixtures("mapping")
@pytest.mark.parametrize(("then", "status", "said"), [(INTERRUPTED, 0, "interrupted"), (RAISED, 1, ""), ("", 0, "")])
def test_end_of_the_process_while_busy(then: str, status: int, said: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", BUSY + then, str(tmp_path / "shard")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (status, said), done.stderr


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
def test_transports_that_copy_later_or_fail(tmp_path: Path) -> None:
    """As a device does; see ring_transports.cpp."""
    program = tmp_path / "ring_transports"
    sources = [Path(__file__).with_name("ring_transports.cpp"), SOURCES / "ring.cpp", SOURCES / "mapping.cpp"]
    subprocess.run([str(COMPILER), "-std=c++20", "-pthread", *sources, "-o", str(program)], check=True)
    done = subprocess.run([program, tmp_path / "shard"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def devices() -> int:
    if importlib.util.find_spec("weightkin._cuda") is None:
        return 0
    from weightkin import _cuda

    return _cuda.device_count()


@pytest.mark.skipif(devices() == 0, reason="needs an NVIDIA device and weightkin built with CUDA")
def test_device(mapping: _core.Mapping, tmp_path: Path) -> None:
    """Copies arrive behind what still reads their destination, and before what waits for them."""
    torch = pytest.importorskip("torch")
    from weightkin import _cuda

    found = _cuda.properties(0)
    assert 0 < found["free_memory"] <= found["total_memory"] and found["capability"] >= (7, 0)
    ring = _cuda.Ring(0, 3, MEBIBYTE, 4)
    out = torch.zeros(DATA.size, dtype=torch.uint8, device="cuda:0")
    stream = torch.cuda.Stream()
    sums = []
    with torch.cuda.stream(stream):
        for offset in range(40):
            bytes_ = DATA.size - offset
            ticket = ring.submit(mapping, offset, bytes_, out.data_ptr(), stream.cuda_stream)
            ring.wait(ticket, stream.cuda_stream)
            sums.append(out[:bytes_].sum(dtype=torch.int64))  # still to run when the next copy is asked for
    assert [int(one) for one in sums] == [int(DATA[offset:].sum(dtype=np.int64)) for offset in range(40)]
    offsets = np.random.default_rng(4).integers(0, DATA.size - 5000, 700)
    ring.wait(ring.submit_ranges(mapping, offsets, 5000, out.data_ptr(), None), None)
    np.testing.assert_array_equal(
        out[: 700 * 5000].cpu().numpy(), np.concatenate([DATA[at : at + 5000] for at in offsets])
    )
    os.truncate(tmp_path / "shard", 4096)
    ticket = ring.submit(mapping, 0, DATA.size, out.data_ptr())
    with pytest.raises(OSError, match="the file shrank while it was being read"):
        ring.wait(ticket)
    ring.close()
    with pytest.raises(RuntimeError, match="CUDA: no device 99"):
        _cuda.Ring(99, 1, 1, 1)

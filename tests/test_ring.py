"""The ring that copies from mapped files: order, many requests, ranges, and every way that it can end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightkin import _core

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
MEBIBYTE = 1 << 20
COMPILER = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
SOURCES = Path(__file__).parents[1] / "csrc" / "io"


@pytest.fixture
def data() -> Bytes:
    return np.random.default_rng(0).integers(0, 256, 5 * MEBIBYTE + 321, np.uint8)


@pytest.fixture
def mapping(data: Bytes, tmp_path: Path) -> _core.Mapping:
    data.tofile(tmp_path / "shard")
    return _core.Mapping(str(tmp_path / "shard"))


@pytest.fixture(params=[(3, 2 * MEBIBYTE, 4), (1, 70_001, 1), (2, MEBIBYTE + 1, 5)], ids=["ring", "one slot", "odd"])
def ring(request: pytest.FixtureRequest) -> Iterator[_core.Ring]:
    ring = _core.Ring(*request.param)
    yield ring
    ring.close()


def empty(size: int) -> Bytes:
    return np.full(size, 0xA5, np.uint8)


def test_one_copy(ring: _core.Ring, mapping: _core.Mapping, data: Bytes) -> None:
    for offset, size in ((0, data.size), (1, data.size - 1), (4095, 2 * MEBIBYTE), (data.size - 7, 7), (5, 0)):
        out = empty(size + 2)
        ring.wait(ring.submit(mapping, offset, size, out.ctypes.data + 1))
        np.testing.assert_array_equal(out[1:-1], data[offset : offset + size])
        assert out[0] == out[-1] == 0xA5


def test_ranges(ring: _core.Ring, mapping: _core.Mapping, data: Bytes) -> None:
    random = np.random.default_rng(1)
    for length in (1, 8, 4096, 200_000):
        offsets = random.integers(0, data.size - length, min(3000, 3 * MEBIBYTE // length))
        out = empty(offsets.size * length)
        ring.wait(ring.submit_ranges(mapping, offsets, length, out.ctypes.data))
        np.testing.assert_array_equal(out, np.concatenate([data[at : at + length] for at in offsets]))
    lengths = random.integers(0, 150_000, 60)
    offsets = random.integers(0, data.size - lengths)
    out = empty(int(lengths.sum()))
    ring.wait(ring.submit_ranges(mapping, offsets, lengths, out.ctypes.data))
    np.testing.assert_array_equal(
        out, np.concatenate([data[at : at + n] for at, n in zip(offsets, lengths, strict=True)])
    )
    ring.wait(ring.submit_ranges(mapping, np.empty(0, np.int64), 8, 0))


def test_many_requests_in_order(mapping: _core.Mapping, data: Bytes) -> None:
    """All to one place: what was submitted last lies there in the end."""
    ring = _core.Ring(3, 5000, 4)
    out = empty(12_000)
    offsets = np.random.default_rng(2).integers(0, data.size - out.size, 2000)
    tickets = [ring.submit(mapping, int(at), out.size, out.ctypes.data) for at in offsets]
    ring.drain()
    np.testing.assert_array_equal(out, data[offsets[-1] : offsets[-1] + out.size])
    for ticket in tickets:
        ring.wait(ticket)
    ring.drain()


def test_requests_of_many_threads(ring: _core.Ring, mapping: _core.Mapping, data: Bytes) -> None:
    wrong = []

    def work(seed: int) -> None:
        for offset in np.random.default_rng(seed).integers(0, data.size - 100_000, 20):
            out = empty(100_000)
            ring.wait(ring.submit(mapping, int(offset), out.size, out.ctypes.data))
            if not np.array_equal(out, data[offset : offset + out.size]):
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_mapping_is_kept(data: Bytes, tmp_path: Path) -> None:
    data.tofile(tmp_path / "shard")
    ring, outs = _core.Ring(2, 10_000, 2), [empty(data.size) for _ in range(5)]
    for out in outs:
        ring.submit(_core.Mapping(str(tmp_path / "shard")), 0, data.size, out.ctypes.data)
    ring.drain()
    for out in outs:
        np.testing.assert_array_equal(out, data)


def test_file_that_shrinks(ring: _core.Ring, mapping: _core.Mapping, data: Bytes, tmp_path: Path) -> None:
    """Its requests fail when waited for; the ring goes on with other files, and says each failure once or more."""
    data.tofile(tmp_path / "other")
    other = _core.Mapping(str(tmp_path / "other"))
    os.truncate(tmp_path / "shard", 4096)
    out = empty(data.size)
    failing, fine = (ring.submit(one, 0, data.size, out.ctypes.data) for one in (mapping, other))
    ring.wait(fine)
    np.testing.assert_array_equal(out, data)
    for _ in range(2):
        with pytest.raises(OSError, match="the file shrank while it was being read"):
            ring.wait(failing)
    ring.drain()  # already said
    ring.submit(mapping, 0, data.size, out.ctypes.data)
    ring.submit(other, 0, data.size, out.ctypes.data)
    with pytest.raises(OSError, match="the file shrank while it was being read"):
        ring.drain()
    ring.drain()
    np.testing.assert_array_equal(out, data)


def test_close_while_busy(mapping: _core.Mapping, data: Bytes) -> None:
    """Someone waits for the last of many requests: the ring is closed under it."""
    before = threads_of_process()
    ring, out = _core.Ring(2, 4096, 3), empty(data.size)
    tickets = [ring.submit(mapping, 0, data.size, out.ctypes.data) for _ in range(2000)]
    assert threads_of_process() == before + 4
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
    assert threads_of_process() == before
    assert not out.any()  # nothing is copied any more
    ring.wait(tickets[0])
    with pytest.raises(RuntimeError, match="the ring was closed before the copy was made"):
        ring.wait(tickets[-1])
    with pytest.raises(RuntimeError, match="the ring is closed"):
        ring.submit(mapping, 0, 1, out.ctypes.data)
    ring.close()


def test_wrong_arguments(ring: _core.Ring, mapping: _core.Mapping, data: Bytes) -> None:
    for offset, size in ((data.size, 1), (1, data.size), (2**64 - 1, 2), (2, 2**64 - 1)):
        with pytest.raises(ValueError, match="a range reaches outside the file"):
            ring.submit(mapping, offset, size, 0)
    with pytest.raises(ValueError, match="negative offsets"):
        ring.submit_ranges(mapping, np.array([-1]), 1, 0)
    with pytest.raises(ValueError, match="one length, or one for each offset"):
        ring.submit_ranges(mapping, np.arange(3), np.arange(2), 0)
    with pytest.raises(TypeError):
        ring.submit_ranges(mapping, np.array([0.5]), 1, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a ring needs a slot"):
        _core.Ring(0, 1, 1)
    with pytest.raises(ValueError, match="threads must be"):
        _core.Ring(1, 1, 0)
    out = empty(1)
    ticket = ring.submit(mapping, 0, 1, out.ctypes.data)
    with pytest.raises(ValueError, match="of another ring"):
        _core.Ring(1, 1, 1).wait(ticket)


def threads_of_process() -> int:
    return len(os.listdir("/proc/self/task"))


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
def test_device(mapping: _core.Mapping, data: Bytes, tmp_path: Path) -> None:
    """Copies arrive behind what still reads their destination, and before what waits for them."""
    torch = pytest.importorskip("torch")
    from weightkin import _cuda

    found = _cuda.properties(0)
    assert 0 < found["free_memory"] <= found["total_memory"] and found["capability"] >= (7, 0)
    ring = _cuda.Ring(0, 3, MEBIBYTE, 4)
    out = torch.zeros(data.size, dtype=torch.uint8, device="cuda:0")
    stream = torch.cuda.Stream()
    sums = []
    with torch.cuda.stream(stream):
        for offset in range(40):
            bytes_ = data.size - offset
            ticket = ring.submit(mapping, offset, bytes_, out.data_ptr(), stream.cuda_stream)
            ring.wait(ticket, stream.cuda_stream)
            sums.append(out[:bytes_].sum(dtype=torch.int64))  # still to run when the next copy is asked for
    assert [int(one) for one in sums] == [int(data[offset:].sum(dtype=np.int64)) for offset in range(40)]
    offsets = np.random.default_rng(4).integers(0, data.size - 5000, 700)
    ring.wait(ring.submit_ranges(mapping, offsets, 5000, out.data_ptr(), None), None)
    np.testing.assert_array_equal(
        out[: 700 * 5000].cpu().numpy(), np.concatenate([data[at : at + 5000] for at in offsets])
    )
    os.truncate(tmp_path / "shard", 4096)
    ticket = ring.submit(mapping, 0, data.size, out.data_ptr())
    with pytest.raises(OSError, match="the file shrank while it was being read"):
        ring.wait(ticket)
    ring.close()
    with pytest.raises(RuntimeError, match="CUDA: no device 99"):
        _cuda.Ring(99, 1, 1, 1)

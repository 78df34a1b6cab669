"""The ring that copies from mapped files: single copies, ranges, many requests, files that shrink, wrong arguments."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ring_files import DATA, MEBIBYTE, empty, mapped
from weightkin import _core


@pytest.fixture
def mapping(tmp_path: Path) -> _core.Mapping:
    return mapped(tmp_path / "shard")


@pytest.fixture(params=[(3, 2 * MEBIBYTE, 4), (1, 70_001, 1), (2, MEBIBYTE + 1, 5)], ids=["ring", "one slot", "odd"])
def ring(request: pytest.FixtureRequest) -> Iterator[_core.Ring]:
    ring = _core.Ring(*request.param)
    yield ring
    ring.close()


def test_one_copy(ring: _core.Ring, mapping: _core.Mapping) -> None:
    for offset, size in ((0, DATA.size), (1, DATA.size - 1), (4095, 2 * MEBIBYTE), (DATA.size - 7, 7), (5, 0)):
        out = empty(size + 2)
        ring.wait(ring.submit(mapping, offset, size, out.ctypes.data + 1))
        np.testing.assert_array_equal(out[1:-1], DATA[offset : offset + size])
        assert out[0] == out[-1] == 0xA5


def test_ranges(ring: _core.Ring, mapping: _core.Mapping) -> None:
    random = np.random.default_rng(1)
    for length in (1, 8, 4096, 200_000):
        offsets = random.integers(0, DATA.size - length, min(3000, 3 * MEBIBYTE // length))
        out = empty(offsets.size * length)
        ring.wait(ring.submit_ranges(mapping, offsets, length, out.ctypes.data))
        np.testing.assert_array_equal(out, np.concatenate([DATA[at : at + length] for at in offsets]))
    lengths = random.integers(0, 150_000, 60)
    offsets = random.integers(0, DATA.size - lengths)
    out = empty(int(lengths.sum()))
    ring.wait(ring.submit_ranges(mapping, offsets, lengths, out.ctypes.data))
    np.testing.assert_array_equal(
        out, np.concatenate([DATA[at : at + n] for at, n in zip(offsets, lengths, strict=True)])
    )
    ring.wait(ring.submit_ranges(mapping, np.empty(0, np.int64), 8, 0))


def test_many_requests_in_order(mapping: _core.Mapping) -> None:
    """All to one place: what was submitted last lies there in the end."""
    ring = _core.Ring(3, 5000, 4)
    out = empty(12_000)
    offsets = np.random.default_rng(2).integers(0, DATA.size - out.size, 2000)
    tickets = [ring.submit(mapping, int(at), out.size, out.ctypes.data) for at in offsets]
    ring.drain()
    np.testing.assert_array_equal(out, DATA[offsets[-1] : offsets[-1] + out.size])
    for ticket in tickets:
        ring.wait(ticket)
    ring.drain()


def test_requests_of_many_threads(ring: _core.Ring, mapping: _core.Mapping) -> None:
    wrong = []

    def work(seed: int) -> None:
        for offset in np.random.default_rng(seed).integers(0, DATA.size - 100_000, 20):
            out = empty(100_000)
            ring.wait(ring.submit(mapping, int(offset), out.size, out.ctypes.data))
            if not np.array_equal(out, DATA[offset : offset + out.size]):
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_mapping_is_kept(tmp_path: Path) -> None:
    ring, outs = _core.Ring(2, 10_000, 2), [empty(DATA.size) for _ in range(5)]
    for number, out in enumerate(outs):
        ring.submit(mapped(tmp_path / str(number)), 0, DATA.size, out.ctypes.data)
    ring.drain()
    for out in outs:
        np.testing.assert_array_equal(out, DATA)


def test_file_that_shrinks(ring: _core.Ring, mapping: _core.Mapping, tmp_path: Path) -> None:
    """Its requests fail when waited for; the ring goes on with other files, and says each failure once or more."""
    other = mapped(tmp_path / "other")
    os.truncate(tmp_path / "shard", 4096)
    out = empty(DATA.size)
    failing, fine = (ring.submit(one, 0, DATA.size, out.ctypes.data) for one in (mapping, other))
    ring.wait(fine)
    np.testing.assert_array_equal(out, DATA)
    for _ in range(2):
        with pytest.raises(OSError, match="the file shrank while it was being read"):
            ring.wait(failing)
    ring.drain()  # already said
    ring.submit(mapping, 0, DATA.size, out.ctypes.data)
    ring.submit(other, 0, DATA.size, out.ctypes.data)
    with pytest.raises(OSError, match="the file shrank while it was being read"):
        ring.drain()
    ring.drain()
    np.testing.assert_array_equal(out, DATA)


def test_wrong_arguments(ring: _core.Ring, mapping: _core.Mapping) -> None:
    for offset, size in ((DATA.size, 1), (1, DATA.size), (2**64 - 1, 2), (2, 2**64 - 1)):
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

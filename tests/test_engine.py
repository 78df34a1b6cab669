"""engine: the same bits for any threads, window and slab; memory that stays bounded; files that change while read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comparisons import BF16, pair, same_tables
from folders import write_checkpoint, write_raw, write_shard
from weightkin import CheckpointError, compare, engine, slabs, units
from weightkin.comparison import open_models
from weightkin.devices import HostDevice
from weightkin.plan import make_plan
from weightkin.relabelling import Relabellings
from weightkin.slabs import slabs_of
from weightkin.units import make_unit

MEASURE_MEMORY = """
import sys, weightkin
def status():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return [int(fields[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile")]
for folder in sys.argv[1:]:
    largest = [0, 0]
    def progress(phase, done, total):
        largest[:] = map(max, largest, status())
    weightkin.compare(folder, folder, threads=2, memory=64 << 20, progress=progress)
    print(*largest)
"""
TRUNCATE = """
import os, sys, weightkin
for folder, shard, size in zip(*[iter(sys.argv[1:])] * 3):
    calls = iter(range(3))
    def progress(phase, done, total):
        if next(calls, None) == 2:
            os.truncate(shard, int(size))
    try:
        weightkin.compare(folder, folder, threads=2, memory=1, progress=progress)
    except weightkin.CheckpointError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("engine"), layers=3)


def test_bits_do_not_depend_on_threads_window_and_slab(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BLOCK", 300)
    reference = compare(*folders, threads=1)
    assert reference["blocks"].num_rows > 3 * reference["tensors"].num_rows
    for slab, threads, window in [(1, 1, 1), (1, 2, 1 << 29), (1, 3, 4000), (5000, 2, 1), (5000, 3, 1 << 20)]:
        monkeypatch.setattr(slabs, "SLAB", slab)
        other = compare(*folders, threads=threads, memory=window)
        assert same_tables(reference, other)
        for key in ("roles", "groups", "components", "coverage"):
            assert other.summary[key] == reference.summary[key]


def test_slabs_are_the_blocks_in_order(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BLOCK", 300)
    for unit in make_plan(open_models(folders)).units:
        cut = slabs_of(unit, 5000)
        assert [block for slab in cut for block in range(slab.first, slab.last)] == list(range(len(unit.bounds) - 1))
        assert sum(slab.nbytes for slab in cut) == unit.nbytes
        assert all(slab.nbytes <= 5000 or slab.last - slab.first == 1 for slab in cut)
        covered = [sum(slab.views()[member].size for slab in cut) for member in range(2)]
        assert covered == [unit.parameters] * 2


@pytest.mark.parametrize("layout", ["[neuron, residual]", "[residual, neuron]", "transposed"])
def test_neurons_in_another_order(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B's neurons brought into the order of A's, along either axis, whatever is cut into slabs: the same codes."""
    monkeypatch.setattr(units, "BLOCK", 300)
    monkeypatch.setattr(slabs, "SLAB", 1000)
    random = np.random.default_rng(0)
    weights, order = random.standard_normal((50, 24)).astype(BF16), random.permutation(50)
    shuffled = weights[order]
    name = f"model.layers.0.mlp.{'down' if layout == '[residual, neuron]' else 'gate'}_proj.weight"
    paths = [
        write_checkpoint(tmp_path / folder, {name: values.T.copy() if "down" in name else values})
        for folder, values in (("a", weights), ("b", shuffled))
    ]
    plan = make_plan(open_models(paths))
    slots = {number: plan.units[0].slots[number] for number in range(2)}
    axis = slots[0].axes.index("neuron")
    if layout == "transposed":  # seen as [residual, neuron] though stored otherwise, as transposed experts are
        slots = {
            number: replace(slot, axes=slot.axes[::-1], view=slot.view.permute([1, 0]))  # type: ignore[union-attr]
            for number, slot in slots.items()
        }
        axis = 1
    unit = make_unit(0, plan.units[0].address, slots, (None, np.argsort(order)), gather_axis=axis)
    ((_, found),) = engine.run(plan, [unit], Relabellings(plan, 8, 0), [HostDevice(2)])
    assert len(found.unequal) > 3 and not found.unequal.any()
    assert found.lagged.argmax() == 0 and found.lagged[0, 0] == pytest.approx(24)


def run(program: str, *arguments: object) -> str:
    """Standard output of a Python program in a process of its own, which must end by itself."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def sparse_checkpoint(folder: Path, tensors: int) -> Path:
    """Tensors of 50 MB that take no room on the disk."""
    names = [f"model.layers.{number}.mlp.up_proj.weight" for number in range(tensors)]
    shape, size = [3200, 8192], 3200 * 8192 * 2
    header = {
        name: {"dtype": "BF16", "shape": shape, "data_offsets": [number * size, (number + 1) * size]}
        for number, name in enumerate(names)
    }
    path = write_raw(folder / "model.safetensors", header)
    os.truncate(path, path.stat().st_size + tensors * size)
    return folder


def test_memory_does_not_grow_with_the_models(tmp_path: Path) -> None:
    """In megabytes, of the process itself and of mapped files: 2 times 100 MB, 2 times 800 MB, and many small tensors.

    A small tensor's numbers are larger than it is, so they have to be bounded too.
    """
    norms = {f"model.layers.{number}.input_layernorm.weight": np.ones(4, BF16) for number in range(600)}
    folders = [sparse_checkpoint(tmp_path / str(tensors), tensors) for tensors in (2, 16)]
    folders.append(write_checkpoint(tmp_path / "many", norms))
    small, large, many = ([int(size) for size in line.split()] for line in run(MEASURE_MEMORY, *folders).splitlines())
    assert small[0] < 400
    assert large[0] - small[0] < 60 and many[0] - small[0] < 60
    assert large[1] - small[1] < 60 and max(small[1], large[1]) < 64 + 200  # the window, and the libraries


def test_a_shard_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    """With a window of one byte, one tensor is read at a time: most of them lie beyond the cut."""
    names = [f"model.layers.{number}.mlp.up_proj.weight" for number in range(9)]
    shards = [dict.fromkeys(part, np.ones((512, 512), BF16)) for part in (names[:7], names[7:])]
    # The second shard is cut before it is mapped, and then is not what its header was read from.
    cases = [(1, 0, "shrank"), (1, 10_000, "shrank"), (1, 1 << 20, "shrank"), (2, 1 << 20, "changed")]
    arguments: list[object] = []
    lines = ""
    for number, (shard, size, verb) in enumerate(cases):
        folder = write_checkpoint(tmp_path / str(number), shards)
        path = folder / f"model-0000{shard}-of-00002.safetensors"
        arguments += [folder, path, size]
        lines += f"{path}: the file {verb} while it was being read\n"
    assert run(TRUNCATE, *arguments) == lines


def at_call(number: int, action: Callable[[], object]) -> Callable[[str, int, int], None]:
    """A progress callback that acts once."""
    calls = iter(range(number + 1))

    def progress(_phase: str, _done: int, _total: int) -> None:
        if next(calls, None) == number:
            action()

    return progress


@pytest.mark.parametrize("call", [1, 2, 5])
@pytest.mark.parametrize("how", ["replaced", "written to", "touched"])
def test_a_shard_that_changes_while_it_is_read(how: str, call: int, tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    shard = a / "model.safetensors"

    def change() -> None:
        if how == "replaced":
            write_shard(tmp_path / "other", {"x": np.ones(5, BF16)}).replace(shard)
        elif how == "written to":
            with shard.open("r+b") as file:
                file.seek(-2, os.SEEK_END)
                file.write(b"\0\0")
        else:
            os.utime(shard, ns=(0, 0))

    with pytest.raises(CheckpointError, match=f"^{shard}: the file changed while it was being read$"):
        compare(a, b, memory=1, progress=at_call(call, change))


def test_an_error_ends_the_threads(folders: tuple[Path, Path]) -> None:
    import threading

    def fail() -> None:
        raise RuntimeError("from outside")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="from outside"):
        compare(*folders, threads=3, progress=at_call(4, fail))
    assert threading.active_count() == before

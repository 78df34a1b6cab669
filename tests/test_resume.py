"""Runs that are killed or stopped: what is resumed equals what was never interrupted, or is refused."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comparisons import pair
from interrupted import check_equal, interrupted, stop_at
from weightkin import Results, ResultsError, compare, load, matrix

KILLED = """
import os, signal, sys, threading, time, weightkin
a, b, output, when = sys.argv[1:]
started = None
def progress(phase, done, total):
    global started
    if started is None:
        started = threading.Timer(float(when), os.kill, (os.getpid(), signal.SIGKILL))
        started.daemon = True
        started.start()
    time.sleep(0.003 if phase == "comparing" else 0)
weightkin.compare(a, b, output=output, resume=os.path.exists(output), progress=progress)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("models"), layers=10)


@pytest.fixture(scope="module")
def uninterrupted(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    compare(*folders, output=output)
    return output


def test_killed_at_random_points(folders: tuple[Path, Path], uninterrupted: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    delays = random.Random(0)
    kills = 0
    for longest in (0.1, 0.2, 0.4, 0.8):
        command = [sys.executable, "-c", KILLED, *map(str, folders), str(output), str(delays.uniform(0, longest))]
        status = subprocess.run(command, timeout=60, check=False).returncode
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
    assert kills > 1
    compare(*folders, output=output, resume=True)
    check_equal(output, uninterrupted)


@pytest.mark.parametrize(("phase", "call"), [("comparing", 0), ("comparing", 1), ("comparing", 17), ("writing", 0)])
def test_interrupted_by_an_error(
    phase: str, call: int, folders: tuple[Path, Path], uninterrupted: Path, tmp_path: Path
) -> None:
    interrupted(folders, tmp_path / "results", phase, call)
    with pytest.raises(ResultsError, match="holds an unfinished run") as caught:
        compare(*folders, output=tmp_path / "results")
    assert "--resume" in str(caught.value.hint)
    done: list[int] = []
    results = compare(*folders, output=tmp_path / "results", resume=True, progress=lambda _, now, __: done.append(now))
    check_equal(tmp_path / "results", uninterrupted)
    assert done == sorted(done)
    assert done[-1] - done[0] == results.summary["throughput"]["bytes"]
    assert (done[0] > 0) == (call > 1 or phase == "writing")


OTHERS: dict[str, Callable[[Path, Path, Path], Results]] = {
    "the other way round": lambda a, b, output: compare(b, a, output=output, resume=True),
    "another model": lambda a, _, output: compare(a, a, output=output, resume=True),
    "another seed": lambda a, b, output: compare(a, b, output=output, resume=True, seed=1),
    "less of it": lambda a, b, output: compare(a, b, output=output, resume=True, exclude=["attn.q"]),
    "another command": lambda a, b, output: matrix([a, b], output=output, resume=True),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("finished", [False, True])
def test_resumed_as_another_comparison(
    other: str, finished: bool, folders: tuple[Path, Path], uninterrupted: Path, tmp_path: Path
) -> None:
    output = uninterrupted if finished else tmp_path / "results"
    if not finished:
        interrupted(folders, output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(ResultsError, match=r"(was written by|holds the results of) another comparison") as caught:
        OTHERS[other](*folders, output)
    assert "give another folder" in str(caught.value.hint)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_two_runs_in_one_folder(folders: tuple[Path, Path], uninterrupted: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    errors: list[str] = []

    def start_another(_phase: str, _done: int, _total: int) -> None:
        if not errors:
            for resume in (False, True):
                with pytest.raises(ResultsError) as caught:
                    compare(*folders, output=output, resume=resume)
                errors.append(str(caught.value))

    compare(*folders, output=output, progress=start_another)
    assert errors == [f"{output}: holds an unfinished run", f"{output}: another run is writing here"]
    check_equal(output, uninterrupted)


def test_a_finished_run_is_not_repeated(folders: tuple[Path, Path], uninterrupted: Path) -> None:
    again = compare(*folders, output=uninterrupted, resume=True, progress=stop_at("comparing"))
    assert again.summary == load(uninterrupted).summary


def test_a_model_that_changed_is_another_one(tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    interrupted((a, b), tmp_path / "results", call=2)
    (a / "model.safetensors").touch()
    with pytest.raises(ResultsError, match="was written by another comparison"):
        compare(a, b, output=tmp_path / "results", resume=True)

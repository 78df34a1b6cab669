"""Ctrl-C: what is done is kept, and --resume gives what an uninterrupted run gives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import weightkin as package
from commands import COMMAND, weightkin
from folders import write_checkpoint

EXPERTS = 400
FEW_DRAWS = ("--null", "19")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of many small tensors, so that a run has many units and takes a while."""
    folders = []
    for seed in (1, 2):
        draw = np.random.default_rng(seed).standard_normal((EXPERTS, 16, 32), np.float32)
        arrays = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": expert for n, expert in enumerate(draw)}
        folder = tmp_path_factory.mktemp("many") / str(seed)
        folders.append(write_checkpoint(folder, arrays, {"model_type": "qwen3_moe"}))
    return folders


def interrupted(arguments: list[str | Path], journal: Path) -> tuple[str, str]:
    """stdout and stderr of a run that gets Ctrl-C when its journal has grown."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 20_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    return out, err


def test_interrupted_run_resumes(pair: list[Path], tmp_path: Path) -> None:
    whole, output = tmp_path / "whole", tmp_path / "my results"
    weightkin("compare", *pair, *FEW_DRAWS, "-o", whole)
    command = ["compare", *pair, *FEW_DRAWS, "-j", "1", "--memory", "1MiB", "-o", output]
    out, err = interrupted(command, output / "journal")
    assert out == "" and "Traceback" not in err
    assert f"of {EXPERTS:,} units are done and stored in {output}" in err
    assert err.endswith(f"weightkin compare {pair[0]} {pair[1]} --null 19 -j 1 --memory 1MiB -o '{output}' --resume\n")
    assert not (output / "summary.json").exists()
    plain = weightkin("compare", *pair, *FEW_DRAWS, "-o", output, code=1)
    assert "holds an unfinished run" in plain.stderr and "--resume" in plain.stderr
    weightkin(*command, "--resume")
    expected, found = package.load(whole), package.load(output)
    for name in expected.table_names:
        assert found[name].equals(expected[name])
    differing = {"argv", "throughput", "devices"}
    assert {key: value for key, value in found.summary.items() if key not in differing} == {
        key: value for key, value in json.loads((whole / "summary.json").read_text()).items() if key not in differing
    }


INTERRUPTS_ITSELF = """
import os, signal, sys
from weightkin import engine
from weightkin.cli import main

def run(*arguments, whole=engine.run):
    for number, unit in enumerate(whole(*arguments)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        yield unit

engine.run = run
sys.argv = ["weightkin", *sys.argv[1:]]
main()
"""


def test_interrupted_without_output(pair: list[Path]) -> None:
    """Without a journal to watch, from the inside: the fourth unit brings the Ctrl-C."""
    command = [sys.executable, "-c", INTERRUPTS_ITSELF, "compare", *map(str, pair)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr and "Traceback" not in done.stderr

"""A machine without PyTorch, Triton and what is built with CUDA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from commands import environment
from comparisons import pair

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "triton") or name == "weightkin._cuda":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
COMMAND = "from weightkin.cli import main; main()"


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ABSENT + script, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment(), timeout=120, check=False)


def test_commands_need_no_extras(tmp_path: Path) -> None:
    assert run("import torch").returncode == 1  # it is absent indeed
    done = run("import weightkin, weightkin.kernels; print(weightkin.__all__)")
    assert done.returncode == 0 and "compare" in done.stdout, done.stderr
    done = run(COMMAND, "--help")
    assert done.returncode == 0 and "compare" in done.stdout, done.stderr
    done = run(COMMAND, "compare", *pair(tmp_path), "--null", "19")
    assert done.returncode == 0 and "derived" in done.stdout, done.stderr

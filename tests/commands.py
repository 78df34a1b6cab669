"""Runs the command as users do: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "weightkin"]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what changes how output looks."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
    return kept | changes


def weightkin(
    *arguments: str | Path, code: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished process, whose exit code must be `code`."""
    command: list[Any] = [*COMMAND, *arguments]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=env or environment(), timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done

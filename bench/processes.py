"""Other processes: how long they take, and how much memory they have of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

INTERVAL = 0.002
"""Seconds between two looks at a process."""


def python(*arguments: str) -> list[str]:
    """The command line of another interpreter of this kind."""
    return [sys.executable, *arguments]


def succeeds(command: Sequence[str]) -> bool:
    """Runs it; whether its exit status is 0."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def peak_anonymous(command: Sequence[str]) -> int:
    """Runs it and returns the most bytes of memory that were its own, not pages of files, at any look.

    Raises `subprocess.CalledProcessError` if it fails.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        status, peak = Path(f"/proc/{process.pid}/status"), 0
        while process.poll() is None:
            lines = (line.split() for line in status.read_text().splitlines() if line.startswith("RssAnon:"))
            peak = max([peak, *(int(kilobytes) * 1024 for _, kilobytes, _ in lines)])
            time.sleep(INTERVAL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return peak

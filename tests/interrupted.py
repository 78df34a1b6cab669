"""Runs that end before they are done, and what their results must equal once they are resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from weightkin import compare


class Stop(Exception):
    """Ends a run from its progress callback."""


def stop_at(phase: str, call: int = 0) -> Callable[[str, int, int], None]:
    calls = iter(range(call))

    def progress(current: str, _done: int, _total: int) -> None:
        if current == phase and next(calls, None) is None:
            raise Stop

    return progress


def interrupted(folders: tuple[Path, Path], output: Path, phase: str = "comparing", call: int = 5) -> Path:
    """A folder that holds the journal of an unfinished run."""
    with pytest.raises(Stop):
        compare(*folders, output=output, progress=stop_at(phase, call))
    assert [path.name for path in output.iterdir()] == ["journal"]
    return output / "journal"


def check_equal(found: Path, wanted: Path) -> None:
    """Tables to the byte; the summary but for how fast it went, how much of it each device did, and who asked."""
    assert sorted(path.name for path in found.iterdir()) == sorted(path.name for path in wanted.iterdir())
    for table in wanted.glob("*.parquet"):
        assert (found / table.name).read_bytes() == table.read_bytes(), table.name
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (found, wanted)]
    for summary in summaries:
        del summary["throughput"], summary["argv"], summary["devices"]
    assert summaries[0] == summaries[1]

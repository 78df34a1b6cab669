"""Results that cannot be written: full disks, folders in use, missing permissions. One line, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from comparisons import pair, same_tables
from weightkin import Results, ResultsError, compare

LIMITED = """
import resource, sys, weightkin
a, b, output, phase, limit = sys.argv[1:]
def progress(current, done, total):
    if current == phase:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    weightkin.compare(a, b, output=None if output == "-" else output, progress=progress)
except weightkin.ResultsError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def stored(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compare(*folders, output=tmp_path_factory.mktemp("results"))


def refused(*arguments: object) -> str:
    """The one line of a run on a disk that fills up."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return done.stdout


@pytest.mark.parametrize(
    ("phase", "limit", "file"),
    [("comparing", 3_000, "journal"), ("comparing", 100, "journal"), ("writing", 3000, "tensors.parquet")],
)
def test_a_full_disk(
    phase: str, limit: int, file: str, folders: tuple[Path, Path], stored: Results, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    line = refused(*folders, output, phase, limit)
    assert line.startswith(f"{output / file}: cannot be written: ") and line.endswith("File too large\n")
    assert [path.name for path in output.iterdir()] == ["journal"]
    resumed = compare(*folders, output=output, resume=True)
    assert same_tables(resumed, stored) and not (output / "journal").exists()


def test_a_full_disk_for_a_run_in_memory(folders: tuple[Path, Path]) -> None:
    where = tempfile.gettempdir()
    assert refused(*folders, "-", "comparing", 1_000) == f"{where}: cannot be written: File too large\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 KB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # something may still be looking at it


def test_a_disk_without_room(small_disk: Path, folders: tuple[Path, Path], stored: Results) -> None:
    output = small_disk / "results"
    with pytest.raises(ResultsError, match=f"^{output}/journal: cannot be written: No space left on device$") as caught:
        compare(*folders, output=output)
    assert caught.value.hint == "free some room, then add --resume"
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert same_tables(compare(*folders, output=output, resume=True), stored)


def test_folders_that_cannot_be_written(folders: tuple[Path, Path], stored: Results, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="already holds results"):
        compare(*folders, output=stored.folder)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultsError, match=f"^{tmp_path}: is not empty \\(file, ...\\)$"):
        compare(*folders, output=tmp_path)
    with pytest.raises(ResultsError, match="file: cannot be used for results: File exists"):
        compare(*folders, output=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name:
        user = os.geteuid()
        if user == 0:  # whom permissions do not stop
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            folders = pair(Path(name))
            closed = Path(name) / "closed"
            closed.mkdir(mode=0o555)
            for output in (closed, closed / "new"):
                with pytest.raises(ResultsError, match=f"^{output}.*: cannot be (used|written).*: Permission denied$"):
                    compare(*folders, output=output)
        finally:
            os.seteuid(user)

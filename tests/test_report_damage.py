"""Results of every command whose folder is damaged: one line that says what is wrong, and no page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pages import claimed, compared, experts, layers, matrix
from weightkin import Results, ResultsError
from weightkin.report import report

TABLES = {
    "compare": ("tensors", "blocks", "nulls", "gains"),
    "matrix": ("tensors", "blocks", "nulls", "gains", "triples"),
    "experts": ("layers", "experts", "neurons"),
    "layers": ("layers", "maps", "layer_roles"),
    "claims": ("tensors", "claims_layers"),
}
DRAWN = {"compare": "gains", "matrix": "tensors", "experts": "experts", "layers": "layer_roles", "claims": "tensors"}
"""A table that the page cannot do without."""
MAKERS: dict[str, Callable[[Path], Results]] = {
    "compare": compared, "matrix": matrix, "experts": experts, "layers": layers, "claims": claimed,
}  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    assert results.folder is not None and {*TABLES[request.param]} <= {*results.table_names}
    return results.folder


def _refused(folder: Path, *words: str) -> None:
    page = folder.parent / "page.html"
    with pytest.raises(ResultsError) as caught:
        report([folder], page)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    assert not page.exists()


def _damaged(stored: Path, to: Path) -> tuple[Path, dict[str, object]]:
    folder = Path(shutil.copytree(stored, to / "damaged"))
    return folder, json.loads((folder / "summary.json").read_text())


def test_missing_and_truncated_tables(stored: Path, tmp_path: Path) -> None:
    folder, summary = _damaged(stored, tmp_path)
    for table in TABLES[str(summary["command"])]:
        path = folder / f"{table}.parquet"
        whole = path.read_bytes()
        path.unlink()
        _refused(folder, str(folder), f"{table}.parquet is missing")
        for length in (0, 3, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            _refused(folder, str(path), "cut short")
        path.write_bytes(whole)
    report([folder], tmp_path / "page.html")


def test_newer_schema(stored: Path, tmp_path: Path) -> None:
    folder, summary = _damaged(stored, tmp_path)
    (folder / "summary.json").write_text(json.dumps(summary | {"schema_version": 2}))
    _refused(folder, str(folder), "schema_version 2, this program reads up to 1")


def test_table_with_a_hole(stored: Path, tmp_path: Path) -> None:
    """Whole at its end, but not inside."""
    folder, summary = _damaged(stored, tmp_path)
    path = folder / f"{DRAWN[str(summary['command'])]}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(len(whole) - 12) + whole[-8:])
    _refused(folder, str(path), "cannot be read")

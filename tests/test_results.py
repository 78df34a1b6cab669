"""Results folders: what is in them, who can read them, and what cannot be loaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow.parquet as pq
import pytest

from comparisons import copy, pair, same_tables
from weightkin import Results, ResultsError, compare, load, matrix


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def stored(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compare(*folders, output=tmp_path_factory.mktemp("results") / "new" / "folder")


def output_of(results: Results) -> Path:
    assert results.folder is not None
    return results.folder


def test_the_folder_holds_what_memory_would(folders: tuple[Path, Path], stored: Results) -> None:
    in_memory = compare(*folders)
    assert in_memory.folder is None and same_tables(in_memory, stored)
    again = load(output_of(stored))
    assert same_tables(again, stored) and again.summary == stored.summary
    held = {path.name for path in output_of(stored).iterdir()}
    assert held == {"summary.json", *(f"{name}.parquet" for name in stored.table_names)}
    timeless = [{k: v for k, v in r.summary.items() if k != "throughput"} for r in (in_memory, stored)]
    assert timeless[0] == timeless[1]


def test_summary_has_every_documented_key(folders: tuple[Path, Path], stored: Results) -> None:
    summary = json.loads((output_of(stored) / "summary.json").read_text())
    assert (summary["schema_version"], summary["command"], summary["seed"]) == (1, "compare", 0)
    assert summary["argv"] == sys.argv[1:] and summary["versions"].keys() >= {"weightkin", "python"}
    assert summary["devices"][0]["kind"] == "cpu"
    for model, folder in zip(summary["models"], folders, strict=True):
        wanted = {"name": folder.name, "path": str(folder), "family": "llama", "tensors": 9}
        assert model.items() >= wanted.items() and model["parameters"] > 0 and len(model["fingerprint"]) == 64
    assert summary["coverage"].keys() >= {"parameters", "compared", "fraction", "untested"}
    keys = {"component", "parameters", "pearson"}
    for group in summary["groups"]:
        assert group.keys() >= keys | {"group"}
    keys |= {"role", "tensors", "cosine", "cosine_if_uncorrelated", "relative_l2", "identical_fraction"}
    for role in summary["roles"]:
        assert role.keys() >= keys
        assert role["relative_l2"] == role["relative_l2_a"]
        assert role["identical_fraction"] == pytest.approx(1 - role["changed_fraction"])
    assert summary["throughput"].keys() >= {"bytes", "seconds", "gb_per_s"}
    assert summary["throughput"]["elapsed"] >= summary["throughput"]["seconds"]
    assert summary["throughput"]["bytes"] == sum(model["bytes"] for model in summary["models"])
    several = matrix([*folders, folders[0]]).summary
    assert [(one["a"], one["b"]) for one in several["pairs"]] == [(0, 1), (0, 2), (1, 2)]
    assert all(one.keys() >= {"coverage", "roles", "groups"} for one in several["pairs"])


@pytest.mark.parametrize("name", ["tensors", "blocks"])
def test_other_programs_read_the_tables(name: str, stored: Results) -> None:
    path = str(output_of(stored) / f"{name}.parquet")
    rows = stored[name].to_pylist()
    assert rows
    cosines = [row["cosine"] for row in rows]
    assert polars.read_parquet(path).to_dicts() == rows
    assert pandas.read_parquet(path)["cosine"].tolist() == cosines
    with duckdb.connect() as database:
        assert [row[0] for row in database.execute("SELECT cosine FROM read_parquet(?)", [path]).fetchall()] == cosines


def change(name: str, value: Any) -> Any:
    def edit(folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | {name: value}))

    return edit


def write(text: str) -> Any:
    return lambda folder: (folder / "summary.json").write_text(text)


DAMAGE: dict[str, tuple[Any, str]] = {
    "a missing table": (lambda folder: (folder / "blocks.parquet").unlink(), r"the table blocks\.parquet is missing$"),
    "a newer program": (change("schema_version", 2), "has schema_version 2, this program reads up to 1$"),
    "no version": (change("schema_version", "1"), "is not a summary of weightkin$"),
    "no tables": (change("tables", None), "is not a summary of weightkin$"),
    "a list": (write("[]"), "is not a summary of weightkin$"),
    "half a summary": (write('{"schema_version": 1,'), "cannot be read: Expecting"),
    "an unfinished run": (lambda folder: (folder / "summary.json").rename(folder / "journal"), "is not finished$"),
    "no summary": (lambda folder: (folder / "summary.json").unlink(), "is no results folder$"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_folders_that_cannot_be_loaded(kind: str, stored: Results, tmp_path: Path) -> None:
    folder = copy(output_of(stored), tmp_path / "results")
    damage, rule = DAMAGE[kind]
    damage(folder)
    with pytest.raises(ResultsError, match=rule) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)


def test_tables_that_cannot_be_read(stored: Results, tmp_path: Path) -> None:
    results = load(copy(output_of(stored), tmp_path / "results"))
    for name, size in (("tensors", 1000), ("blocks", 0)):
        os.truncate(output_of(results) / f"{name}.parquet", size)
        with pytest.raises(ResultsError, match=rf"{name}\.parquet: cannot be read: ") as caught:
            results[name]
        assert "\n" not in str(caught.value)
    with pytest.raises(ResultsError, match="no table 'tensor'; there are tensors, blocks"):
        results["tensor"]
    assert stored["tensors"].equals(pq.read_table(output_of(stored) / "tensors.parquet"))

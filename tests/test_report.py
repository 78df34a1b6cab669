"""The page of a report: its data are the tables', names are never markup, nothing is fetched, bad input is one line."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import weightkin
from commands import weightkin as command
from comparisons import model as small_model
from folders import write_checkpoint
from pages import (
    FORMULA,
    HOSTILE,
    LARGE,
    claimed,
    columns,
    compared,
    course,
    data,
    experts,
    layers,
    matrix,
    section,
    unpack,
)
from weightkin import Results, WeightkinError
from weightkin.report import page as pages
from weightkin.report import report
from weightkin.report.provenance import command as repeat


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compared(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report([results], tmp_path_factory.mktemp("pages") / "report.html")


class _Elements(HTMLParser):
    """Elements and their attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.text += data


def test_tables_are_those_of_the_results(results: Results, page: Path) -> None:
    table = columns(section(page, "table", "Tensors"))
    stored = results["tensors"]
    for name in ("role", "name_a", "status"):
        assert table[name] == stored[name].to_pylist()
    for name in ("cosine", "pearson", "z", "p", "changed_fraction", "layer", "parameters"):
        wanted = np.array([np.nan if value is None else value for value in stored[name].to_pylist()], np.float32)
        np.testing.assert_array_equal(np.float32(table[name]), wanted)
    roles = columns(section(page, "table", "Groups and roles"))
    groups = results.summary["groups"]
    assert roles["verdict"][: len(groups)] == [group["verdict"].replace("_", " ") for group in groups]
    assert len(roles["z"]) == len(groups) + len(results.summary["roles"])


def test_roles_and_layers(results: Results, page: Path) -> None:
    (one,) = section(page, "roles")["variants"]
    pearson = unpack(one["measures"]["pearson"]).reshape(len(one["roles"]), len(one["layers"]))
    rows = {(row["role"], row["layer"]): row["pearson"] for row in results["tensors"].to_pylist()}
    for role, values in zip(one["roles"], pearson, strict=True):
        for layer, value in zip(one["layers"], values, strict=True):
            wanted = rows.get((role, layer))
            assert np.isnan(value) if wanted is None else value == np.float32(wanted)


def test_nulls(results: Results, page: Path) -> None:
    found = section(page, "nulls")
    (one,) = found["variants"]
    stored = [row for row in results["nulls"].to_pylist() if row["z"] is not None]
    assert len(one["names"]) == len(stored) > 5
    histograms = unpack(one["histograms"]).reshape(len(stored), found["bins"])
    np.testing.assert_array_equal(histograms.sum(axis=1), unpack(one["draws"]))
    assert sorted(unpack(one["z"])) == sorted(np.float32([row["z"] for row in stored]))
    assert (unpack(one["low"]) <= unpack(one["q05"])).all() and (unpack(one["q95"]) <= unpack(one["high"])).all()


def test_blocks(results: Results, page: Path) -> None:
    found = section(page, "blocks")
    (row,) = unpack(found["tensors"]).astype(int)
    stored = results["tensors"].to_pylist()[row]
    assert stored["parameters"] == LARGE
    blocks = [block for block in results["blocks"].to_pylist() if block["row"] == row]
    assert unpack(found["sizes"]) == len(blocks) == 3 and unpack(found["step"]) == blocks[0]["last"]
    wanted = np.float32([block["pearson"] for block in blocks])
    np.testing.assert_array_equal(unpack(found["measures"]["pearson"]), wanted)


def test_names_are_never_markup(results: Results, page: Path) -> None:
    assert any(HOSTILE in str(name) for name in results["tensors"]["name_a"].to_pylist())
    found = _Elements(page.read_text("utf-8"))
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert scripts == [{"id": "data", "type": "application/json"}, {}, {}]
    assert not [tag for tag, _ in found.elements if tag == "img"]
    assert any(HOSTILE in str(name) for name in columns(section(page, "table", "Tensors"))["name_a"])
    assert FORMULA in columns(section(page, "table", "Tensors"))["name_a"]


def test_names_of_models_are_never_markup(results: Results, tmp_path: Path) -> None:
    summary = json.loads(json.dumps(results.summary))
    summary["models"][0] |= {"name": "<b>&</b>", "path": "/<b>&</b>"}
    summary["verdict"]["statement"] = "<b>said</b>"
    tables = {name: results[name] for name in results.table_names}
    found = _Elements(report([Results(summary, tables)], tmp_path / "page.html").read_text("utf-8"))
    assert "<b>&</b>" in found.text and "<b>said</b>" in found.text
    assert not [tag for tag, _ in found.elements if tag == "b"]


def test_nothing_is_fetched(page: Path) -> None:
    found = _Elements(page.read_text("utf-8"))
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "").startswith(("#", "data:")) or name not in attributes, (tag, attributes)
    (policy,) = [a["content"] or "" for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy


def test_what_was_found_stands_in_the_text(results: Results, page: Path) -> None:
    text = _Elements(page.read_text("utf-8")).text
    assert results.summary["verdict"]["statement"] in text
    for model in results.summary["models"]:
        assert model["fingerprint"] in text and model["path"] in text
    assert f"weightkin {results.summary['versions']['weightkin']}" in text
    assert "missing in A (1,632)" in text


def test_the_command_repeats_the_run() -> None:
    options = {
        "include": ["attn.*", "it's"],
        "null": 64,
        "canonical": True,
        "seed": 3,
        "memory": None,
        "experts": False,
    }
    summary = {"command": "compare", "models": [{"path": "/a b"}, {"path": "/c"}], "options": options}
    wanted = "weightkin compare '/a b' /c --include 'attn.*' --include 'it'\"'\"'s' --null 64 --canonical --seed 3 -o results"
    assert repeat(summary) == wanted


def test_several_results_on_one_page(results: Results, tmp_path: Path) -> None:
    others = [make(tmp_path / make.__name__) for make in (matrix, claimed, layers, experts)]
    page = report([results, *others], tmp_path / "page.html")
    kinds = [[one["kind"] for one in part] for part in data(page)]
    assert [part.count("matrix") for part in kinds] == [0, 1, 0, 0, 0]
    assert [part.count("layers") for part in kinds] == [0, 0, 0, 1, 0]
    assert [part.count("experts") for part in kinds] == [0, 0, 0, 0, 1]
    text = _Elements(page.read_text("utf-8")).text
    for one in others[1:]:
        for claim in one.summary.get("claims", []):
            assert claim["why"] in text
    grid = section(page, "matrix", part=1)
    cells = unpack(grid["variants"][0]["measures"]["pearson"]).reshape(3, 3)
    wanted = np.array(others[0].summary["matrices"][0]["pearson"], np.float32)
    np.testing.assert_array_equal(cells, wanted)
    maps = section(page, "layers", part=3)
    assert maps["variants"][0]["label"] == "all matrices" and maps["variants"][0]["map"] == [0, 1, 2, 1, 2, 3]
    (query,) = [one for one in maps["variants"] if one["label"] == "attn.q"]
    assert query["map"] == [0, 1, 2, 1, 2, 3]
    stored = [row for row in others[2]["layer_roles"].to_pylist() if row["role"] == "attn.q"]
    wanted = np.float32([row["pearson"] for row in sorted(stored, key=lambda row: (row["layer_a"], row["layer_b"]))])
    np.testing.assert_array_equal(unpack(query["measures"]["pearson"]), wanted)
    assert (unpack(query["measures"]["score"]).reshape(4, 6).argmax(axis=0) == query["map"]).all()
    steps = section(page, "experts", part=4)["steps"]
    assigned = [layer["assignment"] for layer in others[3].summary["experts"]["layers"] if layer["assignment"]]
    assert [step["assignment"] for step in steps] == assigned
    rows = [row for row in others[3]["experts"].to_pylist() if row["kind_b"] == "expert" and row["layer_b"] == 1]
    wanted = np.float32([row["best"] for row in sorted(rows, key=lambda row: row["expert_b"])])
    np.testing.assert_array_equal(unpack(steps[0]["scores"]["best"]), wanted)


def test_parts_that_were_paired_out_of_place(tmp_path: Path) -> None:
    models = layers(tmp_path).summary["models"]
    found = weightkin.compare(*(model["path"] for model in models))
    text = _Elements(report([found], tmp_path / "page.html").read_text("utf-8")).text
    assert "How parts were paired" in text
    assert "layers of B and those of A that they are: 0 is 0, 1 is 1, 2 is 2, 3 is 1, 4 is 2, 5 is 3" in text


def test_too_many_tensors(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that differ most are kept, and it is said that not all are there."""
    monkeypatch.setattr(pages, "MOST_TENSORS", 5)
    found = report([results], tmp_path / "page.html")
    table = section(found, "table", "Tensors")
    stored = [value for value in results["tensors"]["relative_l2_a"].to_pylist() if value is not None]
    assert sorted(columns(table)["relative_l2_a"]) == sorted(np.float32(sorted(stored)[-5:]))
    assert table["note"].startswith("The 5 tensors that differ most")


def test_sixteen_models(tmp_path: Path) -> None:
    """Tables of 200 layers' worth of rows per pair: the page says what it leaves out, and stays small."""
    paths = [write_checkpoint(tmp_path / f"model-{seed}", small_model(seed // 2)) for seed in range(16)]
    found = weightkin.matrix(paths, null=19)
    stored = found["tensors"].filter(pc.is_valid(found["tensors"]["layer"]))
    pieces = []
    for copy in range(100):
        piece = stored
        for name in ("layer", "layer_b"):
            moved = pc.add(stored[name], 2 * copy).cast(pa.int64())
            piece = piece.set_column(piece.schema.get_field_index(name), name, moved)
        pieces.append(piece)
    tables = {name: found[name] for name in found.table_names} | {"tensors": pa.concat_tables(pieces)}
    assert len(tables["tensors"]) == 120 * 8 * 100
    page = report([Results(found.summary, tables)], tmp_path / "page.html")
    assert page.stat().st_size < 15e6
    roles = section(page, "roles")
    assert len(roles["variants"]) == pages.MOST_MAPS and len(roles["variants"][0]["layers"]) == 200
    assert roles["note"] == "Of 120 pairs, the 16 that are most alike; tensors.parquet has all."
    related = [f"model-{one} and model-{one + 1}" for one in range(0, 16, 2)]
    assert {*related} <= {variant["label"] for variant in roles["variants"]}
    assert section(page, "table", "Tensors")["note"].startswith("The 21,960 tensors that differ most of 96,000")


def test_too_many_blocks(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_BLOCKS", 2)
    blocks = section(report([results], tmp_path / "page.html"), "blocks")
    assert len(unpack(blocks["tensors"])) == 0 and "Blocks of 0 of 1 tensors" in blocks["note"]


def test_results_without_a_null(results: Results, tmp_path: Path) -> None:
    paths = [model["path"] for model in results.summary["models"]]
    bare = weightkin.compare(*paths, null=0)
    kinds = [one["kind"] for one in data(report([bare], tmp_path / "page.html"))[0]]
    assert "nulls" not in kinds and "roles" in kinds


def test_the_command(results: Results, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = command("report", str(results.folder), "-o", page)
    assert done.stdout == f"{page}\n" and page.stat().st_size > 1e6 and "no network" in done.stderr


def _damaged(results: Results, to: Path) -> Path:
    assert results.folder is not None
    return Path(shutil.copytree(results.folder, to / "damaged"))


def _fails(folder: Path, *words: str) -> None:
    """One line that says what is wrong, and no page."""
    output = folder.parent / "page.html"
    done = command("report", folder, "-o", output, code=1)
    line, *hints = done.stderr.splitlines()
    assert all(word in line for word in words), line
    assert all(hint.startswith("hint: ") for hint in hints) and done.stdout == "" and not output.exists()


def test_missing_column(results: Results, tmp_path: Path) -> None:
    folder = _damaged(results, tmp_path)
    path = folder / "tensors.parquet"
    table: pa.Table = pq.read_table(path).drop_columns(["pearson"])
    pq.write_table(table, path)
    _fails(folder, str(folder), "'tensors' has no column 'pearson'")


def test_no_results_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _fails(tmp_path / "empty", "holds no summary.json")


def test_page_that_cannot_be_written(results: Results, tmp_path: Path) -> None:
    done = command("report", str(results.folder), "-o", tmp_path / "none" / "page.html", code=1)
    assert "cannot be written" in done.stderr


def test_missing_extra(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(WeightkinError, match="plotly") as caught:
        report([results], tmp_path / "page.html")
    assert caught.value.hint == "pip install 'weightkin[report]'"


def test_the_course_of_a_training(tmp_path: Path) -> None:
    results = course(tmp_path)
    page = report([results], tmp_path / "report.html")
    curves = section(page, "series")
    assert curves["marks"] == [{"checkpoint": 4, "text": "not of this training"}] and curves["numbers"] == list(
        range(1, 8)
    )
    for curve, group in zip(curves["groups"], results.summary["series"]["groups"], strict=True):
        wanted = [np.nan if value is None else value for value in group["pearson_last"]]
        np.testing.assert_array_equal(unpack(curve["pearson_last"]), np.float32(wanted))
    steps = columns(section(page, "table", "Checkpoints and groups"))
    assert len(steps["norm"]) == len(results["steps"])
    roles = columns(section(page, "table", "Tests of checkpoint 1"))
    assert roles["role"] == [role["role"] for role in results.summary["series"]["start"]["roles"]]
    assert len(columns(section(page, "table", "Tensors of checkpoint 1"))["edge"]) == len(results["start"])
    text = _Elements(page.read_text("utf-8")).text
    assert results.summary["series"]["statement"] in text and "not of this training; start" in text
    assert repeat(results.summary).startswith("weightkin series ")

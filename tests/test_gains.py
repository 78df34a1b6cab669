"""Norm gains in the results and on the page: as the files hold them, thinned alike in all models, with their moments."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import stacks
import weightkin
from comparisons import BF16, model, perturbed, rows_of
from folders import write_checkpoint
from pages import columns, section, unpack
from weightkin import Results
from weightkin.report import page as pages
from weightkin.report import report
from weightkin.report.pairs import most_alike, pairs_of
from weightkin.results import gains

NORM = "model.layers.1.input_layernorm.weight"
STATES = model(0, 3), perturbed(model(0, 3)), model(7, 3, dtype=np.dtype(np.float32))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [write_checkpoint(folder / name, state) for name, state in zip("abc", STATES, strict=True)]


@pytest.fixture(scope="module")
def results(paths: list[Path]) -> Results:
    return weightkin.matrix(paths)


def test_table(results: Results) -> None:
    rows = rows_of(results["gains"], "model", "name")
    assert len(rows) == 9 and {row["role"] for row in rows.values()} == {"norm.input"}
    for number, state in enumerate(STATES):
        row, stored = rows[number, NORM], state[NORM].astype(np.float32)
        np.testing.assert_array_equal(np.float32(row["values"]), stored)
        assert (row["layer"], row["channels"], row["step"]) == (1, len(stored), 1)
        np.testing.assert_allclose([row["mean"], row["deviation"]], [stored.mean(), stored.std()], rtol=1e-5)


def test_thinned(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit every so many channels are kept, the same ones of all models; moments are of all."""
    whole = rows_of(weightkin.compare(*paths[:2], align="none")["gains"], "model", "name")
    monkeypatch.setattr(gains, "MOST", 40)  # of 96
    thinned = rows_of(weightkin.compare(*paths[:2], align="none")["gains"], "model", "name")
    for (number, name), row in thinned.items():
        assert row["step"] == 3 and row["mean"] == whole[number, name]["mean"]
        assert row["values"] == STATES[number][name].astype(np.float32)[::3].tolist()


def test_layers_that_changed_places(tmp_path: Path) -> None:
    """The page joins the vectors through the alignment."""
    source = stacks.layers(4, 0)
    a, b = (
        stacks.write(tmp_path / "a", source),
        stacks.write(tmp_path / "b", stacks.derived(source, [0, 1, 2, 1, 2, 3])),
    )
    page = report([weightkin.compare(a, b)], tmp_path / "page.html")
    (norm,) = section(page, "gains")["variants"][0]["norms"]
    assert unpack(norm["columns"]["layer_b"]).tolist() == [0, 1, 2, 3, 4, 5]
    assert unpack(norm["columns"]["layer"]).tolist() == [0, 1, 2, 1, 2, 3]
    assert len(set(unpack(norm["columns"]["of_a"]))) == 4 and len(set(unpack(norm["columns"]["of_b"]))) == 6


def test_page(results: Results, tmp_path: Path) -> None:
    page = report([results], tmp_path / "page.html")
    found = section(page, "gains")
    vectors = found["vectors"]
    ends = np.cumsum(unpack(vectors["sizes"])).astype(int)
    values = np.split(unpack(vectors["codes"]).view(ml_dtypes.bfloat16).astype(np.float32), ends[:-1])
    stored = {
        (row["a"], row["b"], row["layer"]): row for row in results["tensors"].to_pylist() if row["role"] == "norm.input"
    }
    for variant, (a, b) in zip(found["variants"], ((0, 1), (0, 2), (1, 2)), strict=True):
        (norm,) = variant["norms"]
        held = {name: unpack(column) for name, column in norm["columns"].items()}
        for place, layer in enumerate(held["layer_b"].astype(int)):
            name = f"model.layers.{layer}.input_layernorm.weight"
            for number, side in ((a, "of_a"), (b, "of_b")):
                np.testing.assert_array_equal(
                    values[int(held[side][place])], STATES[number][name].astype(BF16).astype(np.float32)
                )
            for measure in ("pearson", "cosine", "cosine_if_uncorrelated"):
                assert held[measure][place] == np.float32(stored[a, b, layer][measure])
    moments = columns(section(page, "table", "Moments"))
    wanted = [row["mean"] for row in results["gains"].to_pylist() if row["model"] == 0]
    np.testing.assert_allclose(moments["mean_a"][:3], wanted, rtol=1e-6)


def test_page_with_less_room(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_GAINS", 9 * 16)
    monkeypatch.setattr("weightkin.report.gains.FEWEST", 8)
    monkeypatch.setattr(pages, "MOST_MAPS", 1)
    page = report([results], tmp_path / "page.html")
    found = section(page, "gains")
    assert (
        found["note"].startswith("One channel in 2 is drawn")
        and "Of 3 pairs, the 1 that are most alike" in found["note"]
    )
    assert [variant["label"] for variant in found["variants"]] == ["a and b"]
    assert [variant["label"] for variant in section(page, "roles")["variants"]] == ["a and b"]
    assert len(section(page, "groups")["variants"]) == 3


def test_most_alike(results: Results) -> None:
    pairs = pairs_of(results)
    assert [(pair.a, pair.b) for pair in most_alike(pairs, 1)] == [(0, 1)]
    assert most_alike(pairs, 3) == pairs


def test_results_without_gains(paths: list[Path], results: Results, tmp_path: Path) -> None:
    """Those of older programs have no such table; nor is there anything to draw where norms were left out."""
    summary = results.summary | {"tables": [name for name in results.table_names if name != "gains"]}
    older = Results(summary, {name: results[name] for name in summary["tables"]})
    bare = weightkin.compare(*paths[:2], exclude=["norm.*"])
    assert bare["gains"].num_rows == 0
    for one in (older, bare):
        page = report([one], tmp_path / "page.html").read_text("utf-8")
        assert '"kind":"gains"' not in page and '"kind":"roles"' in page

"""matrix: every pair as compare has it, from one pass; models of different architectures counted pair by pair."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import families
from comparisons import model, perturbed
from folders import write_checkpoint
from weightkin import PlanError, Results, compare, matrix, units

PAIR = ("a", "b")
LEVELS = ("roles", "groups", "components")
ROUNDED = (
    "cosine", "pearson", "cosine_if_uncorrelated", "relative_l2_a", "relative_l2_b", "cv_a", "cv_b", "cv_difference",
    "z", "p", "p_adjusted", "z_closed_form",
)  # fmt: skip
"""Columns that rest on inner products, which add up in another order among more rows; all others are the same bits."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, two descendants, an unrelated one, one without a layer, and one with another width."""
    root = tmp_path_factory.mktemp("matrix")
    base = model(0)
    wide = {
        name: np.concatenate([tensor, tensor]) if "mlp.gate" in name else tensor for name, tensor in model(3).items()
    }
    models = [base, perturbed(base, 1), perturbed(base, 2), model(9), model(8, layers=1), wide]
    return [write_checkpoint(root / f"m{number}", tensors) for number, tensors in enumerate(models)]


@pytest.fixture(scope="module")
def results(folders: list[Path]) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "BLOCK", 500)
        return matrix(folders, threads=2)


def of_pair(results: Results, name: str, a: int, b: int) -> list[dict[str, Any]]:
    """Rows of a pair, without the numbers of its models; those of `blocks` with the address instead of the row."""
    tensors = results["tensors"].append_column("row", pa.array(range(results["tensors"].num_rows)))
    table = results[name]
    if name == "blocks":
        table = table.join(tensors.select(["row", "component", "layer", "role", "expert"]), "row").drop("row")
    rows = table.filter((pc.field("a") == a) & (pc.field("b") == b)).drop(list(PAIR)).to_pylist()
    return sorted(rows, key=lambda row: str([row[key] for key in ("role", "layer", "block") if key in row]))


def check_rows(found: list[dict[str, Any]], wanted: list[dict[str, Any]], *rounded: str) -> None:
    for one, other in zip(found, wanted, strict=True):
        near = {name: other[name] for name in (*ROUNDED, *rounded) if other.get(name) is not None}
        assert {name: one[name] for name in near} == pytest.approx(near, abs=1e-6, rel=1e-5)
        assert one | near == other


def test_every_pair_has_the_numbers_of_compare(
    folders: list[Path], results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BLOCK", 500)
    assert [(pair["a"], pair["b"]) for pair in results.summary["pairs"]] == list(combinations(range(6), 2))
    for pair in results.summary["pairs"]:
        a, b = pair["a"], pair["b"]
        alone = compare(folders[a], folders[b])
        for name in ("tensors", "blocks"):
            check_rows(of_pair(results, name, a, b), of_pair(alone, name, 0, 1))
        assert pair["coverage"] == alone.summary["coverage"]
        for level in LEVELS:
            keys = ("component", "tensors", "parameters", "cosine", "pearson", "mean_abs_difference", "p99_difference")
            for found, wanted in zip(pair[level], alone.summary[level], strict=True):
                assert {key: found[key] for key in keys} == pytest.approx({key: wanted[key] for key in keys}, abs=1e-6)


def test_what_does_not_fit_is_counted_pair_by_pair(results: Results) -> None:
    coverage = {(pair["a"], pair["b"]): pair["coverage"] for pair in results.summary["pairs"]}
    assert all(coverage[pair]["fraction"] == 1 for pair in combinations(range(4), 2))
    reasons = {
        pair: {(entry["role"], entry["reason"]) for entry in found["untested"]} for pair, found in coverage.items()
    }
    layer = {"norm.input", "attn.q", "mlp.gate", "mlp.down"}
    for other in range(4):
        assert reasons[other, 4] == {(role, "missing in B") for role in layer}
        assert reasons[other, 5] == {("mlp.gate", "shape")}
    assert reasons[4, 5] == {(role, "missing in A") for role in layer} | {("mlp.gate", "shape")}
    for found in coverage.values():
        assert found["compared"] + sum(entry["parameters"] for entry in found["untested"]) == found["parameters"]


def test_tables_of_groups_are_symmetric(results: Results) -> None:
    groups = {(table["component"], table["group"]): table for table in results.summary["matrices"]}
    assert list(groups) == [("text", group) for group in ("norms", "attention", "mlp", "embeddings")]
    for (component, group), table in groups.items():
        for measure in ("cosine", "pearson", "identical_fraction"):
            values = table[measure]
            assert all(values[i][i] == 1 for i in range(6))
            assert all(values[i][j] == values[j][i] for i, j in combinations(range(6), 2))
        for pair in results.summary["pairs"]:
            (entry,) = (e for e in pair["groups"] if (e["component"], e["group"]) == (component, group))
            for measure in ("cosine", "pearson", "identical_fraction", "parameters"):
                assert table[measure][pair["a"]][pair["b"]] == entry[measure]
    attention = groups["text", "attention"]["pearson"]
    assert min(attention[0][1], attention[0][2], attention[1][2]) > 0.9
    assert max(abs(attention[i][j]) for i in range(3) for j in range(3, 6)) < 0.1


def test_architectures_that_share_little() -> None:
    names = ("glm4_moe", "solar_open", "llama", "gpt_oss")
    results = matrix([families.family_folder(family) for family in names])
    pairs = {(pair["a"], pair["b"]): pair for pair in results.summary["pairs"]}
    assert [entry["family"] for entry in results.summary["models"]] == list(names)
    for pair in pairs.values():
        assert 0 < pair["coverage"]["fraction"] < 1
    tables = {table["group"]: table for table in results.summary["matrices"]}
    assert tables["experts"]["parameters"][0][2] is None  # llama has none
    assert tables["experts"]["parameters"][0][1] == 2 * 5 * 3 * 28 * families.HIDDEN  # layer 0 of GLM is dense
    assert tables["norms"]["parameters"][2][3] == 7 * families.HIDDEN
    rows = results["tensors"].filter(pc.field("status") == "compared")
    assert set(zip(rows["a"].to_pylist(), rows["b"].to_pylist(), strict=True)) == set(pairs)


def test_a_model_in_float32_changes_no_other_pair(folders: list[Path], tmp_path: Path) -> None:
    """All three meet in float32, which holds every bf16 number."""
    tensors = {name: tensor.astype(np.float32) for name, tensor in model(4).items()}
    single = write_checkpoint(tmp_path / "single", tensors)
    together, alone = matrix([*folders[:2], single]), compare(*folders[:2])
    rows = [of_pair(results, "tensors", 0, 1) for results in (together, alone)]
    check_rows(rows[0], rows[1], "mean_abs_difference", "max_abs_difference")


def test_two_to_sixteen_models(folders: list[Path]) -> None:
    assert len(matrix(folders[:1] * 16, include=["norm.input"], null=0).summary["pairs"]) == 120
    for count in (0, 1, 17):
        with pytest.raises(PlanError, match=f"^{count} models given: 2 to 16 can be compared in one run$"):
            matrix(folders[:1] * count)

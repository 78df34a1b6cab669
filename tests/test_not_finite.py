"""NaN and infinities are counted, and make the measures that they touch undefined; they are never left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from comparisons import Array, check_measures, model, perturbed, rows_of
from folders import write_checkpoint
from weightkin import compare, units
from weightkin.checkpoint.mapping import NUMPY_DTYPES

SIMILARITIES = ("cosine", "pearson", "cosine_if_uncorrelated")
NAME = "model.layers.0.self_attn.q_proj.weight"
CASES = {
    "NaN": ([np.nan], [1.0]),
    "NaN in both": ([np.nan, 1.0], [1.0, np.nan]),
    "infinity": ([np.inf], [1.0]),
    "infinities of both signs": ([np.inf, -np.inf], [np.inf, -np.inf]),
    "an infinite percentile of a block": ([np.inf] * 3, [-np.inf] * 3),
    "everything at once": ([np.nan, np.inf, -np.inf], [np.inf, 1.0, -np.inf]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "F8_E5M2"])
def test_counted_and_undefined(dtype: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BLOCK", 256)
    a, b = ({name: t.astype(NUMPY_DTYPES[dtype]) for name, t in one.items()} for one in _related())
    a[NAME][7, : len(CASES[case][0])], b[NAME][7, : len(CASES[case][1])] = CASES[case]
    results = compare(write_checkpoint(tmp_path / "a", a), write_checkpoint(tmp_path / "b", b))
    rows = rows_of(results["tensors"], "name_a")
    assert len(rows) == len(a) and set(results["tensors"]["status"].to_pylist()) == {"compared"}
    wanted = _counts(a[NAME], b[NAME])
    row, index = rows.pop((NAME,)), results["tensors"]["name_a"].to_pylist().index(NAME)
    touched = [block for block in results["blocks"].to_pylist() if block["row"] == index and _not_finite(block)]
    assert [(block["first"], block["last"]) for block in touched] == [(0, 256)]
    assert row["z"] is row["p"] is None
    roles = {role["role"]: role for role in results.summary["roles"]}
    for entry in (row, touched[0], roles["attn.q"], results.summary["components"][0]):
        assert {name: entry[name] for name in wanted} == wanted
        for name in SIMILARITIES:
            assert entry[name] is None
        for name in ("mean_abs_difference", "max_abs_difference", "relative_l2_a", "relative_l2_b"):
            assert entry[name] is None or entry[name] == np.inf
    assert not any(_not_finite(other) for other in [*rows.values(), roles["mlp.gate"], roles["norm.input"]])
    assert all(roles["mlp.gate"][name] is not None for name in SIMILARITIES)
    json.dumps(results.summary, allow_nan=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_tensors_without_a_direction(value: float, tmp_path: Path) -> None:
    tensors = model(0, layers=1)
    odd = tensors | {NAME: np.full_like(tensors[NAME], value)}
    results = compare(write_checkpoint(tmp_path / "a", tensors), write_checkpoint(tmp_path / "b", odd))
    rows = rows_of(results["tensors"], "name_a")
    assert rows[NAME,]["cosine"] is rows[NAME,]["pearson"] is None
    assert _not_finite(rows[NAME,]) == (tensors[NAME].size if value else 0)
    for name, tensor in tensors.items():
        if name != NAME:
            check_measures(rows[name,], [(tensor, tensor)])


def _related() -> tuple[dict[str, Array], dict[str, Array]]:
    tensors = model(0, layers=1, mean=0.5)
    return tensors, perturbed(tensors)


def _counts(a: Array, b: Array) -> dict[str, int]:
    wide = {"a": a.astype(np.float64), "b": b.astype(np.float64)}
    counts = {f"nans_{side}": int(np.isnan(tensor).sum()) for side, tensor in wide.items()}
    return counts | {f"infinities_{side}": int(np.isinf(tensor).sum()) for side, tensor in wide.items()}


def _not_finite(entry: dict[str, int]) -> int:
    return sum(entry[f"{kind}_{side}"] for kind in ("nans", "infinities") for side in "ab")

"""compare: its numbers against numpy in float64, on folders that transformers wrote and on hand-made ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import families
from comparisons import BF16, Array, check_measures, expected, model, perturbed, perturbed_copy, rows_of
from folders import write_checkpoint
from test_schema_layouts import EXPERTS, FORMS, NORM
from weightkin import compare, units
from weightkin.checkpoint.mapping import NUMPY_DTYPES, Shards
from weightkin.comparison import open_models
from weightkin.plan import make_plan

ADDRESS = ("component", "layer", "role", "expert")
LEVELS = {"roles": ("component", "group", "role"), "groups": ("component", "group"), "components": ("component",)}


@pytest.mark.parametrize("family", sorted(families.CONFIGS))
def test_a_perturbed_copy_has_the_float64_numbers(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BLOCK", 2000)
    paths = families.family_folder(family), perturbed_copy(families.family_folder(family), tmp_path / "copy")
    results = compare(*paths)
    models = open_models(paths)
    shards = [Shards(model.checkpoint) for model in models]
    tensors = results["tensors"].to_pylist()
    blocks = rows_of(results["blocks"], "row", "block")
    by_address = {unit.address: unit for unit in make_plan(models).units}
    pooled: dict[str, dict[tuple[str, ...], list[tuple[Array, Array]]]] = {level: defaultdict(list) for level in LEVELS}
    assert Counter(tuple(row[name] for name in ADDRESS) for row in tensors) == Counter(
        s.address for s in models[0].slots
    )
    for number, row in enumerate(tensors):
        assert (row["status"], row["reason"]) == ("compared", None)
        assert row["group"] != "other" and not row["role"].startswith("other:")
        unit = by_address[tuple(row[name] for name in ADDRESS)]  # type: ignore[index]
        both = tuple(shard.array(view) for shard, view in zip(shards, unit.views, strict=True))
        check_measures(row, [both])  # type: ignore[list-item]
        assert row["identical"] == np.array_equal(both[0], both[1])
        flat = [array.reshape(-1) for array in both]
        for block, (first, last) in enumerate(zip(unit.bounds, unit.bounds[1:], strict=False)):
            found = blocks.pop((number, block))
            assert (found["first"], found["last"]) == (first, last)
            check_measures(found, [tuple(array[first:last] for array in flat)])  # type: ignore[list-item]
        for level, names in LEVELS.items():
            pooled[level][tuple(row[name] for name in names)].append(both)  # type: ignore[arg-type]
    assert not blocks
    for level, names in LEVELS.items():
        entries = {tuple(entry[name] for name in names): entry for entry in results.summary[level]}
        assert entries.keys() == pooled[level].keys()
        for key, pairs in pooled[level].items():
            check_measures(entries[key], pairs)
            assert (entries[key]["tensors"], entries[key]["parameters"]) == (len(pairs), sum(a.size for a, _ in pairs))
    parameters = models[0].checkpoint.parameters
    coverage = {"parameters": parameters, "compared": parameters, "fraction": 1.0, "untested": []}
    assert results.summary["coverage"] == coverage


def expert_forms(folder: Path) -> dict[str, Path]:
    """The same experts as each family stores them."""
    return {
        form: write_checkpoint(folder / form, NORM | tensors(), {"model_type": model_type}, gap=1)
        for form, (model_type, tensors) in FORMS.items()
    }


@pytest.mark.parametrize("block", [10, 1 << 20])
def test_every_form_of_the_same_experts_is_identical(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BLOCK", block)
    forms = expert_forms(tmp_path)
    for a, b in combinations(forms.values(), 2):
        results = compare(a, b)
        assert results.summary["coverage"]["fraction"] == 1 and all(results["tensors"]["identical"].to_pylist())
        rows = rows_of(results["tensors"], *ADDRESS)
        assert {key[2:] for key in rows} == {("norm.input", None)} | {
            (f"expert.{part}", expert) for part in ("gate", "up", "down") for expert in range(EXPERTS)
        }
        for row in [*rows.values(), *results["blocks"].to_pylist(), *results.summary["roles"]]:
            assert row["changed_fraction"] == row["relative_l2_a"] == row["relative_l2_b"] == row["p99_difference"] == 0
            assert row["cosine"] == pytest.approx(1, abs=1e-15)


def test_a_changed_expert_shows_in_its_own_rows_whatever_the_form(tmp_path: Path) -> None:
    forms = expert_forms(tmp_path)
    model_type, tensors = FORMS["interleaved"]
    packed = tensors()
    before = packed["model.layers.0.mlp.experts.gate_up_proj"]
    packed["model.layers.0.mlp.experts.gate_up_proj"] = after = before.copy()
    after[1, :, 1::2] = -before[1, :, 1::2]
    changed = write_checkpoint(tmp_path / "changed", NORM | packed, {"model_type": model_type})
    for form in forms.values():
        rows = rows_of(compare(form, changed)["tensors"], "role", "expert")
        assert {key for key, row in rows.items() if not row["identical"]} == {("expert.up", 1)}
        check_measures(rows["expert.up", 1], [(before[1, :, 1::2], after[1, :, 1::2])])


def test_identical_needs_one_dtype_and_all_bits(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {"x": np.array([0.0, 1.0, 2.0], np.float32), "y": np.arange(5, dtype=np.float16)}
    a = write_checkpoint(tmp_path / "a", tensors)
    wider = write_checkpoint(tmp_path / "wider", {name: tensor.astype(np.float64) for name, tensor in tensors.items()})
    signed = write_checkpoint(tmp_path / "signed", tensors | {"x": np.array([-0.0, 1.0, 2.0], np.float32)})
    assert compare(a, a)["tensors"]["identical"].to_pylist() == [True, True]
    other = compare(a, wider)
    assert other["tensors"]["identical"].to_pylist() == [False, False]
    assert other["tensors"]["changed_fraction"].to_pylist() == [0, 0]
    assert compare(a, signed)["tensors"].to_pylist()[0]["changed_fraction"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2"])
def test_every_float_dtype_compares_with_bf16(dtype: str, tmp_path: Path) -> None:
    tensors = model(0, layers=1, mean=0.3)
    cast = {name: tensor.astype(NUMPY_DTYPES[dtype]) for name, tensor in perturbed(tensors).items()}
    a, b = write_checkpoint(tmp_path / "a", tensors), write_checkpoint(tmp_path / "b", cast, gap=1)
    for row in compare(a, b)["tensors"].to_pylist():
        wide = [np.asarray(one[row["name_a"]], np.float64) for one in (tensors, cast)]
        wanted = expected([(wide[0], wide[1])])
        for name in (
            "cosine",
            "pearson",
            "relative_l2_a",
            "relative_l2_b",
            "mean_abs_difference",
            "max_abs_difference",
        ):
            assert row[name] == pytest.approx(wanted[name], abs=1e-6), name
        assert (row["dtype_a"], row["dtype_b"]) == ("BF16", dtype)


def test_percentiles_are_exact_for_16_bit_tensors_and_averaged_over_roles(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    names = [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in range(3)]
    widths = dict(zip(names, (16, 33, 150), strict=True))
    both = [
        {name: (random.standard_t(2, (64, width)) * scale).astype(BF16) for name, width in widths.items()}
        for scale in (1, 7)
    ]
    results = compare(*(write_checkpoint(tmp_path / str(i), tensors, {}) for i, tensors in enumerate(both)))
    (role,) = results.summary["roles"]
    for entry, wanted in [(role, names), *((row, [row["name_a"]]) for row in results["tensors"].to_pylist())]:
        sizes = [widths[name] for name in wanted]
        p99 = [
            np.average([np.quantile(np.abs(t[name].astype(float)), 0.99) for name in wanted], weights=sizes)
            for t in both
        ]
        assert [entry["p99_a"], entry["p99_b"]] == pytest.approx(p99, rel=1e-14)
        assert entry["p99_difference"] == pytest.approx(abs(p99[0] - p99[1]), rel=1e-13)


def test_integers_are_compared_for_equality_only(tmp_path: Path) -> None:
    a: dict[str, Array] = {"i": np.arange(10), "u": np.arange(10, dtype=np.uint8), "b": np.array([True, False])}
    a["x"] = np.ones(3, BF16)
    b = a | {"i": np.where(np.arange(10) < 3, -1, np.arange(10)), "b": np.array([True, True])}
    results = compare(write_checkpoint(tmp_path / "a", a, {}), write_checkpoint(tmp_path / "b", b, {}))
    rows = rows_of(results["tensors"], "name_a")
    assert {name: row["changed_fraction"] for (name,), row in rows.items()} == {"i": 0.3, "u": 0, "b": 0.5, "x": 0}
    assert {name: row["identical"] for (name,), row in rows.items()} == {"i": False, "u": True, "b": False, "x": True}
    for name in ("cosine", "pearson", "mean_abs_difference", "p99_a", "cv_a", "nans_a"):
        assert rows["i",][name] is None
    assert results.summary["coverage"]["compared"] == 25
    assert [role["role"] for role in results.summary["roles"]] == ["other:x"]


@pytest.mark.parametrize("start", ["small", "large", "zero"])
def test_percentiles_of_tensors_unlike_their_start(start: str, tmp_path: Path) -> None:
    """Only the upper tenth of a sample from the start is counted code by code: what that misses is counted again."""
    random = np.random.default_rng(4)
    scale = np.where(np.arange(3000) < 8, {"small": 1e-3, "large": 1e3, "zero": 0.0}[start], 1.0)[:, None]
    tensors = [{"model.embed_tokens.weight": (random.standard_normal((3000, 1024)) * scale).astype(BF16)} for _ in "ab"]
    tensors[1]["model.embed_tokens.weight"][8:2990] = 0
    results = compare(*(write_checkpoint(tmp_path / str(i), one, {}) for i, one in enumerate(tensors)))
    (row,) = results["tensors"].to_pylist()
    for side, one in zip("ab", tensors, strict=True):
        values = np.abs(one["model.embed_tokens.weight"].astype(float))
        assert row[f"p99_{side}"] == pytest.approx(np.quantile(values, 0.99), rel=1e-12)
    for block in results["blocks"].to_pylist():
        part = np.abs(tensors[0]["model.embed_tokens.weight"].astype(float)).ravel()[block["first"] : block["last"]]
        assert block["p99_a"] == pytest.approx(np.quantile(part, 0.99), rel=1e-12)

"""plan: every address in one row, blocks of whole heads and rows, and a reason for all that is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import families
from comparisons import BF16, Array, model
from folders import write_checkpoint
from weightkin import PlanError, units
from weightkin.comparison import open_models
from weightkin.plan import Plan, make_plan
from weightkin.units import block_bounds


def planned(folder: Path, *models: dict[str, Array], config: dict[str, Any] | None = None, **globs: Any) -> Plan:
    paths = [write_checkpoint(folder / str(number), tensors, config) for number, tensors in enumerate(models)]
    return make_plan(open_models(paths), **globs)


def reasons(work: Plan, a: int = 0, b: int = 1) -> dict[str, str | None]:
    return {(row.slots[0] or row.slots[1]).name: row.reason for row in work.untested(a, b)}  # type: ignore[union-attr]


@given(
    st.lists(st.integers(1, 40), max_size=3).filter(lambda shape: np.prod(shape) > 0),
    st.integers(1, 12),
    st.integers(1, 300),
)
def test_blocks_are_whole_rows_and_heads(shape: list[int], snap: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "BLOCK", block)
        bounds = block_bounds(shape, snap)
    row = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, np.prod(shape)) and (sizes > 0).all()
    assert (bounds % row == 0).all()
    assert (sizes <= max(block, row)).all()
    if snap * row <= block:
        assert (bounds[:-1] % (snap * row) == 0).all()
        assert (sizes[:-1] + snap * row > block).all()  # no smaller than it must be


def test_blocks_of_attention_hold_whole_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BLOCK", 25 * families.HIDDEN)
    folder = families.family_folder("glm4_moe")
    of_role = {unit.address.role: unit for unit in make_plan(open_models([folder, folder])).units}
    assert set(np.diff(of_role["attn.q"].bounds)) == {20 * families.HIDDEN}  # 2 of 6 heads of 10 rows
    assert list(np.diff(of_role["attn.k"].bounds)) == [20 * families.HIDDEN]
    assert list(np.diff(of_role["mlp.gate"].bounds)) == [25 * families.HIDDEN] * 3 + [5 * families.HIDDEN]


@pytest.mark.parametrize(
    "families_of", [("glm4_moe", "solar_open", "llama"), ("gpt_oss", "qwen3_moe"), ("llama4", "llama4_text")]
)
def test_every_address_of_a_pair_is_in_one_row(families_of: tuple[str, ...]) -> None:
    models = open_models([families.family_folder(family) for family in families_of])
    work = make_plan(models)
    for a, b in work.pairs:
        rows = [row for unit in work.units for i, j, row in work.compared(unit) if (i, j) == (a, b)]
        assert rows and all(row.reason is None and row.unit is not None for row in rows)
        left_out = list(work.untested(a, b))
        assert all(row.reason and row.unit is None for row in left_out)
        wanted = {slot.address for number in (a, b) for slot in models[number].slots}
        assert Counter(row.address for row in [*rows, *left_out]) == Counter(wanted)
        for side, number in enumerate((a, b)):
            held = [row.slots[side] for row in [*rows, *left_out]]
            assert sum(slot.parameters for slot in held if slot) == models[number].checkpoint.parameters


def test_units_are_in_the_order_of_the_first_models_bytes(tmp_path: Path) -> None:
    tensors = model(0)
    names = list(tensors)
    shards = [{name: tensors[name] for name in part} for part in (names[:4], names[4:])]
    a = write_checkpoint(tmp_path / "a", shards, {})
    b = write_checkpoint(tmp_path / "b", {name: tensors[name] for name in reversed(names)}, {})
    work = make_plan(open_models([a, b]))
    assert [unit.slots[0].name for unit in work.units] == names
    assert [unit.index for unit in work.units] == list(range(len(names)))


def test_a_reason_for_everything_left_out(tmp_path: Path) -> None:
    both: dict[str, Array] = {"same": np.ones(3, BF16), "empty": np.ones((0, 3), BF16)}
    a = both | {"only_a": np.ones(3, BF16), "wide": np.ones((2, 3), BF16), "kind": np.ones(4, BF16)}
    b = both | {"only_b": np.ones(3, BF16), "wide": np.ones((3, 2), BF16), "kind": np.ones(4, np.int16)}
    a["words"], b["words"] = np.ones(4, np.int32), np.ones(4, np.int64)
    work = planned(tmp_path, a, b, config={})
    assert [unit.address.role for unit in work.units] == ["other:same"]
    assert reasons(work) == {
        "only_a": "missing in B",
        "only_b": "missing in A",
        "wide": "shape",
        "kind": "dtype BF16 against I16",
        "words": "dtype I32 against I64",
        "empty": "no elements",
    }


def test_formats_that_need_their_scales_are_left_out(tmp_path: Path) -> None:
    blocks = {
        "model.layers.0.mlp.experts.gate_up_proj_blocks": np.zeros((2, 8, 3, 16), np.uint8),
        "model.layers.0.mlp.experts.gate_up_proj_scales": np.zeros((2, 8, 3), np.uint8),
        "model.layers.0.input_layernorm.weight": np.ones(8, BF16),
    }
    work = planned(tmp_path, blocks, blocks, config={"model_type": "gpt_oss"})
    assert [unit.address.role for unit in work.units] == ["norm.input"]
    assert {row.reason for row in work.untested(0, 1)} == {"MXFP4 blocks"}
    assert len(list(work.untested(0, 1))) == 2 * 2 * 2  # experts, gate and up, blocks and scales


def test_mtp_is_apart_from_the_decoder(tmp_path: Path) -> None:
    """Layer 2 of the one is a decoder layer; of the other, with two layers, an extra one."""
    tensors = {f"model.layers.{layer}.input_layernorm.weight": np.ones(8, BF16) for layer in range(3)}
    config = {"model_type": "glm4_moe"}
    paths = [
        write_checkpoint(tmp_path / str(layers), tensors, config | {"num_hidden_layers": layers}) for layers in (2, 3)
    ]
    work = make_plan(open_models(paths))
    assert [unit.address.layer for unit in work.units] == [0, 1]
    left_out = {(row.address.component, row.address.layer): row.reason for row in work.untested(0, 1)}
    assert left_out == {("mtp", 0): "missing in B", ("text", 2): "missing in A"}


def test_include_and_exclude(tmp_path: Path) -> None:
    tensors = model(0)
    both = [tensors, tensors]
    roles = {"embed", "norm.input", "attn.q", "mlp.gate", "mlp.down"}

    def kept(**globs: Any) -> set[str]:
        work = planned(tmp_path, *both, **globs)
        assert {row.reason for row in work.untested(0, 1)} <= {"excluded"}
        assert len(work.units) + len(list(work.untested(0, 1))) == len(tensors)
        return {unit.address.role for unit in work.units}

    assert kept(include=["attn.*"]) == {"attn.q"}
    assert kept(include=["mlp.*", "*input_layernorm*"]) == {"mlp.gate", "mlp.down", "norm.input"}
    assert kept(exclude=["embed", "mlp.????"]) == roles - {"embed", "mlp.gate", "mlp.down"}
    assert kept(include=["mlp.*"], exclude=["*.down"]) == {"mlp.gate"}
    assert [unit.address.layer for unit in planned(tmp_path, *both, include=["*layers.1.*"]).units] == [1] * 4
    for option, glob in (("include", "attn.nothing"), ("exclude", "attn.nothing"), ("include", "ATTN.Q")):
        with pytest.raises(PlanError, match=r"'(attn.nothing|ATTN.Q)' matches no role and no tensor name") as error:
            planned(tmp_path, *both, **{option: ["attn.q", glob]})
        assert error.value.hint is not None
    with pytest.raises(PlanError, match="nothing to compare"):
        planned(tmp_path, *both, exclude=["*"])


def test_models_with_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(
        PlanError, match=r"^nothing to compare: 0, 1, 2 share no tensor of one role .* and shape$"
    ) as error:
        planned(tmp_path, {"a": np.ones(3, BF16)}, {"b": np.ones(3, BF16)}, {"a": np.ones(4, BF16)}, config={})
    assert "inspect" in str(error.value.hint) and "is 3 in 0, 4 in 2;" in str(error.value.hint)

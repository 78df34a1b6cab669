"""Fused, stacked, transposed and interleaved tensors give the same parts as separate ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from folders import write_checkpoint
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.schema import Address, Model, resolve

Array = np.ndarray[Any, Any]
HIDDEN, NEURONS, EXPERTS = 6, 4, 3
NORM = {"model.layers.0.input_layernorm.weight": np.ones(HIDDEN, ml_dtypes.bfloat16)}


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(ml_dtypes.bfloat16)


def experts() -> dict[str, Array]:
    """gate and up [experts, neuron, residual], down [experts, residual, neuron]."""
    gate, up = np.split(random(2 * EXPERTS, NEURONS, HIDDEN), 2)
    return {"gate": gate, "up": up, "down": random(EXPERTS, HIDDEN, NEURONS)}


def opened(folder: Path, tensors: dict[str, Array], model_type: str | None, **config: Any) -> Model:
    kind = {} if model_type is None else {"model_type": model_type}
    return resolve(open_checkpoint(write_checkpoint(folder, NORM | tensors, kind | config, gap=3)))


def contents(model: Model) -> dict[tuple[str, int | None], Array]:
    shards = Shards(model.checkpoint)
    return {
        (slot.address.role, slot.address.expert): shards.array(slot.view)
        for slot in model.slots
        if slot.view and slot.name not in NORM
    }


def per_expert(stem: str, names: dict[str, str]) -> Callable[[], dict[str, Array]]:
    return lambda: {
        f"{stem}.experts.{expert}.{names[part]}.weight": values[expert]
        for part, values in experts().items()
        for expert in range(EXPERTS)
    }


def stacked(stem: str, join: Callable[[Array, Array], Array], transposed: bool) -> Callable[[], dict[str, Array]]:
    def tensors() -> dict[str, Array]:
        turned = {part: value.transpose(0, 2, 1) if transposed else value for part, value in experts().items()}
        return {
            f"{stem}.experts.gate_up_proj": np.ascontiguousarray(join(turned["gate"], turned["up"])),
            f"{stem}.experts.down_proj": np.ascontiguousarray(turned["down"]),
        }

    return tensors


def interleave(gate: Array, up: Array) -> Array:
    return np.stack([gate, up], axis=-1).reshape(*gate.shape[:-1], -1)


PROJECTIONS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
MLP = "model.layers.0.mlp"
FORMS = {
    "per expert": ("glm4_moe", per_expert(MLP, PROJECTIONS)),
    "mixtral": (
        "mixtral",
        per_expert("model.layers.0.block_sparse_moe", {"gate": "w1", "up": "w3", "down": "w2"}),
    ),
    "stacked": ("solar_open", stacked(MLP, lambda gate, up: np.concatenate([gate, up], 1), False)),
    "transposed": (
        "llama4_text",
        stacked("model.layers.0.feed_forward", lambda gate, up: np.concatenate([gate, up], 2), True),
    ),
    "interleaved": ("gpt_oss", stacked(MLP, interleave, True)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_experts_has_the_same_parts(form: str, tmp_path: Path) -> None:
    model_type, tensors = FORMS[form]
    found = contents(opened(tmp_path, tensors(), model_type))
    assert found.keys() == {(f"expert.{part}", expert) for part in PROJECTIONS for expert in range(EXPERTS)}
    for part, values in experts().items():
        for expert in range(EXPERTS):
            assert np.array_equal(found[f"expert.{part}", expert], values[expert])


def test_interleaved_biases(tmp_path: Path) -> None:
    both, down = random(EXPERTS, 2 * NEURONS), random(EXPERTS, HIDDEN)
    tensors = {f"{MLP}.experts.gate_up_proj_bias": both, f"{MLP}.experts.down_proj_bias": down}
    found = contents(opened(tmp_path, tensors, "gpt_oss"))
    assert np.array_equal(found["expert.gate.bias", 1], both[1, ::2])
    assert np.array_equal(found["expert.up.bias", 2], both[2, 1::2])
    assert np.array_equal(found["expert.down.bias", 0], down[0])


def test_grouped_query_heads_share_a_fused_tensor_unequally(tmp_path: Path) -> None:
    fused, config = random((4 + 2 + 2) * 5, HIDDEN), {"num_attention_heads": 4, "num_key_value_heads": 2}
    name = "model.layers.0.self_attn.qkv_proj.weight"
    model = opened(tmp_path / "known", {name: fused}, "phi3", head_dim=5, **config)
    found = contents(model)
    for part, rows in {"q": fused[:20], "k": fused[20:30], "v": fused[30:]}.items():
        assert np.array_equal(found[f"attn.{part}", None], rows)
    assert {slot.snap for slot in model.slots if slot.name == name} == {5}
    other = opened(tmp_path / "unknown", {name: fused}, "phi3").slots[-1]
    assert other.address == Address("text", 0, "other:model.layers.{}.self_attn.qkv_proj.weight", None)
    assert other.note is not None and "config.json does not give num_attention_heads" in other.note


def test_fused_dense_mlp_and_vision_attention(tmp_path: Path) -> None:
    gate_up, qkv, bias = random(2 * NEURONS, HIDDEN), random(24, 8), random(24)
    tensors = {
        "model.layers.0.mlp.gate_up_proj.weight": gate_up,
        "visual.blocks.0.attn.qkv.weight": qkv,
        "visual.blocks.0.attn.qkv.bias": bias,
        "visual.patch_embed.proj.weight": random(8, 3, 2, 2, 2),
    }
    vision = {"embed_dim": 8, "num_heads": 2, "hidden_size": HIDDEN}
    model = opened(tmp_path, tensors, "qwen2_vl", vision_config=vision)
    found = contents(model)
    assert np.array_equal(found["mlp.gate", None], gate_up[:NEURONS])
    assert np.array_equal(found["mlp.up", None], gate_up[NEURONS:])
    for part, rows in {"q": slice(8), "k": slice(8, 16), "v": slice(16, 24)}.items():
        assert np.array_equal(found[f"attn.{part}", None], qkv[rows])
        assert np.array_equal(found[f"attn.{part}.bias", None], bias[rows])
    assert found["patch_embed", None].shape == (8, 24)
    assert np.array_equal(found["patch_embed", None], tensors["visual.patch_embed.proj.weight"].reshape(8, -1))
    assert {slot.snap for slot in model.slots if slot.axes[0] == "head"} == {4}


@pytest.mark.parametrize(
    ("name", "shape", "rule"),
    [
        ("mlp.gate_up_proj.weight", (7, HIDDEN), "does not divide into 2 equal parts"),
        ("self_attn.q_proj.weight", (8, HIDDEN + 1), "the residual axis has 7 channels instead of 6"),
        ("self_attn.q_proj.weight", (8, HIDDEN, 1), "3 axes instead of 2"),
        ("self_attn.q_proj.weight", (), "0 axes instead of 2"),
        ("self_attn.q_proj.weight", (0, HIDDEN), "no elements"),
        ("mlp.experts.gate_up_proj", (EXPERTS, HIDDEN, 2 * NEURONS), "the residual axis has 8 channels instead of 6"),
        ("mlp.experts.gate_up_proj", (EXPERTS, 5, HIDDEN), "does not divide"),
        ("mlp.experts.gate_up_proj", (), "0 axes instead of 3"),
    ],
)
def test_a_shape_that_contradicts_its_name_is_kept_whole(
    name: str, shape: tuple[int, ...], rule: str, tmp_path: Path
) -> None:
    tensor = np.zeros(shape, ml_dtypes.bfloat16)
    slot = opened(tmp_path, {f"model.layers.0.{name}": tensor}, "glm4_moe").slots[-1]
    assert slot.address == Address("text", 0, f"other:model.layers.{{}}.{name}", None)
    assert slot.note is not None and rule in slot.note
    assert slot.view is not None and slot.view.shape == shape
    assert (slot.parameters, slot.group, slot.untested) == (tensor.size, "other", None)


def test_stacked_experts_without_a_config_are_read_by_the_family_that_knows_all_names(tmp_path: Path) -> None:
    tensors = stacked(MLP, interleave, True)() | {f"{MLP}.router.bias": random(EXPERTS)}
    tensors[f"{MLP}.experts.down_proj_bias"] = random(EXPERTS, HIDDEN)
    model = opened(tmp_path, tensors, None)
    assert (model.family, model.known) == ("gpt_oss", True)
    assert np.array_equal(contents(model)["expert.up", 1], experts()["up"][1])

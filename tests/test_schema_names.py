"""Names as real and as hostile checkpoints have them: full-size models, layers after the decoder, packed formats."""

from __future__ import annotations

import time
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import real_names
from weightkin.checkpoint import Checkpoint, TensorEntry, open_checkpoint
from weightkin.schema import Address, Model, Slot, resolve
from weightkin.schema.slots import MAX_STACKED
from weightkin.view import ITEM_SIZES


def named(tensors: real_names.Tensors, config: dict[str, Any]) -> Model:
    """A model of those tensors without any file."""
    entries: dict[str, TensorEntry] = {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        end = offset + prod(shape) * ITEM_SIZES.get(dtype, 1)
        entries[name] = TensorEntry(name, dtype, shape, 0, offset, end)
        offset = end
    model = resolve(Checkpoint(Path("model"), "model", config, (), (), entries, ()))
    covered = Counter[str]()
    for slot in model.slots:
        covered[slot.name] += slot.parameters
        assert slot.view is None or slot.view.size == slot.parameters
        assert len(slot.axes) == (0 if slot.view is None else len(slot.view.shape))
    assert covered == {name: entry.parameters for name, entry in entries.items()}
    assert len({slot.address for slot in model.slots}) == len(model.slots)
    return model


def bf16(**shapes: tuple[int, ...]) -> real_names.Tensors:
    return {name.replace("__", "."): ("BF16", shape) for name, shape in shapes.items()}


def slots(model: Model) -> dict[str, Slot]:
    return {slot.name: slot for slot in model.slots}


def test_solar_open_100b(tmp_path: Path) -> None:
    folder = real_names.write_headers(tmp_path, real_names.solar_open_100b(), real_names.SOLAR_OPEN)
    checkpoint = open_checkpoint(folder)
    durations = []
    for _ in range(3):
        start = time.process_time()
        model = resolve(checkpoint)
        durations.append(time.process_time() - start)
    assert min(durations) < 0.5
    assert (model.family, len(model.slots)) == ("solar_open", 18_963)
    groups = Counter[str]()
    for slot in model.slots:
        groups[slot.group] += slot.parameters
    assert sum(groups.values()) == 102_651_799_552
    assert groups["experts"] / sum(groups.values()) == pytest.approx(0.94, abs=0.005)
    assert (groups["other"], groups["norms"]) == (0, 97 * 4096)
    assert {slot.snap for slot in model.slots} == {1, 128}


def test_glm_4_5_air(tmp_path: Path) -> None:
    folder = real_names.write_headers(tmp_path, real_names.glm_4_5_air(), real_names.GLM_AIR)
    model = resolve(open_checkpoint(folder))
    components = Counter[str]()
    for slot in model.slots:
        components[slot.address.component] += slot.parameters
    assert sum(components.values()) == 110_468_824_832
    assert components.keys() == {"text", "mtp"}
    assert "other" not in {slot.group for slot in model.slots}
    assert max(slot.address.layer or 0 for slot in model.slots if slot.address.component == "text") == 45
    mtp = {slot.address for slot in model.slots if slot.address.component == "mtp"}
    assert {address.layer for address in mtp} == {0}
    assert {"embed", "unembed", "norm.final", "mtp.enorm", "router", "attn.q.bias"} <= {a.role for a in mtp}
    assert Address("mtp", 0, "expert.down", 127) in mtp


@pytest.mark.parametrize("config", [{"num_hidden_layers": 2}, {"num_hidden_layers": "2"}, {}])
@pytest.mark.parametrize("model_type", ["glm4_moe", "deepseek_v3", "something_new", None])
def test_layers_after_the_last_are_mtp(config: dict[str, Any], model_type: str | None) -> None:
    tensors = bf16(
        model__norm__weight=(8,),
        model__layers__1__input_layernorm__weight=(8,),
        model__layers__2__input_layernorm__weight=(8,),
        model__layers__2__eh_proj__weight=(8, 16),
        model__layers__2__shared_head__norm__weight=(8,),
    )
    found = slots(named(tensors, config if model_type is None else config | {"model_type": model_type}))
    assert found["model.layers.1.input_layernorm.weight"].address == Address("text", 1, "norm.input", None)
    assert found["model.layers.2.input_layernorm.weight"].address == Address("mtp", 0, "norm.input", None)
    assert found["model.layers.2.shared_head.norm.weight"].address == Address("mtp", 0, "norm.final", None)
    projection = found["model.layers.2.eh_proj.weight"]
    assert (projection.address.role, projection.axes) == ("mtp.eh_proj.hidden", ("residual", "residual"))


def test_mtp_under_its_own_prefix() -> None:
    tensors = bf16(
        mtp__fc__weight=(8, 16),
        mtp__norm__weight=(8,),
        mtp__pre_fc_norm_hidden__weight=(8,),
        mtp__layers__0__mlp__down_proj__weight=(8, 12),
        model__layers__0__mlp__down_proj__weight=(8, 12),
        model__norm__weight=(8,),
    )
    model = named(tensors, {"model_type": "exaone_moe", "num_hidden_layers": 1})
    roles = [(slot.address.component, slot.address.layer, slot.address.role) for slot in model.slots]
    assert roles == [
        ("mtp", 0, "mtp.eh_proj.embedding"),
        ("mtp", 0, "mtp.eh_proj.hidden"),
        ("mtp", 0, "norm.final"),
        ("mtp", 0, "mtp.hnorm"),
        ("mtp", 0, "mlp.down"),
        ("text", 0, "mlp.down"),
        ("text", None, "norm.final"),
    ]


def test_a_family_without_mtp_keeps_all_its_layers() -> None:
    model = named(bf16(model__layers__5__input_layernorm__weight=(8,)), {"model_type": "llama", "num_hidden_layers": 2})
    assert model.slots[0].address == Address("text", 5, "norm.input", None)


@pytest.mark.parametrize("prefix", ["model.", "", "language_model.model.", "model.language_model.", "base.any.thing."])
def test_prefixes_say_nothing(prefix: str) -> None:
    stems = {"layers.0.input_layernorm.weight": (8,), "norm.weight": (8,), "embed_tokens.weight": (20, 8)}
    model = named({prefix + stem: ("BF16", shape) for stem, shape in stems.items()}, {"model_type": "llama"})
    assert [slot.address.role for slot in model.slots] == ["norm.input", "norm.final", "embed"]


def test_model_types_and_names_as_the_hub_has_them() -> None:
    tensors = bf16(
        model__language_model__model__layers__0__post_norm1__weight=(8,),
        model__language_model__lm_head__weight=(20, 8),
        model__vision_model__blocks__0__norm1__weight=(6,),
        model__vision_model__merger__mlp__0__weight=(24, 24),
        model__vision_projector__weight=(8, 10),
    )
    model = named(tensors, {"model_type": "vlm", "text_config": {"model_type": "hyperclovax"}})
    assert [(slot.address.component, slot.address.role) for slot in model.slots] == [
        ("text", "norm.attention_output"),
        ("text", "unembed"),
        ("vision", "norm.input"),
        ("projector", "projector.up"),
        ("projector", "projector.linear"),
    ]
    mlp_norm = named(bf16(model__layers__0__post_mlp_layernorm__weight=(8,)), {"model_type": "AXK1"})
    assert mlp_norm.slots[0].address == Address("text", 0, "norm.mlp_output", None)


@pytest.mark.parametrize("quantization", [None, {"quant_method": "fp8"}])
def test_fp8_with_scales_is_untested(quantization: dict[str, str] | None) -> None:
    stem = "model.layers.0.self_attn.q_proj.weight"
    tensors: real_names.Tensors = {
        stem: ("F8_E4M3", (128, 256)),
        f"{stem}_scale_inv": ("F32", (1, 2)),
        "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", (64, 256)),
        "model.norm.weight": ("BF16", (256,)),
    }
    model = named(tensors, {"model_type": "deepseek_v3", "quantization_config": quantization})
    weight, scale, alone, norm = model.slots
    assert weight.untested == scale.untested == "block-scaled FP8 (needs its scales)"
    assert weight.view is not None and scale.view is None
    assert (weight.address.role, scale.address.role, scale.group) == ("attn.q", "attn.q.scale", "attention")
    assert alone.untested == (None if quantization is None else "quantized (needs its scales)")
    assert norm.untested is None


def test_mxfp4_is_untested_under_the_addresses_of_its_experts() -> None:
    stem = "model.layers.0.mlp.experts.gate_up_proj"
    tensors: real_names.Tensors = {f"{stem}_blocks": ("U8", (3, 8, 2, 16)), f"{stem}_scales": ("U8", (3, 8, 2))}
    model = named(tensors, {"model_type": "gpt_oss"})
    roles = {"expert.gate", "expert.up", "expert.gate.scale", "expert.up.scale"}
    expected = {Address("text", 0, role, expert) for role in roles for expert in range(3)}
    assert {slot.address for slot in model.slots} == expected
    assert {(slot.untested, slot.group, slot.view) for slot in model.slots} == {("MXFP4 blocks", "experts", None)}


@pytest.mark.parametrize("dtype", ["F4", "F8_E8M0", "C64"])
def test_other_dtypes_are_untested(dtype: str) -> None:
    model = named({"lm_head.weight": (dtype, (20, 8)), "x": (dtype, (2,))}, {"model_type": "llama"})
    assert [slot.untested for slot in model.slots] == [f"unsupported dtype {dtype}"] * 2
    assert [slot.address.role for slot in model.slots] == ["unembed", "other:x"]


def test_quantized_integers_are_untested() -> None:
    stem = "model.layers.0.mlp.down_proj.weight"
    tensors: real_names.Tensors = {stem: ("I8", (8, 12)), f"{stem}_scale": ("F32", (8, 1))}
    assert [slot.untested for slot in named(tensors, {}).slots] == ["quantized (needs its scales)"] * 2


def test_unknown_families_get_roles_where_names_are_usual() -> None:
    tensors = bf16(
        model__layers__0__self_attn__q_proj__weight=(12, 8),
        model__layers__0__feed_forward__experts__3__w2__weight=(8, 5),
        model__layers__7__mixer__experts__2__A_log=(7,),
        model__norm__weight=(8,),
    )
    model = named(tensors, {"model_type": "brand_new"})
    assert (model.family, model.known) == ("generic", False)
    assert [slot.address for slot in model.slots] == [
        Address("text", 0, "attn.q", None),
        Address("text", 0, "expert.down", 3),
        Address("text", 7, "other:model.layers.{}.mixer.experts.{}.A_log", 2),
        Address("text", None, "norm.final", None),
    ]
    assert (model.slots[2].axes, model.slots[2].group) == (("axis0",), "other")


def test_a_known_language_model_in_an_unknown_wrapper() -> None:
    tensors = bf16(
        language_model__model__norm__weight=(8,),
        vision_tower__vision_model__encoder__layers__1__self_attn__q_proj__weight=(4, 4),
        language_model__model__layers__0__mlp__experts__gate_up_proj=(2, 8, 6),
    )
    config = {"model_type": "brand_new_vl", "text_config": {"model_type": "GPT_OSS"}}
    model = named(tensors, config)
    assert (model.family, model.known) == ("gpt_oss", True)
    assert slots(model)["vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight"].address == Address(
        "vision", 1, "attn.q", None
    )
    assert {slot.address.role for slot in model.slots if "gate_up" in slot.name} == {"expert.gate", "expert.up"}


def test_a_taken_address_is_not_given_twice() -> None:
    names = ["model.layers.1.input_layernorm.weight", "model.layers.01.input_layernorm.weight"]
    names += ["x.layers.1.y", "x.layers.01.y", "x.layers.{}.y", "x.layers.{layer}.y"]
    model = named(dict.fromkeys(names, ("BF16", (8,))), {"model_type": "llama"})
    first, second = model.slots[:2]
    assert first.address == Address("text", 1, "norm.input", None)
    assert second.address == Address("text", None, f"other:{names[1]}", None)
    assert second.note == "its address is that of another tensor"


def test_hostile_headers_do_not_grow() -> None:
    shape = (MAX_STACKED, 2, 1)
    tensors: real_names.Tensors = {
        f"model.layers.{layer}.mlp.experts.gate_up_proj": ("BF16", shape) for layer in range(3)
    }
    tensors["model.layers.9.mlp.experts.gate_up_proj"] = ("BF16", (10**12, 0, 1))
    assert [slot.group for slot in named(tensors, {"model_type": "qwen3_moe"}).slots] == ["other"] * 4


NAMES = [
    "", ".", "0", "123.456", "layers", "layers.0", "layers.0.", ".layers.0.x", "_blocks", "_scale", ".weight", "mtp",
    "layers.99999999999999999999.mlp.up_proj", "a" * 100_000,
    "layers.1." * 20_000, "모델.layers.٣.é", "layers.\u0663.self_attn.q_proj.weight", "{layer}.{expert}",
    "model.layers.0.mlp.experts.99999999.up_proj.weight", "merger", "a\nb\0c",
]  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"model_type": 3}, {"text_config": 7, "model_type": "deepseek_v3"}])
@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "U8", "C64"])
def test_hostile_names(dtype: str, config: dict[str, Any]) -> None:
    model = named(dict.fromkeys(NAMES, (dtype, (2, 3))), config)
    assert {slot.group for slot in model.slots} == {"other"}
    assert all(slot.address.layer in (None, 0, 1) for slot in model.slots)


WORDS = ["model", "layers", "blocks", "experts", "mlp", "gate_up_proj", "mtp", "visual", "merger", "0", "7", "{layer}"]
SOME_NAMES = st.lists(st.sampled_from(["qkv", "weight", "bias", "self_attn", *WORDS]), max_size=9).map(".".join)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text that is drawn builds tables of characters
@given(
    st.dictionaries(
        SOME_NAMES,
        st.tuples(st.sampled_from(["BF16", "U8", "F4"]), st.lists(st.integers(0, 6), max_size=4).map(tuple)),
        max_size=20,
    ),
    st.sampled_from(["llama", "gpt_oss", "glm4_moe", "llama4", "qwen2_5_vl", "unknown", None]),
    st.dictionaries(st.sampled_from(["num_hidden_layers", "head_dim"]), st.one_of(st.integers(), st.text())),
)
def test_any_names_and_shapes_are_covered_exactly(
    tensors: real_names.Tensors, model_type: str | None, config: dict[str, Any]
) -> None:
    named(tensors, config | {"model_type": model_type})

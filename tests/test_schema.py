"""Every family as transformers writes it: names, components, axes and contents."""

from __future__ import annotations

from collections import Counter
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import families
from folders import write_checkpoint
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.schema import GROUPS, Address, Model, axes_of, group_of, load_roles, resolve
from weightkin.schema.family import load_family

ALL = sorted(families.CONFIGS | families.RELATIVES)
COMPONENTS = {
    "hyperclovax_vision_v2": {"text": 35, "vision": 33, "projector": 7},
    "llama4": {"text": 46, "vision": 39, "projector": 3},
    "qwen2_5_vl": {"text": 39, "vision": 33, "projector": 5},
}
RANKS = {
    "attn.q_a": 22,
    "attn.q_b": 22,
    "attn.q_a_norm": 22,
    "attn.kv_a": 14 + 4,
    "attn.kv_b": 14,
    "attn.kv_a_norm": 14,
}


@cache
def opened(family: str) -> Model:
    return resolve(open_checkpoint(families.family_folder(family)))


def contents(model: Model) -> dict[Address, np.ndarray[Any, Any]]:
    shards = Shards(model.checkpoint)
    return {slot.address: shards.array(slot.view) for slot in model.slots if slot.view}


@pytest.mark.parametrize("family", ALL)
def test_every_tensor_has_a_role(family: str) -> None:
    model = opened(family)
    assert (model.family, model.known) == (family, True)
    assert [(slot.name, slot.note) for slot in model.slots if slot.group == "other" or slot.note or slot.untested] == []
    assert len({slot.address for slot in model.slots}) == len(model.slots)
    assert {slot.address.role.removesuffix(".bias") for slot in model.slots} <= set(load_roles())
    covered = Counter[str]()
    for slot in model.slots:
        covered[slot.name] += slot.parameters
    assert covered == {name: tensor.parameters for name, tensor in model.checkpoint.tensors.items()}
    components = Counter(slot.address.component for slot in model.slots)
    assert components == COMPONENTS.get(family, {"text": len(model.slots)})


@pytest.mark.parametrize("family", ALL)
def test_axes_have_the_sizes_of_the_config(family: str) -> None:
    config = (families.CONFIGS | families.RELATIVES)[family]
    text = config.get("text_config", config)
    neurons = {
        "expert": text.get("moe_intermediate_size", 80) if family != "olmoe" else 80,
        "shared_expert": {"llama4": 80, "llama4_text": 80, "qwen2_moe": 36}.get(family, 28),
        "mlp": 72 if family.startswith("llama4") else 80,
    }
    vision = config.get("vision_config", {})
    sizes = {
        "text": {"residual": 48, "vocab": 102, "heads": 6, "expert": 5},
        "vision": {"residual": 32, "head": 32, "neuron": vision.get("intermediate_size")},
        "projector": {"residual": 48},
    }
    for slot in opened(family).slots:
        assert slot.view is not None
        assert slot.axes == axes_of(slot.address.role)
        assert slot.parameters == prod(slot.view.shape)
        extents = dict(zip(slot.axes, slot.view.shape, strict=True))
        if slot.address.component == "text" and "neuron" in extents:
            assert extents["neuron"] == neurons[slot.address.role.split(".")[0]], slot
        if slot.address.role in RANKS:
            assert extents["rank"] == RANKS[slot.address.role]
        shared = slot.address.role == "router.shared"
        for axis, size in sizes[slot.address.component].items():
            assert extents.get(axis, size) == (1 if shared and axis == "expert" else size), slot


@pytest.mark.parametrize("family", ALL)
def test_blocks_snap_to_heads(family: str) -> None:
    text = {slot.address.role: slot for slot in opened(family).slots if slot.address.component == "text"}
    wide = families.without_head_dim(families.TEXT) | (families.CONFIGS | families.RELATIVES)[family]
    head = wide.get("text_config", wide).get("head_dim", 8)
    if family in ("axk1", "deepseek_v3"):
        assert (text["attn.q_b"].snap, text["attn.kv_b"].snap, text["attn.o"].snap) == (7 + 4, 7 + 9, 1)
    else:
        assert {text[f"attn.{part}"].snap for part in "qkv"} == {head}
        assert {slot.snap for slot in text.values()} == {1, head}
    vision = [slot for slot in opened(family).slots if slot.address.component == "vision"]
    assert {slot.snap for slot in vision if slot.axes[0] == "head"} <= {32 // 4}


@pytest.mark.parametrize("family", ALL)
def test_the_form_in_memory_has_the_same_addresses_and_contents(family: str, tmp_path: Path) -> None:
    """transformers stacks experts and renames modules in memory; some tools save that form."""
    saved = opened(family)
    state = {name: _to_numpy(value) for name, value in families.build(family).state_dict().items()}
    memory = resolve(open_checkpoint(write_checkpoint(tmp_path, state, saved.checkpoint.config)))
    assert [slot.name for slot in memory.slots if slot.group == "other"] == []
    on_disk, in_memory = contents(saved), contents(memory)
    tied = {Address("text", None, "unembed", None)}
    assert on_disk.keys() ^ in_memory.keys() <= tied
    for address, values in on_disk.items():
        assert np.array_equal(values, in_memory[address]), address


def _to_numpy(value: Any) -> np.ndarray[Any, Any]:
    import torch

    if value.dtype != torch.bfloat16:
        return np.asarray(value.numpy())
    return np.asarray(value.contiguous().view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)


def test_the_same_vision_tower_has_the_same_addresses_in_different_models() -> None:
    towers = [
        {slot.address for slot in opened(family).slots if slot.address.component == "vision"}
        for family in ("qwen2_5_vl", "hyperclovax_vision_v2")
    ]
    assert towers[0] == towers[1]
    mergers = [
        {slot.address.role for slot in opened(family).slots if slot.address.component == "projector"}
        for family in ("qwen2_5_vl", "hyperclovax_vision_v2")
    ]
    assert mergers[1] - mergers[0] == {"projector.linear", "projector.linear.bias"}
    assert mergers[0] < mergers[1]


def test_data_files_agree_with_each_other() -> None:
    assert GROUPS == ("norms", "attention", "router", "experts", "mlp", "embeddings", "projector", "other")
    assert (group_of("attn.q.bias"), axes_of("attn.q.bias")) == ("attention", ("head",))
    assert (group_of("expert.gate.scale"), axes_of("expert.gate.scale")) == ("experts", ())
    assert (group_of("other:x"), axes_of("other:x")) == ("other", ())
    for family in ["generic", *families.CONFIGS.keys() - {"llama4_text", "mistral"}]:
        for rule in load_family(family).rules.values():
            for part in rule.parts:
                assert axes_of(part), part
                assert rule.stored is None or sorted(axes_of(part)) == sorted(set(rule.stored) - {"expert"})

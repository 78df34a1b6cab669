"""Names and shapes of real checkpoints, from their published configurations, as folders of headers without data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> dtype and shape."""

SOLAR_OPEN = {"model_type": "solar_open", "num_hidden_layers": 48, "num_attention_heads": 64, "head_dim": 128}
GLM_AIR = {"model_type": "glm4_moe", "num_hidden_layers": 46, "num_attention_heads": 96, "head_dim": 128}
ITEM_SIZES = {"BF16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "F4": 1, "I8": 1}


def solar_open_100b() -> Tensors:
    """Solar-Open-100B: 48 layers of mixture of experts."""
    hidden, tensors = 4096, _ends(196608, 4096)
    for layer in range(48):
        tensors |= _attention(layer, hidden, 64, 8)
        tensors |= _experts(layer, hidden, 128, 1280)
    return tensors


def glm_4_5_air() -> Tensors:
    """GLM-4.5-Air: one dense layer, 45 of mixture of experts, and layer 46 for multi-token prediction."""
    hidden, vocab = 4096, 151552
    tensors = _ends(vocab, hidden)
    for layer in range(47):
        tensors |= _attention(layer, hidden, 96, 8, bias=True)
        if layer == 0:
            tensors |= _mlp("model.layers.0.mlp", hidden, 10944)
        else:
            tensors |= _experts(layer, hidden, 128, 1408)
    stem = "model.layers.46"
    for name, shape in {
        "embed_tokens": (vocab, hidden), "eh_proj": (hidden, 2 * hidden), "enorm": (hidden,), "hnorm": (hidden,),
        "shared_head.norm": (hidden,), "shared_head.head": (vocab, hidden),
    }.items():  # fmt: skip
        tensors[f"{stem}.{name}.weight"] = ("BF16", shape)
    return tensors


def write_headers(folder: Path, tensors: Tensors, config: dict[str, Any] | None) -> Path:
    """A folder with one sparse file of those tensors, all zeros, which takes no room on the disk."""
    header: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        end = offset + prod(shape) * ITEM_SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + offset)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def _ends(vocab: int, hidden: int) -> Tensors:
    return {
        "model.embed_tokens.weight": ("BF16", (vocab, hidden)),
        "model.norm.weight": ("BF16", (hidden,)),
        "lm_head.weight": ("BF16", (vocab, hidden)),
    }


def _attention(layer: int, hidden: int, heads: int, kv_heads: int, bias: bool = False) -> Tensors:
    stem, rows = f"model.layers.{layer}", {"q": heads * 128, "k": kv_heads * 128, "v": kv_heads * 128}
    tensors: Tensors = {f"{stem}.self_attn.{n}_proj.weight": ("BF16", (rows[n], hidden)) for n in rows}
    if bias:
        tensors |= {f"{stem}.self_attn.{n}_proj.bias": ("BF16", (rows[n],)) for n in rows}
    tensors[f"{stem}.self_attn.o_proj.weight"] = ("BF16", (hidden, rows["q"]))
    return tensors | {
        f"{stem}.{n}.weight": ("BF16", (hidden,)) for n in ("input_layernorm", "post_attention_layernorm")
    }


def _mlp(stem: str, hidden: int, neurons: int) -> Tensors:
    shapes = {"gate_proj": (neurons, hidden), "up_proj": (neurons, hidden), "down_proj": (hidden, neurons)}
    return {f"{stem}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}


def _experts(layer: int, hidden: int, experts: int, neurons: int) -> Tensors:
    stem = f"model.layers.{layer}.mlp"
    tensors: Tensors = {
        f"{stem}.gate.weight": ("BF16", (experts, hidden)),
        f"{stem}.gate.e_score_correction_bias": ("F32", (experts,)),
    }
    for name in _expert_names(experts):
        tensors |= _mlp(f"{stem}.{name}", hidden, neurons)
    return tensors


def _expert_names(experts: int) -> Iterator[str]:
    yield "shared_experts"
    yield from (f"experts.{expert}" for expert in range(experts))

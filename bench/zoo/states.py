"""Checkpoint folders as dictionaries of tensors, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

State = dict[str, torch.Tensor]

SHARDS = 3


def save(model: Any, folder: Path) -> Path:
    """Writes a model as `transformers` does, in bfloat16."""
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="600KB")
    return folder


def load(folder: Path) -> Any:
    """The language model of a folder, in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def tensors(folder: Path) -> State:
    """Every tensor of a folder, bfloat16 widened."""
    state: State = {}
    for shard in sorted(folder.glob("*.safetensors")):
        state |= load_file(shard)
    return {name: x.float() if x.dtype == torch.bfloat16 else x for name, x in state.items()}


def write(state: State, like: Path, folder: Path, **config: Any) -> Path:
    """Writes `state` as a sharded bfloat16 folder with the config.json of `like`, some entries replaced."""
    folder.mkdir(parents=True)
    text = json.dumps(json.loads((like / "config.json").read_text()) | config, indent=2)
    (folder / "config.json").write_text(text)
    names = sorted(state)
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = {name: _stored(state[name]) for name in names[shard::SHARDS]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(x.numel() * 2 for x in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder


def _stored(x: torch.Tensor) -> torch.Tensor:
    return (x.to(torch.bfloat16) if x.is_floating_point() else x).contiguous()


def layer_of(name: str) -> int | None:
    """The layer that a tensor belongs to."""
    parts = name.split(".")
    return int(parts[parts.index("layers") + 1]) if "layers" in parts else None


def layers_of(state: State) -> int:
    """How many layers there are."""
    return 1 + max(layer for layer in map(layer_of, state) if layer is not None)


def experts_of(state: State, layer: int) -> int:
    """How many routed experts a layer has."""
    stem = f"model.layers.{layer}.mlp.experts."
    return 1 + max((int(name[len(stem) :].split(".")[0]) for name in state if name.startswith(stem)), default=-1)

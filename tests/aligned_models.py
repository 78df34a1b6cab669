"""Small models of experts with a known re-ordering between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from folders import write_checkpoint
from weightkin.correspondence.alignment import Alignment, HeadMatch, Mlp, MlpMatch

Array = np.ndarray[Any, np.dtype[np.float32]]
State = dict[str, Array]

LAYERS, EXPERTS, WIDTH, NEURONS = 3, 4, 64, 24
HEADS, GROUPS, ROWS = 8, 4, 8
CONFIG = {
    "model_type": "mixtral", "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": GROUPS,
    "head_dim": ROWS, "num_local_experts": EXPERTS,
}  # fmt: skip
PARTS = {"w1": "gate", "w3": "up", "w2": "down"}


def model(seed: int, layers: int = LAYERS, experts: int = EXPERTS) -> State:
    """Normal random numbers; some channels are larger, the same in all models."""
    random, scale = np.random.default_rng(seed), np.exp(0.3 * np.random.default_rng(0).standard_normal(WIDTH))

    def draw(*shape: int) -> Array:
        return (0.05 * random.standard_normal(shape)).astype(np.float32)

    out = {"model.embed_tokens.weight": draw(100, WIDTH), "model.norm.weight": 1 + draw(WIDTH)}
    for layer in range(layers):
        stem = f"model.layers.{layer}."
        out |= {f"{stem}{norm}_layernorm.weight": 1 + draw(WIDTH) for norm in ("input", "post_attention")}
        for name, heads in (("q", HEADS), ("k", GROUPS), ("v", GROUPS)):
            out[f"{stem}self_attn.{name}_proj.weight"] = draw(heads * ROWS, WIDTH) * scale.astype(np.float32)
        out[f"{stem}self_attn.o_proj.weight"] = draw(WIDTH, HEADS * ROWS)
        out[f"{stem}block_sparse_moe.gate.weight"] = draw(experts, WIDTH)
        for expert in range(experts):
            for part, shape in (("w1", (NEURONS, WIDTH)), ("w3", (NEURONS, WIDTH)), ("w2", (WIDTH, NEURONS))):
                out[f"{stem}block_sparse_moe.experts.{expert}.{part}.weight"] = draw(*shape)
    return out


def noisy(state: State, seed: int, noise: float = 0.01) -> State:
    random = np.random.default_rng(seed)
    return {
        name: x + np.float32(noise) * random.standard_normal(x.shape).astype(np.float32) for name, x in state.items()
    }


def write(folder: Path, state: Mapping[str, Array], **config: Any) -> Path:
    return write_checkpoint(folder, {name: x.astype(ml_dtypes.bfloat16) for name, x in state.items()}, CONFIG | config)


def relayered(state: State, order: Sequence[int]) -> State:
    """Layer i of the result is layer order[i] of `state`."""
    out = {name: x for name, x in state.items() if ".layers." not in name}
    for new, old in enumerate(order):
        stem = f".layers.{old}."
        out |= {name.replace(stem, f".layers.{new}."): x for name, x in state.items() if stem in name}
    return out


def shuffled(state: State, seed: int, width: int = NEURONS, experts: int = EXPERTS) -> tuple[State, Alignment]:
    """Experts, their neurons (of which `width` are kept) and attention heads in another order, up and down rescaled.

    And the alignment of the result with `state`.
    """
    random, out = np.random.default_rng(seed), dict(state)
    mlps: dict[Mlp, MlpMatch] = {}
    heads: dict[tuple[str, int], HeadMatch] = {}
    for layer in range(LAYERS):
        stem, order = f"model.layers.{layer}.block_sparse_moe.", random.permutation(EXPERTS)[:experts]
        for expert in range(EXPERTS):
            for part in PARTS:
                del out[f"{stem}experts.{expert}.{part}.weight"]
        out[f"{stem}gate.weight"] = state[f"{stem}gate.weight"][order]
        for new, old in enumerate(order.tolist()):
            turn, scale = random.permutation(NEURONS)[:width], 2.0 ** random.integers(-1, 2, width)
            for part, axis in (("w1", 0), ("w3", 0), ("w2", 1)):
                x = np.take(state[f"{stem}experts.{old}.{part}.weight"], turn, axis)
                factor = {"w1": np.ones(width), "w3": scale, "w2": 1 / scale}[part].astype(np.float32)
                out[f"{stem}experts.{new}.{part}.weight"] = x * (factor if axis else factor[:, None])
            mlps[Mlp("text", layer, "expert", new)] = MlpMatch(Mlp("text", layer, "expert", old), turn)
        heads["text", layer] = _shuffle_heads(out, f"model.layers.{layer}.self_attn.", random)
    return out, Alignment({}, mlps, heads)


def _shuffle_heads(state: State, stem: str, random: np.random.Generator) -> HeadMatch:
    each = HEADS // GROUPS
    groups = random.permutation(GROUPS)
    queries = np.concatenate([group * each + random.permutation(each) for group in groups])
    for name, order in (("q", queries), ("k", groups), ("v", groups)):
        x = state[f"{stem}{name}_proj.weight"]
        state[f"{stem}{name}_proj.weight"] = x.reshape(-1, ROWS, WIDTH)[order].reshape(x.shape)
    x = state[f"{stem}o_proj.weight"]
    state[f"{stem}o_proj.weight"] = x.reshape(WIDTH, -1, ROWS)[:, queries].reshape(x.shape)
    return HeadMatch(groups, queries)

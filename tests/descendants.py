"""Small models of known descent, made by random steps instead of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from folders import write_checkpoint

Array = np.ndarray[Any, np.dtype[np.float32]]
State = dict[str, Array]

WIDTH, NEURONS, LAYERS, TOKENS = 64, 48, 3, 40


def fresh(seed: int, layers: int = LAYERS) -> State:
    """A llama of normal random numbers."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (TOKENS, WIDTH)}
    for layer in range(layers):
        stem = f"model.layers.{layer}."
        shapes |= {f"{stem}self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes |= {f"{stem}mlp.{name}_proj.weight": (NEURONS, WIDTH) for name in ("gate", "up")}
        shapes |= {f"{stem}mlp.down_proj.weight": (WIDTH, NEURONS), f"{stem}input_layernorm.weight": (WIDTH,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def stepped(state: State, seed: int, size: float = 0.1) -> State:
    """After a random step of that size, relative to the weights."""
    random = np.random.default_rng(seed)
    return {
        name: x + np.float32(size) * random.standard_normal(x.shape).astype(np.float32) for name, x in state.items()
    }


def mixed(weights: Mapping[float, State] | list[tuple[float, State]]) -> State:
    """The sum of states times their weights."""
    pairs = list(weights.items()) if isinstance(weights, Mapping) else weights
    return {name: sum((np.float32(w) * state[name] for w, state in pairs), np.float32(0)) for name in pairs[0][1]}


def reordered(state: State, seed: int) -> State:
    """The same function with the neurons of every layer in another order."""
    random, out = np.random.default_rng(seed), dict(state)
    for layer in range(LAYERS):
        order, stem = random.permutation(NEURONS), f"model.layers.{layer}.mlp."
        for name in ("gate", "up"):
            out[f"{stem}{name}_proj.weight"] = state[f"{stem}{name}_proj.weight"][order]
        out[f"{stem}down_proj.weight"] = state[f"{stem}down_proj.weight"][:, order]
    return out


def rescaled(state: State, seed: int) -> State:
    """The same function with every neuron's up and down rescaled."""
    random, out = np.random.default_rng(seed), dict(state)
    for layer in range(LAYERS):
        scale, stem = random.uniform(0.5, 2, NEURONS).astype(np.float32), f"model.layers.{layer}.mlp."
        out[f"{stem}up_proj.weight"] = state[f"{stem}up_proj.weight"] * scale[:, None]
        out[f"{stem}down_proj.weight"] = state[f"{stem}down_proj.weight"] / scale
    return out


def doubled(state: State) -> State:
    """With layer 1 a second time."""
    order, out = [0, 1, 1, 2], {"model.embed_tokens.weight": state["model.embed_tokens.weight"]}
    for new, old in enumerate(order):
        stem = f"model.layers.{old}."
        out |= {name.replace(stem, f"model.layers.{new}."): x for name, x in state.items() if name.startswith(stem)}
    return out


def write(folder: Path, states: Mapping[str, State]) -> list[Path]:
    """A checkpoint each."""
    config = {"model_type": "llama", "hidden_size": WIDTH, "num_attention_heads": 4, "num_key_value_heads": 4}
    return [write_checkpoint(folder / name, state, config) for name, state in states.items()]

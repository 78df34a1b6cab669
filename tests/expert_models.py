"""Mixture-of-experts checkpoints made by hand, and relatives of them whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from folders import write_checkpoint

Array = np.ndarray[Any, np.dtype[Any]]
State = dict[str, Array]
HIDDEN, NEURONS, EXPERTS, LAYERS = 64, 24, 8, 3
GATE, UP, DOWN = "gate_proj.weight", "up_proj.weight", "down_proj.weight"


def mlp(random: np.random.Generator, stem: str, neurons: int, hidden: int = HIDDEN) -> State:
    """Normal weights, but a few residual channels are ten times as large, as trained models have them."""
    heavy = np.where(random.random(hidden) < 0.05, 10.0, 1.0)
    gate, up = (random.standard_normal((neurons, hidden)) * heavy / np.sqrt(hidden) for _ in range(2))
    down = random.standard_normal((hidden, neurons)) * heavy[:, None] / np.sqrt(neurons)
    return {f"{stem}.{GATE}": gate, f"{stem}.{UP}": up, f"{stem}.{DOWN}": down}


def moe(
    seed: int,
    *,
    layers: int = LAYERS,
    experts: int = EXPERTS,
    neurons: int = NEURONS,
    hidden: int = HIDDEN,
) -> State:
    """A glm4_moe whose first layer is dense."""
    random = np.random.default_rng(seed)
    state: State = {"model.norm.weight": np.ones(hidden)}
    for layer in range(layers):
        stem = f"model.layers.{layer}.mlp"
        if layer == 0:
            state |= mlp(random, stem, 2 * neurons, hidden)
            continue
        state[f"{stem}.gate.weight"] = random.standard_normal((experts, hidden))
        for expert in range(experts):
            state |= mlp(random, f"{stem}.experts.{expert}", neurons, hidden)
        state |= mlp(random, f"{stem}.shared_experts", neurons, hidden)
    return state


def dense(seed: int, *, layers: int = LAYERS, neurons: int = NEURONS) -> State:
    """A llama of dense layers."""
    random = np.random.default_rng(seed)
    state: State = {"model.norm.weight": np.ones(HIDDEN)}
    for layer in range(layers):
        state |= mlp(random, f"model.layers.{layer}.mlp", neurons)
    return state


def upcycled(state: Mapping[str, Array], experts: int, noise: float, seed: int = 0) -> State:
    """A mixtral whose experts are copies of a dense model's MLPs with noise."""
    random = np.random.default_rng(seed)
    out: State = {"model.norm.weight": state["model.norm.weight"]}
    names = {GATE: "w1.weight", UP: "w3.weight", DOWN: "w2.weight"}
    for name, x in state.items():
        if ".mlp." in name:
            stem, part = name.split(".mlp.")
            for expert in range(experts):
                copy = x + noise * x.std() * random.standard_normal(x.shape)
                out[f"{stem}.block_sparse_moe.experts.{expert}.{names[part]}"] = copy
    return out


def shuffled(state: Mapping[str, Array], seed: int) -> tuple[State, dict[int, list[int]], dict[tuple[int, int], Array]]:
    """Experts (with router rows) and their neurons in another order, neurons rescaled.

    Also the truth: by layer, and by layer and expert, which of the old ones each of the new is.
    """
    random = np.random.default_rng(seed)
    out, orders, neurons = dict(state), {}, {}
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}.mlp"
        if f"{stem}.gate.weight" not in state:
            continue
        order = random.permutation(len(state[f"{stem}.gate.weight"])).tolist()
        out[f"{stem}.gate.weight"] = state[f"{stem}.gate.weight"][order]
        for new, old in enumerate(order):
            source, target = f"{stem}.experts.{old}.", f"{stem}.experts.{new}."
            turn = random.permutation(len(state[source + GATE]))
            scale = random.uniform(0.5, 2.0, len(turn))
            out[target + GATE] = state[source + GATE][turn]
            out[target + UP] = state[source + UP][turn] * scale[:, None]
            out[target + DOWN] = state[source + DOWN][:, turn] / scale
            neurons[layer, new] = turn
        orders[layer] = order
    return out, orders, neurons


def noisy(state: Mapping[str, Array], share: float, seed: int = 5) -> State:
    """Every matrix plus noise of `share` of its deviation."""
    random = np.random.default_rng(seed)
    return {
        name: x if x.ndim == 1 else x + share * x.std() * random.standard_normal(x.shape) for name, x in state.items()
    }


def renamed(state: Mapping[str, Array], layers: Sequence[int]) -> State:
    """Layer i of the result is layer layers[i] of `state`."""
    out = {name: x for name, x in state.items() if ".layers." not in name}
    for new, old in enumerate(layers):
        for name, x in state.items():
            if f".layers.{old}." in name:
                out[name.replace(f".layers.{old}.", f".layers.{new}.")] = x
    return out


def moved(state: Mapping[str, Array], channels: Array) -> State:
    """The residual channels of every tensor in another order."""
    out = {}
    for name, x in state.items():
        axis = 0 if name.endswith((DOWN, "norm.weight")) else 1
        out[name] = np.take(x, channels, axis)
    return out


def write(
    folder: Path,
    state: Mapping[str, Array],
    model_type: str = "glm4_moe",
    dtype: Any = ml_dtypes.bfloat16,
    **config: Any,
) -> Path:
    """A folder of those tensors."""
    tensors = {name: x.astype(dtype) for name, x in state.items()}
    return write_checkpoint(folder, tensors, {"model_type": model_type, "hidden_act": "silu"} | config)


def reordered_pair(folder: Path) -> tuple[Path, Path]:
    """Four experts and a shared one in each of two layers after a dense one; in the second model re-ordered, with noise."""
    a = moe(0, experts=4, neurons=10)
    b, _, _ = shuffled(a, 1)
    return write(folder / "a", a), write(folder / "b", noisy(b, 0.2))

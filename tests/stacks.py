"""Small stacks of layers, and copies of them in a planted order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comparisons import BF16
from folders import write_checkpoint

Array = np.ndarray[Any, np.dtype[Any]]
Layer = Mapping[str, Array]

WIDTH = 64
SHAPES = {
    "self_attn.q_proj": (48, WIDTH), "self_attn.o_proj": (WIDTH, 48), "mlp.up_proj": (80, WIDTH),
    "mlp.down_proj": (WIDTH, 80),
}  # fmt: skip


def layers(count: int, seed: int, width: int = WIDTH) -> list[dict[str, Array]]:
    """Independent layers of normal random numbers, with norms near 1."""
    random = np.random.default_rng(seed)
    sizes = {name: tuple(width if extent == WIDTH else extent for extent in shape) for name, shape in SHAPES.items()}
    return [
        {name: random.standard_normal(shape) for name, shape in sizes.items()}
        | {"input_layernorm": 1 + 0.1 * random.standard_normal(width)}
        for _ in range(count)
    ]


def near(layer: Layer, random: np.random.Generator, noise: float = 0.5) -> dict[str, Array]:
    """The layer, trained on: every tensor with noise of that size relative to its own deviation."""
    return {name: array + noise * array.std() * random.standard_normal(array.shape) for name, array in layer.items()}


def derived(source: Sequence[Layer], order: Sequence[int], seed: int = 1, noise: float = 0.5) -> list[dict[str, Array]]:
    """Layers near `source[a]` for every a of `order`; -1: a new one."""
    random, new = np.random.default_rng(seed), layers(len(order), seed + 1000)
    return [near(source[a] if a >= 0 else new[b], random, noise) for b, a in enumerate(order)]


def shuffled(stack: Sequence[Layer], seed: int = 2) -> list[dict[str, Array]]:
    """The same layers with the lines of every matrix in another order and of other scale and sign."""
    random, out = np.random.default_rng(seed), []
    for layer in stack:
        changed = dict(layer)
        for name in SHAPES:
            lines = layer[name].T if name.endswith(("o_proj", "down_proj")) else layer[name]
            lines = random.permutation(lines) * random.choice([-2.0, -1.0, 1.0, 0.5], (len(lines), 1))
            changed[name] = lines.T if name.endswith(("o_proj", "down_proj")) else lines
        out.append(changed)
    return out


def write(folder: Path, stack: Sequence[Layer], dtype: np.dtype[Any] = BF16) -> Path:
    """A llama checkpoint of these layers."""
    tensors = {
        f"model.layers.{number}.{name}.weight": array.astype(dtype)
        for number, layer in enumerate(stack)
        for name, array in layer.items()
    }
    return write_checkpoint(folder, tensors)

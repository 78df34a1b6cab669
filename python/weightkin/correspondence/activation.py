"""How a model's MLPs join gate and up: the activation that config.json names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PlanError
from ..schema import Model
from ..schema.config import section

Array = npt.NDArray[Any]

KEYS = ("hidden_act", "hidden_activation", "hidden_activation_function")
DEFAULT = "silu"
"""Of every family whose config.json need not say it."""
CLAMPED = "clamped_swiglu"
"""That of gpt-oss: gate is clamped above, up on both sides, and 1 is added to up."""


def sigmoid(x: Array) -> Array:
    from scipy.special import expit  # slow to import

    return np.asarray(expit(x))


def silu(x: Array) -> Array:
    return np.asarray(x * sigmoid(x))


def gelu(x: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(x * ndtr(x))


def gelu_tanh(x: Array) -> Array:
    """The approximation 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


GATES: dict[str, Callable[[Array], Array]] = {
    "silu": silu, "swish": silu, "gelu": gelu, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh,
    "gelu_fast": gelu_tanh, "quick_gelu": lambda x: np.asarray(x * sigmoid(1.702 * x)),
    "relu": lambda x: np.asarray(np.maximum(x, 0)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Activation:
    """gate, up -> what down reads, element by element."""

    name: str
    """A key of `GATES`, or `CLAMPED`."""
    alpha: float = 1.702
    """Of `CLAMPED` alone, as is `limit`."""
    limit: float = 7.0

    def __call__(self, gate: Array, up: Array) -> Array:
        if self.name != CLAMPED:
            return np.asarray(GATES[self.name](gate) * up)
        gate = np.minimum(gate, self.limit)
        return np.asarray((np.clip(up, -self.limit, self.limit) + 1) * gate * sigmoid(self.alpha * gate))


def activation_of(model: Model, component: str) -> Activation:
    """Raises `PlanError` for one that is not known."""
    entries = section(model.checkpoint.config, component)
    if model.family == "gpt_oss":
        return Activation(CLAMPED, float(entries.get("swiglu_alpha", 1.702)), float(entries.get("swiglu_limit", 7.0)))
    name = next((entries[key] for key in KEYS if isinstance(entries.get(key), str)), DEFAULT)
    if name not in GATES:
        known = ", ".join(GATES)
        raise PlanError(f"{model.checkpoint.path}: the activation {name!r} is not known; known are {known}")
    return Activation(name)

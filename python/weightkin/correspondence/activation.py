"""How a model's MLPs join gate and up: the activation that config.json names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PlanError
from ..schema import Model
from ..schema.config import section

Array = npt.NDArray[Any]
Activation = Callable[[Array, Array], Array]
"""gate, up -> what down reads; element by element."""

KEYS = ("hidden_act", "hidden_activation", "hidden_activation_function")
DEFAULT = "silu"
"""Of every family whose config.json need not say it."""


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


def clamped_swiglu(alpha: float, limit: float) -> Activation:
    """That of gpt-oss: gate is clamped above, up on both sides, and 1 is added to up."""

    def activation(gate: Array, up: Array) -> Array:
        gate = np.minimum(gate, limit)
        return np.asarray((np.clip(up, -limit, limit) + 1) * gate * sigmoid(alpha * gate))

    return activation


def activation_of(model: Model, component: str) -> Activation:
    """Raises `PlanError` for one that is not known."""
    entries = section(model.checkpoint.config, component)
    if model.family == "gpt_oss":
        return clamped_swiglu(float(entries.get("swiglu_alpha", 1.702)), float(entries.get("swiglu_limit", 7.0)))
    name = next((entries[key] for key in KEYS if isinstance(entries.get(key), str)), DEFAULT)
    if name not in GATES:
        known = ", ".join(GATES)
        raise PlanError(f"{model.checkpoint.path}: the activation {name!r} is not known; known are {known}")
    gate = GATES[name]
    return lambda x, up: np.asarray(gate(x) * up)

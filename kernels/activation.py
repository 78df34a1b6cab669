"""What gate and up become before down reads them, of tiles in float64: weightkin.correspondence.activation in Triton."""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from weightkin.correspondence.activation import CLAMPED, Activation

__all__ = ["KINDS", "Activation", "activate"]

KINDS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh", "quick_gelu": "quick_gelu", "relu": "relu", CLAMPED: "clamped_swiglu",
}  # fmt: skip
"""What an `Activation` of each name is here."""


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def activate(gate, up, ALPHA: tl.constexpr, LIMIT: tl.constexpr, KIND: tl.constexpr):
    """gate, up -> what down reads, element by element. NaN stays NaN."""
    if KIND == "clamped_swiglu":
        gate = tl.where(gate > LIMIT, LIMIT, gate)
        up = tl.where(up > LIMIT, LIMIT, tl.where(up < -LIMIT, -LIMIT, up))
        answer = (up + 1.0) * gate * _sigmoid(ALPHA * gate)
    elif KIND == "silu":
        answer = gate * _sigmoid(gate) * up
    elif KIND == "gelu":
        answer = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476)) * up
    elif KIND == "gelu_tanh":  # (1 + tanh z) / 2 is the sigmoid of 2 z; twice sqrt(2 / pi)
        answer = gate * _sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate)) * up
    elif KIND == "quick_gelu":
        answer = gate * _sigmoid(1.702 * gate) * up
    else:
        tl.static_assert(KIND == "relu")
        answer = tl.where(gate < 0, 0.0, gate) * up
    return answer

"""probe: what many experts of one shape answer to shared inputs, down(activation(gate x, up x)), two launches for all.

All products are taken in float64, on the tensor cores of chips that have them for it: inputs are float32, of which bf16
tensor cores would need three parts and short accumulators for the same answers. There are few inputs (64), so the work is a
small share of what it takes to bring the experts to the device.
"""

# Kernels are written in Triton's language, not in typed Python.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from .activation import KINDS, Activation, activate
from .chunks import DTYPES, values

_OPTIONS = {"INPUTS": 64, "NEURONS": 64, "PANEL": 32, "num_warps": 8, "num_stages": 3, "enable_fp_fusion": True}


@triton.jit
def _matrix(addresses, expert, ELEMENT: tl.constexpr, ALIGNED: tl.constexpr):
    """Pointer to an expert's matrix, of which the table holds the address."""
    matrix = tl.load(addresses + expert).to(tl.pointer_type(ELEMENT))
    if ALIGNED:
        matrix = tl.multiple_of(matrix, 16)
    return matrix


@triton.jit
def _address(matrix, row, rows, row_stride, step, depth):
    """[rows, depth] places. Rows beyond the last are the last once more; what they give is not stored."""
    return matrix + tl.minimum(row, rows - 1).to(tl.int64)[:, None] * row_stride + depth.to(tl.int64)[None, :] * step


@triton.jit(do_not_specialize=["inputs"])
def hidden_kernel(
    x, inputs, gates, gate_row, gate_step, ups, up_row, up_step, gate_bias, up_bias, neurons, width, hidden,
    ELEMENT: tl.constexpr, ALIGNED: tl.constexpr, KIND: tl.constexpr, ALPHA: tl.constexpr, LIMIT: tl.constexpr,
    INPUTS: tl.constexpr, NEURONS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """Programs are (tile of neurons, tile of inputs, expert).

    x: float64 [inputs, width]; gates, ups: int64 [E], addresses of [neurons, width]; biases: float64 [E, neurons];
    hidden: float32 [E, inputs, neurons].
    """
    expert = tl.program_id(2).to(tl.int64)
    neuron = tl.program_id(0) * NEURONS + tl.arange(0, NEURONS)
    row = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    depth = tl.arange(0, PANEL)
    x_at = _address(x, row, inputs, width, 1, depth)
    gate_at = _address(_matrix(gates, expert, ELEMENT, ALIGNED), neuron, neurons, gate_row, gate_step, depth)
    up_at = _address(_matrix(ups, expert, ELEMENT, ALIGNED), neuron, neurons, up_row, up_step, depth)
    gate = tl.zeros((INPUTS, NEURONS), tl.float64)
    up = tl.zeros((INPUTS, NEURONS), tl.float64)
    for start in range(0, width, PANEL):
        inside = (depth < width - start)[None, :]
        # [INPUTS, PANEL], [NEURONS, PANEL]
        x_tile = tl.load(x_at, inside, other=0.0)
        gate_tile = values(tl.load(gate_at, inside, other=0.0), ELEMENT, True)
        up_tile = values(tl.load(up_at, inside, other=0.0), ELEMENT, True)
        gate = tl.dot(x_tile, gate_tile.T, gate, out_dtype=tl.float64)
        up = tl.dot(x_tile, up_tile.T, up, out_dtype=tl.float64)
        x_at += PANEL
        gate_at += PANEL * gate_step
        up_at += PANEL * up_step
    at = expert * neurons + neuron
    gate += tl.load(gate_bias + at, neuron < neurons, other=0.0)[None, :]
    up += tl.load(up_bias + at, neuron < neurons, other=0.0)[None, :]
    answer = activate(gate, up, ALPHA, LIMIT, KIND).to(tl.float32)
    out = hidden + (expert * inputs + row)[:, None] * neurons + neuron[None, :]
    tl.store(out, answer, (row < inputs)[:, None] & (neuron < neurons)[None, :])


@triton.jit(do_not_specialize=["inputs"])
def answer_kernel(
    hidden, inputs, downs, down_row, down_step, down_bias, neurons, width, answers,
    ELEMENT: tl.constexpr, ALIGNED: tl.constexpr,
    INPUTS: tl.constexpr, NEURONS: tl.constexpr, PANEL: tl.constexpr,
):  # fmt: skip
    """Programs are (tile of channels, tile of inputs, expert).

    hidden: float32 [E, inputs, neurons]; downs: int64 [E], addresses of [width, neurons]; bias: float64 [E, width];
    answers: float32 [E, inputs, width].
    """
    expert = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(0) * NEURONS + tl.arange(0, NEURONS)
    row = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    depth = tl.arange(0, PANEL)
    x_at = _address(hidden + expert * inputs * neurons, row, inputs, neurons, 1, depth)
    down_at = _address(_matrix(downs, expert, ELEMENT, ALIGNED), channel, width, down_row, down_step, depth)
    total = tl.zeros((INPUTS, NEURONS), tl.float64)
    for start in range(0, neurons, PANEL):
        inside = (depth < neurons - start)[None, :]
        # [INPUTS, PANEL], [NEURONS, PANEL]
        x_tile = tl.load(x_at, inside, other=0.0).to(tl.float64)
        down_tile = values(tl.load(down_at, inside, other=0.0), ELEMENT, True)
        total = tl.dot(x_tile, down_tile.T, total, out_dtype=tl.float64)
        x_at += PANEL
        down_at += PANEL * down_step
    total += tl.load(down_bias + expert * width + channel, channel < width, other=0.0)[None, :]
    out = answers + (expert * inputs + row)[:, None] * width + channel[None, :]
    tl.store(out, total.to(tl.float32), (row < inputs)[:, None] & (channel < width)[None, :])


def _table(part: str, matrices: Sequence[torch.Tensor], shape: tuple[int, ...]) -> tuple[torch.Tensor, bool]:
    """int64 [E] addresses of matrices on their device, and whether all can be read in vectors."""
    first = matrices[0]
    for matrix in matrices:
        if (matrix.shape, matrix.stride(), matrix.dtype) != (torch.Size(shape), first.stride(), first.dtype):
            raise ValueError(
                f"{part}: {tuple(matrix.shape)} {matrix.dtype} of strides {matrix.stride()} is not like others"
            )
    if first.dtype not in DTYPES:
        raise ValueError(f"{part}: unsupported dtype {first.dtype}")
    addresses = [matrix.data_ptr() for matrix in matrices]
    return torch.tensor(addresses, device=first.device), all(address % 16 == 0 for address in addresses)


def _bias(bias: torch.Tensor | None, experts: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """float64 [E, width]; zeros if there is none."""
    if bias is None:
        return like.new_zeros(experts, width, dtype=torch.float64)
    return bias.detach().reshape(experts, width).to(torch.float64).contiguous()


def probe(
    gate: Sequence[torch.Tensor],
    up: Sequence[torch.Tensor],
    down: Sequence[torch.Tensor],
    x: torch.Tensor,
    activation: Activation,
    biases: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None] = (None, None, None),
) -> torch.Tensor:
    """float32 [E, m, d]: down(act(gate x + its bias), up x + its bias) + its bias, of E experts, for inputs x [m, d].

    gate and up: E matrices [I, d] each, down: E matrices [d, I], of bfloat16, float16 or float32, on the device of `x`; where
    they lie does not matter, but those of a part have the same strides. biases: of gate, up [E, I] and down [E, d]. What is
    between is float32, sums are float64: answers are those of float64 within 1e-6 of the largest. Raises ValueError for
    matrices of other shapes, of several strides or dtypes, and for an activation that is not known.
    """
    if activation.name not in KINDS:
        raise ValueError(f"unknown activation {activation.name!r}")
    (neurons, width), experts, inputs = gate[0].shape, len(gate), len(x)
    gates, gate_aligned = _table("gate", gate, (neurons, width))
    ups, up_aligned = _table("up", up, (neurons, width))
    downs, down_aligned = _table("down", down, (width, neurons))
    gate_bias, up_bias, down_bias = (
        _bias(bias, experts, size, x) for bias, size in zip(biases, (neurons, neurons, width), strict=True)
    )
    hidden = x.new_empty(experts, inputs, neurons, dtype=torch.float32)
    answers = x.new_empty(experts, inputs, width, dtype=torch.float32)
    wide = x.detach().to(torch.float64).contiguous()
    tiles = triton.cdiv(inputs, _OPTIONS["INPUTS"])
    with torch.cuda.device_of(x):
        hidden_kernel[(triton.cdiv(neurons, _OPTIONS["NEURONS"]), tiles, experts)](
            wide, inputs, gates, *gate[0].stride(), ups, *up[0].stride(), gate_bias, up_bias, neurons, width, hidden,
            ELEMENT=DTYPES[gate[0].dtype][1], ALIGNED=gate_aligned and up_aligned,
            KIND=KINDS[activation.name], ALPHA=activation.alpha, LIMIT=activation.limit, **_OPTIONS,
        )  # fmt: skip
        answer_kernel[(triton.cdiv(width, _OPTIONS["NEURONS"]), tiles, experts)](
            hidden, inputs, downs, *down[0].stride(), down_bias, neurons, width, answers,
            ELEMENT=DTYPES[down[0].dtype][1], ALIGNED=down_aligned, **_OPTIONS,
        )  # fmt: skip
    return answers

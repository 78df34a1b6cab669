"""probe.py and orbit.py's scores on a device: descriptors of MLPs, and their inner products under every relabelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..kernels.probe import probe
from .activation import Activation
from .mlps import PARTS
from .orbit import SLAB, Orbit

Parts = Mapping[str, torch.Tensor]
"""Of one MLP: gate and up [I, d], down [d, I], and perhaps their biases."""


def move(x: torch.Tensor, orbit: Orbit, by: int) -> torch.Tensor:
    """Relabelling `by` of the last axis, as `Orbit.move`."""
    moved = orbit.size * orbit.step
    return torch.cat([x[..., :moved].roll(by * orbit.step, -1), x[..., moved:]], -1)


def finite(x: torch.Tensor) -> torch.Tensor:
    """float32, what is not finite as 0: one such element would hide an expert from every search."""
    return torch.nan_to_num(x.to(torch.float32), nan=0.0, posinf=0.0, neginf=0.0)


def mean_squares(rows: torch.Tensor) -> torch.Tensor:
    """float64 [d] of rows [n, d]."""
    return finite(rows).square().mean(0, dtype=torch.float64)


def answers(mlps: Sequence[Parts], x: torch.Tensor, activation: Activation) -> torch.Tensor:
    """float32 [E, m, d]: of MLPs alike in shape, strides and dtype to inputs [m, d]."""
    gate, up, down = ([one[part] for one in mlps] for part in PARTS)
    biases = [
        torch.stack([finite(one[f"{part}.bias"]) for one in mlps]) if f"{part}.bias" in mlps[0] else None
        for part in PARTS
    ]
    return finite(probe(gate, up, down, x, activation, (biases[0], biases[1], biases[2])))


def balanced(answered: torch.Tensor, orbit: Orbit) -> torch.Tensor:
    """[E, m, K] of answers [E, m, d], as probe.py balances them; `answered` is overwritten.

    A channel's answers stand where the channel is until the end, when those to input t are turned back by t.
    """
    experts = len(answered)
    x = answered[..., : orbit.size * orbit.step]
    _scale(x, (1, 2))
    x -= x.mean((0, 1), keepdim=True, dtype=torch.float64).to(torch.float32)
    _scale(x, (0, 1))
    x -= x.mean((1, 2), keepdim=True, dtype=torch.float64).to(torch.float32)
    _scale(x, (1, 2))
    out = x.new_empty(experts, orbit.size, orbit.size * orbit.step)
    for by in range(orbit.size):
        out[:, by] = x[:, by].roll(-by * orbit.step, -1)
    return out


def _scale(x: torch.Tensor, axes: tuple[int, ...]) -> None:
    """In place, to norm 1 over `axes`; zeros stay."""
    norm = torch.linalg.vector_norm(x, dim=axes, keepdim=True, dtype=torch.float64)
    x *= torch.where(norm > 0, 1 / norm, 0.0).to(torch.float32)


def lag_scores(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float64 [m, A, B]: as `orbit.lag_scores`."""
    size = a.shape[1]
    total = a.new_zeros(size // 2 + 1, a.shape[0], b.shape[0], dtype=torch.complex128)
    width = max(1, SLAB // (size * max(len(a), len(b))))
    for first in range(0, a.shape[2], width):
        left, right = (torch.fft.rfft(x[:, :, first : first + width], dim=1).permute(1, 0, 2) for x in (a, b))
        total += left @ right.conj().transpose(1, 2)
    scores: torch.Tensor = torch.fft.irfft(total, n=size, dim=0)
    return scores

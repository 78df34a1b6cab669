"""balance: what makes lines and channels count alike before they are rotated (reference.balance), in float64 on a device.

A few hundred thousand numbers at most, so these are torch's own operations.
"""

from __future__ import annotations

import torch

from weightkin.similarity import RESOLVED

_CONSTANT = 0.9  # share of equal entries beyond which a single line counts as constant


def balance(x: torch.Tensor) -> torch.Tensor:
    """[lines, n] of any float dtype and strides -> float64, as reference.balance; zeros if an element is not finite."""
    wide = x.detach().to(torch.float64)
    wide = torch.where(wide.isfinite().all(), wide, 0.0)
    if len(wide) == 1:
        return _unit(_ranks(wide[0])[None], 1)
    norm = wide.square().sum(0).sqrt()
    scaled = torch.where(norm > 0, wide / norm, 0.0)
    return _unit(_unit(scaled, 1), 0)


def _ranks(x: torch.Tensor) -> torch.Tensor:
    """[n]: ranks from 1, the mean rank for equal numbers; zeros if one number fills more than nine tenths."""
    _, place, counts = torch.unique(x, return_inverse=True, return_counts=True)
    rank = counts.cumsum(0) - (counts - 1) / 2
    varies = counts.max() <= _CONSTANT * len(x)
    return torch.where(varies, rank.to(torch.float64)[place], 0.0)


def _unit(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Centred and of norm 1; zeros where nothing but rounding is left."""
    centred = x - x.mean(axis, keepdim=True)
    square = centred.square().sum(axis, keepdim=True)
    resolved = square > RESOLVED * x.square().sum(axis, keepdim=True)
    return torch.where(resolved, centred / square.sqrt(), 0.0)

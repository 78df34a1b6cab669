"""The same job on a device by torch, as the published analyses and their users write it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cosine_similarity

TENSOR = 1 << 26
"""Elements that a script takes at a time, as tensors of a checkpoint have them: whole rows in float32 would not fit."""


def cosine_and_pearson(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[tensors, 2]: of float32 copies, part by part of two flat rows."""
    return torch.stack([_published(a.float(), b.float()) for a, b in _parts(x, y)])


def seven_metrics(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[tensors, 6]: of a published three-model comparison, without its percentile, which takes a sort."""

    def metrics(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        gap = (a - b).abs()
        spread = (a.std() / a.mean().abs() - b.std() / b.mean().abs()).abs()
        return torch.cat([_published(a, b), torch.stack([gap.mean(), gap.max(), (a - b).norm() / a.norm(), spread])])

    return torch.stack([metrics(a.float(), b.float()) for a, b in _parts(x, y)])


def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[M, N] float32 inner products of bf16 rows [M, n] and [N, n], by cuBLAS on a GPU."""
    if x.is_cuda:
        return torch.mm(x, y.T, out_dtype=torch.float32)
    return x.float() @ y.float().T  # torch rounds bf16 products to bf16 on a processor


def mlp(gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """[m, d]: what an expert answers, in bf16."""
    return (torch.nn.functional.silu(inputs @ gate.T) * (inputs @ up.T)) @ down.T


def rotations(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """[n] float32: inner products with all rotations of the lines of `y`, by Fourier transforms."""
    spectra = [torch.fft.rfft(_balanced(one.float()), dim=1) for one in (x, y)]
    found: torch.Tensor = torch.fft.irfft((spectra[0].conj() * spectra[1]).sum(dim=0), n=x.shape[1])
    return found


def _published(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([cosine_similarity(x, y, dim=0), cosine_similarity(x - x.mean(), y - y.mean(), dim=0)])


def _parts(*rows: torch.Tensor) -> Sequence[tuple[torch.Tensor, ...]]:
    return list(zip(*(torch.split(row, TENSOR) for row in rows), strict=True))


def _balanced(x: torch.Tensor) -> torch.Tensor:
    """As reference.balance of several lines."""
    x = x / x.norm(dim=0)
    for dim in (1, 0):
        x = x - x.mean(dim=dim, keepdim=True)
        x = x / x.norm(dim=dim, keepdim=True)
    return x

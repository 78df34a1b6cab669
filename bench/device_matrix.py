"""Cases of products of many rows with many, against the matrix rate: experts, layers, neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import isqrt

import numpy as np
import numpy.typing as npt
import torch
from weightkin.kernels import cross_gram as kernel

from weightkin import reference

from . import device_peers as peers
from .device_rates import matmul, normal, share
from .device_sweep import numpy_of
from .registry import Case, Settings, Target, Work
from .shapes import DECODERS

GLM, SOLAR = DECODERS["glm-4.5-air"], DECODERS["solar-open-100b"]
PAIRS = 16
"""Pairs of experts whose neurons one run compares: a single one would be over before the launch of the next."""
CHECKED = 6
"""Rows of each side, and pairs, that are computed again in float64."""
DEPTH = 1 << 20
"""Elements of a row that are widened to float64 at a time."""
MATMUL = "torch bf16 matmul"
Array = npt.NDArray[np.float64]
Pair = tuple[torch.Tensor, torch.Tensor]


@contextmanager
def products(settings: Settings, make: Callable[[Settings], list[Pair]]) -> Iterator[Work]:
    """`make` gives pairs of [M, n] and [N, n]: inner products of all rows with all."""
    pairs = make(settings)
    device = pairs[0][0].device
    flops = sum(2 * len(x) * y.numel() for x, y in pairs)
    rate = matmul(device, settings.nbytes)

    def ours() -> list[kernel.CrossGram]:
        return [kernel.cross_gram(x, y) for x, y in pairs]

    yield Work(
        ours=ours,
        check=lambda: float(np.max([error(*pair, one) for pair, one in zip(pairs[:CHECKED], ours(), strict=False)])),
        roofs={MATMUL: rate.run},
        peers={"torch.mm, float32 out": lambda: [peers.product(x, y) for x, y in pairs]},
        nbytes=sum(one.nbytes for pair in pairs for one in pair),
        flops=flops,
        shares={MATMUL: share(rate, flops)},
    )


def experts(settings: Settings) -> list[Pair]:
    """All experts of a layer against all of another, one matrix of each, flattened: of whole width if they fit."""
    width = GLM.expert_width * GLM.hidden
    return [_pair(settings, GLM.experts, SOLAR.experts, min(width, settings.nbytes // (4 * GLM.experts)))]


def layers(settings: Settings) -> list[Pair]:
    """A tensor of every layer against that of every layer: keys of attention."""
    width = GLM.key_value_heads * GLM.head_dim * GLM.hidden
    return [_pair(settings, GLM.layers, SOLAR.layers, min(width, settings.nbytes // (4 * GLM.layers)))]


def neurons(settings: Settings) -> list[Pair]:
    """The gate neurons of experts against those of their counterparts."""
    rows, columns = (min(one.expert_width, isqrt(settings.nbytes // 4)) for one in (GLM, SOLAR))
    hidden = min(GLM.hidden, settings.nbytes // (4 * rows))
    count = max(1, min(PAIRS, settings.nbytes // (4 * rows * hidden)))
    return [_pair(settings, rows, columns, hidden, at) for at in range(count)]


def columns(settings: Settings) -> list[Pair]:
    """The same of down projections, where a neuron is a column."""
    pairs = neurons(settings)
    return [(x.T.contiguous().T, y.T.contiguous().T) for x, y in pairs]


def _pair(settings: Settings, rows: int, columns: int, depth: int, number: int = 0) -> Pair:
    device = torch.device(settings.device)
    seed = settings.seed + 2 * number
    return normal(device, seed, rows, depth), normal(device, seed + 1, columns, depth)


def error(left: torch.Tensor, right: torch.Tensor, found: kernel.CrossGram) -> float:
    """Largest error of any sum of some rows, relative to the sum of its terms' magnitudes."""
    chosen = [np.unique(np.linspace(0, len(side) - 1, CHECKED).astype(int)) for side in (left, right)]
    picked = [side[torch.from_numpy(at).to(side.device)] for side, at in zip((left, right), chosen, strict=True)]
    wanted, most = (_sums(picked, widen) for widen in (lambda x: x, np.abs))
    rows, columns = chosen
    got = [one.cpu().numpy() for one in found]
    taken = [got[0][np.ix_(rows, columns)], *(one[at] for one, at in zip(got[1:], (rows, columns) * 2, strict=True))]
    gaps = zip(taken, wanted, most, strict=True)
    return float(np.max([np.max(np.abs(one - want) / bound) for one, want, bound in gaps]))


def _sums(sides: Sequence[torch.Tensor], change: Callable[[Array], Array]) -> list[Array]:
    """The fields of reference.CrossGram of `change` of all elements, a part of the depth at a time."""
    parts = [
        reference.cross_gram(*(change(_wide(side[:, begin : begin + DEPTH])) for side in sides))
        for begin in range(0, sides[0].shape[1], DEPTH)
    ]
    return [np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True)]


def _wide(rows: torch.Tensor) -> Array:
    return np.asarray(numpy_of(rows.contiguous()), np.float64)


TARGETS = (Target("roof", 0.7),)
CASES = tuple(
    Case(f"cross_gram/{make.__name__}", summary, partial(products, make=make), 1e-6, TARGETS)
    for make, summary in (
        (experts, f"{GLM.experts} x {SOLAR.experts} experts, flattened"),
        (layers, f"{GLM.layers} x {SOLAR.layers} layers, keys of attention"),
        (neurons, f"{GLM.expert_width} x {SOLAR.expert_width} neurons, rows of gate, {PAIRS} experts"),
        (columns, f"{GLM.expert_width} x {SOLAR.expert_width} neurons, columns of down, {PAIRS} experts"),
    )
)

"""neurons.py on a device: the same searches and scores, many assignments at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from ..kernels.cross_gram import cross_gram
from ..similarity import PairSums
from ..statistics.matching import agreement
from .alignment import Indices
from .mlps import PARTS
from .neurons import NeuronMatch, NeuronPair, neuron_match, pair_sums
from .orbit import Orbit
from .torch_probe import Parts, finite, move

Load = Callable[[NeuronPair], tuple[Parts, Parts]]
"""The weights of A's and B's MLP."""
Assign = Callable[[Sequence[torch.Tensor]], list[Indices]]
"""`ops.assign` of each of several scores float32 [I_A, I_B]."""


def match_pairs(
    pairs: Sequence[NeuronPair], orbit: Orbit, load: Load, assign: Assign, memory: int
) -> list[NeuronMatch]:
    """Of each pair. Scores of at most `memory` bytes wait for their assignment together, those of one pair at least."""
    found: list[NeuronMatch] = []
    for some in _batches(pairs, memory):
        scores = [one for pair in some for one in _scores(*load(pair), pair.lags, orbit)]
        orders = iter(assign(scores))
        del scores
        for pair in some:
            permutations = [next(orders) for _ in range(1 + len(pair.lags))]
            found.append(_score(*load(pair), pair.lags, permutations, next(orders), orbit))
    return found


def _batches(pairs: Sequence[NeuronPair], memory: int) -> Iterator[list[NeuronPair]]:
    batch, held = list[NeuronPair](), 0
    for pair in pairs:
        need = 4 * pair.a.neurons * pair.b.neurons * (2 + len(pair.lags))
        if batch and held + need > memory:
            yield batch
            batch, held = [], 0
        batch.append(pair)
        held += need
    yield batch


def _scores(a: Parts, b: Parts, lags: Sequence[int], orbit: Orbit) -> list[torch.Tensor]:
    """Products of gates in place and in each relabelling, then of ups in place."""
    left, right = balance_rows(_rows(a, "gate")), balance_rows(_rows(b, "gate"))
    found = [_products(left, move(right, orbit, by) if by else right) for by in (0, *lags)]
    return [*found, _products(balance_rows(_rows(a, "up")), balance_rows(_rows(b, "up")))]


def _score(
    a: Parts, b: Parts, lags: Sequence[int], permutations: Sequence[Indices], by_up: Indices, orbit: Orbit
) -> NeuronMatch:
    device = a["gate"].device
    rows = [torch.from_numpy(one).to(device) for one in permutations]
    matched = [(order[order >= 0], torch.nonzero(order >= 0)[:, 0]) for order in rows]
    numbers = []
    for part in PARTS:
        left, right = _rows(a, part), _rows(b, part)
        numbers += _sums(left[matched[0][0]], right[matched[0][1]])
        left, right = balance_rows(left), balance_rows(right)
        for by, (one, other) in zip((0, *lags) if part != "gate" else (0,), matched, strict=False):
            moved = move(right, orbit, by) if by else right
            numbers.append((left[one] * moved[other]).sum(dtype=torch.float64))
    size, found = (
        len(matched[0][0]) * a["gate"].shape[1],
        iter(torch.stack(numbers).tolist()),
    )  # one wait for the device
    score = np.zeros(len(rows))
    sums, pearson = list[PairSums](), dict[str, float]()
    for part in PARTS:
        sums.append(pair_sums(size, *(next(found) for _ in range(5))))
        cosines = [next(found) for _ in range(len(rows) if part != "gate" else 1)]
        pearson[part] = cosines[0] / len(matched[0][0])
        if part != "gate":
            score += cosines
    agreed = agreement(permutations[0], by_up, a["gate"].shape[0])
    return neuron_match(permutations[0], score, agreed, pearson, sums, orbit)


def _rows(parts: Parts, part: str) -> torch.Tensor:
    """float32 [neuron, residual]"""
    return finite(parts[part].T if part == "down" else parts[part])


def _products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """float32 [I_A, I_B], of rows rounded to bf16, as on the host."""
    return cross_gram(left.to(torch.bfloat16), right.to(torch.bfloat16)).product.to(torch.float32)


def balance_rows(x: torch.Tensor) -> torch.Tensor:
    """[I, d]: as `neurons.balance_rows`."""
    x = x - x.mean(0)
    x *= _inverse(torch.linalg.vector_norm(x, dim=0))
    x -= x.mean(1, keepdim=True)
    x *= _inverse(torch.linalg.vector_norm(x, dim=1, keepdim=True))
    return x


def _inverse(norm: torch.Tensor) -> torch.Tensor:
    return torch.where(norm > 0, 1 / norm, 0.0)


def _sums(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """What `pair_sums` takes."""
    products = [(one * other).sum(dtype=torch.float64) for one, other in ((x, x), (y, y), (x, y))]
    return [*products, x.sum(dtype=torch.float64), y.sum(dtype=torch.float64)]

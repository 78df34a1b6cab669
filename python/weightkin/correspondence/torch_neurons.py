"""neurons.py on a device: the same searches and scores, several pairs of MLPs and many assignments at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice

import numpy as np
import torch

from ..kernels.cross_gram import cross_gram
from ..similarity import PairSums
from ..statistics.matching import agreement
from .alignment import Indices
from .mlps import PARTS, MlpViews
from .neurons import NeuronMatch, NeuronPair, neuron_match, pair_sums
from .orbit import Orbit
from .torch_probe import Parts, finite, move

TOGETHER = 1 << 28
"""Bytes of float32 matrices of one side that are balanced and scored in one call: launching for one takes as long as
computing it."""

Load = Callable[[int, Sequence[MlpViews]], list[Parts]]
"""The weights of MLPs of side 0 or 1."""
Assign = Callable[[Sequence[torch.Tensor]], list[Indices]]
"""`ops.assign` of each of several scores float32 [I_A, I_B]."""


def match_pairs(
    pairs: Sequence[NeuronPair], orbit: Orbit, load: Load, assign: Assign, memory: int
) -> list[NeuronMatch]:
    """Of each pair. Scores of at most `memory` bytes, or of one group of pairs, wait for their assignment together."""
    found: list[NeuronMatch] = []
    for batch in _batches(_alike(pairs, orbit.width), memory):
        scores = [one for some in batch for one in _scores(some, orbit, load)]
        orders = iter(assign(scores))
        del scores
        for some in batch:
            by_gate = [list(islice(orders, len(some))) for _ in range(1 + len(some[0].lags))]
            found += _score(some, by_gate, list(islice(orders, len(some))), orbit, load)
    return found


def _alike(pairs: Iterable[NeuronPair], width: int) -> Iterator[list[NeuronPair]]:
    """Neighbours of the same shapes, dtypes and relabellings in groups."""

    def form(pair: NeuronPair) -> object:
        views = [one.views[part] for one in (pair.a, pair.b) for part in PARTS]
        return [(view.shape, view.dtype) for view in views], pair.lags

    for _, same in groupby(pairs, form):
        whole = list(same)
        most = max(1, TOGETHER // (4 * width * max(whole[0].a.neurons, whole[0].b.neurons)))
        for first in range(0, len(whole), most):
            yield whole[first : first + most]


def _batches(groups: Iterable[list[NeuronPair]], memory: int) -> Iterator[list[list[NeuronPair]]]:
    batch, held = list[list[NeuronPair]](), 0
    for some in groups:
        need = 4 * sum(pair.a.neurons * pair.b.neurons * (2 + len(pair.lags)) for pair in some)
        if batch and held + need > memory:
            yield batch
            batch, held = [], 0
        batch.append(some)
        held += need
    yield batch


def _scores(some: Sequence[NeuronPair], orbit: Orbit, load: Load) -> Iterator[torch.Tensor]:
    """float32 [I_A, I_B] of each pair: products of gates in place, then in each relabelling, then of ups in place."""
    a, b = load(0, [pair.a for pair in some]), load(1, [pair.b for pair in some])
    for part, lags in (("gate", (0, *some[0].lags)), ("up", (0,))):
        left, right = balance_rows(_rows(a, part)).to(torch.bfloat16), balance_rows(_rows(b, part))
        for by in lags:
            moved = (move(right, orbit, by) if by else right).to(torch.bfloat16)
            for x, y in zip(left, moved, strict=True):
                yield cross_gram(x, y).product.to(torch.float32)


def _score(
    some: Sequence[NeuronPair], by_gate: Sequence[Sequence[Indices]], by_up: Sequence[Indices], orbit: Orbit, load: Load
) -> list[NeuronMatch]:
    """`by_gate`: in place and in each relabelling, of each pair."""
    a, b = load(0, [pair.a for pair in some]), load(1, [pair.b for pair in some])
    matched = [_matched(np.stack(orders), a[0]["gate"].device) for orders in by_gate]
    numbers: dict[str, torch.Tensor] = {}
    for part in PARTS:
        left, right = _rows(a, part), _rows(b, part)
        sums = _sums(*_meeting(left, right, matched[0]))
        left, right = balance_rows(left), balance_rows(right)
        for by, rows in zip((0, *some[0].lags) if part != "gate" else (0,), matched, strict=False):
            x, y = _meeting(left, move(right, orbit, by) if by else right, rows)
            sums.append((x * y).sum((1, 2), dtype=torch.float64))
        numbers[part] = torch.stack(sums)
    found = {part: values.cpu().numpy() for part, values in numbers.items()}
    count, size = matched[0][0].shape[1], matched[0][0].shape[1] * orbit.width
    out = []
    for at, pair in enumerate(some):
        totals: list[PairSums] = [pair_sums(size, *found[part][:5, at].tolist()) for part in PARTS]
        pearson = {part: float(found[part][5, at]) / count for part in PARTS}
        agreed = agreement(by_gate[0][at], by_up[at], pair.a.neurons)
        score = found["up"][5:, at] + found["down"][5:, at]
        out.append(neuron_match(by_gate[0][at], score, agreed, pearson, totals, orbit))
    return out


Places = tuple[torch.Tensor, torch.Tensor]
"""int64 [P, n] each: the neurons of A and of B that meet."""


def _matched(permutations: Indices, device: torch.device) -> Places:
    """Of [P, I_B]; every pair has as many matches, those of the smaller MLP."""
    places = np.nonzero(permutations >= 0)
    ours = permutations[places].reshape(len(permutations), -1)
    return torch.from_numpy(ours).to(device), torch.from_numpy(places[1].reshape(ours.shape)).to(device)


def _meeting(left: torch.Tensor, right: torch.Tensor, rows: Places) -> tuple[torch.Tensor, torch.Tensor]:
    """[P, n, d] each."""
    pair = torch.arange(len(left), device=left.device)[:, None]
    return left[pair, rows[0]], right[pair, rows[1]]


def _rows(mlps: Sequence[Parts], part: str) -> torch.Tensor:
    """float32 [P, neuron, residual]"""
    return finite(torch.stack([one[part].T if part == "down" else one[part] for one in mlps]))


def balance_rows(x: torch.Tensor) -> torch.Tensor:
    """[P, I, d]: each as `neurons.balance_rows` does it."""
    x = x - x.mean(1, keepdim=True)
    x *= _inverse(torch.linalg.vector_norm(x, dim=1, keepdim=True))
    x -= x.mean(2, keepdim=True)
    x *= _inverse(torch.linalg.vector_norm(x, dim=2, keepdim=True))
    return x


def _inverse(norm: torch.Tensor) -> torch.Tensor:
    return torch.where(norm > 0, 1 / norm, 0.0)


def _sums(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """[P] each: what `pair_sums` takes."""
    products = [(one * other).sum((1, 2), dtype=torch.float64) for one, other in ((x, x), (y, y), (x, y))]
    return [*products, x.sum((1, 2), dtype=torch.float64), y.sum((1, 2), dtype=torch.float64)]

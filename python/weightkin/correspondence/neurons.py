"""Which neuron of an MLP is which of another: chosen on gate, scored on up and down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .. import ops
from ..similarity import PairSums, cosine, pearson
from ..statistics.matching import Agreement, agreement
from .alignment import Indices
from .mlps import PARTS, MlpViews, Weights
from .orbit import Floats, Orbit

Array = npt.NDArray[np.float64]

MOST_PRODUCTS = 1 << 25
"""Pairs of neurons of two MLPs that are held at a time (268 MB); wider MLPs are left alone."""
MOST_MEMORY, MEMORY_SHARE = 8 << 30, 8
"""Searches run side by side in at most this many bytes and this part (an eighth) of the machine's memory; two always may."""
COPIES, PRODUCTS = 16, 24
"""Bytes that a search takes for each weight of one matrix of the wider MLP: float32 copies of two, and what is made of them
on the way; and for each pair of neurons: products and what an assignment makes of them. 140 MB for 1408 neurons of 4096
channels."""
GATHERED = 64
"""Neurons whose rows are brought together at a time."""


class NeuronPair(NamedTuple):
    """Two MLPs whose neurons are to be matched, and the relabellings of B in which that is searched for again."""

    a: MlpViews
    b: MlpViews
    lags: tuple[int, ...]


@dataclass(frozen=True)
class NeuronMatch:
    """The neurons of one MLP of B and those of A that they match."""

    permutation: Indices
    """[I_B]: neuron of A, -1 where B has more neurons."""
    scores: Array
    """[1 + lags]: sum of the cosines of up's and down's neurons through the permutation found on gate, in deviations as if
    neurons were unrelated directions: first the observed one, then the same search with B's residual channels
    relabelled. Training correlates gate, up and down of one neuron, so only those tell what is normal."""
    agreement: Agreement
    """Between the permutation found on gate and the one found on up."""
    neuron_pearson: dict[str, float]
    """By part: mean cosine of matched neurons, whose channels were brought to one scale: free of norm gains and of the
    scale of neurons."""
    cosine: dict[str, float]
    pearson: dict[str, float]
    """Of the weights as they are, through the permutation, by part and "all"."""
    in_place: float
    """Share of neurons that match the one of their own number."""


def neurons_fit(a: MlpViews, b: MlpViews) -> bool:
    """Whether their neurons can be matched in the memory that there is."""
    return a.neurons * b.neurons <= MOST_PRODUCTS


def match_pairs(
    weights: tuple[Weights, Weights], pairs: Sequence[NeuronPair], orbit: Orbit, threads: int
) -> list[NeuronMatch]:
    """`match_neurons` of each pair, side by side."""
    widest = [max(one.neurons for one in side) for side in zip(*((pair.a, pair.b) for pair in pairs), strict=True)]
    need = COPIES * orbit.width * max(widest) + PRODUCTS * widest[0] * widest[1]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    at_once = min(threads, max(2, min(MOST_MEMORY, machine // MEMORY_SHARE) // need))
    inner = max(1, threads // at_once)

    def run(pair: NeuronPair) -> NeuronMatch:
        match = match_neurons((weights[0], pair.a), (weights[1], pair.b), orbit, pair.lags, inner)
        weights[0].release(pair.a)
        weights[1].release(pair.b)
        return match

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, pairs))


def match_neurons(
    a: tuple[Weights, MlpViews], b: tuple[Weights, MlpViews], orbit: Orbit, lags: Sequence[int] = (), threads: int = 1
) -> NeuronMatch:
    """Of two MLPs of one residual width. Reads gates twice, up and down once; `lags` are relabellings of `orbit`."""
    relabellings = (0, *lags)
    permutations = list[Indices]()
    score = np.zeros(len(relabellings))
    sums: list[PairSums] = []
    neuron_pearson: dict[str, float] = {}
    for part in PARTS:
        left, right = (_rows(*side, part) for side in (a, b))
        if part != "gate":
            sums.append(_sums(left, right, permutations[0]))
        for x in (left, right):
            balance_rows(x)
        if part == "gate":
            permutations = [_assigned(left, right, orbit, by, threads) for by in relabellings]
        else:
            for at, by in enumerate(relabellings):
                score[at] += _cosines(left, _moved(right, orbit, by), permutations[at]).sum()
        if part == "up":
            agreed = agreement(permutations[0], _assigned(left, right, orbit, 0, threads), len(left))
        neuron_pearson[part] = float(_cosines(left, right, permutations[0]).mean())
        del left, right, x  # before the next two
    sums.insert(0, _sums(_rows(*a, "gate"), _rows(*b, "gate"), permutations[0]))
    return neuron_match(permutations[0], score, agreed, neuron_pearson, sums, orbit)


def neuron_match(
    permutation: Indices, score: Array, agreed: Agreement, neuron_pearson: dict[str, float], sums: Sequence[PairSums],
    orbit: Orbit,
) -> NeuronMatch:  # fmt: skip
    """`score`: the sum of cosines of up's and down's neurons in each relabelling; `sums`: of matched neurons, by part."""
    matched = int(np.count_nonzero(permutation >= 0))
    named = dict(zip((*PARTS, "all"), (*sums, PairSums.concatenated(sums).pooled()), strict=True))
    return NeuronMatch(
        permutation, score * np.sqrt(orbit.width / (2 * matched)), agreed, neuron_pearson,
        {part: float(cosine(one)[0]) for part, one in named.items()},
        {part: float(pearson(one)[0]) for part, one in named.items()},
        float(np.mean(permutation == np.arange(len(permutation)))),
    )  # fmt: skip


def _assigned(left: Floats, right: Floats, orbit: Orbit, by: int, threads: int) -> Indices:
    """[I_B]: the row of `left` for each of `right`, relabelled. Of rows rounded to bf16, of which processors make products
    many times as fast; an assignment does not see an error of 1e-3 in a cosine."""
    operands = [[ops.operand(x.astype(ml_dtypes.bfloat16))] for x in (left, _moved(right, orbit, by))]
    return ops.assign(ops.cross_gram(operands[0], operands[1], threads).product, threads)


def _moved(x: Floats, orbit: Orbit, by: int) -> Floats:
    return orbit.move(x, by) if by else x


def _cosines(left: Floats, right: Floats, permutation: Indices) -> Array:
    """Of each matched neuron of B."""
    matched = np.flatnonzero(permutation >= 0)
    found = np.empty(len(matched))
    for first in range(0, len(matched), GATHERED):
        some = matched[first : first + GATHERED]
        found[first : first + GATHERED] = np.einsum("ij,ij->i", left[permutation[some]], right[some])
    return found


def _rows(weights: Weights, mlp: MlpViews, part: str) -> Floats:
    """[neuron, residual]"""
    view = mlp.views[part]
    return weights.array(view.permute([1, 0]) if part == "down" else view)


def balance_rows(x: Floats) -> None:
    """In place, [I, d]: channels (columns) centred and to one scale over the neurons, then every neuron centred and of norm
    1."""
    x -= x.mean(axis=0)
    square = np.einsum("ij,ij->j", x, x)
    x *= np.divide(1, np.sqrt(square), out=np.zeros_like(square), where=square > 0)
    x -= x.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    x *= np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)


def _sums(left: Floats, right: Floats, permutation: Indices) -> PairSums:
    """Of the matched neurons."""
    matched = np.flatnonzero(permutation >= 0)
    x, y = left[permutation[matched]], right if len(matched) == len(right) else right[matched]
    inner = [np.einsum("ij,ij->i", *both).sum(dtype=np.float64) for both in ((x, x), (y, y), (x, y))]
    return pair_sums(x.size, *inner, *(one.sum(dtype=np.float64) for one in (x, y)))


def pair_sums(size: int, square_x: float, square_y: float, product: float, sum_x: float, sum_y: float) -> PairSums:
    """One entry; differences of elements are not asked for here."""
    squares, sums = ([np.array([float(one)]) for one in both] for both in ((square_x, square_y), (sum_x, sum_y)))
    gaps = np.full((3, 1), np.nan)
    return PairSums.of(
        np.array([float(size)]), np.array([float(product)]), (squares[0], squares[1]), (sums[0], sums[1]), gaps
    )

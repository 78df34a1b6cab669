"""Which neuron of an MLP is which of another: chosen on gate, scored on up and down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import ops
from ..similarity import PairSums, cosine, pearson
from ..statistics.matching import Agreement, agreement, permutation_score
from .alignment import Indices
from .mlps import PARTS, MlpViews, Weights
from .orbit import Floats, Orbit

Array = npt.NDArray[np.float64]

MOST_PRODUCTS = 1 << 25
"""Pairs of neurons of two MLPs that are held at a time (268 MB); wider MLPs are left alone."""


@dataclass(frozen=True)
class NeuronMatch:
    """The neurons of one MLP of B and those of A that they match."""

    permutation: Indices
    """[I_B]: neuron of A, -1 where B has more neurons."""
    scores: Array
    """[1 + lags]: of up and down through the permutation found on gate, in Hoeffding's z; first the observed one, then
    the same search with B's residual channels relabelled. Gate, up and down of one neuron are correlated by training, so
    those are not 0 on average."""
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


def match_neurons(
    a: tuple[Weights, MlpViews], b: tuple[Weights, MlpViews], orbit: Orbit, lags: Sequence[int] = (), threads: int = 1
) -> NeuronMatch:
    """Of two MLPs of one residual width. Reads each matrix of both once; `lags` are relabellings of `orbit`."""
    relabellings = (0, *lags)
    permutations: list[Indices] = []
    z = np.zeros(len(relabellings))
    sums: list[PairSums] = []
    neuron_pearson: dict[str, float] = {}
    for part in PARTS:
        left, right = (_rows(*side, part) for side in (a, b))
        balanced, other = (balance_rows(x) for x in (left, right))
        for at, by in enumerate(relabellings):
            moved = orbit.move(other, by) if by else other
            scores = ops.cross_gram([ops.operand(balanced)], [ops.operand(moved)], threads).product
            if part == "gate":
                permutations.append(ops.assign(scores, threads))
            else:
                z[at] += permutation_score(scores, permutations[at]).z / np.sqrt(2)
            if at == 0:
                matched = np.flatnonzero(permutations[0] >= 0)
                neuron_pearson[part] = float(scores[permutations[0][matched], matched].mean())
                if part == "up":
                    agreed = agreement(permutations[0], ops.assign(scores, threads), len(left))
        del balanced, other
        sums.append(_sums(left[permutations[0][matched]], right[matched]))
    named = dict(zip((*PARTS, "all"), (*sums, PairSums.concatenated(sums).pooled()), strict=True))
    return NeuronMatch(
        permutations[0], z, agreed, neuron_pearson,
        {part: float(cosine(one)[0]) for part, one in named.items()},
        {part: float(pearson(one)[0]) for part, one in named.items()},
        float(np.mean(permutations[0] == np.arange(len(permutations[0])))),
    )  # fmt: skip


def _rows(weights: Weights, mlp: MlpViews, part: str) -> Floats:
    """[neuron, residual]"""
    view = mlp.views[part]
    return weights.array(view.permute([1, 0]) if part == "down" else view)


def balance_rows(x: Floats) -> Floats:
    """[I, d]: channels (columns) to one scale over the neurons, then every neuron centred and of norm 1."""
    square = np.einsum("ij,ij->j", x, x, dtype=np.float64)
    x = x * np.divide(1.0, np.sqrt(square), out=np.zeros_like(square), where=square > 0).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))[:, None]
    x *= np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0).astype(np.float32)
    return x


def _sums(x: Floats, y: Floats) -> PairSums:
    """One entry; differences of elements are not asked for here."""
    inner = [np.einsum("ij,ij->i", *both).sum(keepdims=True, dtype=np.float64) for both in ((x, x), (y, y), (x, y))]
    total = [one.sum(dtype=np.float64).reshape(1) for one in (x, y)]
    gaps = np.full((3, 1), np.nan)
    return PairSums.of(np.array([float(x.size)]), inner[2], (inner[0], inner[1]), (total[0], total[1]), gaps)

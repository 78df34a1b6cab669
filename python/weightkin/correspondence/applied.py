"""Which of a layer's matches an alignment needs: those that stand out, unless all are in place."""

from __future__ import annotations

import numpy as np

from ..statistics.verdict import Z_MATRIX
from .alignment import Mlp, MlpMatch
from .layer_match import LayerMatch
from .neurons import NeuronMatch

SIBLING = 0.5
"""Score of a child as a share of that of its parent's best child."""


def children(match: LayerMatch) -> list[int]:
    """The MLPs of B that have a counterpart. Several may have the same one, if they are about equally like it: an expert
    whose own counterpart is missing is a little like some other one, as all experts of a model are."""
    scores, chosen = match.scores[match.assignment, np.arange(len(match.b))], match.assignment
    best = {a: scores[chosen == a].max() for a in set(chosen.tolist())}
    return [int(at) for at in match.matched if scores[at] >= SIBLING * best[int(chosen[at])]]


def applied_mlps(match: LayerMatch) -> dict[Mlp, MlpMatch]:
    """The matches of one layer that an alignment needs: none if all are in place."""
    out, moved = {}, False
    for at in children(match):
        one, other = match.a[match.assignment[at]].mlp, match.b[at].mlp
        neurons = match.neurons.get(at)
        order = None
        if neurons is not None and confirmed(match, neurons):
            in_place = np.array_equal(neurons.permutation, np.arange(match.a[match.assignment[at]].neurons))
            order = None if in_place else neurons.permutation
        moved |= order is not None or one[2:] != other[2:]
        moved |= other.expert is not None and match.routed[0] != match.routed[1]  # router rows without a counterpart
        out[other] = MlpMatch(one, order)
    return out if moved else {}


def confirmed(match: LayerMatch, neurons: NeuronMatch) -> bool:
    """Whether up and down agree with the order found on gate, above every relabelled copy of the layer's experts and by a
    margin: the same search in those copies is the null, because gate, up and down of one neuron depend on each other."""
    draws = np.concatenate([one.scores[1:] for one in match.neurons.values()])
    mean, deviation = match.baseline
    return bool(draws.size > 1 and neurons.scores[0] > draws.max() and neurons.scores[0] >= mean + Z_MATRIX * deviation)

"""Which MLP of a layer of A each MLP of a layer of B is: experts, shared experts, dense layers, in one search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..statistics.matching import permutation_score
from ..statistics.null import generator
from ..statistics.verdict import PEARSON, Z_EXPERT
from .alignment import Indices
from .compute import Compute, OnBytes
from .descriptors import Side, router_rows
from .layer_match import Array, By, LayerMatch
from .mlps import MlpLayer
from .neurons import NeuronPair, neurons_fit
from .orbit import Orbit, lag_scores

BASELINE_PAIRS, BASELINE_LAGS, MOST_LAGS = 8, 4, 16
"""Pairs of a layer whose neurons are also searched in relabelled copies, and how many copies each; more if pairs are few."""


def unsearchable(a: Side, b: Side, pair: tuple[str, int, int], by: By = "probe") -> str | None:
    """Why the MLPs of two layers cannot be matched; None if they can."""
    component, layer_a, layer_b = pair
    one, other = a.layers.get((component, layer_a)), b.layers.get((component, layer_b))
    if one is None or other is None:
        return f"no gated MLP in {'A' if one is None else 'B'}"
    if one.width != other.width:  # what reads and writes different streams cannot be compared, and nothing is cropped
        return f"residual streams of {one.width:,} and {other.width:,} channels"
    if by != "probe" and not (one.routed and other.routed):
        return "no routed experts"
    if by == "router" and (one.router is None or other.router is None):
        return "no router"
    if by == "weights" and one.mlps[0].neurons != other.mlps[0].neurons:
        return "experts of different widths"
    return None


def match_layer(
    a: Side, b: Side, pair: tuple[str, int, int], *, by: By = "probe", neurons: str = "matched", seed: int,
    compute: Compute, on_bytes: OnBytes = lambda _: None,
) -> LayerMatch:  # fmt: skip
    """Searches layer `pair[1]` of A for the MLPs of layer `pair[2]` of B, and scores what it found.

    `neurons`: "matched" searches neurons of pairs that stand out, "all" those of the best pairs too, "none" none.
    """
    try:
        return _with_neurons(_matched(a, b, pair, by, seed, compute, on_bytes), a, b, neurons, seed, compute)
    finally:
        compute.forget()


def _matched(
    a: Side, b: Side, pair: tuple[str, int, int], by: By, seed: int, compute: Compute, on_bytes: OnBytes
) -> LayerMatch:
    component, layer_a, layer_b = pair
    (left, x), (right, y) = (
        side.descriptors((component, layer), by, seed, compute, on_bytes)
        for side, layer in ((a, layer_a), (b, layer_b))
    )
    lags = compute.lag_scores(x, y)
    del x, y
    best = lags.max(axis=1)
    relabelled = lags[1:].reshape(-1, lags.shape[2])
    deviation = relabelled.std(axis=0)
    assigned = compute.assign(lags)
    return LayerMatch(
        component, layer_a, layer_b, by, left.mlps, right.mlps, (left.routed, right.routed), lags[0], best.sum(axis=1),
        best, deviation, _assignment(lags, assigned[0], best, deviation), *_router(a, b, _both_routers(left, right), assigned),
    )  # fmt: skip


def _assignment(lags: Array, assigned: Indices, best: Array, deviation: Array) -> Indices:
    """The one-to-one assignment where it stands out; else the best parent, if that does (many children of one)."""
    columns = np.arange(lags.shape[2])
    threshold = np.maximum(best[1:].max(), lags[1:].mean(axis=(0, 1)) + np.maximum(Z_EXPERT * deviation, PEARSON))
    parent = lags[0].argmax(axis=0)
    one_to_one = (assigned >= 0) & (lags[0][assigned, columns] > threshold)
    many_to_one = lags[0][parent, columns] > threshold
    return np.where(one_to_one, assigned, np.where(many_to_one, parent, -1))


def _both_routers(left: MlpLayer, right: MlpLayer) -> tuple[MlpLayer, MlpLayer] | None:
    """The two layers, if both have a router of several experts."""
    both = left.router is not None and right.router is not None and min(left.routed, right.routed) > 1
    return (left, right) if both else None


def _router(
    a: Side, b: Side, layers: tuple[MlpLayer, MlpLayer] | None, assigned: Indices
) -> tuple[Array | None, Array | None, float]:
    """Statistic, scores and Hoeffding's z of router rows under assignments [m, B] that each relabelled copy found."""
    if layers is None:
        return None, None, float("nan")
    left, right = layers
    orbit = Orbit.of(left.width)
    scores = lag_scores(router_rows(a.weights, left, orbit), router_rows(b.weights, right, orbit))
    routed = np.where(assigned[:, : right.routed] < left.routed, assigned[:, : right.routed], -1)
    statistic = np.array([
        one[through[through >= 0], through >= 0].sum() for one, through in zip(scores, routed, strict=True)
    ])  # fmt: skip
    return statistic, scores[0], permutation_score(scores[0], routed[0]).z


def _with_neurons(found: LayerMatch, a: Side, b: Side, which: str, seed: int, compute: Compute) -> LayerMatch:
    """Adds the neurons of matched pairs ("all": of the best pairs, where nothing stands out)."""
    parents = found.scores.argmax(axis=0) if which == "all" else found.assignment
    partners = np.where(found.assignment >= 0, found.assignment, parents)
    chosen = [] if which == "none" else [
        at for at in np.flatnonzero(partners >= 0) if neurons_fit(found.a[partners[at]], found.b[at])
    ]  # fmt: skip
    if not chosen:
        reason = "not asked for" if which == "none" else "too wide" if (partners >= 0).any() else "no expert stands out"
        return replace(found, not_searched=reason)
    orbit = Orbit.of(found.b[0].width)
    random = generator(seed, "neurons", found.component, found.layer_a, found.layer_b)
    sampled = random.choice(chosen, min(BASELINE_PAIRS, len(chosen)), replace=False)
    copies = min(MOST_LAGS, orbit.size - 1, BASELINE_LAGS * BASELINE_PAIRS // len(sampled))
    lags = {int(at): tuple((1 + random.choice(orbit.size - 1, copies, replace=False)).tolist()) for at in sampled}
    pairs = [NeuronPair(found.a[partners[at]], found.b[at], lags.get(int(at), ())) for at in chosen]
    matches = compute.match_neurons((a.weights, b.weights), pairs, orbit)
    return replace(found, neurons=dict(zip(map(int, chosen), matches, strict=True)))

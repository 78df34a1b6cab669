"""Which MLP of a layer of A each MLP of a layer of B is: experts, shared experts, dense layers, in one search."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from .. import ops
from ..statistics.matching import permutation_score
from ..statistics.null import generator
from ..statistics.verdict import PEARSON, Z_EXPERT
from .alignment import Indices
from .descriptors import OnBytes, Side, router_rows
from .layer_match import Array, By, LayerMatch
from .mlps import MlpLayer
from .neurons import NeuronMatch, match_neurons, neurons_fit
from .orbit import Orbit, lag_scores

BASELINE_PAIRS, BASELINE_LAGS, MOST_LAGS = 8, 4, 16
"""Pairs of a layer whose neurons are also searched in relabelled copies, and how many copies each; more if pairs are few."""
MEMORY_SHARE = 8
"""Searches for neurons run side by side in at most this part (an eighth) of the machine's memory; two always may."""
COPIES = 40
"""Bytes that such a search takes for each weight of one matrix of the wider MLP: float32 copies of two matrices, the same
balanced, and what is made on the way. 230 MB for 1408 neurons of 4096 channels."""


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
    a: Side, b: Side, pair: tuple[str, int, int], *, by: By = "probe", neurons: str = "matched", seed: int, threads: int,
    on_bytes: OnBytes = lambda _: None,
) -> LayerMatch:  # fmt: skip
    """Searches layer `pair[1]` of A for the MLPs of layer `pair[2]` of B, and scores what it found.

    `neurons`: "matched" searches neurons of pairs that stand out, "all" those of the best pairs too, "none" none.
    """
    component, layer_a, layer_b = pair
    (left, x), (right, y) = (
        side.descriptors((component, layer), by, seed, threads, on_bytes)
        for side, layer in ((a, layer_a), (b, layer_b))
    )
    lags = lag_scores(x, y)
    del x, y
    best = lags.max(axis=1)
    relabelled = lags[1:].reshape(-1, lags.shape[2])
    deviation = relabelled.std(axis=0)
    assigned = ops.assign(lags, threads)
    found = LayerMatch(
        component, layer_a, layer_b, by, left.mlps, right.mlps, (left.routed, right.routed), lags[0], best.sum(axis=1),
        best, deviation, _assignment(lags, assigned[0], best, deviation), *_router(a, b, _both_routers(left, right), assigned),
    )  # fmt: skip
    return _with_neurons(found, a, b, neurons, seed, threads)


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


def _with_neurons(found: LayerMatch, a: Side, b: Side, which: str, seed: int, threads: int) -> LayerMatch:
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
    lags = {int(at): (1 + random.choice(orbit.size - 1, copies, replace=False)).tolist() for at in sampled}
    need = COPIES * orbit.width * max(max(found.a[partners[at]].neurons, found.b[at].neurons) for at in chosen)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    at_once = min(threads, max(2, machine // MEMORY_SHARE // need))
    inner = max(1, threads // at_once)

    def run(at: int) -> NeuronMatch:
        one, other = found.a[partners[at]], found.b[at]
        match = match_neurons((a.weights, one), (b.weights, other), orbit, lags.get(at, ()), inner)
        a.weights.release(one)
        b.weights.release(other)
        return match

    with ThreadPoolExecutor(at_once) as pool:
        return replace(found, neurons=dict(zip(map(int, chosen), pool.map(run, map(int, chosen)), strict=True)))

"""Router rows after an assignment, against what an assignment finds in noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from ..results.evidence import evidence_of
from ..statistics.null import draw_lags, generator
from .subject import ROUTER, Array, Claim, Subject, evidence_keys, mean, skipped

DRAWS = 32
"""Rotated copies of B, and pairs of Gaussian routers: an assignment each, so fewer than the null of a comparison has."""

NAME, SOURCE = "router_assignment", "sionic-ai/solar-vs-glm, first version"

Rows = npt.NDArray[np.float32]


def unit_rows(rows: Array | Rows) -> Rows:
    """Each row of norm 1; a zero row stays zero."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0), np.float32)


def assigned_cosine(scores: npt.NDArray[np.floating]) -> float:
    """Mean of `scores` [A, B] over the best one-to-one assignment; rows or columns that are too many stay alone."""
    return float(scores[linear_sum_assignment(scores, maximize=True)].mean())


def gaussian_baseline(experts_a: int, experts_b: int, width: int, seed: int) -> tuple[float, float]:
    """Mean and deviation of the assigned cosine between independent Gaussian routers."""
    random = generator(seed, "gaussian routers", experts_a, experts_b, width)
    found = []
    for _ in range(DRAWS):
        a, b = (random.standard_normal((experts, width), np.float32) for experts in (experts_a, experts_b))
        found.append(assigned_cosine(unit_rows(a) @ unit_rows(b).T))
    return float(np.mean(found)), float(np.std(found, ddof=1))


@dataclass(frozen=True)
class Routers:
    """Of each layer that has a router in both models."""

    observed: dict[int, float]
    relabelled: dict[int, Array] = field(default_factory=dict)
    """[R] assigned cosines of copies of B that were rotated by the same lags in all layers."""
    gaussian: dict[int, tuple[float, float]] = field(default_factory=dict)


def assign_routers(subject: Subject) -> Routers:
    """Runs the assignments, a layer at a time."""
    found = Routers({})
    others = subject.layers(1, ROUTER)
    baselines: dict[tuple[int, int, int], tuple[float, float]] = {}
    waiting = next(others, None)
    for layer, weights in subject.layers(0, ROUTER):
        while waiting is not None and waiting[0] < layer:
            waiting = next(others, None)
        if waiting is None:
            break
        other = waiting[1]
        if waiting[0] != layer or not (np.isfinite(weights).all() and np.isfinite(other).all()):
            continue
        a, b = unit_rows(weights), unit_rows(other)
        width = a.shape[1]
        lags = draw_lags(width, min(DRAWS, width - 1), subject.seed, "routers")
        # One product for all lags: the copies of B stand below each other.
        copies = np.concatenate([np.roll(b, -int(lag), axis=1) for lag in lags])
        scores = (a @ copies.T).reshape(len(a), len(lags), len(b))
        cosines = np.array([assigned_cosine(scores[:, draw]) for draw in range(len(lags))])
        found.observed[layer], found.relabelled[layer] = float(cosines[0]), cosines[1:]
        shape = (len(a), len(b), width)
        if shape not in baselines:
            baselines[shape] = gaussian_baseline(*shape, subject.seed)
        found.gaussian[layer] = baselines[shape]
    return found


def router_claim(subject: Subject, found: Routers) -> Claim:
    """The mean over layers, observed, between Gaussian routers, and for rotated copies of B."""
    if not found.observed:
        return skipped(NAME, SOURCE, "No layer has a router in both models.")
    layers = sorted(found.observed)
    statistic = np.array([[found.observed[layer], *found.relabelled[layer]] for layer in layers]).mean(axis=0)
    compared = subject.compared(ROUTER).values()
    return {
        "name": NAME,
        "source": SOURCE,
        "published_style": {
            "layers": len(layers),
            "cosine_assigned": float(statistic[0]),
            "cosine_in_place": mean([row["cosine"] for row in compared]),
        },
        "corrected": {
            "cosine_gaussian": mean([found.gaussian[layer][0] for layer in layers]),
            "cosine_gaussian_deviation": mean([found.gaussian[layer][1] for layer in layers]),
            "cosine_relabelled": float(statistic[1:].mean()),
            "excess": float(statistic[0] - statistic[1:].mean()),
            **evidence_keys(evidence_of(statistic)),
        },
        "why": (
            "An assignment picks the largest of many cosines, so it finds some between unrelated routers too: only what "
            "exceeds the same search in relabelled copies of B counts."
        ),
    }

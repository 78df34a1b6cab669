"""Norm cosines of the same layer, and the shuffle test on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..statistics.null import generator
from .subject import Array, Claim, Subject, evidence_keys, mean

PUBLISHED_LAYERS = (10, 20, 30, 40)
PUBLISHED_DEPTH = 46


def published_layers(layers: Sequence[int]) -> list[int]:
    """The four layers that were looked at, or those as deep in a model that is less deep. `layers`: the shared ones."""
    last = max(layers)
    if last >= max(PUBLISHED_LAYERS):
        wanted = set(PUBLISHED_LAYERS)
    else:
        wanted = {round(layer * last / (PUBLISHED_DEPTH - 1)) for layer in PUBLISHED_LAYERS}
    return sorted(wanted & set(layers) - {0})


def same_layer_cosine(subject: Subject) -> Claim:
    """Mean cosine of the norms of the same layer, against Pearson and the cosine without any correlation."""
    role = subject.gains[0]
    rows = subject.compared(role)
    chosen = published_layers(list(rows))
    without_layer_0 = [rows[layer]["cosine"] for layer in chosen]
    with_layer_0 = [*without_layer_0, *(rows[layer]["cosine"] for layer in rows if layer == 0)]
    roles = [_role(role, list(subject.compared(role).values())) for role in subject.gains]
    everything = _role("", subject.gain_rows)
    return {
        "name": "same_layer_norm_cosine",
        "source": "sionic-ai/solar-vs-glm, first version",
        "published_style": {
            "tensors": len(subject.gain_rows),
            "cosine": everything["cosine"],
            "cosine_by_role": {entry["role"]: entry["cosine"] for entry in roles},
            "chosen_role": role,
            "chosen_layers": chosen,
            "cosine_chosen": mean(without_layer_0),
            "cosine_chosen_and_layer_0": mean(with_layer_0) if 0 in rows else None,
        },
        "corrected": {
            "cosine_if_uncorrelated": everything["cosine_if_uncorrelated"],
            "pearson": everything["pearson"],
            "roles": roles,
            **evidence_keys(subject.gain_evidence),
        },
        "why": (
            f"Norm gains lie near a positive constant, so without any correlation the mean cosine would be "
            f"{_shown(everything['cosine_if_uncorrelated'])}; what two models share is in the Pearson, and a mean over "
            "layers must keep the layers that do not fit."
        ),
    }


def _role(role: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over layers, each layer counting once, as the published means do."""
    measures = ("cosine", "cosine_if_uncorrelated", "pearson")
    return {"role": role, "tensors": len(rows)} | {name: mean([row[name] for row in rows]) for name in measures}


def shuffle_test(subject: Subject, shuffled: Mapping[tuple[str, int], float | None]) -> Claim:
    """Cosines of norms whose elements were shuffled, against the exact relabelling null. `shuffled`: of each row."""
    pairs = [(row, shuffled[row["role"], row["layer"]]) for row in subject.gain_rows]
    gaps = [row["cosine"] - value for row, value in pairs if value is not None and row["cosine"] is not None]
    tested = [row["p_adjusted"] for row in subject.gain_rows if row["p_adjusted"] is not None]
    return {
        "name": "norm_shuffle_test",
        "source": "ANLGBOY/solar-vs-glm-sanity-check",
        "published_style": {
            "cosine": mean([row["cosine"] for row, _ in pairs]),
            "cosine_shuffled": mean([value for _, value in pairs]),
            "difference": mean(gaps),
            "largest_difference": max(map(abs, gaps), default=None),
        },
        "corrected": {
            "cosine_if_uncorrelated": mean([row["cosine_if_uncorrelated"] for row, _ in pairs]),
            "tensors_tested": len(tested),
            "tensors_beyond_null": sum(p < 0.05 for p in tested),
            **evidence_keys(subject.gain_evidence),
        },
        "why": (
            "One shuffle shows that the cosine comes from the means, but not how large a difference chance allows: all "
            "relabellings by the same lags in every tensor give that, layer by layer and pooled."
        ),
    }


def shuffled_cosines(subject: Subject) -> dict[tuple[str, int], float | None]:
    """Role and layer -> cosine after both gains were shuffled, each in its own way."""
    found: dict[tuple[str, int], float | None] = {}
    for role in subject.gains:
        compared = subject.compared(role)
        others = dict(subject.layers(1, role))
        for layer, x in subject.layers(0, role):
            if layer in compared:
                random = generator(subject.seed, "shuffle", role, layer)
                found[role, layer] = _cosine(random.permutation(x), random.permutation(others[layer]))
    return found


def _cosine(x: Array, y: Array) -> float | None:
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / scale if scale > 0 else None


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"

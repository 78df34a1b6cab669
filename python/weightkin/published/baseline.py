"""The layer-0 baseline and the sigma that came of it, against baselines at a matched distance between layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..statistics.vectors import lag_matched_baseline
from .norms import published_layers
from .subject import Array, Claim, Subject, evidence_keys, mean, similarities


def effect_size(across: Sequence[float] | Array, within: Sequence[float] | Array) -> float | None:
    """Difference of means over the pooled standard deviation (population form).

    This is the published arithmetic: its four and four cosines give 182 (Cohen's d, called sigma there). None where
    there are too few values, or where they do not vary.
    """
    if min(len(across), len(within)) < 2:
        return None
    scale = float(np.sqrt((np.var(across) + np.var(within)) / 2))
    return float(np.mean(across) - np.mean(within)) / scale if scale > 0 else None


def baseline(subject: Subject) -> Claim:
    """Same layer across models against layer 0 within a model, then against layers at equal distance within it."""
    role = subject.gains[0]
    rows = subject.compared(role)
    across = {layer: row["cosine"] for layer, row in rows.items() if row["cosine"] is not None}
    chosen = [layer for layer in published_layers(list(rows)) if layer in across]
    lag = chosen[1] - chosen[0] if len(chosen) > 1 else 1
    same_layer = [across[layer] for layer in across if layer > 0]
    published: dict[str, Any] = {
        "role": role,
        "layers": chosen,
        "cosine_across": mean([across[layer] for layer in chosen]),
    }
    corrected: dict[str, Any] = {
        "lag": lag,
        "cosine_across": mean(same_layer),
        "pearson_across": mean([row["pearson"] for layer, row in rows.items() if layer > 0]),
    }
    for side, model in zip("ab", (0, 1), strict=True):
        layers, stack = zip(*subject.layers(model, role), strict=True)
        cosines, pearsons = similarities(np.stack(stack))
        from_0 = [float(cosines[0, layers.index(layer)]) for layer in chosen if layers[0] == 0]
        published[f"cosine_within_{side}"] = mean(from_0)
        published[f"sigma_{side}"] = effect_size([across[layer] for layer in chosen], from_0)
        at_lag = np.diagonal(cosines[1:, 1:], lag)
        corrected[f"cosine_within_{side}"] = _at_lag(cosines, lag)
        corrected[f"pearson_within_{side}"] = _at_lag(pearsons, lag)
        corrected[f"sigma_{side}"] = effect_size(same_layer, at_lag[np.isfinite(at_lag)])
    closed_form = [row["z_closed_form"] for row in subject.gain_rows if row["z_closed_form"] is not None]
    published["z_as_if_independent"] = float(np.sum(closed_form) / np.sqrt(len(closed_form))) if closed_form else None
    return {
        "name": "layer_0_baseline",
        "source": "sionic-ai/solar-vs-glm, first version",
        "published_style": published,
        "corrected": corrected | evidence_keys(subject.gain_evidence),
        "why": (
            "Layer 0 is unlike all other layers, so it makes any pair look special; the fair baseline is layers "
            f"{lag} apart within one model. No sigma over a few layers is a test: layers of one model are alike, so their "
            "z may be added only draw by draw, against relabelled copies."
        ),
    }


def _at_lag(similarity: Array, lag: int) -> float | None:
    return next((found.mean for found in lag_matched_baseline(similarity) if found.lag == lag), None)

"""The seven metrics of the three-model comparison, in every layer and in both directions."""

from __future__ import annotations

from typing import Any

from .norms import published_layers
from .subject import ROUTER, Claim, Subject, mean

METRICS = {
    "cosine": "cosine",
    "centred_cosine": "pearson",
    "pearson": "pearson",
    "mean_abs_difference": "mean_abs_difference",
    "relative_l2": "relative_l2_a",
    "cv_difference": "cv_difference",
    "p99_difference": "p99_difference",
}
"""Published metric -> column of `tensors`."""

CORRECTED = (
    "cosine", "cosine_if_uncorrelated", "pearson", "mean_abs_difference", "relative_l2_a", "relative_l2_b",
    "cv_difference", "p99_difference",
)  # fmt: skip

NOTES = {
    "cosine": "measures the means of norm gains, not what the models share",
    "centred_cosine": "is the Pearson of the elements: one measure counted twice",
    "pearson": "the only one that removes the means; it needs a null, for layers of one model are alike",
    "mean_abs_difference": "grows with the scale of the weights: small gains look close to any small gains",
    "relative_l2": "is not symmetric: |A-B|/|A| is not |A-B|/|B|, yet one of them was printed for both",
    "cv_difference": "compares one number per tensor, which is noise where the mean is near 0, as of keys",
    "p99_difference": "compares the tails of two distributions, not which elements are in them",
}
"""What is wrong with each one's use."""


def seven_metrics(subject: Subject) -> Claim:
    """Norms, key and value: published at three layers and one direction, here at all layers and both."""
    roles = list(dict.fromkeys(row["role"] for row in subject.rows if row["role"] != ROUTER))
    published: dict[str, Any] = {}
    corrected: list[dict[str, Any]] = []
    layers: list[int] = []
    for role in roles:
        compared = subject.compared(role)
        if not compared:
            continue
        layers = published_layers(list(compared))[:3]
        chosen = [compared[layer] for layer in layers]
        published[role] = {name: mean([row[column] for row in chosen]) for name, column in METRICS.items()}
        by_name = {name: [row[name] for row in compared.values()] for name in CORRECTED}
        entry: dict[str, Any] = {"role": role, "tensors": len(compared)}
        entry |= {name: mean(values) for name, values in by_name.items()}
        entry["range"] = {name: _range(values) for name, values in by_name.items()}
        corrected.append(entry)
    return {
        "name": "seven_metrics",
        "source": "hyunwoongko/solar-vs-glm-vs-phi",
        "published_style": {"layers": layers, "roles": published},
        "corrected": {"roles": corrected, "not_compared": _not_compared(subject)},
        "notes": NOTES,
        "why": (
            "Three layers and one direction of an asymmetric metric were shown; the centred cosine is the Pearson, and the "
            "other five mix in means, scale or spread, which independent models share."
        ),
    }


def _range(values: list[float | None]) -> list[float] | None:
    defined = [value for value in values if value is not None]
    return [min(defined), max(defined)] if defined else None


def _not_compared(subject: Subject) -> list[dict[str, Any]]:
    """Roles that do not meet element by element, with an example of the shapes: nothing is cropped to fit."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in subject.rows:
        if row["status"] != "compared" and row["role"] != ROUTER:
            entry = found.setdefault(
                (row["role"], row["reason"]),
                {"role": row["role"], "reason": row["reason"], "layers": [], "shape_a": row["shape_a"],
                 "shape_b": row["shape_b"]},
            )  # fmt: skip
            entry["layers"].append(row["layer"])
    return list(found.values())

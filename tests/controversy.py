"""A pair of models built to look like the controversy: norms with the published moments, and nothing else in common."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from folders import write_checkpoint
from weightkin import Results

Array = npt.NDArray[np.float64]

MOMENTS = Path(__file__).parent / "data" / "layernorm_moments.csv"
DEPTH, WIDTH, EXPERTS = 46, 4096, 128
NORMS = {"norm_pre": "input_layernorm", "norm_post": "post_attention_layernorm"}
CLAIMS = [
    "same_layer_norm_cosine", "layer_0_baseline", "norm_shuffle_test", "router_assignment", "seven_metrics",
    "third_model", "coverage",
]  # fmt: skip


def claim(results: Results, name: str) -> dict[str, Any]:
    """One claim of a summary that has all of them."""
    assert [entry["name"] for entry in results.summary["claims"]] == CLAIMS
    found: dict[str, Any] = results.summary["claims"][CLAIMS.index(name)]
    return found


def standard(x: Array) -> Array:
    """Mean 0 and deviation 1, exactly."""
    return np.asarray((x - x.mean()) / x.std())


@cache
def moments() -> list[dict[str, str]]:
    with MOMENTS.open() as file:
        return list(csv.DictReader(file))


def published_norms(random: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Norms of two models with the published means, deviations and Pearsons; layers of one model are alike but for 0."""
    shared = [random.standard_normal(WIDTH) for _ in "ab"]
    models: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for row in moments():
        weight = 0.0 if row["layer"] == "0" else 0.5
        x, y = (
            standard(np.sqrt(weight) * part + np.sqrt(1 - weight) * random.standard_normal(WIDTH)) for part in shared
        )
        r = float(row["cosine_centered"])
        y = r * x + np.sqrt(1 - r * r) * standard(y - (x @ y) / WIDTH * x)
        name = f"model.layers.{row['layer']}.{NORMS[row['category']]}.weight"
        for weights, side, values in zip(models, "AB", (x, y), strict=True):
            gains = float(row[f"{side}_mean"]) + float(row[f"{side}_std"]) * values
            weights[name] = gains.astype(np.float32)
    return models


def controversy_pair(folder: Path) -> list[str]:
    """Writes the two models: keys, values and a router of one shape, queries of two."""
    random = np.random.default_rng(20260101)
    paths = []
    kinds = ("solar_open", "glm4_moe")
    for kind, weights, heads in zip(kinds, published_norms(random), (8, 12), strict=True):
        for layer in range(DEPTH):
            for name, rows in {"q": heads, "k": 4, "v": 4}.items():
                draw = 0.02 * random.standard_normal((rows, WIDTH), np.float32)
                weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = draw.astype(ml_dtypes.bfloat16)
        router = random.standard_normal((EXPERTS, WIDTH), np.float32)
        weights["model.layers.1.mlp.gate.weight"] = router.astype(ml_dtypes.bfloat16)
        config = {"model_type": kind, "hidden_size": WIDTH, "num_hidden_layers": DEPTH}
        paths.append(str(write_checkpoint(folder / kind, weights, config)))
    return paths

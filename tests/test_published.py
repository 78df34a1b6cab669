"""The published figures of 92 norms of Solar-Open-100B and GLM-4.5-Air, from vectors with the published moments."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from comparisons import Array, rows_of
from folders import write_checkpoint
from weightkin import Results, compare

CHANNELS = 4096
ROLES = {"norm_pre": "norm.input", "norm_post": "norm.post_attention"}


@pytest.fixture(scope="module")
def published() -> dict[tuple[int, str], dict[str, float]]:
    """Figures of each layer and role."""
    with (Path(__file__).parent / "data" / "layernorm_moments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["key_A"] == row["key_B"] for row in rows)
    return {
        (int(row["layer"]), ROLES[row["category"]]): {
            name: float(value) for name, value in row.items() if not name.startswith(("key", "category"))
        }
        for row in rows
    }


@pytest.fixture(scope="module")
def results(published: dict[tuple[int, str], dict[str, float]], tmp_path_factory: pytest.TempPathFactory) -> Results:
    names = {"norm.input": "input_layernorm", "norm.post_attention": "post_attention_layernorm"}
    models: list[dict[str, Array]] = [{}, {}]
    for (layer, role), figures in published.items():
        for tensors, vector in zip(models, vectors(layer, figures), strict=True):
            tensors[f"model.layers.{layer}.{names[role]}.weight"] = vector
    folder = tmp_path_factory.mktemp("published")
    solar, glm = (
        write_checkpoint(folder / family, tensors, {"model_type": family})
        for family, tensors in zip(("solar_open", "glm4_moe"), models, strict=True)
    )
    return compare(solar, glm)


def vectors(seed: int, figures: dict[str, float]) -> tuple[Array, Array]:
    """Two float32 vectors with those means, standard deviations and Pearson correlation."""
    noise = np.random.default_rng(seed).standard_normal((CHANNELS, 2))
    basis, _ = np.linalg.qr(np.column_stack([np.ones(CHANNELS), noise]))
    u, v = basis[:, 1:].T * np.sqrt(CHANNELS)  # mean 0, deviation 1, uncorrelated
    r = figures["cosine_centered"]
    a = figures["A_mean"] + figures["A_std"] * u
    b = figures["B_mean"] + figures["B_std"] * (r * u + np.sqrt(1 - r * r) * v)
    return a.astype(np.float32), b.astype(np.float32)


def test_every_published_cosine_and_pearson(
    published: dict[tuple[int, str], dict[str, float]], results: Results
) -> None:
    rows = rows_of(results["tensors"], "layer", "role")
    assert rows.keys() == published.keys() and len(rows) == 92
    for key, figures in published.items():
        assert rows[key]["cosine"] == pytest.approx(figures["cosine"], abs=1e-6)
        assert rows[key]["pearson"] == pytest.approx(figures["cosine_centered"], abs=1e-6)
        assert rows[key]["cosine_if_uncorrelated"] == pytest.approx(figures["cosine"], abs=0.012)
        for side in "AB":
            cv = figures[f"{side}_std"] / figures[f"{side}_mean"]
            assert rows[key][f"cv_{side.lower()}"] == pytest.approx(cv, rel=1e-5)


def test_published_averages(results: Results) -> None:
    table = results["tensors"].to_pandas()
    assert table["cosine"].mean() == pytest.approx(0.967563, abs=1e-6)
    assert table["pearson"].mean() == pytest.approx(0.005365, abs=1e-6)
    of_role = table.groupby("role")["cosine"].mean()
    assert of_role["norm.input"] == pytest.approx(0.948743, abs=1e-6)
    assert of_role["norm.post_attention"] == pytest.approx(0.986383, abs=1e-6)


def test_pooled_layers_do_not_correlate_because_their_means_grow_alike(results: Results) -> None:
    """Vectors one after the other have a Pearson of the layers' means, whatever models they come from."""
    for role in results.summary["roles"]:
        assert abs(role["pearson"]) < 0.02 and abs(role["cosine"] - role["cosine_if_uncorrelated"]) < 0.01
        assert role["cosine"] > 0.9

"""The published figures come out on a pair that shares only moments, and their corrections come out near zero."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import weightkin
from controversy import DEPTH, EXPERTS, WIDTH, claim, controversy_pair, moments
from weightkin import Results
from weightkin.cli.views.claims import show_claims
from weightkin.published.routers import gaussian_baseline


@pytest.fixture(scope="module")
def controversy(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return weightkin.claims(controversy_pair(tmp_path_factory.mktemp("controversy")))


def test_controversy_norms(controversy: Results) -> None:
    """The published cosines, and what they would be without any correlation."""
    found = claim(controversy, "same_layer_norm_cosine")
    published, corrected = found["published_style"], found["corrected"]
    assert published["tensors"] == 92 and published["chosen_layers"] == [10, 20, 30, 40]
    assert published["cosine"] == pytest.approx(0.967563, abs=1e-5)
    assert published["cosine_by_role"]["norm.input"] == pytest.approx(0.948743, abs=1e-5)
    assert published["cosine_by_role"]["norm.post_attention"] == pytest.approx(0.986383, abs=1e-5)
    assert published["cosine_chosen"] == pytest.approx(0.98899, abs=1e-4)
    assert published["cosine_chosen_and_layer_0"] == pytest.approx(0.81664, abs=1e-4)
    assert corrected["pearson"] == pytest.approx(0.005365, abs=1e-5)
    assert corrected["cosine_if_uncorrelated"] == pytest.approx(published["cosine"], abs=2e-3)
    assert abs(corrected["z"]) < 3 and corrected["draws"] == 256
    rows = {(row["layer"], row["role"]): row for row in controversy["claims_layers"].to_pylist()}
    for row in moments():
        role = {"norm_pre": "norm.input", "norm_post": "norm.post_attention"}[row["category"]]
        ours = rows[int(row["layer"]), role]
        assert ours["cosine"] == pytest.approx(float(row["cosine"]), abs=1e-6)
        assert ours["cosine_if_uncorrelated"] == pytest.approx(float(row["cosine"]), abs=0.012)
        assert ours["cosine_shuffled"] == pytest.approx(ours["cosine_if_uncorrelated"], abs=0.06)


def test_controversy_sigma(controversy: Results) -> None:
    """A hundred sigma as published; near zero against layers of one model."""
    found = claim(controversy, "layer_0_baseline")
    published, corrected = found["published_style"], found["corrected"]
    assert published["cosine_within_b"] == pytest.approx(0.377, abs=0.02)
    for side in "ab":
        assert 100 < published[f"sigma_{side}"] < 250
        assert abs(corrected[f"sigma_{side}"]) < 1
        assert corrected[f"pearson_within_{side}"] == pytest.approx(0.5, abs=0.05)
    assert corrected["lag"] == 10 and abs(corrected["pearson_across"]) < 0.02
    assert published["z_as_if_independent"] > 3 > abs(corrected["z"])
    assert corrected["p"] > 0.01


def test_controversy_shuffle_and_routers(controversy: Results) -> None:
    shuffle = claim(controversy, "norm_shuffle_test")
    assert abs(shuffle["published_style"]["difference"]) < 0.01
    assert shuffle["corrected"]["tensors_tested"] == 92
    routers = claim(controversy, "router_assignment")
    assert routers["published_style"]["cosine_assigned"] == pytest.approx(0.0380, abs=0.0024)
    assert routers["corrected"]["cosine_gaussian"] == pytest.approx(0.0380, abs=0.0003)
    assert routers["corrected"]["cosine_gaussian_deviation"] == pytest.approx(0.0006, abs=0.0002)
    assert routers["corrected"]["cosine_relabelled"] == pytest.approx(0.0380, abs=0.0003)
    assert abs(routers["corrected"]["z"]) < 4 and routers["corrected"]["draws"] == 32


def test_controversy_coverage_and_shapes(controversy: Results) -> None:
    """Queries of another shape are counted as not comparable, never cropped."""
    coverage = claim(controversy, "coverage")
    groups = {entry["group"]: entry for entry in coverage["corrected"]["groups"]}
    assert coverage["published_style"]["parameters"] == 92 * WIDTH
    per_layer = np.array([12 + 4 + 4, 4 + 4]) * WIDTH * DEPTH
    assert [groups["attention"]["parameters"], groups["attention"]["comparable"]] == per_layer.tolist()
    assert groups["router"]["comparable"] == EXPERTS * WIDTH
    assert coverage["corrected"]["untested"][0]["reason"] == "shape"


def test_controversy_printed(controversy: Results) -> None:
    """As its user reads it, in 80 columns."""
    console = Console(file=StringIO(), width=80)
    show_claims(console, controversy, False)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 80
    sigma = claim(controversy, "layer_0_baseline")["published_style"]["sigma_b"]
    for piece in (f"sigma over B {sigma:.0f}", "as published", "corrected", "0.9676", "0.8166", "0.0380 ± 0.000"):
        assert piece in " ".join(shown.split()), piece
    assert all(f"\n{number}  " in shown for number in range(1, 8))


def test_gaussian_routers() -> None:
    mean, deviation = gaussian_baseline(EXPERTS, EXPERTS, WIDTH, seed=0)
    assert mean == pytest.approx(0.0380, abs=0.0003) and deviation == pytest.approx(0.0006, abs=0.0002)

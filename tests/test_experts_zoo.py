"""Experts and neurons of small models that were really trained: the truth is found, strangers are not taken for kin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weightkin
from weightkin import Results


def found(zoo: Path, a: str, b: str, **options: Any) -> Results:
    return weightkin.experts(zoo / a, zoo / b, **options)


@pytest.mark.parametrize("name", ["permuted", "laundered"])
def test_order_of_experts(zoo: Path, name: str) -> None:
    truth = json.loads((zoo / "truth.json").read_text())["permutation"][name]
    results = found(zoo, "base", name)
    layers = [layer for layer in results.summary["experts"]["layers"] if layer["assignment"]]
    assert {str(layer["layer_b"]): layer["assignment"] for layer in layers} == truth
    assert all(layer["neuron_z"] > 30 and layer["neuron_pearson"] > 0.97 for layer in layers)
    assert results.summary["experts"]["parameters_matched"] == results.summary["experts"]["parameters"]
    if name == "permuted":
        for row in results["experts"].to_pylist():
            assert row["pearson_all"] > 0.9999 and row["neuron_agreement"] == row["neurons_b"]


def test_transplanted_experts_are_found_across_widths(zoo: Path) -> None:
    results = found(zoo, "base", "transplant", layers="same")
    for layer in results.summary["experts"]["layers"][1:]:
        assert layer["assignment"] == list(range(16)) and layer["matched_mlps"] == 16  # the shared expert is solar's
    for row in results["neurons"].to_pylist():
        assert row["permutation"] == list(range(56))


def test_upcycled(zoo: Path) -> None:
    layers = found(zoo, "dense", "upcycled").summary["experts"]["layers"]
    assert [layer["assignment"] for layer in layers] == [[0] * 8] * 4
    assert {layer["pattern"] for layer in layers} == {"upcycled"}


@pytest.mark.parametrize(("name", "layers"), [("upscaled", [0, 1, 2, 3, 4, 2, 3, 4, 5]), ("pruned", [0, 1, 2, 4, 5])])
@pytest.mark.parametrize("how", ["auto", "all-pairs"])
def test_layers_that_moved(zoo: Path, name: str, layers: list[int], how: str) -> None:
    found_layers = found(zoo, "base", name, layers=how, neurons="none").summary["experts"]["layers"]
    assert [layer["layer_a"] for layer in found_layers] == layers
    assert all(layer["identity_fraction"] in (1.0, None) and layer["matched_mlps"] for layer in found_layers)


def test_strangers(zoo: Path) -> None:
    """No expert stands out in any independent pair, and no layer is beyond what relabelled copies give."""
    pairs = [pair for pair in json.loads((zoo / "truth.json").read_text())["pairs"] if not pair["related"]]
    assert len(pairs) >= 8
    p = []
    for pair in pairs:
        summary = found(zoo, pair["a"], pair["b"], layers="same", neurons="all").summary["experts"]
        assert summary["parameters_matched"] == 0, pair
        for layer in summary["layers"]:
            assert all(layer[name] is None or abs(layer[name]) < 4.5 for name in ("z", "router_z", "neuron_z")), (
                pair,
                layer,
            )
        assert all(abs(component["z"]) < 4.5 for component in summary["components"])
        p += [component["p"] for component in summary["components"]]
    assert np.mean(np.array(p) <= 1 / 64) < 0.2

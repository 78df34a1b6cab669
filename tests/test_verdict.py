"""From evidence to words: every threshold from both sides, and how words of parts make those of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightkin.results.verdict import layers_text, percent
from weightkin.statistics.verdict import (
    FEWEST_DRAWS,
    MATRIX_GROUPS,
    PEARSON,
    Z_EMBEDDINGS,
    Z_LAYER_CLEAR,
    Z_LAYER_STRONG,
    Z_MATRIX,
    Z_NORMS,
    Evidence,
    Word,
    component_verdict,
    group_verdict,
    relation,
)

THRESHOLDS = dict.fromkeys(MATRIX_GROUPS, Z_MATRIX) | {"norms": Z_NORMS, "embeddings": Z_EMBEDDINGS}


def evidence(group: str = "attention", z: float | None = 50.0, **others: Any) -> Evidence:
    """Of a group of the text component; unless told otherwise the observed value is above all of 256 draws."""
    draws = others.get("draws", 256)
    known: dict[str, Any] = {"tensors": 8, "parameters": 1000, "pearson": 0.5, "p": 1 / (draws + 1), "draws": draws}
    return Evidence("text", group, z=z, **(known | {"identical": False} | others))


def nothing(group: str = "attention") -> Evidence:
    return evidence(group, 0.3, p=0.4, pearson=0.001)


@pytest.mark.parametrize("group", THRESHOLDS)
def test_thresholds(group: str) -> None:
    least = THRESHOLDS[group]
    assert evidence(group, least).positive
    assert not evidence(group, least - 0.01).positive
    assert not evidence(group, least, p=2 / 257).positive
    assert evidence(group, least, pearson=PEARSON).positive
    assert not evidence(group, least, pearson=PEARSON - 1e-6).positive
    assert not evidence(group, least, pearson=float("nan")).positive
    assert evidence(group, least, draws=FEWEST_DRAWS).positive


@given(st.sampled_from([*THRESHOLDS, "other"]), st.floats(-1e9, 1e9), st.floats(1 / 257, 1), st.floats(-1, 1))
def test_positive_needs_everything(group: str, z: float, p: float, pearson: float) -> None:
    if evidence(group, z, p=p, pearson=pearson).positive:
        assert z >= Z_MATRIX and p == pytest.approx(1 / 257) and pearson >= PEARSON


def test_words_of_groups() -> None:
    assert group_verdict(evidence(), True) == "derived"
    assert group_verdict(nothing(), True) == "no_evidence"
    assert group_verdict(evidence(identical=True), True) == "identical"
    assert group_verdict(evidence("norms"), False) == "norms_only"
    assert group_verdict(evidence("norms"), True) == "derived"
    for unknown in (evidence(z=None), evidence(p=None), evidence(draws=FEWEST_DRAWS - 1)):
        assert group_verdict(unknown, True) == "not_tested"


def test_equal_bytes_alone_are_no_verdict() -> None:
    """Constants, buffers, and tensors whose order is not arbitrary are equal in independent models too."""
    same = evidence(z=None, p=None, identical=True, pearson=float("nan"))
    assert group_verdict(same, False) == "not_tested"
    assert component_verdict([same], True) == "not_tested"
    assert component_verdict([same, nothing("mlp")], True) == "no_evidence"


def test_layers_that_show_nothing() -> None:
    strong, clear = Z_LAYER_STRONG, Z_LAYER_CLEAR
    assert evidence(layers={0: strong, 1: clear - 0.1, 2: clear, 3: -1}).clear_layers == [1, 3]
    assert evidence(layers={0: strong - 0.1, 1: 0}).clear_layers == []
    assert evidence(z=1, layers={0: strong, 1: 0}).clear_layers == []
    assert group_verdict(evidence(layers={0: strong, 1: 0}), True) == "partial"
    assert component_verdict([evidence(layers={0: strong, 1: 0})], False) == "partial"


def test_words_of_components() -> None:
    matrices = [evidence(group) for group in MATRIX_GROUPS]
    assert component_verdict(matrices, False) == "derived"
    assert component_verdict([*matrices[1:], nothing()], False) == "partial"
    assert component_verdict([*matrices, nothing("norms"), nothing("embeddings")], False) == "derived"
    assert component_verdict([*matrices[1:], evidence(z=None)], False) == "derived"
    assert component_verdict([nothing(), evidence("norms")], False) == "norms_only"
    assert component_verdict([evidence("norms")], False) == "norms_only"
    assert component_verdict([nothing(), evidence("embeddings")], False) == "partial"
    assert component_verdict([nothing(), nothing("norms"), evidence("other")], False) == "no_evidence"
    assert component_verdict([evidence("other"), nothing("norms")], False) == "not_tested"


def test_identical_is_every_byte_of_everything() -> None:
    same = [evidence(identical=True), evidence("norms", z=None, identical=True)]
    assert component_verdict(same, True) == "identical"
    assert component_verdict(same, False) == "derived"
    assert component_verdict([*same, evidence("mlp")], True) == "derived"


@pytest.mark.parametrize(
    ("components", "word"),
    [
        ({}, "not_tested"),
        ({"text": "not_tested"}, "not_tested"),
        ({"text": "no_evidence", "vision": "not_tested"}, "no_evidence"),
        ({"text": "no_evidence", "vision": "derived"}, "partial"),
        ({"text": "no_evidence", "vision": "identical"}, "partial"),
        ({"text": "identical", "vision": "derived"}, "derived"),
        ({"text": "identical", "vision": "identical"}, "identical"),
        ({"text": "derived", "vision": "partial"}, "partial"),
        ({"text": "derived", "vision": "norms_only"}, "partial"),
        ({"text": "no_evidence", "vision": "norms_only"}, "norms_only"),
    ],
)
def test_words_of_pairs(components: Mapping[str, Word], word: Word) -> None:
    assert relation(components) == word


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    assert [percent(share) for share in (0, 4e-6, 0.5, 0.99999, 1)] == [
        "0.0 %",
        "under 0.1 %",
        "50.0 %",
        "over 99.9 %",
        "All",
    ]


def test_layers_in_words() -> None:
    assert layers_text([5]) == "layer 5"
    assert layers_text([7, 0, 1, 2, 9, 10]) == "layers 0-2, 7, 9-10"

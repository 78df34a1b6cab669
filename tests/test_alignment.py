"""Alignments as JSON: what was written is read, and what is damaged is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightkin import AlignmentError
from weightkin.correspondence.alignment import (
    Alignment,
    HeadMatch,
    Mlp,
    MlpMatch,
    Source,
    from_json,
    read_alignment,
    to_json,
)

EXPERT, DENSE = Mlp("text", 1, "expert", 3), Mlp("text", 2, "mlp", None)
ALIGNMENT = Alignment(
    {"text": {0: 0, 1: 3, 3: 2}, "vision": {}},
    {EXPERT: MlpMatch(EXPERT._replace(expert=0), np.array([2, -1, 0])), DENSE: MlpMatch(DENSE, None)},
    {("text", 1): HeadMatch(np.array([1, 0]), np.array([3, 2, -1, 0]))},
    (Source("a", "0a"), Source("b", "0b")),
)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "alignment.json"
    path.write_text(json.dumps(to_json(ALIGNMENT)))
    found = read_alignment(path)
    assert found.found_in == ALIGNMENT.found_in and from_json(to_json(Alignment())).found_in is None
    assert found.layers == ALIGNMENT.layers and found.layer_of("text", 2) is None and found.layer_of("mtp", 2) == 2
    assert found.mlps.keys() == ALIGNMENT.mlps.keys() and found.mlps[DENSE] == MlpMatch(DENSE, None)
    neurons = found.mlps[EXPERT].neurons
    assert found.mlps[EXPERT].mlp.expert == 0 and neurons is not None and neurons.tolist() == [2, -1, 0]
    heads = found.heads["text", 1]
    assert (heads.groups.tolist(), heads.queries.tolist()) == ([1, 0], [3, 2, -1, 0])


def test_layers_are_a_list_over_the_layers_of_b() -> None:
    assert to_json(ALIGNMENT)["layers"] == {"text": [0, 3, -1, 2], "vision": []}


def damaged(**changes: Any) -> dict[str, Any]:
    return to_json(ALIGNMENT) | changes


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ([], "is not a weightkin alignment"),
        (damaged(format="other"), "is not a weightkin alignment"),
        (damaged(version=2), "has version 2, this program reads 1"),
        ({"format": "weightkin alignment", "version": 1}, "lacks 'layers'"),
        (damaged(layers=[0, 1]), "is damaged"),
        (damaged(layers={"text": [0.5]}), "something other than whole numbers from -1"),
        (damaged(layers={"text": [-2]}), "something other than whole numbers from -1"),
        (damaged(layers={"text": [2**80]}), "is damaged"),
        (damaged(mlps=[{"b": ["text", 1], "a": ["text", 1], "neurons": None}]), "is damaged"),
        (damaged(mlps=[{"b": [[], 1, "mlp", None], "a": ["text", 1, "mlp", None], "neurons": None}]), "is not a component"),
        (damaged(mlps=[{"b": list(EXPERT), "a": list(EXPERT)}]), "lacks 'neurons'"),
        (damaged(heads=[{"component": "text", "layer": "x", "groups": [], "queries": []}]), "is damaged"),
        (damaged(heads=3), "is damaged"),
        (damaged(models=[{"name": "a", "fingerprint": "0a"}]), "is damaged"),
        (damaged(models=[{"name": "a"}, {"name": "b"}]), "lacks 'fingerprint'"),
    ],
)  # fmt: skip
def test_damaged(value: Any, rule: str) -> None:
    with pytest.raises(AlignmentError, match=rule) as caught:
        from_json(value, "some.json")
    assert str(caught.value).startswith("some.json: ") and "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, rule in (
        ("none.json", "cannot be read: No such file"),
        ("bad.json", "not valid JSON"),
        ("deep.json", "not valid"),
    ):
        with pytest.raises(AlignmentError, match=rule) as caught:
            read_alignment(tmp_path / name)
        assert "\n" not in str(caught.value)

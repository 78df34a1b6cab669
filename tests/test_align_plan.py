"""A plan through a given alignment: what meets, what is left over, and what is evidence."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aligned_models import EXPERTS, LAYERS, NEURONS, WIDTH, State, model, noisy, relayered, shuffled, write
from weightkin import Results, compare
from weightkin.comparison import open_models
from weightkin.correspondence.alignment import Alignment, HeadMatch, Mlp, MlpMatch, to_json
from weightkin.errors import AlignmentError
from weightkin.plan import make_plan, realign


def through(folder: Path, a: State, b: State, alignment: Alignment, **config: Any) -> Results:
    """The comparison of two states through an alignment."""
    paths = [write(folder / "a", a), write(folder / "b", b, **config)]
    file = folder / "alignment.json"
    file.write_text(json.dumps(to_json(alignment)))
    return compare(*paths, align=file)


def rows(results: Results, status: str = "compared") -> list[dict[str, Any]]:
    return [row for row in results["tensors"].to_pylist() if row["status"] == status]


def unscaled(state: State) -> tuple[State, State, Alignment]:
    """A state, and the same in another order."""
    other, alignment = shuffled(state, 5)
    for (_, layer, _, expert), match in alignment.mlps.items():
        stem, old = f"model.layers.{layer}.block_sparse_moe.experts.", match.mlp.expert
        for part, axis in (("w3", 0), ("w2", 1)):
            other[f"{stem}{expert}.{part}.weight"] = np.take(state[f"{stem}{old}.{part}.weight"], match.neurons, axis)
    return state, other, alignment


def test_a_known_order_leaves_nothing_different(tmp_path: Path) -> None:
    a, b, alignment = unscaled(model(0))
    results = through(tmp_path, a, b, alignment)
    assert {row["changed_fraction"] for row in rows(results)} == {0.0} and not rows(results, "untested")
    assert results.summary["coverage"]["fraction"] == 1.0
    verdict = results.summary["verdict"]
    assert (verdict["relation"], verdict["how"]) == ("derived", ["permuted"])
    for row in rows(results):
        if row["group"] == "experts":
            found = alignment.mlps[Mlp("text", row["layer_b"], "expert", row["expert_b"])].mlp
            assert (row["layer"], row["expert"]) == (found.layer, found.expert)
        else:
            assert (row["layer"], row["expert"]) == (row["layer_b"], row["expert_b"])


def test_what_an_order_was_chosen_on_is_no_evidence(tmp_path: Path) -> None:
    a, b, alignment = unscaled(model(0))
    results = through(tmp_path, a, noisy(b, 1), alignment)
    without = Counter(row["role"] for row in rows(results) if row["p"] is None)
    assert set(without) == {"attn.q", "attn.k", "expert.gate"}
    assert without["expert.gate"] == LAYERS * EXPERTS
    notes = {row["role"]: row["note"] for row in rows(results) if row["note"] is not None}
    assert set(notes) == set(without) and "neurons" in notes["expert.gate"] and "heads" in notes["attn.q"]
    assert all(row["pearson"] > 0.9 for row in rows(results) if row["group"] not in ("norms",))
    groups = {group["group"]: group for group in results.summary["groups"]}
    assert groups["experts"]["z"] > 10 and groups["attention"]["z"] > 10 and groups["router"]["z"] > 6


def test_only_matched_neurons_and_experts_are_compared(tmp_path: Path) -> None:
    width, experts = 20, 3
    b, alignment = shuffled(model(0), 5, width, experts)
    results = through(tmp_path, model(0), b, alignment, num_local_experts=experts)
    assert all(row["pearson"] > 0.999 for row in rows(results) if row["role"] in ("expert.gate", "router"))
    left_out = {(one["role"], one["reason"]): one["parameters"] for one in results.summary["coverage"]["untested"]}
    for part in ("gate", "up", "down"):
        assert left_out[f"expert.{part}", "neurons without a counterpart"] == LAYERS * experts * 4 * WIDTH
        assert left_out[f"expert.{part}", "missing in B"] + left_out.get(
            (f"expert.{part}", "no counterpart found"), 0
        ) == (LAYERS * (EXPERTS - experts) * NEURONS * WIDTH)
    assert left_out["router", "experts without a counterpart"] == LAYERS * WIDTH
    total = (
        sum(left_out.values())
        + sum(row["parameters"] for row in rows(results))
        - sum(one for (_, reason), one in left_out.items() if reason.endswith("without a counterpart"))
    )
    assert results.summary["coverage"]["parameters"] == total
    assert "pruned" in results.summary["verdict"]["how"]


def test_one_layer_of_a_for_several_of_b(tmp_path: Path) -> None:
    order = [0, 1, 1, 2]
    alignment = Alignment({"text": dict(enumerate(order))})
    results = through(tmp_path, model(0), relayered(model(0), order), alignment)
    found = {(row["layer_b"], row["layer"]) for row in rows(results) if row["layer"] is not None}
    assert found == set(enumerate(order)) and {row["changed_fraction"] for row in rows(results)} == {0.0}
    assert results.summary["verdict"]["how"] == ["depth_upscaled"]
    assert results.summary["layers"]["assignment"] == order
    nulls = [row for row in results["nulls"].to_pylist() if row["level"] == "layer"]
    assert {(row["layer_b"], row["layer"]) for row in nulls} == set(enumerate(order))


def test_layers_without_a_counterpart(tmp_path: Path) -> None:
    alignment = Alignment({"text": {0: 0, 1: 2}})
    results = through(tmp_path, model(0), model(0) | relayered(model(0), [0, 2, 1]), alignment)
    assert {row["reason"] for row in rows(results, "untested")} == {"its layer has no counterpart"}
    sides = Counter("a" if row["name_b"] is None else "b" for row in rows(results, "untested"))
    assert sides["a"] == sides["b"] > 0
    assert {row["changed_fraction"] for row in rows(results)} == {0.0}


def test_experts_from_a_dense_parent(tmp_path: Path) -> None:
    a, b = model(0), model(0)
    mlps = {}
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}."
        for part, name in (("w1", "gate"), ("w3", "up"), ("w2", "down")):
            a[f"{stem}mlp.{name}_proj.weight"] = a[f"{stem}block_sparse_moe.experts.0.{part}.weight"]
            for expert in range(EXPERTS):
                del a[f"{stem}block_sparse_moe.experts.{expert}.{part}.weight"]
                b[f"{stem}block_sparse_moe.experts.{expert}.{part}.weight"] = a[f"{stem}mlp.{name}_proj.weight"]
        del a[f"{stem}block_sparse_moe.gate.weight"]
        for expert in range(EXPERTS):
            mlps[Mlp("text", layer, "expert", expert)] = MlpMatch(Mlp("text", layer, "mlp", None), None)
    paths = [write(tmp_path / "dense", a, model_type="llama"), write(tmp_path / "moe", noisy(b, 1))]
    file = tmp_path / "alignment.json"
    file.write_text(json.dumps(to_json(Alignment({}, mlps))))
    results = compare(*paths, align=file)
    experts = [row for row in rows(results) if row["role"].startswith("expert.")]
    assert len(experts) == LAYERS * EXPERTS * 3 and {row["expert"] for row in experts} == {None}
    assert {row["expert_b"] for row in experts} == set(range(EXPERTS)) and "mlp.gate_proj" in experts[0]["name_a"]
    assert {row["role"]: row["reason"] for row in rows(results, "untested")} == {"router": "missing in A"}
    assert (results.summary["verdict"]["relation"], results.summary["verdict"]["how"]) == ("derived", ["upcycled"])


def test_units_that_stay_keep_their_numbers(tmp_path: Path) -> None:
    a, b, alignment = unscaled(model(0))
    in_place = make_plan(open_models([write(tmp_path / "a", a), write(tmp_path / "b", b)]))
    plan = realign(in_place, alignment)
    before, after = ({unit.index: unit for unit in one.units} for one in (in_place, plan))
    moved = [unit for index, unit in after.items() if index not in before]
    assert {unit.group for unit in moved} == {"experts", "attention", "router"}
    assert all(after[index].views == before[index].views for index in after.keys() & before.keys())
    assert min(unit.index for unit in moved) == len(before)
    again = realign(plan, Alignment())
    assert {unit.index for unit in again.units} == set(before)


@pytest.mark.parametrize(
    "alignment",
    [
        Alignment({}, {Mlp("text", 0, "expert", 0): MlpMatch(Mlp("text", 0, "expert", 1), np.arange(NEURONS + 1))}),
        Alignment({}, {Mlp("text", 0, "expert", 0): MlpMatch(Mlp("text", 0, "expert", 1), np.full(NEURONS, NEURONS))}),
        Alignment({}, {}, {("text", 1): HeadMatch(np.arange(3), np.arange(8))}),
    ],
)
def test_an_alignment_of_other_models_is_refused(alignment: Alignment, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="alignment"):
        through(tmp_path, model(0), model(1), alignment)

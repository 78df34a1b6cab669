"""Experts and neurons of models made by hand: what is planted is found, exactly; what is not there is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from expert_models import DOWN, GATE, UP, Array, State, dense, moe, noisy, shuffled, upcycled, write
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence import neurons as neurons_module
from weightkin.correspondence.alignment import Mlp
from weightkin.correspondence.applied import applied_mlps
from weightkin.correspondence.compute import HostCompute
from weightkin.correspondence.descriptors import Side
from weightkin.correspondence.experts import match_layer, unsearchable
from weightkin.correspondence.layer_match import By, LayerMatch
from weightkin.devices import HostDevice
from weightkin.schema import resolve


def matches(
    folder: Path, a: State, b: State, layers: Sequence[int] = (0, 1, 2), by: By = "probe", neurons: str = "matched",
    kinds: tuple[str, str] = ("glm4_moe", "glm4_moe"), seed: int = 0,
) -> list[LayerMatch]:  # fmt: skip
    """Of layers of the same number."""
    models = [
        resolve(open_checkpoint(write(folder / name, state, kind)))
        for name, state, kind in zip("ab", (a, b), kinds, strict=True)
    ]
    pairs = [("text", layer, layer) for layer in layers]
    one, other = (Side(model) for model in models)
    return [
        match_layer(one, other, pair, seed=seed, compute=HostCompute(HostDevice(2)), by=by, neurons=neurons)
        for pair in pairs
        if unsearchable(one, other, pair, by) is None
    ]


def orders(found: Sequence[LayerMatch]) -> dict[int, list[int]]:
    """By layer of B, the routed experts of A that its own are."""
    return {match.layer_b: match.assignment[: match.routed[1]].tolist() for match in found if match.routed[1]}


@pytest.mark.parametrize("by", ["probe", "router"])
def test_planted_order_of_experts_and_neurons(by: By, tmp_path: Path) -> None:
    a = moe(0, hidden=128)  # a router row of fewer channels cannot stand out
    b, experts, neurons = shuffled(a, 1)
    found = matches(tmp_path, a, noisy(b, 0.2), by=by)
    assert orders(found) == experts
    for match in found[-2:]:
        for at in range(8):
            assert np.array_equal(match.neurons[at].permutation, neurons[match.layer_b, at])
            assert match.neurons[at].agreement.agreeing == len(neurons[match.layer_b, at])
        assert match.neuron_z() > 10 and match.router_z > 5
    if by == "probe":  # the dense layer and the shared experts, which were left in place
        assert [match.assignment[-1] for match in found] == [0, 8, 8]
        assert all(match.p == 1 / 64 and match.z > 30 for match in found)


def test_weights_in_place(tmp_path: Path) -> None:
    """Whole experts that moved are found by their weights; with neurons in another order they are not."""
    a = moe(0)
    order = [3, 0, 1, 2, 7, 4, 6, 5]
    b = dict(a)
    for new, old in enumerate(order):
        for part in (GATE, UP, DOWN):
            b[f"model.layers.1.mlp.experts.{new}.{part}"] = a[f"model.layers.1.mlp.experts.{old}.{part}"]
    assert orders(matches(tmp_path, a, b, [1], "weights")) == {1: order}
    turned = {name: np.flip(x, 1 if name.endswith(DOWN) else 0) if ".experts." in name else x for name, x in a.items()}
    assert orders(matches(tmp_path / "turned", a, turned, [1], "weights")) == {1: [-1] * 8}
    assert orders(matches(tmp_path / "probed", a, turned, [1])) == {1: list(range(8))}


def test_cut_to_another_width(tmp_path: Path) -> None:
    a = moe(0, neurons=32)
    b, experts, neurons = shuffled(a, 1)
    b = {name: (x[:, :26] if name.endswith(DOWN) else x[:26]) if ".experts." in name else x for name, x in b.items()}
    found = matches(tmp_path, a, b)
    assert orders(found) == experts
    for match in found[-2:]:
        for at in range(8):
            assert np.array_equal(match.neurons[at].permutation, neurons[match.layer_b, at][:26])


def test_a_part_of_the_experts(tmp_path: Path) -> None:
    """Four of eight experts come from A, the others from nowhere: those and no others are named."""
    a, b = moe(0), moe(1)
    for expert in range(4):
        for part in (GATE, UP, DOWN):
            b[f"model.layers.1.mlp.experts.{expert}.{part}"] = a[f"model.layers.1.mlp.experts.{expert + 2}.{part}"]
    (found,) = matches(tmp_path, a, b, [1])
    assert orders([found]) == {1: [2, 3, 4, 5, -1, -1, -1, -1]}
    assert set(found.neurons) == {0, 1, 2, 3}


def test_fewer_experts(tmp_path: Path) -> None:
    a = moe(0)
    b = {name: x[:5] if name.endswith("mlp.gate.weight") else x for name, x in a.items()}
    b = {name: x for name, x in b.items() if not any(f"experts.{expert}." in name for expert in (5, 6, 7))}
    assert orders(matches(tmp_path, a, b)) == {1: [0, 1, 2, 3, 4], 2: [0, 1, 2, 3, 4]}
    assert orders(matches(tmp_path / "back", b, a, [1])) == {1: [0, 1, 2, 3, 4, -1, -1, -1]}


def test_many_children_of_one_parent(tmp_path: Path) -> None:
    parent = dense(0)
    found = matches(tmp_path, parent, upcycled(parent, 6, 0.2), kinds=("llama", "mixtral"))
    assert [match.assignment.tolist() for match in found] == [[0] * 6] * 3
    assert all(np.array_equal(one.permutation, np.arange(24)) for match in found for one in match.neurons.values())
    named = applied_mlps(found[2])
    assert named[Mlp("text", 2, "expert", 5)].mlp == Mlp("text", 2, "mlp", None)


@pytest.mark.parametrize("neurons", ["matched", "all"])
def test_independent_models(neurons: str, tmp_path: Path) -> None:
    """No match, and ranks as the null says, over 36 pairs of layers; neurons without bias although gate chose them."""
    p, z, neuron_z = [], [], []
    for seed in range(0, 24, 2):
        for match in matches(tmp_path / str(seed), moe(seed), moe(seed + 1), neurons=neurons, seed=seed):
            assert not len(match.matched) and abs(match.z) < 4.5 and (neurons == "all" or not match.neurons)
            p.append(match.p)
            z.append(match.z)
            if match.router is not None:
                assert abs(match.router_z) < 4.5
            if match.neurons:
                neuron_z.append(match.neuron_z())
                assert (
                    np.mean([one.neuron_pearson["gate"] for one in match.neurons.values()]) > 0.1
                )  # chosen, so biased
    spread = np.array(p) - np.random.default_rng(0).random(len(p)) / 64
    assert stats.kstest(spread, "uniform").pvalue > 1e-3
    assert abs(np.mean(z)) < 0.6 and np.abs(neuron_z).max(initial=0) < 4.5


def test_neurons_of_wide_mlps_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More products than memory should hold: the wide dense layer is named as not searched, the experts are searched."""
    monkeypatch.setattr(neurons_module, "MOST_PRODUCTS", 24 * 24)
    found = matches(tmp_path, moe(0), noisy(moe(0), 0.1))
    assert [match.not_searched for match in found] == ["too wide", None, None]
    assert [len(match.matched) for match in found] == [1, 9, 9] and [len(match.neurons) for match in found] == [0, 9, 9]


def test_an_expert_that_is_not_finite(tmp_path: Path) -> None:
    """It matches nothing, and does not keep the others from being found."""
    a = moe(0)
    b, experts, _ = shuffled(a, 1)
    b["model.layers.1.mlp.experts.3.up_proj.weight"] = np.full_like(
        b["model.layers.1.mlp.experts.3.up_proj.weight"], np.nan
    )
    found = matches(tmp_path, a, b, [1])
    assert orders(found) == {1: [-1 if at == 3 else old for at, old in enumerate(experts[1])]}


def test_layers_that_cannot_be_matched_are_left_out(tmp_path: Path) -> None:
    found = matches(tmp_path, moe(0), moe(1, hidden=48), [0, 1])
    assert found == []
    assert [
        match.layer_b for match in matches(tmp_path / "more", moe(0), dense(1, layers=2), [0, 1, 2], "router")
    ] == []


def test_nothing_depends_on_threads(tmp_path: Path) -> None:
    a = moe(0)
    models = [
        resolve(open_checkpoint(write(tmp_path / name, state)))
        for name, state in (("a", a), ("b", noisy(shuffled(a, 1)[0], 0.5)))
    ]
    sides = [Side(model) for model in models]
    one, three = (
        match_layer(sides[0], sides[1], ("text", 1, 1), seed=0, compute=HostCompute(HostDevice(threads)))
        for threads in (1, 3)
    )
    assert np.array_equal(one.scores, three.scores) and np.array_equal(one.statistic, three.statistic)
    for at, neurons in one.neurons.items():
        assert np.array_equal(neurons.permutation, three.neurons[at].permutation)
        assert neurons.pearson == three.neurons[at].pearson


def test_aligned_similarity_is_that_of_numpy(tmp_path: Path) -> None:
    a = moe(0)
    b, experts, neurons = shuffled(a, 1)
    b = noisy(b, 0.5)
    (found,) = matches(tmp_path, a, b, [1])
    wanted = aligned(a, b, experts[1][2], neurons[1, 2])
    for part, (cosine, pearson) in wanted.items():
        assert found.neurons[2].cosine[part] == pytest.approx(cosine, abs=2e-3)  # bf16 in the folder
        assert found.neurons[2].pearson[part] == pytest.approx(pearson, abs=2e-3)


def aligned(a: Mapping[str, Array], b: Mapping[str, Array], old: int, turn: Array) -> dict[str, tuple[float, float]]:
    """Cosine and Pearson of expert 2 of layer 1 of B with expert `old` of A whose neurons are re-ordered."""
    out = {}
    for part, name in (("gate", GATE), ("up", UP), ("down", DOWN)):
        x, y = a[f"model.layers.1.mlp.experts.{old}.{name}"], b[f"model.layers.1.mlp.experts.2.{name}"]
        x = x[:, turn] if part == "down" else x[turn]
        cosine = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
        out[part] = float(cosine), float(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    return out

"""What an expert answers to random inputs: as transformers computes it, and free of what changes no function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import families
from expert_models import DOWN, GATE, HIDDEN, UP, moe, moved, shuffled, write
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.activation import GATES
from weightkin.correspondence.descriptors import Side
from weightkin.correspondence.orbit import Orbit, lag_scores
from weightkin.correspondence.probe import answers, probe
from weightkin.errors import PlanError
from weightkin.schema import resolve

Array = np.ndarray[Any, np.dtype[Any]]
torch = pytest.importorskip("torch")


def side(folder: Path) -> Side:
    return Side(resolve(open_checkpoint(folder)))


def ours(found: Side, layer: int, kind: str, x: Array) -> list[Array]:
    """Answers of the MLPs of that kind in a layer."""
    whole = found.layers["text", layer]
    return [answers(found.weights, whole, one, x) for one in whole.mlps if one.mlp.kind == kind]


def routed(experts: Any, expert: int, x: Any) -> Any:
    """Of a module of stacked experts: the answer of one."""
    index = torch.full((len(x), 1), expert)
    return experts(x, index, torch.ones(len(x), 1))


@pytest.mark.parametrize("family", ["glm4_moe", "mixtral", "gpt_oss", "qwen3_moe", "exaone_moe"])
def test_routed_experts_answer_as_in_transformers(family: str) -> None:
    model = families.build(family).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_bias"):  # transformers starts them at zero
                parameter.copy_(torch.randn_like(parameter))
    experts = model.model.layers[1].mlp.experts
    x = 4 * np.random.default_rng(0).standard_normal((6, families.HIDDEN)).astype(np.float32)
    found = ours(side(family_folder(family, model)), 1, "expert", x)
    assert len(found) == families.EXPERTS
    for expert, answer in enumerate(found):
        with torch.no_grad():
            wanted = routed(experts, expert, torch.from_numpy(x)).numpy()
        assert np.abs(answer - wanted).max() <= 2e-6 * np.abs(wanted).max() + 1e-9


def family_folder(family: str, model: Any) -> Path:
    """The folder of a model whose float32 parameters are those of `model`."""
    folder = families.family_folder(family).parent / f"{family}-float32"
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "kind", "layer"),
    [("gemma2", "mlp", 1), ("llama", "mlp", 0), ("glm4_moe", "shared_expert", 1), ("glm4_moe", "mlp", 0)],
)
def test_other_mlps_answer_as_in_transformers(family: str, kind: str, layer: int) -> None:
    model = families.build(family).float()
    module = model.model.layers[layer].mlp
    x = 4 * np.random.default_rng(1).standard_normal((6, families.HIDDEN)).astype(np.float32)
    (answer,) = ours(side(family_folder(family, model)), layer, kind, x)
    with torch.no_grad():
        wanted = (module.shared_experts if kind == "shared_expert" else module)(torch.from_numpy(x)).numpy()
    assert np.abs(answer - wanted).max() <= 2e-6 * np.abs(wanted).max() + 1e-9


@pytest.mark.parametrize("name", sorted(GATES))
def test_activations_are_those_of_transformers(name: str) -> None:
    from transformers.activations import ACT2FN

    x = np.linspace(-8, 8, 1001)
    wanted = ACT2FN[name](torch.from_numpy(x)).numpy()
    # Its "gelu_fast" has rounded constants.
    assert np.abs(GATES[name](x) - wanted).max() <= (1e-6 if name == "gelu_fast" else 1e-12)


def test_an_unknown_activation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="activation 'mish9' is not known; known are silu"):
        side(write(tmp_path, moe(0), hidden_act="mish9"))


def test_neither_order_nor_scale_of_neurons_changes_the_answers(tmp_path: Path) -> None:
    state = moe(0)
    changed, orders, _ = shuffled(state, 1)
    x = np.random.default_rng(2).standard_normal((5, HIDDEN)).astype(np.float32)
    before, after = (
        ours(side(write(tmp_path / name, one, dtype=np.float32)), 1, "expert", x)
        for name, one in (("a", state), ("b", changed))
    )
    for expert, old in enumerate(orders[1]):
        assert np.allclose(after[expert], before[old], rtol=1e-4, atol=1e-5)


def test_norm_gains_do_not_matter(tmp_path: Path) -> None:
    """A gain that is folded into gate and up scales their channels, which the probe's inputs make up for."""
    state = moe(0)
    gain = np.random.default_rng(3).uniform(0.2, 5, HIDDEN)
    folded = {name: x * gain if name.endswith((GATE, UP)) else x for name, x in state.items()}
    folded = {name: x * 3.0 if name.endswith(DOWN) else x for name, x in folded.items()}
    found = [described(tmp_path / name, one) for name, one in (("a", state), ("b", folded))]
    assert np.abs(found[0] - found[1]).max() < 1e-4 * np.abs(found[0]).max()


def described(folder: Path, state: dict[str, Array], seed: int = 0) -> Array:
    """Descriptors of layer 1."""
    one = side(write(folder, state, dtype=np.float32))
    layer = one.layers["text", 1]
    return probe(one.weights, layer, Orbit.of(layer.width), seed, 2)


@pytest.mark.parametrize("hidden", [64, 48, 70])
def test_scores_of_relabelled_copies_are_those_of_models_whose_channels_are_relabelled(
    hidden: int, tmp_path: Path
) -> None:
    """What makes the null exact: score u of the orbit is score 0 of a model that really is relabelled by u."""
    orbit = Orbit.of(hidden)
    assert 20 <= orbit.size <= 64 and hidden - orbit.size * orbit.step < orbit.step + hidden % orbit.size
    a, b = (moe(seed, hidden=hidden, layers=2, experts=4) for seed in (0, 1))
    x, y = described(tmp_path / "a", a), described(tmp_path / "b", b)
    assert np.allclose(np.square(x).sum(axis=(1, 2)), 1, atol=1e-5)
    scores = lag_scores(x, y)
    for by in (1, 5, orbit.size - 1):
        channels = orbit.move(np.arange(hidden, dtype=np.float32), by).astype(int)
        copy = described(tmp_path / f"{by}", moved(b, channels))
        assert np.abs(lag_scores(x, copy)[0] - scores[by]).max() < 1e-5


def test_circular_correlations() -> None:
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((n, 7, 5)).astype(np.float32) for n in (3, 4))
    wanted = [np.einsum("atk,btk->ab", a, np.roll(b, by, axis=1)) for by in range(7)]
    assert np.allclose(lag_scores(a, b), wanted, atol=1e-5)


@pytest.mark.parametrize("width", [64, 100, 128, 2880, 4096, 67, 33])
def test_orbits_leave_few_channels_out(width: int) -> None:
    orbit = Orbit.of(width)
    moved_channels = orbit.size * orbit.step
    assert orbit.size <= 64 and width - moved_channels <= width % 64
    order = orbit.move(np.arange(width, dtype=np.float32), 1)
    assert sorted(order) == list(range(width))
    whole = np.arange(width, dtype=np.float32)
    for _ in range(orbit.size):
        whole = orbit.move(whole, 1)
    assert np.array_equal(whole, np.arange(width))

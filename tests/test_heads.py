"""Attention heads: planted permutations are found, unrelated models have none, and the null counts the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from weightkin.bench.zoo.architectures import fresh
from weightkin.bench.zoo.edits import permute_heads, permute_neurons, rescale_neurons
from weightkin.bench.zoo.training import logits

from families import family_folder
from folders import write_checkpoint
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.heads import LayerHeads, find_head_matches
from weightkin.schema import resolve

WIDTH, ROWS, LAYERS = 96, 8, 2
QUERIES, GROUPS = 12, 4
PAIRS = [("text", layer, layer) for layer in range(LAYERS)]

Array = np.ndarray[Any, np.dtype[np.float32]]
State = dict[str, Array]


def drawn(seed: int, queries: int = QUERIES, groups: int = GROUPS, rows: int = ROWS) -> State:
    """q, k, v and o of random numbers, the same for every seed in the channels that are large."""
    random = np.random.default_rng(seed)
    scale = np.exp(np.random.default_rng(0).standard_normal(WIDTH)).astype(np.float32)
    out = {}
    for layer in range(LAYERS):
        for name, heads in (("q", queries), ("k", groups), ("v", groups), ("o", queries)):
            matrix = random.standard_normal((heads * rows, WIDTH)).astype(np.float32) * scale
            out[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = matrix.T.copy() if name == "o" else matrix
    return out


def noisy(state: State, seed: int, noise: float) -> State:
    return {name: state[name] + np.float32(noise) * x for name, x in drawn(seed).items()}


def shuffled(state: State, seed: int, rows: int = ROWS) -> tuple[State, dict[str, dict[str, list[int]]]]:
    found, order = permute_heads(
        {name: torch.from_numpy(x) for name, x in state.items()}, np.random.default_rng(seed), rows
    )
    return {name: x.numpy() for name, x in found.items()}, order


def write(folder: Path, state: State, **config: Any) -> Path:
    sizes = {"model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "head_dim": ROWS}
    stored = {name: x.astype(ml_dtypes.bfloat16) for name, x in state.items()}
    return write_checkpoint(folder, stored, sizes | config)


def found(a: Path, b: Path, seed: int = 0) -> Mapping[tuple[str, int], LayerHeads]:
    models = [resolve(open_checkpoint(path)) for path in (a, b)]
    return find_head_matches(models[0], models[1], PAIRS, seed=seed, draws=64, threads=1)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_planted_order_is_found(tmp_path: Path, noise: float) -> None:
    """Even where noise leaves a cosine of 0.3."""
    state = drawn(1)
    moved, order = shuffled(noisy(state, 2, noise), 3)
    for (_, layer), one in found(write(tmp_path / "a", state), write(tmp_path / "b", moved)).items():
        assert one.match is not None and one.searched is not None and one.confirmed is not None and not one.identity
        assert one.match.groups.tolist() == order[str(layer)]["groups"]
        assert one.match.queries.tolist() == order[str(layer)]["queries"]
        assert one.searched.p == one.confirmed.p == 1 / 65 and min(one.searched.z, one.confirmed.z) > 10
        assert one.v == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.05) == one.o


def test_heads_in_place_are_the_identity(tmp_path: Path) -> None:
    state = drawn(1)
    a, b = write(tmp_path / "a", state), write(tmp_path / "b", noisy(state, 2, 1.0))
    assert all(one.identity for one in found(a, b).values())


def test_other_layers_are_not_taken_for_each_other(tmp_path: Path) -> None:
    state = write(tmp_path / "a", drawn(1))
    model = resolve(open_checkpoint(state))
    crossed = find_head_matches(model, model, [("text", 0, 1), ("text", 1, 0)], seed=0, draws=64, threads=1)
    assert all(one.match is None and one.untested is None for one in crossed.values())


def test_fewer_heads(tmp_path: Path) -> None:
    """B lacks a group of A, and a query head of every other; what it has is found."""
    state = drawn(1)
    kept = [group * 3 + head for group in (3, 0, 2) for head in (2, 0)]
    moved = {}
    for name, x in state.items():
        order = kept if "q_proj" in name or "o_proj" in name else [3, 0, 2]
        heads = x.T if "o_proj" in name else x
        taken = heads.reshape(-1, ROWS, WIDTH)[order].reshape(-1, WIDTH)
        moved[name] = np.ascontiguousarray(taken.T if "o_proj" in name else taken)
    a, b = write(tmp_path / "a", state), write(tmp_path / "b", moved)
    for one in found(a, b).values():
        assert one.match is not None and (one.match.groups.tolist(), one.match.queries.tolist()) == ([3, 0, 2], kept)
    for one in found(b, a).values():
        assert one.match is not None and one.match.groups.tolist() == [1, -1, 2, 0]
        assert one.match.queries.tolist() == [3, -1, 2, -1, -1, -1, 5, -1, 4, 1, -1, 0]


def test_value_heads_of_another_model_confirm_nothing(tmp_path: Path) -> None:
    """Without v and o a match in q and k does not count."""
    state, other = drawn(1), drawn(2)
    mixed = {name: other[name] if "v_proj" in name or "o_proj" in name else x for name, x in state.items()}
    for one in found(write(tmp_path / "a", state), write(tmp_path / "b", mixed)).values():
        assert one.searched is not None and one.searched.clear
        assert one.confirmed is not None and not one.confirmed.clear and one.match is None


def test_unrelated_models(tmp_path: Path) -> None:
    """Channels of one scale in both and the search itself raise nothing: z as of a standard normal number."""
    z = []
    for seed in range(12):
        a, b = write(tmp_path / f"a{seed}", drawn(2 * seed)), write(tmp_path / f"b{seed}", drawn(2 * seed + 1))
        for one in found(a, b, seed).values():
            assert one.match is None and one.searched is not None and one.confirmed is not None
            z += [one.searched.z, one.confirmed.z]
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z)) and 0.6 < np.std(z) < 1.4 and np.abs(z).max() < 4.5


def test_what_cannot_be_tested_says_why(tmp_path: Path) -> None:
    state, a = drawn(1), write(tmp_path / "a", drawn(1))
    other = write(tmp_path / "b", drawn(1, 6, 2, 16), head_dim=16)
    broken = dict(state)
    broken["model.layers.0.self_attn.v_proj.weight"] = state["model.layers.0.self_attn.v_proj.weight"] * np.inf
    cases = {
        "heads of 8 x 96 and of 16 x 96 elements": found(a, other),
        "NaN or infinite elements in attn.v": found(a, write(tmp_path / "c", broken)),
        "config.json does not give the rows of a head": found(a, write(tmp_path / "d", state, head_dim=7)),
        "latent attention": found(a, family_folder("deepseek_v3")),
        "no attn.q": found(write(tmp_path / "e", {"model.norm.weight": np.ones(WIDTH, np.float32)}), a),
    }
    for reason, layers in cases.items():
        one = layers["text", 0]
        assert one.untested is not None and one.untested.startswith(reason) and one.match is None and not one.identity


@pytest.mark.parametrize("architecture", ["glm4_moe", "qwen3_moe"])
def test_permuted_heads_keep_the_function(architecture: str) -> None:
    """Of the zoo's edit, on a model with random weights."""
    check_function(architecture, "self_attn", lambda state, random: permute_heads(state, random, 16)[0])


@pytest.mark.parametrize("edit", [permute_neurons, rescale_neurons])
def test_edited_neurons_keep_the_function(edit: Callable[[State, np.random.Generator], State]) -> None:
    check_function("glm4_moe", "mlp", edit)


def check_function(architecture: str, part: str, edit: Callable[[Any, np.random.Generator], Any]) -> None:
    """Asserts that `edit` changes each layer's tensors of `part` and not the logits."""
    model = fresh(architecture, 0)
    expected = logits(model)
    state = {name: x.clone() for name, x in model.state_dict().items() if f".{part}." in name and "_proj" in name}
    kept = {name: x for name, x in state.items() if ".experts." not in name}
    moved = edit(kept, np.random.default_rng(0))
    assert not any(torch.equal(moved[name], x) for name, x in kept.items() if "up_proj" in name or "q_proj" in name)
    model.load_state_dict(moved, strict=False)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-4)

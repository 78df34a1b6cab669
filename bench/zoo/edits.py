"""Edits of a state. Permuting and rescaling keep the function that the model computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .states import State, experts_of, layers_of

READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.",),
}
"""The matrices that read a norm's output."""
READ = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight", "mlp.gate.weight")
WRITE = ("o_proj.weight", "down_proj.weight")
ROUTER = ("gate.weight", "gate.e_score_correction_bias")


def permute(state: State, random: np.random.Generator) -> tuple[State, dict[str, list[int]]]:
    """Permutes experts, with their router rows, and the neurons of every expert.

    Also returns, by layer, which expert of `state` each expert is.
    """
    out, orders = dict(state), {}
    for layer in range(layers_of(state)):
        experts = experts_of(state, layer)
        if not experts:
            continue
        stem, order = f"model.layers.{layer}.mlp.", random.permutation(experts).tolist()
        for name in ROUTER:
            if stem + name in state:
                out[stem + name] = state[stem + name][order]
        for new, old in enumerate(order):
            source, target = f"{stem}experts.{old}.", f"{stem}experts.{new}."
            turn = torch.from_numpy(random.permutation(state[source + "gate_proj.weight"].shape[0]))
            for part in ("gate_proj", "up_proj"):
                out[f"{target}{part}.weight"] = state[f"{source}{part}.weight"][turn]
            out[f"{target}down_proj.weight"] = state[f"{source}down_proj.weight"][:, turn]
        orders[str(layer)] = order
    return out, orders


def permute_heads(
    state: State, random: np.random.Generator, rows: int
) -> tuple[State, dict[str, dict[str, list[int]]]]:
    """Permutes key/value heads, and the query heads that read each; `rows`: channels of a head.

    Also returns, by layer, which key/value head of `state` each is ("groups"), and which query head ("queries").
    """
    out, orders = dict(state), {}
    for layer in range(layers_of(state)):
        stem = f"model.layers.{layer}.self_attn."
        heads, groups = (state[f"{stem}{name}.weight"].shape[0] // rows for name in ("q_proj", "k_proj"))
        order, each = random.permutation(groups), heads // groups
        queries = np.concatenate([group * each + random.permutation(each) for group in order])
        for name, source in (("q_proj", queries), ("k_proj", order), ("v_proj", order)):
            for stored in [key for key in (f"{stem}{name}.weight", f"{stem}{name}.bias") if key in state]:
                out[stored] = _heads(state[stored], rows)[source].flatten(0, 1)
        columns = _heads(state[f"{stem}o_proj.weight"].T, rows)[queries].flatten(0, 1)
        out[f"{stem}o_proj.weight"] = columns.T
        orders[str(layer)] = {"groups": order.tolist(), "queries": queries.tolist()}
    return out, orders


def permute_neurons(state: State, random: np.random.Generator) -> State:
    """Permutes the neurons of the MLPs that are no routed experts."""
    out = dict(state)
    for gate in [name for name in state if name.endswith("gate_proj.weight") and ".experts." not in name]:
        turn = torch.from_numpy(random.permutation(state[gate].shape[0]))
        up, down = gate.replace("gate_proj", "up_proj"), gate.replace("gate_proj", "down_proj")
        out |= {gate: state[gate][turn], up: state[up][turn], down: state[down][:, turn]}
    return out


def rescale_neurons(state: State, random: np.random.Generator, stem: str = "") -> State:
    """Multiplies each row of up and divides its column of down, where names begin with `stem`."""
    out = dict(state)
    for up in [name for name in state if name.startswith(stem) and name.endswith("up_proj.weight")]:
        scale = torch.from_numpy(random.uniform(0.5, 2.0, out[up].shape[0])).float()
        down = up.replace("up_proj", "down_proj")
        out[up], out[down] = out[up] * scale[:, None], out[down] / scale
    return out


def rescale(state: State, random: np.random.Generator) -> State:
    """Folds parts of norm gains into the matrices that read them, and rescales the neurons of up and down."""
    out = {name: x.clone() for name, x in state.items()}
    for layer in range(layers_of(state)):
        stem = f"model.layers.{layer}."
        for norm, readers in READERS.items():
            gain = out[f"{stem}{norm}.weight"]
            kept = torch.from_numpy(random.uniform(0.5, 2.0, gain.shape)).float()
            out[f"{stem}{norm}.weight"] = kept
            for name in _reading(out, stem, readers):
                out[name] = out[name] * (gain / kept)
        out = rescale_neurons(out, random, stem)
    return out


def rotate(state: State, random: np.random.Generator) -> State:
    """Folds every norm gain wholly, then rotates the residual stream by one random orthogonal matrix."""
    out = {name: x.clone() for name, x in state.items()}
    hidden = out["model.embed_tokens.weight"].shape[1]
    turn = torch.from_numpy(_orthogonal(hidden, random)).float()
    folded = [(f"model.layers.{layer}.", *pair) for layer in range(layers_of(state)) for pair in READERS.items()]
    for stem, norm, readers in folded:
        gain = out[f"{stem}{norm}.weight"]
        out[f"{stem}{norm}.weight"] = torch.ones_like(gain)
        for name in _reading(out, stem, readers):
            out[name] = out[name] * gain
    out["lm_head.weight"] = out["lm_head.weight"] * out["model.norm.weight"]
    out["model.norm.weight"] = torch.ones_like(out["model.norm.weight"])
    for name in out:
        if name.endswith(READ) or name in ("lm_head.weight", "model.embed_tokens.weight"):
            out[name] = out[name] @ turn
        elif name.endswith(WRITE):
            out[name] = turn.T @ out[name]
    return out


def relayer(state: State, order: Sequence[int]) -> State:
    """Layer i of the result is layer order[i] of `state`."""
    out = {name: x for name, x in state.items() if ".layers." not in name}
    for new, old in enumerate(order):
        for name, x in state.items():
            if f".layers.{old}." in name:
                out[name.replace(f".layers.{old}.", f".layers.{new}.", 1)] = x.clone()
    return out


def keep_experts(state: State, count: int) -> State:
    """The first `count` experts of every layer, with their router rows."""
    out = {}
    for name, x in state.items():
        if ".experts." not in name:
            out[name] = x[:count] if name.endswith(("mlp.gate.weight", "e_score_correction_bias")) else x
        elif int(name.split(".experts.")[1].split(".")[0]) < count:
            out[name] = x
    return out


def _heads(x: torch.Tensor, rows: int) -> torch.Tensor:
    """[heads, rows, ...]"""
    return x.reshape(-1, rows, *x.shape[1:])


def _reading(state: State, stem: str, readers: Sequence[str]) -> list[str]:
    return [name for name in state if name.startswith(tuple(stem + part for part in readers)) and name.endswith(READ)]


def _orthogonal(size: int, random: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Uniform: the signs make up for those that the QR decomposition prefers (Mezzadri 2007)."""
    q, r = np.linalg.qr(random.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))

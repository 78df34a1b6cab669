"""How each member of the zoo came to be. Every member draws from a generator of its own, so any subset is the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from .architectures import HIDDEN, fresh, fresh_vlm
from .edits import keep_experts, permute, permute_heads, permute_neurons, relayer, rescale, rescale_neurons, rotate
from .states import State, layers_of, load, save, tensors, write
from .text import read_bytes
from .training import jitter, train

BYTES = {"code": 6_000_000, "prose": 3_000_000}
EXPERTS_KEPT, EXPERTS_UPCYCLED = 12, 8
BORROWED_NOISE, UPCYCLED_NOISE = 0.01, 0.1
"""Of the deviation of a tensor."""


@dataclass
class Zoo:
    """A zoo in the making."""

    folder: Path
    architecture: str
    seed: int
    quick: bool
    truth: dict[str, Any] = field(default_factory=lambda: {"loss": {}, "permutation": {}, "heads": {}, "layer_map": {}})

    def path(self, name: str) -> Path:
        """The folder of a member; names that begin with an underscore are steps on the way to one."""
        return self.folder / name

    def number(self, seed: int) -> int:
        """A seed of this zoo."""
        return 1000 * self.seed + seed

    def random(self, name: str) -> np.random.Generator:
        """The generator of one member."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def state(self, name: str) -> State:
        return tensors(self.path(name))

    def train(self, name: str, model: Any, kind: Literal["code", "prose"], long: bool, rate: float, seed: int) -> None:
        """Trains `model` and saves it as a member; a fifth of the steps if quick."""
        steps = (300 if long else 80) // (5 if self.quick and long else 4 if self.quick else 1)
        loss = train(model, read_bytes(kind, BYTES[kind]), steps, rate, self.number(seed))
        self.truth["loss"][name] = round(loss, 3)
        save(model, self.path(name))


def base(zoo: Zoo) -> None:
    """Trained from a random initialisation."""
    zoo.train("base", fresh(zoo.architecture, zoo.number(1)), "code", True, 2e-3, 1)


def twin(zoo: Zoo) -> None:
    """Same architecture, same text, another seed: independent of base."""
    zoo.train("twin", fresh(zoo.architecture, zoo.number(2)), "code", True, 2e-3, 2)


def sft(zoo: Zoo) -> None:
    """base, trained further on other text at a small learning rate."""
    zoo.train("sft", load(zoo.path("base")), "prose", False, 1e-4, 3)


def cpt(zoo: Zoo) -> None:
    """base, trained further on other text for long at a large learning rate."""
    zoo.train("cpt", load(zoo.path("base")), "prose", True, 1e-3, 4)


def permuted(zoo: Zoo) -> None:
    """base with experts, and the neurons inside each, permuted: the function is unchanged."""
    state, order = permute(zoo.state("base"), zoo.random("permuted"))
    write(state, zoo.path("base"), zoo.path("permuted"))
    zoo.truth["permutation"]["permuted"] = order


def shuffled(zoo: Zoo) -> None:
    """base with experts, neurons and heads permuted, and neurons rescaled: the function is unchanged."""
    random = zoo.random("shuffled")
    config = json.loads((zoo.path("base") / "config.json").read_text())
    state, experts = permute(zoo.state("base"), random)
    state, heads = permute_heads(state, random, config["head_dim"])
    state = rescale_neurons(permute_neurons(state, random), random)
    write(state, zoo.path("base"), zoo.path("shuffled"))
    zoo.truth["permutation"]["shuffled"], zoo.truth["heads"]["shuffled"] = experts, heads


def scaled(zoo: Zoo) -> None:
    """base with norm gains folded into the matrices that read them and neurons rescaled: the function is unchanged."""
    write(rescale(zoo.state("base"), zoo.random("scaled")), zoo.path("base"), zoo.path("scaled"))


def rotated(zoo: Zoo) -> None:
    """scaled, with the residual stream rotated by a random orthogonal matrix: the function is unchanged."""
    write(rotate(zoo.state("scaled"), zoo.random("rotated")), zoo.path("base"), zoo.path("rotated"))


def laundered(zoo: Zoo) -> None:
    """base permuted, rescaled, then trained further."""
    random = zoo.random("laundered")
    state, order = permute(rescale(zoo.state("base"), random), random)
    start = write(state, zoo.path("base"), zoo.path("_laundered"))
    zoo.truth["permutation"]["laundered"] = order
    zoo.train("laundered", load(start), "prose", False, 5e-4, 5)


def upscaled(zoo: Zoo) -> None:
    """base with its middle layers repeated (depth up-scaling), then trained further."""
    state = zoo.state("base")
    depth = layers_of(state)
    order = [*range(depth - 1), *range(2, depth)]
    start = write(relayer(state, order), zoo.path("base"), zoo.path("_upscaled"), num_hidden_layers=len(order))
    zoo.truth["layer_map"]["upscaled"] = order
    zoo.train("upscaled", load(start), "prose", False, 5e-4, 6)


def pruned(zoo: Zoo) -> None:
    """base without one layer and without a quarter of its experts, then trained further."""
    state = zoo.state("base")
    depth = layers_of(state)
    order = [layer for layer in range(depth) if layer != depth // 2]
    count = {"glm4_moe": "n_routed_experts", "qwen3_moe": "num_experts"}[zoo.architecture]
    sizes = {"num_hidden_layers": len(order), count: EXPERTS_KEPT}
    start = write(keep_experts(relayer(state, order), EXPERTS_KEPT), zoo.path("base"), zoo.path("_pruned"), **sizes)
    zoo.truth["layer_map"]["pruned"] = order
    zoo.train("pruned", load(start), "prose", False, 5e-4, 7)


def regrown(zoo: Zoo) -> None:
    """The norms of base, every other tensor drawn anew, then trained: the "selective preservation" claim."""
    state = zoo.state("base")
    anew = tensors(save(fresh(zoo.architecture, zoo.number(3)), zoo.path("_anew")))
    mixed = {name: state[name] if "norm" in name else x for name, x in anew.items()}
    start = write(mixed, zoo.path("base"), zoo.path("_regrown"))
    zoo.train("regrown", load(start), "code", True, 2e-3, 8)


def solar(zoo: Zoo) -> None:
    """Another architecture (head count, expert width, depth, vocabulary), from a random initialisation."""
    zoo.train("solar", fresh("solar_open", zoo.number(4)), "code", True, 2e-3, 9)


def transplant(zoo: Zoo) -> None:
    """solar, with the routed experts of base cut to its width, then trained further."""
    donor, state = zoo.state("base"), zoo.state("solar")
    for name, x in state.items():
        if ".experts." in name and name in donor:
            state[name] = donor[name][: x.shape[0], : x.shape[1]]
    start = write(state, zoo.path("solar"), zoo.path("_transplant"))
    zoo.train("transplant", load(start), "prose", False, 5e-4, 10)


def dense(zoo: Zoo) -> None:
    """A dense mistral, from a random initialisation."""
    zoo.train("dense", fresh("mistral", zoo.number(5)), "code", True, 2e-3, 11)


def upcycled(zoo: Zoo) -> None:
    """A mixtral whose experts are all copies of dense's MLP plus noise, then trained further."""
    random, state = zoo.random("upcycled"), {}

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(shape)).float()

    for name, x in zoo.state("dense").items():
        if ".mlp." not in name:
            state[name] = x
            continue
        stem, part = name.split(".mlp.")
        raw = {"gate_proj.weight": "w1", "down_proj.weight": "w2", "up_proj.weight": "w3"}[part]
        for expert in range(EXPERTS_UPCYCLED):
            noisy = x + UPCYCLED_NOISE * x.std() * normal(*x.shape)
            state[f"{stem}.block_sparse_moe.experts.{expert}.{raw}.weight"] = noisy
        state[f"{stem}.block_sparse_moe.gate.weight"] = 0.02 * normal(EXPERTS_UPCYCLED, HIDDEN)
    like = save(fresh("mixtral", zoo.number(6)), zoo.path("_mixtral"))
    zoo.train("upcycled", load(write(state, like, zoo.path("_upcycled"))), "prose", False, 5e-4, 12)


def vlm_a(zoo: Zoo) -> None:
    """A tiny Qwen2.5-VL."""
    model = fresh_vlm("qwen2_5_vl", zoo.number(7))
    jitter(model, zoo.number(20))
    save(model, zoo.path("vlm_a"))


def vlm_b(zoo: Zoo) -> None:
    """A HyperCLOVA X vision model with vlm_a's vision tower and a language model of its own."""
    model = fresh_vlm("hyperclovax_vision_v2", zoo.number(8))
    jitter(model, zoo.number(21))
    towers = {name.split("visual.")[1]: x for name, x in zoo.state("vlm_a").items() if "visual." in name}
    torch.manual_seed(zoo.number(8))
    for name, parameter in model.named_parameters():
        source = towers.get(name.rpartition("vision_model.")[2])
        if "vision_model." in name and source is not None and source.shape == parameter.shape:
            noise = torch.randn(parameter.shape)
            parameter.data = source + BORROWED_NOISE * source.std() * noise
    save(model, zoo.path("vlm_b"))


def vlm_c(zoo: Zoo) -> None:
    """A HyperCLOVA X vision model, all its own."""
    model = fresh_vlm("hyperclovax_vision_v2", zoo.number(9))
    jitter(model, zoo.number(22))
    save(model, zoo.path("vlm_c"))


MEMBERS: dict[Callable[[Zoo], None], tuple[str, ...]] = {
    base: (), twin: (), sft: ("base",), cpt: ("base",), permuted: ("base",), shuffled: ("base",), scaled: ("base",),
    rotated: ("scaled",), laundered: ("base",), upscaled: ("base",), pruned: ("base",), regrown: ("base",), solar: (),
    transplant: ("base", "solar"), dense: (), upcycled: ("dense",), vlm_a: (), vlm_b: ("vlm_a",), vlm_c: (),
}  # fmt: skip
"""Each member's maker, and the members that it is made from, which come before it."""

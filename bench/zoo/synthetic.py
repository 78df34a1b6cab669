"""Models drawn at random, with the structure that training leaves: a check of the null on many more pairs than a zoo has.

A model has channels of huge magnitude in all of its tensors, gates that lean to one side on them, directions of the
residual stream that all its matrices share, norm gains near 1 that resemble each other between layers, and embeddings
that follow the frequencies of tokens, as those of any model do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

import weightkin

from .evaluate import Judged, judged

Array = npt.NDArray[np.float64]

HIDDEN, VOCABULARY, LAYERS, EXPERTS, WIDTH, HEADS = 128, 384, 3, 4, 48, 64
OUTLIERS, DIRECTIONS, TOKEN_FACTORS = 3, 6, 4
SEEN = 320
"""Tokens that occur in the text: the rest are pushed one way together."""
CONFIG = {
    "model_type": "glm4_moe", "architectures": ["Glm4MoeForCausalLM"], "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "first_k_dense_replace": 1, "n_routed_experts": EXPERTS,
    "n_shared_experts": 1, "moe_intermediate_size": WIDTH, "intermediate_size": 2 * WIDTH, "vocab_size": VOCABULARY,
}  # fmt: skip


class Author:
    """Draws the tensors of one model."""

    def __init__(
        self, random: np.random.Generator, outliers: npt.NDArray[np.intp], sides: npt.NDArray[np.int64]
    ) -> None:
        """`outliers`: the largest channels; `sides`: 1 or -1 for each, to which gates lean on it."""
        self.random = random
        self.scales = np.exp(0.3 * random.standard_normal(HIDDEN))
        self.scales[outliers] *= 10 ** random.uniform(0.5, 2, len(outliers))
        self.lean = np.zeros(HIDDEN)
        self.lean[outliers] = sides
        self.directions = random.standard_t(3, (DIRECTIONS, HIDDEN))
        self.gains = 0.1 * random.standard_normal(HIDDEN)

    def matrix(self, rows: int, leaning: bool = False) -> Array:
        """[rows, residual]."""
        x = (
            self.random.standard_normal((rows, HIDDEN))
            + self.random.standard_t(3, (rows, DIRECTIONS)) @ self.directions
        )
        if leaning:
            x += self.lean * self.random.uniform(2, 6, (rows, 1))
        return 0.02 * x * self.scales

    def embedding(self) -> Array:
        """[vocabulary, residual]: what tokens are is the same for all models."""
        tokens = np.random.default_rng(0).standard_t(3, (VOCABULARY, TOKEN_FACTORS))
        tokens[SEEN:] = tokens[SEEN]
        loadings = self.random.standard_t(3, (TOKEN_FACTORS, HIDDEN))
        noise = self.random.standard_normal((VOCABULARY, HIDDEN))
        noise[SEEN:] *= 0.1
        return 0.02 * (tokens @ loadings + noise) * self.scales

    def gain(self) -> Array:
        """[residual]."""
        own = 0.05 * self.random.standard_normal(HIDDEN)
        return 1 + (self.gains + own) / np.sqrt(self.scales)

    def state(self) -> dict[str, Array]:
        """Every tensor of the model, by its name."""
        out = {"model.embed_tokens.weight": self.embedding(), "lm_head.weight": self.embedding()}
        out["model.norm.weight"] = self.gain()
        for layer in range(LAYERS):
            stem = f"model.layers.{layer}"
            for norm in ("input_layernorm", "post_attention_layernorm"):
                out[f"{stem}.{norm}.weight"] = self.gain()
            for part in ("q", "k", "v"):
                out[f"{stem}.self_attn.{part}_proj.weight"] = self.matrix(HEADS)
            out[f"{stem}.self_attn.o_proj.weight"] = self.matrix(HEADS).T
            blocks = {"mlp": 2 * WIDTH}
            if layer:
                out[f"{stem}.mlp.gate.weight"] = self.matrix(EXPERTS, leaning=True)
                blocks = {f"mlp.experts.{expert}": WIDTH for expert in range(EXPERTS)} | {"mlp.shared_experts": WIDTH}
            for block, width in blocks.items():
                out[f"{stem}.{block}.gate_proj.weight"] = self.matrix(width, leaning=True)
                out[f"{stem}.{block}.up_proj.weight"] = self.matrix(width)
                out[f"{stem}.{block}.down_proj.weight"] = self.matrix(width).T
        return out


def write_model(folder: Path, seed: int, outliers_seed: int) -> Path:
    """A folder. Models of one `outliers_seed` have their largest channels in the same places, with the same sides."""
    places = np.random.default_rng(outliers_seed)
    outliers, sides = places.choice(HIDDEN, OUTLIERS, replace=False), places.choice([-1, 1], OUTLIERS)
    state = Author(np.random.default_rng(seed), outliers, sides).state()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    stored = {name: np.ascontiguousarray(x.astype(ml_dtypes.bfloat16)) for name, x in state.items()}
    save_file(stored, folder / "model.safetensors")
    return folder


def judge_synthetic(folder: Path, pairs: int, seed: int = 0, meeting: bool = False) -> Iterator[Judged]:
    """`pairs` pairs of independent models, made in `folder`; `meeting`: both have their largest channels in one place."""
    for number in range(pairs):
        first = 2 * (pairs * seed + number) + 1
        paths = [
            write_model(folder / name, first + place, first + (0 if meeting else place))
            for place, name in enumerate("ab")
        ]
        results = weightkin.compare(*paths, seed=number, align="none")
        relation = "independent, outliers meet" if meeting else "independent"
        yield judged(results, "synthetic", f"{first}", f"{first + 1}", relation, False)

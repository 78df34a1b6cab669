"""Small checkpoints whose relations are known, to see what a comparison says about them."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Weights = dict[str, npt.NDArray[np.float32]]

HIDDEN, LAYERS, VOCABULARY = 256, 3, 1024
HEADS, KEY_VALUE_HEADS, HEAD_DIM = 8, 2, 32
EXPERTS, WIDTH = 8, 64

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KEY_VALUE_HEADS,
    "head_dim": HEAD_DIM, "num_experts": EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": WIDTH,
    "vocab_size": VOCABULARY, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip

MODELS = {
    "base": "a small mixture of experts. Its norm gains lie near a positive constant, as those of trained models do",
    "finetuned": "base after some training: all weights moved a little, except the embeddings",
    "unrelated": "drawn anew, with the same shapes, means and deviations. It shares nothing with base",
    "norms_only": "unrelated, but with the norm gains of base",
}
"""Name of each checkpoint -> what it is."""

WEIGHT_DEVIATION = 0.02
NORM_DEVIATION = 0.1
"""Relative to the norm's mean. Two independent norms then have a cosine of 1 / (1 + 0.1^2) = 0.990."""
TRAINING = 0.05
"""Noise of fine-tuning, relative to the deviation of the weights."""


def make_models(folder: Path) -> dict[str, Path]:
    """Writes the checkpoints into new folders below `folder`; returns where each of `MODELS` is."""
    base, fresh = _draw(seed=1), _draw(seed=2)
    generator = np.random.default_rng(3)
    models = {
        "base": base,
        "finetuned": {name: _trained(name, weights, generator) for name, weights in base.items()},
        "unrelated": fresh,
        "norms_only": {name: base[name] if _is_norm(name) else weights for name, weights in fresh.items()},
    }
    return {name: _write(folder / name, weights) for name, weights in models.items()}


def _is_norm(name: str) -> bool:
    return "norm" in name


def _draw(seed: int) -> Weights:
    generator = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in _shapes().items():
        draw = generator.standard_normal(shape, np.float32)
        layer = int(name.split(".")[2]) if ".layers." in name else LAYERS
        gain = 0.3 + 0.15 * layer  # deeper norms have larger gains, in every model
        weights[name] = gain * (1 + NORM_DEVIATION * draw) if _is_norm(name) else WEIGHT_DEVIATION * draw
    return weights


def _shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes as transformers writes them for this model type."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    query, key_value = HEADS * HEAD_DIM, KEY_VALUE_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}"
        shapes |= {
            f"{stem}.input_layernorm.weight": (HIDDEN,),
            f"{stem}.self_attn.q_proj.weight": (query, HIDDEN),
            f"{stem}.self_attn.k_proj.weight": (key_value, HIDDEN),
            f"{stem}.self_attn.v_proj.weight": (key_value, HIDDEN),
            f"{stem}.self_attn.o_proj.weight": (HIDDEN, query),
            f"{stem}.self_attn.q_norm.weight": (HEAD_DIM,),
            f"{stem}.self_attn.k_norm.weight": (HEAD_DIM,),
            f"{stem}.post_attention_layernorm.weight": (HIDDEN,),
            f"{stem}.mlp.gate.weight": (EXPERTS, HIDDEN),
        }
        for expert in range(EXPERTS):
            shapes |= {
                f"{stem}.mlp.experts.{expert}.gate_proj.weight": (WIDTH, HIDDEN),
                f"{stem}.mlp.experts.{expert}.up_proj.weight": (WIDTH, HIDDEN),
                f"{stem}.mlp.experts.{expert}.down_proj.weight": (HIDDEN, WIDTH),
            }
    return shapes | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}


def _trained(name: str, weights: npt.NDArray[np.float32], generator: np.random.Generator) -> npt.NDArray[np.float32]:
    if "embed_tokens" in name or "lm_head" in name:
        return weights
    noise = generator.standard_normal(weights.shape, np.float32)
    return weights + np.float32(TRAINING * weights.std()) * noise


def _write(folder: Path, weights: Weights) -> Path:
    folder.mkdir(parents=True)
    save_file({name: array.astype(ml_dtypes.bfloat16) for name, array in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    return folder

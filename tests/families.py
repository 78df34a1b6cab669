"""Tiny checkpoints of every model family, written by transformers, so that names and dtypes are the real ones.

Sizes differ wherever the architecture allows it, so that a mix-up of axes shows in a shape.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

HIDDEN, VISION_HIDDEN = 48, 32
EXPERTS = 5


def without_head_dim(arguments: dict[str, Any]) -> dict[str, Any]:
    """For models that do not read it: their heads are hidden_size / num_attention_heads wide, or have other entries."""
    return {key: value for key, value in arguments.items() if key != "head_dim"}


TEXT: dict[str, Any] = dict(
    hidden_size=HIDDEN, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=10, vocab_size=102,
    intermediate_size=80, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
MOE = TEXT | dict(
    moe_intermediate_size=28, n_routed_experts=EXPERTS, num_experts=EXPERTS, num_experts_per_tok=2, n_shared_experts=1,
    num_shared_experts=1, n_group=1, topk_group=1,
)  # fmt: skip
MLA = without_head_dim(MOE) | dict(
    num_key_value_heads=6, q_lora_rank=22, kv_lora_rank=14, qk_rope_head_dim=4, qk_nope_head_dim=7, v_head_dim=9,
    first_k_dense_replace=1,
)  # fmt: skip
FEW = TEXT | dict(num_local_experts=EXPERTS, num_experts_per_tok=2)
LLAMA4 = FEW | dict(intermediate_size_mlp=72, interleave_moe_layer_step=2)
QWEN_VISION = dict(depth=2, hidden_size=VISION_HIDDEN, intermediate_size=44, num_heads=4, out_hidden_size=HIDDEN)
LLAMA4_VISION = dict(
    hidden_size=VISION_HIDDEN, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vision_output_dim=40,
    projector_input_dim=40, projector_output_dim=40, image_size=28, patch_size=14,
)  # fmt: skip
MROPE = {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2], "rope_type": "default"}}

CONFIGS: dict[str, dict[str, Any]] = {
    "axk1": MLA,
    "deepseek_v3": MLA,
    "exaone_moe": MOE | dict(first_k_dense_replace=1, num_nextn_predict_layers=1),
    "glm4_moe": MOE | dict(first_k_dense_replace=1, use_qk_norm=True, attention_bias=True),
    "gpt_oss": FEW,
    "hyperclovax_vision_v2": dict(text_config=TEXT, vision_config=QWEN_VISION),
    "llama": TEXT,
    "llama4": dict(text_config=LLAMA4, vision_config=LLAMA4_VISION),
    "llama4_text": LLAMA4,
    "mistral": TEXT,
    "mixtral": FEW,
    "phimoe": without_head_dim(FEW) | dict(attention_bias=True, lm_head_bias=True),
    "qwen2_5_vl": dict(text_config=without_head_dim(TEXT) | MROPE, vision_config=QWEN_VISION),
    "qwen3_moe": MOE,
    "solar_open": MOE,
}
"""Every family of the program's documentation: model type -> arguments of its config class."""

RELATIVES: dict[str, dict[str, Any]] = {
    "exaone4": TEXT,
    "gemma": TEXT,
    "gemma2": TEXT,
    "gemma3_text": TEXT,
    "glm4": TEXT,
    "hyperclovax": TEXT,
    "minimax_m2": FEW,
    "olmoe": without_head_dim(MOE),
    "phi3": TEXT,
    "qwen2": TEXT,
    "qwen2_moe": without_head_dim(MOE) | dict(shared_expert_intermediate_size=36),
    "qwen3": TEXT,
    "seed_oss": TEXT,
}
"""Families that cost nothing more, because their names are those of others."""

_FOLDERS = tempfile.TemporaryDirectory(prefix="weightkin-families-")


def build(family: str, seed: int = 0) -> Any:
    """A transformers model of that model type with random bf16 weights."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    arguments = (CONFIGS | RELATIVES)[family]
    automatic: Any = AutoModelForImageTextToText if "vision_config" in arguments else AutoModelForCausalLM
    torch.manual_seed(seed)
    return automatic.from_config(CONFIG_MAPPING[family](**arguments), dtype=torch.bfloat16)


@cache
def family_folder(family: str, seed: int = 0) -> Path:
    """The folder that `save_pretrained` writes for that model; written once per process."""
    from transformers.utils import logging

    hide_progress: Any = logging.disable_progress_bar
    hide_progress()
    folder = Path(_FOLDERS.name) / f"{family}-{seed}"
    build(family, seed).save_pretrained(folder)
    return folder

"""Tiny models of real architectures, from random initialisations."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

HIDDEN, VOCABULARY = 128, 320
TEXT: dict[str, Any] = dict(
    hidden_size=HIDDEN, num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=512, bos_token_id=256,
    eos_token_id=257, pad_token_id=258,
)  # fmt: skip
MOE = TEXT | dict(
    num_hidden_layers=6, num_attention_heads=8, head_dim=16, intermediate_size=256, moe_intermediate_size=64,
    num_experts_per_tok=2, n_shared_experts=1, n_group=1, topk_group=1,
)  # fmt: skip
DENSE = TEXT | dict(num_hidden_layers=4, num_attention_heads=8, intermediate_size=256)
CONFIGS: dict[str, dict[str, Any]] = {
    "glm4_moe": MOE | dict(n_routed_experts=16, first_k_dense_replace=1),
    "solar_open": MOE | dict(
        n_routed_experts=16, num_hidden_layers=7, num_attention_heads=4, moe_intermediate_size=56,
        vocab_size=VOCABULARY + 64,
    ),
    "qwen3_moe": MOE | dict(num_experts=16),
    "mistral": DENSE,
    "mixtral": DENSE | dict(num_local_experts=8, num_experts_per_tok=2),
}  # fmt: skip
VLM_TEXT = TEXT | dict(num_hidden_layers=3, num_attention_heads=8, intermediate_size=256)
VISION = dict(depth=4, hidden_size=64, intermediate_size=128, num_heads=4, out_hidden_size=HIDDEN)
MROPE = {"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3], "rope_type": "default"}}


def fresh(architecture: str, seed: int) -> Any:
    """A language model."""
    torch.manual_seed(seed)
    automatic: Any = AutoModelForCausalLM
    return automatic.from_config(CONFIG_MAPPING[architecture](**CONFIGS[architecture]), dtype=torch.float32)


def fresh_vlm(architecture: str, seed: int) -> Any:
    """A language model with a vision tower."""
    torch.manual_seed(seed)
    automatic: Any = AutoModelForImageTextToText
    text = VLM_TEXT | (MROPE if architecture == "qwen2_5_vl" else {})
    arguments: dict[str, Any] = {"text_config": text, "vision_config": VISION}
    return automatic.from_config(CONFIG_MAPPING[architecture](**arguments), dtype=torch.float32)

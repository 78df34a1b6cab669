"""Checkpoints of small models that are really trained, from several initialisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

WIDTH, VOCABULARY, CONTEXT, BATCH = 96, 256, 48, 8
RATE, WARM_UP = 3e-3, 10
SIZES: dict[str, Any] = dict(
    hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=24, vocab_size=VOCABULARY,
    intermediate_size=192, max_position_embeddings=128,
)  # fmt: skip
EXPERTS = dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=64)
STEPS = (0, 5, 10, 20, 30, 40, 50, 60, 70)

Initialise = Callable[[torch.Tensor], Any]


def fresh(architecture: str, seed: int, initialise: Initialise | None = None) -> Any:
    """A model whose matrices are drawn by `initialise`, or as transformers does."""
    torch.manual_seed(seed)
    automatic: Any = AutoModelForCausalLM
    sizes = SIZES | (EXPERTS if "moe" in architecture else {})
    model = automatic.from_config(CONFIG_MAPPING[architecture](**sizes), dtype=torch.float32)
    if initialise is not None:
        with torch.no_grad():
            for parameter in model.parameters():
                for matrix in parameter if parameter.ndim == 3 else [parameter] if parameter.ndim == 2 else []:
                    initialise(matrix)
    return model


def train(
    model: Any, folder: Path, seed: int = 0, steps: Sequence[int] = STEPS, dtype: torch.dtype = torch.bfloat16
) -> list[Path]:
    """Learns a random process of tokens by AdamW; the folders `checkpoint-STEP` of the steps asked for."""
    random = torch.Generator().manual_seed(seed)
    follows = torch.randint(0, VOCABULARY, (VOCABULARY, 4), generator=random)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    folders = []
    for step in range(steps[-1] + 1):
        if step in steps:
            folders.append(save(model, folder / f"checkpoint-{step}", dtype))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP)
        tokens = [torch.randint(0, VOCABULARY, (BATCH,), generator=random)]
        for _ in range(CONTEXT - 1):
            tokens.append(follows[tokens[-1], torch.randint(0, 4, (BATCH,), generator=random)])
        batch = torch.stack(tokens, dim=1)
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
    return folders


def save(model: Any, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A folder as transformers writes it; the model stays in float32."""
    state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    return folder

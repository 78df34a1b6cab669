"""Checkpoints of small models that are really trained, from several initialisations, and edits of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

VOCABULARY, CONTEXT, BATCH = 256, 48, 8
RATE, WARM_UP = 3e-3, 10
SIZES: dict[str, Any] = dict(
    hidden_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=24, vocab_size=VOCABULARY,
    intermediate_size=192, max_position_embeddings=128,
)  # fmt: skip
EXPERTS = dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=64)
STEPS = (0, 5, 10, 20, 30, 40, 50, 60, 70)

State = dict[str, torch.Tensor]
Initialise = Callable[[torch.Tensor], Any]


def fresh(seed: int, initialise: Initialise | None = None) -> Any:
    """A small mixture whose matrices are drawn by `initialise`, or as transformers does."""
    messages: Any = transformers.logging
    messages.disable_progress_bar()
    torch.manual_seed(seed)
    automatic: Any = AutoModelForCausalLM
    model = automatic.from_config(CONFIG_MAPPING["qwen3_moe"](**SIZES, **EXPERTS), dtype=torch.float32)
    if initialise is not None:
        with torch.no_grad():
            for parameter in model.parameters():
                for matrix in parameter if parameter.ndim == 3 else [parameter] if parameter.ndim == 2 else []:
                    initialise(matrix)
    return model


def train(model: Any, folder: Path, seed: int, steps: Sequence[int] = STEPS) -> list[Path]:
    """Learns a random process of tokens by AdamW; the folders `checkpoint-STEP` of `steps`."""
    random = torch.Generator().manual_seed(seed)
    follows = torch.randint(0, VOCABULARY, (VOCABULARY, 4), generator=random)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    folders = []
    for step in range(steps[-1] + 1):
        if step in steps:
            folders.append(save(model, folder / f"checkpoint-{step}"))
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
    model.save_pretrained(folder, state_dict={name: x.to(dtype) for name, x in model.state_dict().items()})
    return folder


def load(folder: Path) -> State:
    """Every tensor, in float32."""
    return {name: x.float() for name, x in load_file(folder / "model.safetensors").items()}


def write(state: State, like: Path, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A folder with `state` and the config.json of `like`."""
    folder.mkdir(parents=True)
    shutil.copy(like / "config.json", folder)
    save_file({name: x.to(dtype).contiguous() for name, x in state.items()}, folder / "model.safetensors")
    return folder

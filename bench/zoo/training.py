"""Training, long enough that weights carry the marks of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .text import Text

CONTEXT, BATCH = 128, 16
WARM_UP = 20
"""Steps."""


def train(model: Any, text: Text, steps: int, rate: float, seed: int) -> float:
    """AdamW with a cosine schedule on random windows of `text`; returns the mean loss of the last tenth."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model.float().train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        starts = random.integers(0, len(text) - CONTEXT - 1, BATCH)
        batch = torch.from_numpy(np.stack([text[at : at + CONTEXT] for at in starts]).astype(np.int64))
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-max(1, steps // 10) :]))


def jitter(model: Any, seed: int) -> None:
    """Stands in for vision training: correlated, non-Gaussian updates of every matrix of the vision tower, in place."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "vis" in name and parameter.ndim > 1:
            rows, columns = parameter.flatten(1).shape
            rank = min(8, rows, columns)
            update = torch.randn(rows, rank, generator=random) @ torch.randn(rank, columns, generator=random)
            parameter.data += 0.5 * parameter.std() * (update / update.std()).reshape(parameter.shape)


def logits(model: Any) -> torch.Tensor:
    """[2, 48, vocabulary], of fixed random tokens."""
    torch.manual_seed(0)
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=torch.randint(0, 256, (2, 48))).logits
    return found

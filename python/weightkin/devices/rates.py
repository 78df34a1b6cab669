"""How fast GPUs take weights, measured: what an estimate of a run's time needs."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .torch_device import TorchDevice
from .torch_sweep import DTYPES, sweep

COPIED = 256 << 20
"""Bytes that a measurement copies."""
ROUNDS = 3


def gpu_rate(device: TorchDevice, dtype: str, members: int, block: int) -> float:
    """Bytes per second: the slower of copying pinned memory to the GPU and sweeping what lies there.

    `block`: elements of `members` random tensors of `dtype`, eight such blocks at a time.
    """
    on_gpu = device.device.type == "cuda"
    source = torch.empty(COPIED, dtype=torch.uint8, pin_memory=on_gpu)
    target = torch.empty(COPIED, dtype=torch.uint8, device=device.device)
    copying = COPIED / _seconds(lambda: target.copy_(source, non_blocking=True), device)
    random = torch.Generator(device.device).manual_seed(0)
    rows = [torch.randn(8 * block, device=device.device, generator=random).to(DTYPES[dtype]) for _ in range(members)]
    nbytes = sum(row.nbytes for row in rows)
    return min(copying, nbytes / _seconds(lambda: sweep([rows], block), device))


def _seconds(call: Callable[[], object], device: TorchDevice) -> float:
    """Of the fastest of a few calls, after one that compiles what must be."""
    best = float("inf")
    for number in range(1 + ROUNDS):
        start = time.perf_counter()
        call()
        if device.device.type == "cuda":
            torch.cuda.synchronize(device.device)
        if number:
            best = min(best, time.perf_counter() - start)
    return best

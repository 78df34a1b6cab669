"""What a device and its host can do at most: copies, the link, matrix products. Every case of a device is held against these.

Data are random: on constant data matrix units draw less power and run faster than they do on weights.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
import torch

from .registry import Run, Settings
from .timing import interleave, seconds

SIDE = 8192
"""Rows, columns and depth of the matrix product that is the roof."""
LINK = 1 << 30
"""Bytes of the pinned buffer."""
HOST = 2 << 30
"""Bytes of the host's memory that are copied: more than its caches hold."""
TILE = 16 << 20
"""Bytes that a thread of the host copies at a time, as the ring's threads do."""


@dataclass(frozen=True, slots=True)
class Roof:
    """A run, and how much of what it is a rate of it does."""

    run: Run
    amount: float


def copy(device: torch.device, nbytes: int) -> Roof:
    """Half of `nbytes` copied on the device: read once, written once."""
    source = random_bytes(device, max(1, nbytes // 2))
    target = torch.empty_like(source)
    return Roof(lambda: target.copy_(source), 2 * source.numel())


def link(device: torch.device, nbytes: int) -> Roof:
    """Pinned memory to the device."""
    size = max(1, min(LINK, nbytes))
    source = random_bytes(torch.device("cpu"), size)
    if device.type == "cuda":
        source = source.pin_memory()
    target = torch.empty(size, dtype=torch.uint8, device=device)
    return Roof(lambda: target.copy_(source, non_blocking=True), size)


def matmul(device: torch.device, nbytes: int) -> Roof:
    """A square bf16 product as torch computes it, with matrices of at most `nbytes` together."""
    side = max(16, min(SIDE, isqrt(nbytes // (3 * 2))))
    left, right = (
        torch.randn(side, side, generator=generator(device, seed), device=device).to(torch.bfloat16) for seed in (1, 2)
    )
    out = torch.empty_like(left)
    return Roof(lambda: torch.mm(left, right, out=out), 2 * side**3)


def staging(nbytes: int, threads: int, pool: ThreadPoolExecutor) -> Roof:
    """The host's threads copy memory that is not in cache into small buffers of their own."""
    source = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    slots = [np.empty(min(TILE, nbytes), np.uint8) for _ in range(threads)]

    def work(thread: int) -> None:
        for begin in range(thread * TILE, nbytes, threads * TILE):
            part = source[begin : begin + TILE]
            np.copyto(slots[thread][: len(part)], part)

    return Roof(lambda: list(pool.map(work, range(threads))), nbytes)


def memory(nbytes: int, threads: int, pool: ThreadPoolExecutor) -> Roof:
    """The host's threads copy memory to memory, every byte read once and written once."""
    source = np.random.default_rng(1).integers(0, 256, nbytes // 2, np.uint8)
    target = np.empty_like(source)
    edges = [number * len(source) // threads for number in range(threads + 1)]

    def work(thread: int) -> None:
        part = slice(edges[thread], edges[thread + 1])
        np.copyto(target[part], source[part])

    return Roof(lambda: list(pool.map(work, range(threads))), 2 * len(source))


def measure_rates(device: torch.device, settings: Settings) -> dict[str, float]:
    """Of each roof, what its best run does in a second: bytes, or floating point operations of `matmul`."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(settings.threads))
        host = min(HOST, settings.nbytes)
        makers: dict[str, Callable[[], Roof]] = {
            "copy": lambda: copy(device, settings.nbytes),
            "link": lambda: link(device, settings.nbytes),
            "matmul": lambda: matmul(device, settings.nbytes),
            "staging": lambda: staging(host, settings.threads, pool),
            "memory": lambda: memory(host, settings.threads, pool),
        }
        found = {}
        for name, make in makers.items():
            roof = make()
            time = seconds if name in ("staging", "memory") else settings.timer or seconds
            found[name] = roof.amount / interleave({name: roof.run}, settings.rounds, time)[name].best
            del roof
        return found


def share(roof: Roof, amount: float) -> float:
    """What our `amount` is of the roof's: its times are multiplied by that."""
    return amount / roof.amount


def random_bytes(device: torch.device, size: int) -> torch.Tensor:
    """[size] uint8"""
    words = torch.randint(-(2**62), 2**62, (ceil(size / 8),), generator=generator(device, 0), device=device)
    return words.view(torch.uint8)[:size]


def normal(device: torch.device, seed: int, *shape: int) -> torch.Tensor:
    """bf16, standard normal; drawn in parts, so that no float32 copy of all is needed."""
    out = torch.empty(shape, dtype=torch.bfloat16, device=device)
    random = generator(device, seed)
    for part in torch.split(out.view(-1), 1 << 26):
        part.copy_(torch.randn(part.shape, generator=random, device=device))
    return out


def generator(device: torch.device, seed: int) -> torch.Generator:
    """Random numbers of a seed on the device."""
    return torch.Generator(device).manual_seed(seed)

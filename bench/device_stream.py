"""Cases of what starts in files: the ring of pinned memory, and whole commands, against the link."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import numpy as np
import torch

import weightkin
from weightkin import _core
from weightkin.checkpoint import open_checkpoint
from weightkin.devices.torch_device import SLOT_BYTES, SLOTS
from weightkin.devices.torch_lanes import LANES

from . import cases_compare, cases_experts, cold
from .device_null import SLAB
from .device_rates import link, share
from .models import folders, mapped
from .registry import Case, Settings, Target, Work

READERS = (4, 16)
"""Threads that read files for the roof of cold ones, by tiles of `READ` bytes."""
READ = 16 << 20
COMMANDS = ("compare/tensors", "experts/strangers", "experts/neurons")
"""Cases of the processor that are the same on a device."""
PINNED = "pinned memory to the device"


@contextmanager
def ring(settings: Settings) -> Iterator[Work]:
    """All shards of two models, mapped and in memory, through the ring into a few buffers of a slab each."""
    device = torch.device(settings.device)
    buffers = [
        torch.zeros(SLAB if device.type == "cuda" else 1 << 16, dtype=torch.uint8, device=device) for _ in range(LANES)
    ]
    size = len(buffers[0])
    rate = link(device, settings.nbytes)
    with mapped(folders(settings, 2, related=True), settings.threads) as models, closing(make_ring(settings)) as stream:
        mappings = [
            shards[number]
            for checkpoint, shards in zip(models.checkpoints, models.shards, strict=True)
            for number in range(len(checkpoint.shards))
        ]
        parts = [(one, begin, min(size, len(one) - begin)) for one in mappings for begin in range(0, len(one), size)]

        def ours(last: int | None = None) -> None:
            """Only parts up to `last`, if given."""
            tickets: deque[_core.Ticket] = deque()
            for number, (mapping, begin, length) in enumerate(parts[:last]):
                if len(tickets) == LANES:
                    stream.wait(tickets.popleft())
                tickets.append(stream.submit(mapping, begin, length, buffers[number % LANES].data_ptr()))
            for ticket in tickets:
                stream.wait(ticket)

        def wrong() -> int:
            """Bytes of the last parts that arrived changed, or not at all."""
            total = 0
            for last in (1, len(parts) // 2 + 1, len(parts)):
                for buffer in buffers:
                    buffer.fill_(0x5A)
                ours(last)
                mapping, begin, length = parts[last - 1]
                found = buffers[(last - 1) % LANES][:length].cpu().numpy()
                total += int(np.count_nonzero(found != np.frombuffer(memoryview(mapping), np.uint8, length, begin)))
            return total

        nbytes = sum(length for _, _, length in parts)
        yield Work(
            ours=ours, check=wrong, roofs={PINNED: rate.run}, nbytes=nbytes, shares={PINNED: share(rate, nbytes)}
        )


def make_ring(settings: Settings) -> _core.Ring:
    """As the engine makes it for a device; without one, to ordinary memory."""
    device = torch.device(settings.device)
    if device.type != "cuda":
        return _core.Ring(SLOTS, 1 << 12, settings.threads)
    from weightkin import _cuda

    return _cuda.Ring(device.index or 0, SLOTS, SLOT_BYTES, settings.threads)


@contextmanager
def compare(settings: Settings, warm: bool) -> Iterator[Work]:
    """A model and a perturbed copy, with the null: from the page cache, or dropped from it before every run."""
    paths = folders(settings, 2, related=True)
    checkpoints = [open_checkpoint(path) for path in paths]
    shards = [shard for checkpoint in checkpoints for shard in checkpoint.shards]
    nbytes = sum(checkpoint.nbytes for checkpoint in checkpoints)
    run = partial(weightkin.compare, *paths, threads=settings.threads, device=settings.device)
    rate = link(torch.device(settings.device), settings.nbytes)
    on = {"the processor": "cpu"} | ({"all devices": "cuda"} if torch.cuda.device_count() > 1 else {})
    yield Work(
        ours=run,
        check=lambda: cases_compare.error(run(), paths),
        roofs={PINNED: rate.run} if warm else cold.ways(shards, READERS, (READ,)),
        peers={
            name: partial(weightkin.compare, *paths, threads=settings.threads, device=device)
            for name, device in on.items()
        },
        nbytes=nbytes,
        shares={PINNED: share(rate, nbytes)},
        before=None if warm else lambda: cold.drop(shards),
    )


CASES = (
    Case("ring/warm", "two models from the page cache to the device", ring, 0, (Target("roof", 0.9),)),
    Case(
        "compare/warm", "two models from the page cache to results", partial(compare, warm=True), 1e-6,
        (Target("roof", 0.9),), rounds=3,
    ),
    Case("compare/cold", "two models from disk to results", partial(compare, warm=False), 1e-6, (), rounds=2),
    *(case for case in (*cases_compare.CASES, *cases_experts.CASES) if case.name in COMMANDS),
)  # fmt: skip

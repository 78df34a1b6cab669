"""Cases of `assign` on a device: many problems at once, against all cores of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil, isqrt

import torch

from weightkin import ops

from .cases_assign import CHECKED, EXPERTS, KINDS, NEURONS, by_lapx, by_scipy, error
from .device_rates import generator
from .registry import Case, Settings, Target, Work

COPIES = 64
"""Problems of a layer's experts: as many as there are relabelled copies in a search."""
TARGETS = (Target("lapx lapjvs", 5), Target("scipy, share of a core", 5))


@contextmanager
def batch(settings: Settings, count: int, side: int, correlation: float) -> Iterator[Work]:
    """`count` problems of `side` by `side`, as correlations of random vectors."""
    side = min(side, isqrt(settings.nbytes // (4 * count)))
    scores = problems(torch.device(settings.device), count, side, correlation, settings.seed)
    held = scores.cpu().numpy()
    found = torch.empty(count, side, dtype=torch.int64, device=scores.device)

    def ours() -> torch.Tensor:
        if scores.is_cuda:
            from weightkin import _cuda

            stream = torch.cuda.current_stream().cuda_stream
            index = scores.device.index or 0
            with torch.cuda.device(index):
                _cuda.assign(scores.data_ptr(), count, side, side, False, found.data_ptr(), stream)
            return found
        return torch.from_numpy(ops.assign(held, settings.threads))

    yield Work(
        ours=ours,
        check=lambda: error(held[:CHECKED], ours()[:CHECKED].cpu().numpy()),
        peers={
            "weightkin on all cores": lambda: ops.assign(held, settings.threads),
            "scipy, share of a core": partial(by_scipy, held[: ceil(count / settings.threads)]),
            "lapx lapjvs": by_lapx(held, settings.threads),
        },
        nbytes=held.nbytes,
    )


def problems(device: torch.device, count: int, side: int, correlation: float, seed: int) -> torch.Tensor:
    """As cases_assign.problems, drawn on the device: [count, side, side]."""
    random = generator(device, seed)
    scores = torch.empty(count, side, side, device=device)
    for one in scores:
        rows, noise = (torch.randn(side, side, generator=random, device=device) for _ in range(2))
        order = torch.randperm(side, generator=random, device=device)
        columns = correlation * rows[order] + (1 - correlation**2) ** 0.5 * noise
        torch.mm(rows / rows.norm(dim=1, keepdim=True), (columns / columns.norm(dim=1, keepdim=True)).T, out=one)
    return scores


CASES = tuple(
    Case(
        f"assign/{name}-{kind}",
        f"{count} {kind} problems of {side} at once",
        partial(batch, count=count, side=side, correlation=correlation),
        1e-12, TARGETS, rounds=3,
    )
    for name, count, side in (("experts", EXPERTS, NEURONS), ("copies", COPIES, EXPERTS))
    for kind, correlation in KINDS.items()
)  # fmt: skip

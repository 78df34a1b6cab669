"""Cases of what is done once for a tensor or an expert: the null by `lagged`, the whole sweep of a slab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from weightkin.kernels.lagged import lagged

from weightkin import ops, reference
from weightkin.devices.torch_sweep import sweep
from weightkin.relabelling import ELEMENTS
from weightkin.statistics.null import DRAWS, draw_lags

from . import device_peers as peers
from .device_rates import copy, normal, share
from .device_sweep import COPY, block_of, gram_error, make_rows, nbytes, numpy_of
from .registry import Case, Settings, Target, Work

TENSORS = 16
"""Pairs of tensors of one run."""
SLAB = 256 << 20
"""Bytes of both members that the engine hands to a device at a time."""


@contextmanager
def null(settings: Settings) -> Iterator[Work]:
    """Pairs of tensors as wide as the residual stream, with as many lines as `compare` takes."""
    device, hidden = torch.device(settings.device), settings.decoder.hidden
    lines = max(2, min(ELEMENTS, settings.nbytes // 4) // hidden)
    lags = draw_lags(hidden, min(DRAWS, hidden - 1, lines * hidden // 1024), settings.seed)
    pairs = [
        (
            normal(device, settings.seed + 2 * at, lines, hidden),
            normal(device, settings.seed + 2 * at + 1, lines, hidden),
        )
        for at in range(max(1, min(TENSORS, settings.nbytes // (4 * ELEMENTS))))
    ]

    def error() -> float:
        """Largest error of a statistic, relative to the one per channel that it can reach."""
        x, y = (numpy_of(one).astype(np.float64) for one in pairs[0])
        return float(np.abs(lagged(*pairs[0], lags) - reference.lagged(x, y, lags)).max() / hidden)

    yield Work(
        ours=lambda: [lagged(x, y, lags) for x, y in pairs],
        check=error,
        peers={"torch FFT, all lags": lambda: [peers.rotations(x, y) for x, y in pairs]},
        flops=2 * len(lags) * lines * hidden * len(pairs),
        elements=2 * lines * hidden * len(pairs),
    )


@contextmanager
def slabs(settings: Settings) -> Iterator[Work]:
    """Everything that `compare` finds in a pair, slab by slab as the engine hands them out."""
    rows = make_rows(settings, 2)
    block = block_of(rows[0])
    size = max(1, SLAB // 4 // block) * block
    parts = list(zip(*(torch.split(row, size) for row in rows), strict=True))
    rate = copy(rows[0].device, settings.nbytes)

    def ours() -> list[ops.Sweep]:
        return [found for part in parts for found in sweep([part], block)]

    def error() -> float:
        found = ours()
        return gram_error(rows, *(np.concatenate([getattr(one, name) for one in found]) for name in ("gram", "sum")))

    yield Work(
        ours=ours,
        check=error,
        roofs={COPY: rate.run},
        peers={"torch metrics": lambda: peers.seven_metrics(*rows)},
        nbytes=nbytes(rows),
        shares={COPY: share(rate, nbytes(rows))},
    )


CASES = (
    Case("lagged/pair", f"the null of pairs of tensors, {DRAWS} draws", null, 1e-6, ()),
    Case(
        "sweep/pair",
        "gram, difference and census of two rows, slab by slab",
        slabs,
        1e-6,
        (Target("torch metrics", 1),),
    ),
)

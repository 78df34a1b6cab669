"""The case of `probe` on a device: what all experts of a layer answer, against reading their weights once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt

import numpy as np
import torch
from weightkin.kernels.activation import Activation
from weightkin.kernels.probe import probe

from weightkin.correspondence.activation import silu
from weightkin.correspondence.orbit import RELABELLINGS

from . import device_peers as peers
from .device_rates import copy, normal, share
from .device_sweep import COPY, numpy_of
from .registry import Case, Settings, Work
from .shapes import DECODERS

GLM = DECODERS["glm-4.5-air"]
CHECKED = 2
"""Experts whose answers are computed again in float64."""
ACTIVATION = Activation("silu")


@contextmanager
def layer(settings: Settings) -> Iterator[Work]:
    """Every expert of a layer of GLM-4.5-Air and its shared one, with as many inputs as a search has relabellings."""
    device = torch.device(settings.device)
    inputs, hidden = (min(most, isqrt(settings.nbytes // 8)) for most in (RELABELLINGS, GLM.hidden))
    neurons = min(GLM.expert_width, hidden)
    count = max(1, min(GLM.experts + 1, settings.nbytes // (6 * neurons * hidden)))
    gate, up = (normal(device, settings.seed + part, count, neurons, hidden).mul_(hidden**-0.5) for part in range(2))
    down = normal(device, settings.seed + 2, count, hidden, neurons).mul_(neurons**-0.5)
    x = normal(device, settings.seed + 3, inputs, hidden)
    gates, ups, downs = (list(part.unbind()) for part in (gate, up, down))
    read = sum(part.nbytes for part in (gate, up, down))
    rate = copy(device, settings.nbytes)

    def ours() -> torch.Tensor:
        return probe(gates, ups, downs, x.float(), ACTIVATION)

    def error() -> float:
        """Largest error of an answer, relative to the largest answer."""
        found, errors = ours()[:CHECKED].cpu().numpy(), []
        wide = numpy_of(x).astype(np.float64)
        for answer, *weights in zip(found, gates, ups, downs, strict=False):
            first, second, third = (numpy_of(one).astype(np.float64) for one in weights)
            expected = (silu(wide @ first.T) * (wide @ second.T)) @ third.T
            errors.append(np.abs(answer - expected).max() / np.abs(expected).max())
        return float(np.max(errors))

    yield Work(
        ours=ours,
        check=error,
        roofs={COPY: rate.run},
        peers={"torch bf16": lambda: [peers.mlp(*one, x) for one in zip(gates, ups, downs, strict=True)]},
        nbytes=read,
        flops=2 * inputs * (gate.numel() + up.numel() + down.numel()),
        shares={COPY: share(rate, read)},
    )


CASES = (
    Case(
        "probe/layer", f"answers of {GLM.experts + 1} experts to {RELABELLINGS} inputs", layer, 1e-6, (),
    ),
)  # fmt: skip

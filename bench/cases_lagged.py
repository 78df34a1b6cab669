"""`lagged`, which `compare` runs on a part of every tensor, measured against multiply-adds.

Its rate is that of the products in its definition, one per element and lag. A Fourier transform over the lags needs far
fewer, so the rate may be above that of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import ml_dtypes
import numpy as np
import numpy.typing as npt
from scipy import fft

from weightkin import _core, ops, reference
from weightkin.relabelling import ELEMENTS
from weightkin.statistics.null import DRAWS, draw_lags

from .registry import Case, Settings, Target, Work

TENSORS = 16
"""Pairs of tensors that each thread compares."""
CHECKED = 2
"""Of them, computed again in float64."""


@contextmanager
def pairs(settings: Settings) -> Iterator[Work]:
    """Pairs of tensors as wide as the residual stream, with as many lines as `compare` takes."""
    random, hidden = np.random.default_rng(settings.seed), settings.decoder.hidden
    lags = draw_lags(hidden, min(DRAWS, hidden - 1), settings.seed)
    shape = (ELEMENTS // hidden, hidden)
    lines = np.arange(shape[0])
    tensors = [
        [random.standard_normal(shape, np.float32).astype(ml_dtypes.bfloat16) for _ in range(2)]
        for _ in range(TENSORS * settings.threads)
    ]
    operands = [[ops.operand(x) for x in pair] for pair in tensors]
    flops = 2 * len(lags) * shape[0] * hidden

    def error() -> float:
        """Largest error of a statistic, relative to the one per channel that it can reach."""
        gaps = []
        for pair, given in zip(tensors[:CHECKED], operands, strict=False):
            x, y = (tensor.astype(np.float64) for tensor in pair)
            expected = reference.lagged(x, y, lags)
            gaps.append(np.abs(ops.lagged(given, 1, lines, lags)[0] - expected).max() / hidden)
        return float(max(gaps))

    with ThreadPoolExecutor(settings.threads) as pool:
        yield Work(
            ours=lambda: list(pool.map(lambda given: ops.lagged(given, 1, lines, lags), operands)),
            check=error,
            roofs={"multiply-adds": lambda: list(pool.map(_core.fma, [flops] * len(operands)))},
            peers={"numpy FFT, all lags": lambda: list(pool.map(_by_fft, tensors))},
            flops=flops * len(operands),
            elements=2 * shape[0] * hidden * len(operands),
        )


def _by_fft(pair: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.float32]:
    """All rotations at once, in float32."""
    spectra = [fft.rfft(reference.balance(x.astype(np.float32)), axis=1) for x in pair]
    found: npt.NDArray[np.float32] = fft.irfft((spectra[0].conj() * spectra[1]).sum(axis=0))
    return found


CASES = (
    Case(
        "lagged/pair",
        f"the null of pairs of tensors, {DRAWS} draws (rate: products of its definition; its FFT needs fewer)",
        pairs, 1e-6, (Target("roof", 0.5),),
    ),
)  # fmt: skip

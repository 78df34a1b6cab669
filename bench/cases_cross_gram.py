"""`cross_gram`: experts against experts and neurons against neurons, beside a matrix product that rounds its sums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import ml_dtypes
import numpy as np
import numpy.typing as npt

from weightkin import ops, reference

from . import peers
from .registry import Case, Settings, Target, Work
from .shapes import DECODERS

EXPERTS = 128
LONGEST = 1 << 20
"""Elements of an expert: of 5.8 million, as many as are enough to measure."""
NEURONS = DECODERS["glm-4.5-air"].expert_width
CHECKED = 1 << 16
"""Elements of a row that are widened to float64 at a time."""

Matrix = npt.NDArray[np.generic]


def experts(settings: Settings) -> AbstractContextManager[Work]:
    """All experts of a layer against all of another, flattened."""
    depth = min(LONGEST, settings.nbytes // (4 * EXPERTS))
    return _work(settings, *(_normal(settings.seed + side, (EXPERTS, depth)) for side in range(2)))


def neurons(settings: Settings) -> AbstractContextManager[Work]:
    """The gate neurons of an expert against those of another."""
    return _work(settings, *(_normal(settings.seed + side, (NEURONS, settings.decoder.hidden)) for side in range(2)))


def columns(settings: Settings) -> AbstractContextManager[Work]:
    """The same of down projections, where a neuron is a column."""
    return _work(settings, *(_normal(settings.seed + side, (settings.decoder.hidden, NEURONS)).T for side in range(2)))


@contextmanager
def _work(settings: Settings, x: Matrix, y: Matrix) -> Iterator[Work]:
    """`x`, `y`: [rows, depth]."""
    left, right = [_operand(x)], [_operand(y)]

    def found() -> reference.CrossGram:
        return ops.cross_gram(left, right, settings.threads)

    yield Work(
        ours=found,
        check=lambda: _error(found(), x, y),
        peers={"torch bf16": peers.torch_product(x, y, settings.threads)},
        nbytes=x.nbytes + y.nbytes,
        flops=2 * len(x) * y.size,
    )


def _normal(seed: int, shape: tuple[int, int]) -> Matrix:
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(ml_dtypes.bfloat16)


def _operand(matrix: Matrix) -> ops.Operand:
    stored = ops.operand(matrix if matrix.flags.c_contiguous else matrix.T)
    return stored._replace(shape=matrix.shape, strides=matrix.strides)


def _error(found: reference.CrossGram, x: Matrix, y: Matrix) -> float:
    """Largest error of any sum, relative to the sum of its terms' magnitudes."""
    expected = [np.zeros_like(one) for one in found]
    bound = [np.zeros_like(one) for one in found]
    for begin in range(0, x.shape[1], CHECKED):
        parts = [matrix[:, begin : begin + CHECKED].astype(np.float64) for matrix in (x, y)]
        for total, part in zip(expected, reference.cross_gram(*parts), strict=True):
            total += part
        for total, part in zip(bound, reference.cross_gram(*map(np.abs, parts)), strict=True):
            total += part
    gaps = zip(found, expected, bound, strict=True)
    return float(np.max([np.max(np.abs(got - want) / most) for got, want, most in gaps]))


TARGETS = (Target("torch bf16", 0.9),)
CASES = (
    Case("cross_gram/experts", f"{EXPERTS} x {EXPERTS} experts, flattened", experts, 1e-6, TARGETS),
    Case("cross_gram/neurons", f"{NEURONS} x {NEURONS} neurons, rows of gate", neurons, 1e-6, TARGETS),
    Case("cross_gram/columns", f"{NEURONS} x {NEURONS} neurons, columns of down", columns, 1e-6, TARGETS),
)

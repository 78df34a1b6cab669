"""The lagged kernel against its definition in float64: extents around a program's share, dtypes, layouts, hard lines."""

from __future__ import annotations

import numpy as np
import pytest

from triton_cases import DEVICE, TORCH_DTYPES, lagged, matrix, poisoned, torch
from weightkin import reference

pytestmark = pytest.mark.usefixtures(poisoned.__name__)

ERROR = 1e-12
"""Of the statistic, relative to the largest that it can be: one per channel, 1 for a single line."""


def check(x: torch.Tensor, y: torch.Tensor, lags: list[int]) -> None:
    wide = [one.double().cpu().numpy() for one in (x, y)]
    expected = reference.lagged(*wide, np.array(lags))
    largest = x.shape[1] if len(x) > 1 else 1
    np.testing.assert_allclose(lagged.lagged(x, y, np.array(lags)), expected, rtol=0, atol=ERROR * largest)


@pytest.mark.parametrize(("lines", "width"), [(1, 2), (1, 33), (2, 3), (7, 64), (15, 137), (2, 1024), (3, 683)])
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_extents(dtype: str, lines: int, width: int) -> None:
    """Lines of different scales, one channel far from the others, every fewth lag, the last ones too."""
    x, y = (matrix(seed, dtype, lines, width) for seed in (1, 2))
    for one in (x, y):
        one *= torch.linspace(1, 3, lines, device=DEVICE)[:, None]
        one[:, -1] *= 20
    check(x, y, [*range(0, width, max(1, width // 15)), width - 1])


def test_layouts() -> None:
    wide = matrix(1, "BF16", 40, 61)
    check(wide[:9, 3:40], matrix(2, "F32", 9, 74)[:, ::2], [0, 1, 5, 36])
    check(wide[:, :9].T, matrix(2, "F16", 9, 40), [0, 39, 7])
    check(wide.double()[:9], wide[9:18], [3])


@pytest.mark.parametrize("lines", [1, 5])
def test_lines_without_a_statistic(lines: int) -> None:
    """One of them with a NaN or an infinity; constant ones."""
    x, lags = matrix(1, "F32", lines, 30), np.arange(30)
    for value in (np.nan, np.inf, -np.inf):
        bad = x.clone()
        bad[-1, 3] = value
        found = lagged.lagged_pairs([x, bad, x], lags)
        assert not found[0].any() and found[1, 0] > 0 and not found[2].any()
    assert not lagged.lagged(x, torch.full_like(x, 3), lags).any()
    mostly = torch.zeros_like(x)
    mostly[:, :2] = x[:, :2]
    check(x, mostly, list(range(30)))


def test_ties() -> None:
    check(matrix(1, "BF16", 1, 200).round(), -matrix(2, "BF16", 1, 200).round().abs(), list(range(0, 200, 13)))


def test_pairs() -> None:
    """Each has the bits that it has in a call of its own; lags count modulo the extent."""
    operands, lags = [matrix(seed, "BF16", 4, 600) for seed in range(3)], np.arange(0, 1200, 53)
    found = lagged.lagged_pairs(operands, lags)
    alone = [lagged.lagged(operands[i], operands[j], lags % 600) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_array_equal(found, alone)
    assert lagged.lagged_pairs(operands, lags[:0]).shape == (3, 0)

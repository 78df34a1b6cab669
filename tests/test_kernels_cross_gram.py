"""The cross_gram kernel against its definition in float64: ragged shapes, dtypes, layouts, pieces, hard numbers."""

from __future__ import annotations

import numpy as np
import pytest

from test_gram import hard_numbers
from triton_cases import DEVICE, TORCH_DTYPES, cross_gram, far_apart, matrix, poisoned, tensor, torch
from weightkin import reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES

pytestmark = pytest.mark.usefixtures(poisoned.__name__)

SUM_ERROR = 1e-6
"""Of any sum, relative to the sum of its terms' magnitudes."""


def check(x: torch.Tensor, y: torch.Tensor) -> reference.CrossGram:
    """All sums of finite numbers within the contract."""
    found = reference.CrossGram(*(one.cpu().numpy() for one in cross_gram.cross_gram(x, y)))
    wide = [one.double().cpu().numpy() for one in (x, y)]
    expected, bound = reference.cross_gram(*wide), reference.cross_gram(*map(np.abs, wide))
    for name, got in found._asdict().items():
        assert got.shape == getattr(expected, name).shape
        assert (np.abs(got - getattr(expected, name)) <= SUM_ERROR * getattr(bound, name)).all(), name
    return found


SHAPES = [(1, 1, 1), (3, 5, 7), (63, 65, 33), (64, 1, 64), (129, 64, 65), (130, 257, 48)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_shapes(dtype: str, shape: tuple[int, int, int]) -> None:
    rows, columns, depth = shape
    check(matrix(1, dtype, rows, depth), matrix(2, dtype, columns, depth))


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_itself(dtype: str) -> None:
    """Half of the work, and the bits of the whole above the diagonal."""
    x = matrix(1, dtype, 150, 50)
    found, whole = check(x, x), check(x, x.clone())
    np.testing.assert_array_equal(found.product, found.product.T)
    np.testing.assert_array_equal(np.triu(found.product), np.triu(whole.product))
    np.testing.assert_array_equal(found.square_right, whole.square_right)


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_pieces(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They add up, also where only a few are kept at a time."""
    monkeypatch.setattr(cross_gram, "_PIECE", 64)
    x, y = matrix(1, dtype, 5, 100), matrix(2, dtype, 3, 100)
    found = check(x, y)
    alone = [cross_gram.cross_gram(x[:, part], y[:, part]).product for part in (slice(64), slice(64, None))]
    np.testing.assert_allclose(found.product, sum(alone).cpu().numpy(), rtol=1e-13)
    monkeypatch.setattr(cross_gram, "_MOST_PARTS", 16)
    np.testing.assert_allclose(check(x, y).product, found.product, rtol=1e-13)


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_layouts(dtype: str) -> None:
    """Rows of wider ones, every other row and element, columns, one row repeated."""
    x = matrix(1, dtype, 50, 46)
    check(x[:, 1:40], x[1::2, :39])
    check(x[:, ::2], x[:, 23:])
    check(x[:46].T, x[:, :46].T.contiguous()[:5, :46])
    check(x[:1].expand(70, 46), x)
    aligned = matrix(2, dtype, 48, 80)
    check(aligned.T, aligned.T.contiguous())
    check(aligned.T[:64], aligned.T)


def test_far_addresses() -> None:
    x = matrix(1, "BF16", 3, 20)
    check(far_apart(x), x)


@pytest.mark.parametrize("kind", hard_numbers(0, 1, "F32"))
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_hard_numbers(dtype: str, kind: str) -> None:
    made = [hard_numbers(seed, 75, dtype)[kind].astype(NUMPY_DTYPES[dtype]) for seed in (1, 2)]
    check(tensor(made[0], dtype).reshape(1, -1), torch.stack([tensor(made[1], dtype), matrix(8, dtype, 75)]))


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_few_numbers_out_of_range(dtype: str) -> None:
    """Rows of zeros, one of subnormal numbers, one whose squares overflow."""
    x = matrix(1, dtype, 4, 40)
    x[0], x[1], x[2] = 0, torch.finfo(x.dtype).smallest_normal / 4, torch.finfo(x.dtype).max / 8
    for row in range(3):
        check(x[[row, 3]], x)
    assert check(x[:1], x[3:]).square_left == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_not_finite(dtype: str, value: float) -> None:
    """One bad element reaches every sum it belongs to, and no other."""
    x, y = matrix(1, dtype, 3, 40), matrix(2, dtype, 2, 40)
    x[1, 7] = value
    found = cross_gram.cross_gram(x, y)
    expected = reference.cross_gram(x.double().cpu().numpy(), y.double().cpu().numpy())
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got.cpu().numpy(), want, rtol=0, atol=1e-4)


def test_refused() -> None:
    x = torch.zeros(2, 4, device=DEVICE)
    with pytest.raises(ValueError, match="rows differ in size, dtype or device"):
        cross_gram.cross_gram(x, x[:, :3])
    with pytest.raises(ValueError, match=r"unsupported dtype torch\.float64"):
        cross_gram.cross_gram(x.double(), x.double())

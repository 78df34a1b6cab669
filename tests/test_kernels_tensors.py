"""gram, difference and census of several tensors in one call: of each the bits it has alone."""

from __future__ import annotations

import numpy as np
import pytest

from triton_cases import DEVICE, difference, gram, poisoned, torch

__all__ = ["poisoned"]


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    ("size", "block", "dtype"),
    [(5000, 5000, "bfloat16"), (700, 300, "float32"), (300, 300, "float16"), (7, 9, "float32")],
)
def test_several_tensors(size: int, block: int, dtype: str) -> None:
    """One of them with a mean so large that its blocks are done again in float64."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, size, generator=generator) for _ in range(2))
    x[1] += 100
    x, y = (one.to(getattr(torch, dtype)).to(DEVICE) for one in (x, y))
    products, sums = gram.gram_blocks([x, y], block, size)
    gaps = difference.difference_blocks(x, y, block, size)
    census = difference.census_blocks(x, block, 0.99, size)
    each = -(-size // block)
    assert len(products) == 3 * each and census.histogram.shape == (3, 32768)
    for number in range(3):
        mine = slice(number * each, (number + 1) * each)
        alone = gram.gram_blocks([x[number], y[number]], block)
        assert alone[0].tobytes() == products[mine].tobytes() and alone[1].tobytes() == sums[mine].tobytes()
        for found, wanted in zip(gaps, difference.difference_blocks(x[number], y[number], block), strict=True):
            assert found[mine].tobytes() == wanted.tobytes()
        one = difference.census_blocks(x[number], block)
        assert all(found[mine].tobytes() == wanted.tobytes() for found, wanted in zip(census[:3], one[:3], strict=True))
        assert np.array_equal(census.histogram[number], one.histogram)


def test_tensors_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="tensors of 7 in 20"):
        gram.gram_blocks([torch.zeros(20)], 4, 7)

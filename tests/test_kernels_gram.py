"""The gram kernel against its definition in float64: rows, dtypes, sizes around block ends, layouts, hard numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from operands import Row, normal
from test_gram import expected_measures, hard_numbers, measures
from triton_cases import DEVICE, chunks, far_apart, gram, poisoned, tensor, torch
from weightkin import reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES

pytestmark = pytest.mark.usefixtures(poisoned.__name__)

SUM_ERROR = 3 * 2.0**-24
"""Of any sum, relative to the sum of its terms' magnitudes."""
MEASURE_ERROR = 1e-6
"""Of a cosine or a Pearson, absolute."""
DTYPES = ["BF16", "F16", "F32"]
BLOCK_ENDS = [1, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097]


def check(rows: list[Row], tensors: list[torch.Tensor]) -> reference.Gram:
    """Sums and measures of rows of finite numbers, within the contract."""
    found = gram.gram(tensors)
    wide = np.stack([row.astype(np.float64) for row in rows])
    expected, bound = reference.gram(wide), reference.gram(np.abs(wide))
    assert (np.abs(found.gram - expected.gram) <= SUM_ERROR * bound.gram).all()
    assert (np.abs(found.sum - expected.sum) <= SUM_ERROR * bound.sum).all()
    np.testing.assert_array_equal(found.gram, found.gram.T)
    for got, want in zip(measures(found.gram, found.sum, rows[0].size), expected_measures(wide), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=MEASURE_ERROR)
    return found


def check_contiguous(rows: list[Row], dtype: str) -> None:
    check(rows, [tensor(row, dtype) for row in rows])


@pytest.mark.parametrize("size", BLOCK_ENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_block_ends(dtype: str, size: int) -> None:
    check_contiguous([normal(seed, size, dtype) for seed in (1, 2)], dtype)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 12, 13, 16])
def test_rows(count: int) -> None:
    dtype = DTYPES[count % 3]
    check_contiguous([normal(seed, 260, dtype) for seed in range(count)], dtype)


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 700])
def test_sum_over_chunks(count: int) -> None:
    parts = np.random.default_rng(count).integers(-1000, 1000, (count, 19)).astype(np.float64)
    both = torch.from_numpy(np.stack([parts, 2 * parts])).to(DEVICE)
    total = parts.sum(axis=0)
    np.testing.assert_array_equal(chunks.add_chunks(both).cpu().numpy(), [total, 2 * total])


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(dtype: str) -> None:
    """Rows of a wider matrix, every other element, an odd start, columns of a fused matrix, transposed, repeated."""
    rows = [normal(seed, 600, dtype) for seed in range(2)]
    matrix = torch.full((2, 2 * 600 + 1), torch.nan, dtype=tensor(rows[0], dtype).dtype, device=DEVICE)
    for window in (matrix[:, :600], matrix[:, 601:], matrix[:, :1200:2]):
        matrix[:] = torch.nan
        window.copy_(torch.stack([tensor(row, dtype) for row in rows]))
        check(rows, list(window))
        check(rows, list(window.reshape(2, 30, 20)))
    transposed = [tensor(row, dtype).reshape(20, 30).T.contiguous().T for row in rows]
    assert not transposed[0].is_contiguous()
    check(rows, transposed)
    repeated = np.full(600, rows[0][0])
    check([repeated, rows[1]], [tensor(rows[0], dtype)[:1].expand(600), tensor(rows[1], dtype)])


def test_far_addresses() -> None:
    rows = [normal(seed, 3, "BF16") for seed in (1, 2)]
    check(rows, [far_apart(tensor(rows[0], "BF16")), tensor(rows[1], "BF16")])


@pytest.mark.parametrize("kind", hard_numbers(0, 1, "F32"))
@pytest.mark.parametrize("dtype", DTYPES)
def test_hard_numbers(dtype: str, kind: str) -> None:
    made = [hard_numbers(seed, 135, dtype)[kind].astype(NUMPY_DTYPES[dtype]) for seed in (1, 2)]
    check_contiguous([*made, normal(8, 135, dtype)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_worst_rounding(dtype: str) -> None:
    """A large product, then ones of half its last bit: neighbours, then what a thread adds to its sum of neighbours."""
    for run in (2, 4, 8, 4096):
        position = np.arange(max(run, 300))
        sign = (-1.0) ** (position // 8)  # no mean, or the sums would be made in float64
        for small in (2.0**-12 * 1.0078125, 2.0**-24):
            row = (np.where(position % run < max(run // 16, 1), 1, small) * sign).astype(NUMPY_DTYPES[dtype])
            check_contiguous([row] * 2, dtype)


@pytest.mark.parametrize(("value", "count"), [(np.nan, 2), (np.inf, 2), (-np.inf, 2), (np.nan, 9)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite(dtype: str, value: float, count: int) -> None:
    """One bad element reaches every sum it belongs to, and no other."""
    rows = [normal(seed, 270, dtype) for seed in range(count)]
    rows[0][260] = value
    found = gram.gram([tensor(row, dtype) for row in rows])
    wide = np.stack([row.astype(np.float64) for row in rows])
    np.testing.assert_allclose(found.gram[0], wide @ wide[0])
    np.testing.assert_equal(found.sum[0], value)
    rest = reference.gram(wide[1:])
    np.testing.assert_allclose(found.gram[1:, 1:], rest.gram, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.sum[1:], rest.sum, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("size", "block"), [(8192, 4096), (5001, 4099), (3001, 1200), (500, 4096)])
def test_blocks(size: int, block: int) -> None:
    """Each has the bits that it has in a call of its own, also one of a large mean, which float64 adds up again."""
    rows = [normal(seed, size, "BF16") for seed in (1, 2)]
    rows[1][block : block + 900] = 100 + rows[1][block : block + 900]
    x, y = (tensor(row, "BF16") for row in rows)
    found, total = gram.gram_blocks([x, y], block)
    alone = [gram.gram([x[start : start + block], y[start : start + block]]) for start in range(0, size, block)]
    np.testing.assert_array_equal(found, [one.gram for one in alone])
    np.testing.assert_array_equal(total, [one.sum for one in alone])


def test_no_elements() -> None:
    found = gram.gram([torch.empty(0)] * 2)
    assert found.gram.tolist() == [[0, 0], [0, 0]] and found.sum.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("1 to 16 rows, not 0", []),
        ("1 to 16 rows, not 17", [torch.zeros(4)] * 17),
        ("differ in dtype, size or device", [torch.zeros(4), torch.zeros(5)]),
        ("differ in dtype, size or device", [torch.zeros(4), torch.zeros(4, dtype=torch.float16)]),
        ("unsupported dtype torch.float64", [torch.zeros(4, dtype=torch.float64)] * 2),
    ],
)
def test_refused(rule: str, rows: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=rule):
        gram.gram(rows)


def test_import_needs_neither_torch_nor_triton() -> None:
    code = "import sys, weightkin, weightkin.kernels; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Cases of what goes over every byte once, resident on the device: `gram`, `difference`, `census`, against a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from weightkin.kernels import difference, gram

from weightkin import reference
from weightkin.units import BLOCK

from . import device_peers as peers
from .checks import similarities
from .device_rates import copy, normal, share
from .registry import Case, Settings, Target, Work

CHECKED = 16
"""Blocks that are computed again in float64."""
NOISE = 2e-4
"""What the second row of a pair differs by, relative to weights of deviation 0.02: a fine-tuned copy."""
COPY = "device copy"
Bf16 = npt.NDArray[np.generic]


@contextmanager
def gram_rows(settings: Settings, count: int) -> Iterator[Work]:
    """`count` rows, the pair of two a model and a perturbed copy."""
    rows = make_rows(settings, count)
    block = block_of(rows[0])
    rate = copy(rows[0].device, settings.nbytes)
    yield Work(
        ours=lambda: gram.gram_blocks(rows, block),
        check=lambda: gram_error(rows, *gram.gram_blocks(rows, block)),
        roofs={COPY: rate.run},
        peers=(
            {"torch float32": lambda: peers.cosine_and_pearson(*rows)}
            if count == 2
            else {"torch.mm": lambda: [peers.product(part, part) for part in stacked(rows)]}
        ),
        nbytes=nbytes(rows),
        flops=rows[0].numel() * (count * (count + 1) + count),
        shares={COPY: share(rate, nbytes(rows))},
    )


@contextmanager
def differences(settings: Settings) -> Iterator[Work]:
    """The kernel alone."""
    x, y = rows = make_rows(settings, 2)
    block = block_of(x)
    rate = copy(x.device, settings.nbytes)
    yield Work(
        ours=lambda: difference.difference_blocks(x, y, block),
        check=lambda: difference_error(rows, difference.difference_blocks(x, y, block)),
        roofs={COPY: rate.run},
        peers={"torch metrics": lambda: peers.seven_metrics(*rows)},
        nbytes=nbytes(rows),
        shares={COPY: share(rate, nbytes(rows))},
    )


@contextmanager
def census(settings: Settings) -> Iterator[Work]:
    """One row: counts of magnitudes, with the percentile of each block."""
    (row,) = make_rows(settings, 1)
    block = block_of(row)
    rate = copy(row.device, settings.nbytes)
    yield Work(
        ours=lambda: difference.census_blocks(row, block),
        check=lambda: census_error(row, difference.census_blocks(row, block)),
        roofs={COPY: rate.run},
        peers={
            "torch bincount": lambda: [
                codes(part).bincount(minlength=1 << 15) for part in torch.split(row, peers.TENSOR)
            ]
        },
        nbytes=nbytes([row]),
        shares={COPY: share(rate, nbytes([row]))},
    )


def make_rows(settings: Settings, count: int) -> list[torch.Tensor]:
    """`count` flat bf16 rows of `settings.nbytes` together; each after the first is the first plus a little noise."""
    device = torch.device(settings.device)
    size = max(64, settings.nbytes // (2 * count)) // 64 * 64  # so that a short last block still has a correlation
    rows = [normal(device, settings.seed, size).mul_(0.02)]
    for number in range(1, count):
        rows.append(normal(device, settings.seed + number, size).mul_(NOISE).add_(rows[0]))
    return rows


def block_of(row: torch.Tensor) -> int:
    """Elements of a block as the engine has them; of short rows a part."""
    return min(BLOCK, row.numel() // 128 * 48)


def nbytes(rows: Sequence[torch.Tensor]) -> int:
    """Bytes of all rows."""
    return sum(row.nbytes for row in rows)


def stacked(rows: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """[count, n] copies of the rows' parts, without which there is no product of them: part of the peer's work."""
    for part in zip(*(torch.split(row, peers.TENSOR) for row in rows), strict=True):
        yield torch.stack(part)


def codes(row: torch.Tensor) -> torch.Tensor:
    """Magnitudes of bf16 as integers."""
    return row.view(torch.int16).to(torch.int32) & 0x7FFF


def numpy_of(row: torch.Tensor) -> Bf16:
    """A bf16 row as the array of ml_dtypes."""
    return row.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)


def sampled(rows: Sequence[torch.Tensor]) -> Iterator[tuple[int, list[Bf16]]]:
    """Evenly spread blocks: their number and their elements in each row. The last one, which may be short, is among them."""
    block = block_of(rows[0])
    count = -(-rows[0].numel() // block)
    for number in np.unique(np.linspace(0, count - 1, CHECKED).astype(int)).tolist():
        yield number, [numpy_of(row[number * block : (number + 1) * block]) for row in rows]


def gram_error(rows: Sequence[torch.Tensor], found: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]) -> float:
    """Largest error of any cosine or Pearson; `found`: [B, N, N], `sums`: [B, N]."""
    errors = []
    for number, block in sampled(rows):
        wide = np.array([row.astype(np.float64) for row in block])
        expected = similarities(*reference.gram(wide), wide.shape[1])
        errors.append(np.abs(similarities(found[number], sums[number], wide.shape[1]) - expected).max())
    return float(np.max(errors))


def difference_error(rows: Sequence[torch.Tensor], found: difference.Differences) -> float:
    """Largest error of a sum relative to it, or of a maximum or a count."""
    errors = []
    for number, (x, y) in sampled(rows):
        expected = reference.difference(x, y)
        errors.append(float(abs(found.unequal[number] - expected.unequal)))
        for name in ("sum_abs", "sum_square", "max_abs"):
            want = getattr(expected, name)
            errors.append(abs(float(getattr(found, name)[number]) - want) / max(want, 1e-300))
    return float(np.max(errors))


def census_error(row: torch.Tensor, found: difference.Census) -> float:
    """Counts that are wrong, or the error of a percentile."""
    errors = [float(abs(int(found.histogram.sum()) - row.numel()))]
    for number, (block,) in sampled([row]):
        errors.append(abs(float(found.quantile[number]) - reference.quantile(block, 0.99)))
        errors.append(float(found.nans[number] + found.infinities[number]))
    return float(np.max(errors))


ROOF = Target("roof", 0.85)
CASES = (
    Case("gram/pair", "two rows, resident", partial(gram_rows, count=2), 1e-6, (ROOF, Target("torch float32", 1))),
    Case("gram/8-rows", "eight rows, resident: all 28 pairs", partial(gram_rows, count=8), 1e-6, (ROOF,)),
    Case("difference/pair", "two rows, resident", differences, 1e-6, (ROOF,)),
    Case("census/row", "one row, resident", census, 1e-6, (ROOF,)),
)

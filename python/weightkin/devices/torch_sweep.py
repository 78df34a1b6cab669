"""The ops of a slab on tensors that a device holds: the numbers of `ops.sweep` and `ops.lagged`, by the kernels in Triton."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from .. import ops
from ..kernels.difference import census_blocks, difference_blocks
from ..kernels.gram import gram_blocks
from ..relabelling import Relabelling
from ..slabs import Slab

DTYPES = {
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F16": torch.float16, "BF16": torch.bfloat16,
    "F32": torch.float32,
}  # fmt: skip
"""Of what can be computed here, by the safetensors name."""


def meet(
    tensors: Sequence[torch.Tensor], dtype: str, gains: Sequence[npt.NDArray[np.float32] | None], gain_axis: int
) -> list[torch.Tensor]:
    """The members' elements in the type in which all are exact, multiplied by their gains, as flat rows."""
    rows = []
    for tensor, gain in zip(tensors, gains, strict=True):
        met = tensor.to(DTYPES[dtype])
        if gain is not None:
            factors = torch.from_numpy(gain).to(met.device)
            met = met * factors.reshape([-1 if axis == gain_axis else 1 for axis in range(met.ndim)])
        rows.append(met.reshape(-1))
    return rows


def sweep(tensors: Sequence[Sequence[torch.Tensor]], block: int) -> list[ops.Sweep]:
    """gram, difference and census of each of `tensors`: 2 to 16 flat rows, in blocks of `block` elements.

    All have one number of rows of one size, and what is found of one does not depend on the others. Histograms are whole.
    """
    size, count = tensors[0][0].numel(), len(tensors)
    rows = tensors[0] if count == 1 else [torch.cat(member) for member in zip(*tensors, strict=True)]
    gram, total = gram_blocks(rows, block, size)
    gaps = [difference_blocks(x, y, block, size) for x, y in combinations(rows, 2)]
    census = [census_blocks(row, block, ops.QUANTILE, size) for row in rows]
    arrays = [gram, total]
    arrays += [np.stack(pairs, axis=1) for pairs in zip(*gaps, strict=True)]
    arrays += [np.stack(members, axis=1) for members in zip(*(one[:3] for one in census), strict=True)]
    histograms = np.stack([one.histogram for one in census], axis=1)
    later = np.zeros(len(rows)), np.empty((len(gaps), 0)), np.empty((len(gaps), 0))
    return [
        ops.Sweep(*(*blocks, histogram, *later))
        for blocks, histogram in zip(
            zip(*(np.split(one, count) for one in arrays), strict=True), histograms, strict=True
        )
    ]


def sample(tensors: Sequence[torch.Tensor], slab: Slab, relabelling: Relabelling) -> list[torch.Tensor]:
    """What of a slab takes part in the null, of each member: float32 [lines, entries of the relabelled axis].

    If the relabelled axis is the first, a slab has some entries of every line, else all entries of some lines. Gains are left
    out: they scale channels, and balancing takes the scale of a channel away again.
    """
    shape, axis, lines = list(tensors[0].shape), relabelling.axis, relabelling.lines
    others = shape[:axis] + shape[axis + 1 :]
    if axis > 0:
        inner = int(np.prod(others[1:]))
        start, stop = (row * inner for row in slab.rows)
        lines = lines[np.searchsorted(lines, start) : np.searchsorted(lines, stop)] - start
    at = tuple(torch.from_numpy(one).to(tensors[0].device) for one in np.unravel_index(lines, others)) if others else ()
    return [_take(tensor.movedim(axis, -1), at).to(torch.float32) for tensor in tensors]


def _take(tensor: torch.Tensor, at: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Lines along the last axis."""
    if not at:
        return tensor.reshape(1, -1)
    if tensor.element_size() > 1:
        return tensor[at]
    return tensor.view(torch.uint8)[at].view(tensor.dtype)  # 8-bit floats cannot be indexed


def whole_samples(
    parts: Sequence[list[torch.Tensor]], relabelling: Relabelling, device: torch.device
) -> list[torch.Tensor]:
    """The samples of all slabs of a unit, wherever they are, as one tensor of each member on `device`."""
    axis = 1 if relabelling.axis == 0 else 0
    return [torch.cat([one.to(device) for one in member], axis) for member in zip(*parts, strict=True)]

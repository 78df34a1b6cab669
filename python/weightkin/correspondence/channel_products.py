"""A description of a matrix that does not know the order of its lines: products of its residual channels with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

OFFSETS = 16
"""Products per channel. Of 4096 channels they are 2^16 numbers, which show a correlation of 0.02 at z = 5."""
LINES = 64
"""Lines that are held at a time, so that what one offset reads, the next finds in cache."""


def channel_products(lines: np.ndarray[Any, np.dtype[Any]]) -> npt.NDArray[np.float64]:
    """[offsets, d] of a matrix [lines, d], every line first brought to norm 1: the cosine of channel j with channel j + 1,
    j + 2, ..., j + offsets (modulo d).

    Permuting, negating or rescaling lines (neurons, heads, experts) changes nothing; rotating the channels by a lag rotates
    the result, so the relabelling null applies to it as to the matrix itself.
    """
    count, extent = lines.shape
    offsets = min(OFFSETS, (extent - 1) // 2)
    products, squares = np.zeros((offsets, extent)), np.zeros(extent)
    for first in range(0, count, LINES):
        x = np.array(lines[first : first + LINES], np.float32)  # a copy: float32 weights are a view of the file
        norm = np.sqrt(np.einsum("ij,ij->i", x, x))
        x /= np.where(norm > 0, norm, 1)[:, None]
        squares += np.einsum("ij,ij->j", x, x)
        wrapped = np.concatenate([x, x[:, :offsets]], axis=1)
        for offset in range(offsets):
            products[offset] += np.einsum("ij,ij->j", x, wrapped[:, offset + 1 : offset + 1 + extent])
    norm = np.sqrt(np.where(squares > 0, squares, 1))
    return np.stack([row / (norm * np.roll(norm, -offset)) for offset, row in enumerate(products, 1)])

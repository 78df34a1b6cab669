"""Every layer of A against every layer of B, in place and under the relabelling null, from some lines of each tensor.

The statistic is that of `ops.lagged`: inner products of balanced tensors, B's channels rotated by a lag. A transform along
the channels turns the rotations into factors, so all lags together cost the products of two: with X and Y the transforms of
tensors x and y, the sum over lines of conj(X) Y at every frequency is the transform of the statistic over all lags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import fft

from ..checkpoint.mapping import Shards
from ..reference import balance
from ..relabelling import ELEMENTS, exchangeable_axis
from ..schema import Slot
from ..statistics.null import draw_lags, draw_lines
from .layer_units import LayerUnit
from .maps import Array, standard_scores

CHUNK = 8
"""Layers of A whose products with all of B are held at a time."""

Spectra = npt.NDArray[np.complex64]


def draws_of(units: Sequence[LayerUnit], draws: int) -> dict[str, int]:
    """R of each component: `draws`, or fewer where its residual stream has no more channels than that."""
    widths: dict[str, int] = {}
    for unit in units:
        if "residual" in unit.axes:
            extent = unit.shape[unit.axes.index("residual")]
            widths[unit.component] = max(widths.get(unit.component, 0), extent)
    return {component: min(draws, width - 1) for component, width in widths.items()}


def unit_scores(
    unit: LayerUnit,
    shards: tuple[Shards, Shards],
    depths: tuple[int, int],
    draws: int,
    seed: int,
    threads: int,
    on_read: Callable[[int], None] = lambda _: None,
) -> tuple[Array, Array] | None:
    """[LA, LB, 1 + R]: standard scores (maps.py), summed over experts over the root of their number, NaN where a layer
    lacks the role; and [LA, LB]: the mean cosine of matching channels, in place. None if no axis can be relabelled.

    `shards`: of A and of B, the same object where the models are one. Every lag is the same in all units of a component
    that have its axis.
    """  # fmt: skip
    axis = exchangeable_axis(unit.axes, unit.shape)
    if axis is None or draws < 1:
        return None
    extent = unit.shape[axis]
    lags = draw_lags(extent, draws, seed, unit.component, unit.axes[axis])
    size = int(np.prod(unit.shape)) // extent
    lines = draw_lines(size, max(1, ELEMENTS // extent), seed, unit.component, unit.role)
    total, aligned = np.zeros((*depths, 1 + draws)), np.zeros(depths)
    count = np.zeros(depths)
    largest = extent if size > 1 else 1
    with ThreadPoolExecutor(threads) as pool:
        for expert in unit.experts:
            left = unit.layers(0, expert)
            x = _spectra(left, shards[0], axis, lines, pool, on_read)
            same = shards[0] is shards[1]
            right = unit.layers(1, expert)
            y = x if same else _spectra(right, shards[1], axis, lines, pool, on_read)
            statistic = _correlate(x, y, extent, lags, pool)
            cells = np.ix_(list(left), list(right))
            total[cells] += standard_scores(statistic)
            aligned[cells] += statistic[..., 0] / largest
            count[cells] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count[..., None] > 0, total / np.sqrt(count[..., None]), np.nan), aligned / count


def _spectra(
    slots: dict[int, Slot], shards: Shards, axis: int, lines: npt.NDArray[np.int64], pool: ThreadPoolExecutor,
    on_read: Callable[[int], None],
) -> Spectra:  # fmt: skip
    """[frequencies, layers, lines]: the transforms of the balanced lines of each layer."""

    def transform(slot: Slot) -> Spectra:
        rows = _lines_of(slot, shards, axis, lines)
        if not np.isfinite(rows).all():
            rows = np.zeros_like(rows)
        return np.asarray(fft.rfft(balance(rows).astype(np.float32), axis=1).T)

    found: Spectra | None = None
    for number, (slot, spectrum) in enumerate(zip(slots.values(), pool.map(transform, slots.values()), strict=True)):
        if found is None:
            found = np.empty((spectrum.shape[0], len(slots), spectrum.shape[1]), np.complex64)
        found[:, number] = spectrum
        on_read(slot.view.nbytes if slot.view else 0)
    assert found is not None
    return found


def _lines_of(slot: Slot, shards: Shards, axis: int, lines: npt.NDArray[np.int64]) -> Array:
    """[lines, extent] float64."""
    assert slot.view is not None
    mapping = shards[slot.view.shard]
    mapping.prefetch(*slot.view.extent)
    array = np.moveaxis(shards.array(slot.view), axis, -1)
    if array.ndim == 1:
        array = array[None]
    rows = array[np.unravel_index(lines, array.shape[:-1])].astype(np.float64)
    mapping.release(*slot.view.extent)
    return np.asarray(rows)


def _correlate(x: Spectra, y: Spectra, extent: int, lags: npt.NDArray[np.uint32], pool: ThreadPoolExecutor) -> Array:
    """[LA, LB, 1 + R] from spectra [frequencies, LA or LB, lines]."""
    task = partial(_correlate_chunk, x, y.swapaxes(1, 2), extent, lags)
    return np.concatenate(list(pool.map(task, range(0, x.shape[1], CHUNK))))


def _correlate_chunk(x: Spectra, y: Spectra, extent: int, lags: npt.NDArray[np.uint32], first: int) -> Array:
    product = np.matmul(x[:, first : first + CHUNK].conj(), y).astype(np.complex128)
    return np.asarray(fft.irfft(product, extent, axis=0)[lags].transpose(1, 2, 0))

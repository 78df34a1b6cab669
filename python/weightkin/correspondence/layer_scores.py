"""Every layer of A against every layer of B, in place and under the relabelling null, from some lines of each tensor.

The statistic is that of `ops.lagged`: inner products of balanced tensors, B's channels rotated by a lag. A transform along
the channels turns the rotations into factors, so all lags together cost the products of two: with X and Y the transforms of
tensors x and y, the sum over lines of conj(X) Y at every frequency is the transform of the statistic over all lags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from ..checkpoint.mapping import Shards
from ..reference import balance
from ..relabelling import ELEMENTS, exchangeable_axis
from ..schema import Slot
from ..statistics.null import draw_lags, draw_lines
from .channel_products import channel_products
from .layer_units import LayerUnit
from .maps import Array, standard_scores

CHUNK = 8
"""Layers of A whose products with all of B are held at a time."""

Scores = npt.NDArray[np.float32]
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
    in_place: bool = True,
) -> tuple[Scores, Array] | None:
    """[LA, LB, 1 + R]: standard scores (maps.py), summed over experts over the root of their number, NaN where a layer
    lacks the role; and [LA, LB]: the mean cosine of matching channels at lag 0. None if no axis can be relabelled.

    `shards`: of A and of B, the same object where the models are one. Not `in_place`: of the products of channels, which do
    not know the order of lines, and have no vectors. Every lag is the same in all units of a component that have its axis.
    """
    axis = exchangeable_axis(unit.axes, unit.shape)
    if axis is None or draws < 1 or (len(unit.shape) == 1 and not in_place):
        return None
    extent = unit.shape[axis]
    lags = draw_lags(extent, draws, seed, unit.component, unit.axes[axis])
    count = int(np.prod(unit.shape)) // extent
    lines = draw_lines(count, max(1, ELEMENTS // extent), seed, unit.component, unit.role)
    largest = extent if count > 1 else 1

    def describe(array: np.ndarray[Any, np.dtype[Any]]) -> Array:
        return array[lines].astype(np.float64) if in_place else channel_products(array)

    total, aligned, held = np.zeros((*depths, 1 + draws)), np.zeros(depths), np.zeros(depths)
    with ThreadPoolExecutor(threads) as pool:
        for expert in unit.experts:
            layers = unit.layers(0, expert), unit.layers(1, expert)
            x = _spectra(layers[0], shards[0], axis, describe, pool)
            y = x if shards[0] is shards[1] else _spectra(layers[1], shards[1], axis, describe, pool)
            statistic = _correlate(x, y, extent, lags, pool)
            cells = np.ix_(list(layers[0]), list(layers[1]))
            total[cells] += standard_scores(statistic)
            aligned[cells] += statistic[..., 0] / largest
            held[cells] += 1
    with np.errstate(invalid="ignore"):  # 0 / 0: layers that lack it
        return (total / np.sqrt(held[..., None])).astype(np.float32), aligned / held


def _spectra(
    slots: dict[int, Slot],
    shards: Shards,
    axis: int,
    describe: Callable[[np.ndarray[Any, np.dtype[Any]]], Array],
    pool: ThreadPoolExecutor,
) -> Spectra:
    """[frequencies, layers, rows]: the transforms of each layer's balanced description [rows, extent]."""

    def transform(slot: Slot) -> Spectra:
        assert slot.view is not None
        mapping = shards[slot.view.shard]
        mapping.prefetch(*slot.view.extent)
        array = np.moveaxis(shards.array(slot.view), axis, -1)
        rows = describe(array.reshape(1, -1) if array.ndim == 1 else array)
        mapping.release(*slot.view.extent)
        rows = rows if np.isfinite(rows).all() else np.zeros_like(rows)
        return np.asarray(fft.rfft(balance(rows).astype(np.float32), axis=1).T)

    found: Spectra | None = None
    for number, spectrum in enumerate(pool.map(transform, slots.values())):
        if found is None:
            found = np.empty((spectrum.shape[0], len(slots), spectrum.shape[1]), np.complex64)
        found[:, number] = spectrum
    assert found is not None
    return found


def _correlate(x: Spectra, y: Spectra, extent: int, lags: npt.NDArray[np.uint32], pool: ThreadPoolExecutor) -> Array:
    """[LA, LB, 1 + R] from spectra [frequencies, LA or LB, lines]."""
    task = partial(_correlate_chunk, x, y.swapaxes(1, 2), extent, lags)
    return np.concatenate(list(pool.map(task, range(0, x.shape[1], CHUNK))))


def _correlate_chunk(x: Spectra, y: Spectra, extent: int, lags: npt.NDArray[np.uint32], first: int) -> Array:
    product = np.matmul(x[:, first : first + CHUNK].conj(), y).astype(np.complex128)
    return np.asarray(fft.irfft(product, extent, axis=0)[lags].transpose(1, 2, 0))

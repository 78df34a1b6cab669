"""Where the heavy work of a search is done: on this processor, or on a device that does the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import ops, reference
from ..checkpoint.mapping import Shards
from ..devices import Device, HostDevice
from ..view import View
from .alignment import Indices
from .mlps import MlpLayer, Weights
from .neurons import NeuronMatch, NeuronPair, match_pairs
from .orbit import Array, Floats, Orbit, lag_scores
from .probe import probe

OnBytes = Callable[[int], None]
Rows = Sequence[tuple[Shards, View]]
"""Tensors that are one row each, and where they lie."""
Descriptors = Any
"""Of the MLPs of a layer, float32 [E, m, K]: a numpy array, or one that the device holds which made it."""


class Compute(Protocol):
    """Only what costs: everything else of a search is numpy, the same for all. Used by one thread at a time.

    All but `forget` raise `DeviceError` when the device, not the input, is at fault.
    """

    slab: int
    """Bytes of rows that `cross_gram` should have at a time."""

    @property
    def device(self) -> Device: ...

    def probe(self, weights: Weights, layer: MlpLayer, orbit: Orbit, seed: int, on_bytes: OnBytes) -> Descriptors:
        """[E, m, K]: as `probe.probe`."""
        ...

    def sketch(self, descriptors: Descriptors, chosen: Indices) -> Floats:
        """[E, m, len(chosen)]: some of the K numbers of each."""
        ...

    def lag_scores(self, a: Descriptors, b: Descriptors) -> Array:
        """[m, A, B]: as `orbit.lag_scores`, of what `probe` gave, or of numpy arrays."""
        ...

    def assign(self, scores: npt.NDArray[np.float64]) -> Indices:
        """As `ops.assign`."""
        ...

    def match_neurons(
        self, weights: tuple[Weights, Weights], pairs: Sequence[NeuronPair], orbit: Orbit
    ) -> list[NeuronMatch]:
        """As `neurons.match_neurons`, of each pair."""
        ...

    def cross_gram(self, left: Rows, right: Rows) -> reference.CrossGram:
        """As `ops.cross_gram`, of one row for each view."""
        ...

    def forget(self) -> None:
        """Gives back what is held of the layers that were probed: the search goes on to others, or was given up."""
        ...


class HostCompute:
    """This processor, by `ops` and numpy. Results do not depend on its threads."""

    slab = 64 << 20

    def __init__(self, device: HostDevice) -> None:
        self.device = device
        self.threads = device.lanes

    def probe(self, weights: Weights, layer: MlpLayer, orbit: Orbit, seed: int, on_bytes: OnBytes) -> Floats:
        return probe(weights, layer, orbit, seed, self.threads, on_bytes)

    def sketch(self, descriptors: Floats, chosen: Indices) -> Floats:
        return np.ascontiguousarray(descriptors[:, :, chosen])

    def lag_scores(self, a: Floats, b: Floats) -> Array:
        return lag_scores(a, b)

    def assign(self, scores: npt.NDArray[np.float64]) -> Indices:
        return ops.assign(scores, self.threads)

    def match_neurons(
        self, weights: tuple[Weights, Weights], pairs: Sequence[NeuronPair], orbit: Orbit
    ) -> list[NeuronMatch]:
        return match_pairs(weights, pairs, orbit, self.threads)

    def cross_gram(self, left: Rows, right: Rows) -> reference.CrossGram:
        rows = [_row(*one) for one in left]
        return ops.cross_gram(rows, rows if left is right else [_row(*one) for one in right], self.threads)

    def forget(self) -> None:
        """Nothing is held: pages of the mapping were given back as each MLP was done."""


def _row(shards: Shards, view: View) -> ops.Operand:
    """One row of all elements."""
    return ops.Operand(shards[view.shard], view.offset, view.dtype, (1, *view.shape), (view.nbytes, *view.strides))

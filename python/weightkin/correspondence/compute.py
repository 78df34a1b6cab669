"""Where the heavy work of a search is done: on this processor, or on a device that does the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import ops, reference
from ..devices import Device, HostDevice
from .alignment import Indices
from .mlps import MlpLayer, Weights
from .neurons import NeuronMatch, NeuronPair, match_pairs
from .orbit import Array, Floats, Orbit, lag_scores
from .probe import probe

OnBytes = Callable[[int], None]
Descriptors = Any
"""Of the MLPs of a layer, float32 [E, m, K]: a numpy array, or one that the device holds which made it."""


class Compute(Protocol):
    """Only what costs: everything else of a search is numpy, the same for all. Used by one thread at a time.

    All but `forget` raise `DeviceError` when the device, not the input, is at fault.
    """

    device: Device

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

    def cross_gram(self, left: Sequence[ops.Operand], right: Sequence[ops.Operand]) -> reference.CrossGram:
        """As `ops.cross_gram`."""
        ...

    def forget(self) -> None:
        """Gives back what is held of the layers that were probed: the search goes on to others, or was given up."""
        ...


class HostCompute:
    """This processor, by `ops` and numpy. Results do not depend on `threads`."""

    def __init__(self, device: HostDevice) -> None:
        self.device: Device = device
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

    def cross_gram(self, left: Sequence[ops.Operand], right: Sequence[ops.Operand]) -> reference.CrossGram:
        return ops.cross_gram(left, right, self.threads)

    def forget(self) -> None:
        """Nothing is held: pages of the mapping were given back as each MLP was done."""

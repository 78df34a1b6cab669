"""What an expert is known by in a search: an array on which relabelling model B's channels is a shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..schema import Model
from ..statistics.null import generator
from .compute import Compute, Descriptors, OnBytes
from .layer_match import By
from .mlps import PARTS, MlpLayer, MlpViews, Place, Weights, mlp_layers
from .orbit import Floats, Orbit

SAMPLED_NEURONS = 16
"""Of each expert, where experts are matched by their weights in place."""


class Side:
    """One model: its weights and the layers that have MLPs."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.weights = Weights(model)
        self.layers = mlp_layers(model)

    def descriptors(
        self, place: Place, by: By, seed: int, compute: Compute, on_bytes: OnBytes
    ) -> tuple[MlpLayer, Descriptors]:
        """The MLPs that take part and their descriptors [E, m, K]."""
        layer = self.layers[place]
        orbit = Orbit.of(layer.width)
        if by == "probe":
            return layer, compute.probe(self.weights, layer, orbit, seed, on_bytes)
        routed = MlpLayer(*place, layer.mlps[: layer.routed], layer.router, layer.activation)
        if by == "router":
            assert layer.router is not None
            on_bytes(layer.router.nbytes)
            return routed, router_rows(self.weights, layer, orbit)
        fewest = min((mlp.neurons for mlp in routed.mlps), default=0)
        # The same for both models, as long as their experts are of one width.
        neurons = np.sort(generator(seed, "neurons", fewest).permutation(fewest)[:SAMPLED_NEURONS])
        rows = read_rows(self.weights, routed.mlps, neurons)
        on_bytes(rows.nbytes)
        return routed, unit_rows(orbit, rows)


def router_rows(weights: Weights, layer: MlpLayer, orbit: Orbit) -> Floats:
    """[E, m, step]: balanced router rows."""
    assert layer.router is not None
    return unit_rows(orbit, weights.array(layer.router)[:, None, :])


def unit_rows(orbit: Orbit, rows: Floats) -> Floats:
    """[E, n, d] -> [E, m, n * step]: channels centred and of norm 1 over the experts, then experts of norm 1.

    Centred, because a softmax over experts does not see what all its rows share.
    """
    rows = rows - rows.mean(axis=0) if len(rows) > 1 else rows
    norm = np.sqrt(np.square(rows).sum(axis=(0, 1)))
    rows = rows * np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
    norm = np.sqrt(np.square(rows).sum(axis=(1, 2), keepdims=True))
    rows = rows * np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
    blocks = orbit.blocks(rows).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks.reshape(len(rows), orbit.size, -1))


def read_rows(weights: Weights, mlps: Sequence[MlpViews], neurons: npt.NDArray[np.int64]) -> Floats:
    """[E, 3n, d]: some neurons' rows of gate and up and columns of down."""
    rows = []
    for mlp in mlps:
        parts = [weights.raw(mlp.views[part]) for part in PARTS]
        picked = [parts[0][neurons], parts[1][neurons], parts[2][:, neurons].T]
        rows.append(np.concatenate([part.astype(np.float32) for part in picked]))
    return np.stack(rows)

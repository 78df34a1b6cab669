"""What was found to correspond: for parts of model B, the parts of model A that they match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


class Mlp(NamedTuple):
    """One gated MLP of a model: a routed expert, a shared expert or a dense layer's."""

    component: str
    layer: int
    kind: str
    """Prefix of its roles: "expert", "shared_expert" or "mlp"."""
    expert: int | None
    """Number of a routed expert; else None."""


class MlpMatch(NamedTuple):
    """The MLP of A that one of B matches."""

    mlp: Mlp
    neurons: Indices | None
    """[I_B]: the neuron of A that each neuron of B matches, -1 for none; None: the same order."""


class HeadMatch(NamedTuple):
    """How the attention heads of one layer of B match those of its layer of A."""

    groups: Indices
    """[G_B]: the key/value head of A that each of B matches, -1 for none."""
    queries: Indices
    """[H_B]: the query head of A that each of B matches, -1 for none."""


@dataclass(frozen=True)
class Alignment:
    """Maps from parts of B to parts of A. What is in none of them is compared in place.

    `layers` is for each component: layer of B -> layer of A; a layer of B that is missing there (or whose component has a
    map that lacks it) has no counterpart. Maps need not be one to one. Experts of a layer: those of `mlps`.
    """

    layers: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    mlps: Mapping[Mlp, MlpMatch] = field(default_factory=dict)
    heads: Mapping[tuple[str, int], HeadMatch] = field(default_factory=dict)
    """By component and layer of B."""

    def layer_of(self, component: str, layer: int) -> int | None:
        """The layer of A that a layer of B is compared with; None if there is none."""
        found = self.layers.get(component)
        return layer if found is None else found.get(layer)

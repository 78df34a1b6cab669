"""The gated MLPs of a model, layer by layer: routed experts, shared experts, dense layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ops
from ..checkpoint.mapping import Shards
from ..schema import Model
from ..view import FLOAT_DTYPES, View
from .activation import Activation, activation_of
from .alignment import Mlp

Floats = npt.NDArray[np.float32]
Place = tuple[str, int]
"""Component and layer."""

KINDS = ("expert", "shared_expert", "mlp")
"""Prefixes of the roles of MLPs, in the order in which a layer lists them."""
PARTS = ("gate", "up", "down")


@dataclass(frozen=True)
class MlpViews:
    """One MLP and where its matrices lie: gate and up [neuron, residual], down [residual, neuron]."""

    mlp: Mlp
    views: Mapping[str, View]
    """By part: gate, up, down, and perhaps gate.bias, up.bias, down.bias."""

    @property
    def neurons(self) -> int:
        return self.views["gate"].shape[0]

    @property
    def width(self) -> int:
        """Channels of the residual stream."""
        return self.views["gate"].shape[1]

    @property
    def nbytes(self) -> int:
        return sum(self.views[part].nbytes for part in PARTS)

    @property
    def parameters(self) -> int:
        return sum(self.views[part].size for part in PARTS)


@dataclass(frozen=True)
class MlpLayer:
    """The MLPs of one layer that can be read, and its router."""

    component: str
    layer: int
    mlps: tuple[MlpViews, ...]
    router: View | None
    """[expert, residual]"""
    activation: Activation

    @property
    def routed(self) -> int:
        """Number of routed experts; they come first."""
        return sum(one.mlp.kind == "expert" for one in self.mlps)

    @property
    def width(self) -> int:
        return self.mlps[0].width

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.mlps)


def mlp_layers(model: Model) -> dict[Place, MlpLayer]:
    """Every layer that has a gated MLP with readable gate, up and down of one residual width, in order."""
    views: dict[Place, dict[Mlp, dict[str, View]]] = defaultdict(lambda: defaultdict(dict))
    routers: dict[Place, View] = {}
    for slot in model.slots:
        component, layer, role, expert = slot.address
        if layer is None or slot.view is None or slot.untested is not None or slot.view.dtype not in FLOAT_DTYPES:
            continue
        kind, _, part = role.partition(".")
        if role == "router":
            routers[component, layer] = slot.view
        elif kind in KINDS and part.removesuffix(".bias") in PARTS:
            views[component, layer][Mlp(component, layer, kind, expert)][part] = slot.view
    out = {}
    for place in sorted(views):
        whole = [MlpViews(mlp, parts) for mlp, parts in views[place].items() if _fits(parts)]
        whole = [one for one in whole if one.width == whole[0].width]
        if whole:
            ordered = sorted(whole, key=lambda one: (KINDS.index(one.mlp.kind), one.mlp.expert or 0))
            router = routers.get(place)
            fits = router is not None and router.shape == (_experts(ordered), whole[0].width)
            activation = activation_of(model, place[0])
            out[place] = MlpLayer(*place, tuple(ordered), router if fits else None, activation)
    return out


def _fits(parts: Mapping[str, View]) -> bool:
    if any(part not in parts for part in PARTS):
        return False
    gate, up, down = (parts[part].shape for part in PARTS)
    return gate == up == down[::-1] and min(gate) > 0


def _experts(mlps: Sequence[MlpViews]) -> int:
    return sum(one.mlp.kind == "expert" for one in mlps)


class Weights:
    """The mapped weights of a model, as operands and as float32 copies. Safe to share between threads."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shards = Shards(model.checkpoint)

    def operand(self, view: View) -> ops.Operand:
        return ops.Operand(self.shards[view.shard], view.offset, view.dtype, view.shape, view.strides)

    def array(self, view: View) -> Floats:
        """A copy; what is not finite becomes 0, because one such element would hide an expert from every search."""
        found = np.array(self.shards.array(view), dtype=np.float32, order="C")
        if not np.isfinite(found.sum(dtype=np.float64)):
            np.nan_to_num(found, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return found

    def raw(self, view: View) -> np.ndarray[Any, np.dtype[Any]]:
        """The mapped elements."""
        return self.shards.array(view)

    def prefetch(self, mlp: MlpViews) -> None:
        for part in PARTS:
            self.shards[mlp.views[part].shard].prefetch(*mlp.views[part].extent)

    def release(self, mlp: MlpViews) -> None:
        """Gives the pages back, and refuses what was computed from a file that shrank meanwhile."""
        for part in PARTS:
            mapping = self.shards[mlp.views[part].shard]
            if mapping.faulted:
                self.shards.check()
            mapping.release(*mlp.views[part].extent)

    def check(self) -> None:
        """Refuses everything computed if a file was written to meanwhile."""
        self.shards.check()

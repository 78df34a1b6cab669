"""Weights on a device: copied when they are first asked for, and kept while the layers in hand need them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from ..checkpoint.mapping import Shards
from ..devices.torch_lanes import Lane, TorchLanes
from ..devices.torch_sweep import DTYPES
from ..view import View
from .alignment import Mlp
from .compute import Rows
from .mlps import MlpLayer, MlpViews, Weights
from .torch_probe import Parts


class TorchWeights:
    """The MLPs of a few layers, as long as they fit in `memory` bytes; what does not is copied whenever it is asked for."""

    def __init__(self, device: TorchLanes, memory: int) -> None:
        self._device, self._memory, self._free = device, memory, memory
        self._held: dict[tuple[int, Mlp], Parts] = {}

    def reserve(self, layer: MlpLayer) -> bool:
        """Whether there is room for all of a layer, which is taken then."""
        fits = layer.nbytes <= self._free
        self._free -= layer.nbytes * fits
        return fits

    def forget(self) -> None:
        self._held.clear()
        self._free = self._memory

    def mlps(self, weights: Weights, wanted: Sequence[MlpViews], lane: Lane, keep: bool = False) -> list[Parts]:
        """All tensors of each; what is not there yet is asked for at once, so that the link has no rest."""
        found = {mlp.mlp: self._held[id(weights), mlp.mlp] for mlp in wanted if (id(weights), mlp.mlp) in self._held}
        absent = list({mlp.mlp: mlp for mlp in wanted if mlp.mlp not in found}.values())
        tensors = iter(self._copies(weights.shards, [view for mlp in absent for view in mlp.views.values()], lane))
        for mlp in absent:
            found[mlp.mlp] = {part: next(tensors) for part in mlp.views}
            weights.release(mlp)
            if keep:
                self._held[id(weights), mlp.mlp] = found[mlp.mlp]
        return [found[mlp.mlp] for mlp in wanted]

    def rows(self, rows: Rows, lane: Lane) -> list[torch.Tensor]:
        """Each flat."""
        numbers: dict[Shards, list[int]] = defaultdict(list)
        for number, (shards, _) in enumerate(rows):
            numbers[shards].append(number)
        found: dict[int, torch.Tensor] = {}
        for shards, of_them in numbers.items():
            copies = self._copies(shards, [rows[number][1] for number in of_them], lane)
            found |= zip(of_them, copies, strict=True)
        return [found[number].reshape(-1) for number in range(len(rows))]

    def _copies(self, shards: Shards, views: Sequence[View], lane: Lane) -> list[torch.Tensor]:
        """bfloat16, float16 or float32: 8-bit floats are widened, which is exact, and float64 is rounded."""
        loaded = iter(self._device.load(shards, [view for view in views if view.dtype in DTYPES], lane))
        out = []
        for view in views:
            if view.dtype in DTYPES:
                tensor = next(loaded)
                out.append(tensor.to(torch.bfloat16) if tensor.element_size() == 1 else tensor)
            else:
                out.append(torch.from_numpy(shards.array(view).astype(np.float32)).to(self._device.device))
        return out

"""A GPU that searches: a layer's weights cross the link once and stay until the pair of layers is done.

Bits differ from the host's: sums are added in another order, so a product differs by some 1e-6 of its magnitude, an element
rounded to bf16 now and then by its last bit, and of neurons (or experts) that match nothing now and then one gets another
partner. What is clear on one side of a threshold stays there: a match lies several deviations above all relabelled copies, and
copies are searched on the same device. Devices of one kind give the same bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import ops, reference
from ..checkpoint.mapping import Shards
from ..devices.torch_device import Lane, TorchDevice
from ..devices.torch_sweep import DTYPES
from ..kernels.cross_gram import cross_gram
from ..view import View
from . import torch_neurons, torch_probe
from .alignment import Indices, Mlp
from .compute import OnBytes, Rows
from .mlps import MlpLayer, MlpViews, Weights
from .neurons import NeuronMatch, NeuronPair
from .orbit import Array, Floats, Orbit
from .probe import ROWS, inputs, scale_of, scaling

AT_ONCE = 16
"""MLPs of one shape that are probed in one call."""


class TorchCompute:
    """`threads` cores help: with assignments that are too few to ask the device for."""

    slab = 512 << 20
    """Launching takes the same time for few rows as for many."""

    def __init__(self, device: TorchDevice, threads: int, memory: int) -> None:
        """`memory`: bytes of weights that may stay on the device; as much again is used for what is computed from them.

        A layer that does not fit is copied again whenever it is asked for: twice for probes, and once for neurons.
        """
        self.device = device
        self._threads, self._memory = threads, memory
        self._held: dict[tuple[int, Mlp], torch_probe.Parts] = {}
        self._free = memory

    def probe(self, weights: Weights, layer: MlpLayer, orbit: Orbit, seed: int, on_bytes: OnBytes) -> torch.Tensor:
        with self.device.lane() as lane, self.device.interpreting:
            keep = layer.nbytes <= self._free
            self._free -= layer.nbytes * keep

            def load(mlp: MlpViews) -> torch_probe.Parts:
                return self._load(weights, mlp, lane, keep)

            total = self._tensor(np.zeros((2, layer.width)))
            for mlp in scaling(layer):
                parts = load(mlp)
                total += torch.stack([torch_probe.mean_squares(parts[part][:ROWS]) for part in ("gate", "up")])
            gate, up = total.cpu().numpy()
            x = self._tensor(inputs(orbit, seed) * scale_of(gate / len(scaling(layer)), up))
            answered = x.new_empty(len(layer.mlps), *x.shape)
            for numbers in _alike(layer.mlps):
                some = layer.mlps[numbers]
                answered[numbers] = torch_probe.answers([load(mlp) for mlp in some], x, layer.activation)
                on_bytes(sum(mlp.nbytes for mlp in some))
            return torch_probe.balanced(answered, orbit)

    def sketch(self, descriptors: torch.Tensor, chosen: Indices) -> Floats:
        with self.device.lane(), self.device.interpreting:
            picked: Floats = descriptors[:, :, self._tensor(chosen)].cpu().numpy()
            return picked

    def lag_scores(self, a: torch.Tensor | Floats, b: torch.Tensor | Floats) -> Array:
        with self.device.lane(), self.device.interpreting:
            x, y = (one if isinstance(one, torch.Tensor) else self._tensor(one) for one in (a, b))
            scores: Array = torch_probe.lag_scores(x, y).cpu().numpy()
            return scores

    def assign(self, scores: npt.NDArray[np.float64]) -> Indices:
        return ops.assign(scores, self._threads)

    def match_neurons(
        self, weights: tuple[Weights, Weights], pairs: Sequence[NeuronPair], orbit: Orbit
    ) -> list[NeuronMatch]:
        with self.device.lane() as lane, self.device.interpreting:

            def load(pair: NeuronPair) -> tuple[torch_probe.Parts, torch_probe.Parts]:
                return self._load(weights[0], pair.a, lane), self._load(weights[1], pair.b, lane)

            return torch_neurons.match_pairs(pairs, orbit, load, self._assign_each, self._memory // 2)

    def cross_gram(self, left: Rows, right: Rows) -> reference.CrossGram:
        with self.device.lane() as lane, self.device.interpreting:
            x = self._rows(left, lane)
            y = x if left is right else self._rows(right, lane)
            dtype = _meeting(x if y is x else x + y)
            x_rows = torch.stack([one.to(dtype) for one in x])
            y_rows = x_rows if y is x else torch.stack([one.to(dtype) for one in y])
            found = cross_gram(x_rows, y_rows)
            return reference.CrossGram(*(one.cpu().numpy() for one in found))

    def forget(self) -> None:
        self._held.clear()
        self._free = self._memory

    def _load(self, weights: Weights, mlp: MlpViews, lane: Lane, keep: bool = False) -> torch_probe.Parts:
        """All of an MLP's tensors on the device."""
        held = self._held.get((id(weights), mlp.mlp))
        if held is None:
            tensors = self._copies(weights.shards, list(mlp.views.values()), lane)
            held = dict(zip(mlp.views, tensors, strict=True))
            weights.release(mlp)
            if keep:
                self._held[id(weights), mlp.mlp] = held
        return held

    def _copies(self, shards: Shards, views: Sequence[View], lane: Lane) -> list[torch.Tensor]:
        """bfloat16, float16 or float32: 8-bit floats are widened, which is exact, and float64 is rounded."""
        known = [view for view in views if view.dtype in DTYPES]
        loaded = iter(self.device.load(shards, known, lane))
        out = []
        for view in views:
            if view.dtype in DTYPES:
                tensor = next(loaded)
                out.append(tensor.to(torch.bfloat16) if tensor.element_size() == 1 else tensor)
            else:
                out.append(self._tensor(shards.array(view).astype(np.float32)))
        return out

    def _rows(self, rows: Rows, lane: Lane) -> list[torch.Tensor]:
        """Each flat."""
        by_shards: dict[int, list[int]] = defaultdict(list)
        for number, (shards, _) in enumerate(rows):
            by_shards[id(shards)].append(number)
        tensors: dict[int, torch.Tensor] = {}
        for numbers in by_shards.values():
            copies = self._copies(rows[numbers[0]][0], [rows[number][1] for number in numbers], lane)
            tensors |= dict(zip(numbers, copies, strict=True))
        return [tensors[number].reshape(-1) for number in range(len(rows))]

    def _assign_each(self, scores: Sequence[torch.Tensor]) -> list[Indices]:
        """Those of one shape together."""
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for number, one in enumerate(scores):
            by_shape[one.shape].append(number)
        out: dict[int, Indices] = {}
        for numbers in by_shape.values():
            out |= zip(numbers, self._assign(torch.stack([scores[number] for number in numbers])), strict=True)
        return [out[number] for number in range(len(scores))]

    def _assign(self, scores: torch.Tensor) -> Indices:
        """[K, B] of [K, A, B]."""
        if scores.device.type != "cuda":
            return ops.assign(scores.numpy(), self._threads)
        from .. import _cuda

        problems, rows, columns = scores.shape
        found = torch.empty(problems, columns, dtype=torch.int64, device=scores.device)
        stream = torch.cuda.current_stream(scores.device).cuda_stream
        _cuda.assign(scores.data_ptr(), problems, rows, columns, False, found.data_ptr(), stream)
        permutations: Indices = found.cpu().numpy()
        return permutations

    def _tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device.device)


def _meeting(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """In which all are exact."""
    dtypes = {one.dtype for one in tensors}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


def _alike(mlps: Sequence[MlpViews]) -> Iterator[slice]:
    """Neighbours of one shape, storage and dtype, at most `AT_ONCE`."""

    def form(mlp: MlpViews) -> object:
        return sorted((part, view.dtype, view.shape, view.strides) for part, view in mlp.views.items())

    first = 0
    for _, same in groupby(mlps, form):
        last = first + len(list(same))
        for start in range(first, last, AT_ONCE):
            yield slice(start, min(start + AT_ONCE, last))
        first = last

"""A GPU that searches: a layer's weights cross the link once and stay until the pair of layers is done.

Bits differ from the host's: sums are added in another order, so a product differs by some 1e-6 of its magnitude, an element
rounded to bf16 now and then by its last bit, and of neurons (or experts) that match nothing now and then one gets another
partner. What is clear on one side of a threshold stays there: a match lies several deviations above all relabelled copies, and
copies are searched on the same device. Devices of one kind give the same bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import ops, reference
from ..devices.torch_device import TorchDevice
from ..kernels.cross_gram import cross_gram
from . import torch_neurons, torch_probe
from .alignment import Indices
from .compute import OnBytes, Rows
from .mlps import MlpLayer, MlpViews, Weights
from .neurons import NeuronMatch, NeuronPair
from .orbit import Array, Floats, Orbit
from .probe import ROWS, inputs, scale_of, scaling
from .torch_weights import TorchWeights

AT_ONCE = 16
"""MLPs of one shape that are copied and probed together."""


class TorchCompute:
    """`threads` cores help: with assignments that are too few to ask the device for."""

    slab = 512 << 20
    """Launching takes the same time for few rows as for many."""

    def __init__(self, device: TorchDevice, threads: int, memory: int) -> None:
        """`memory`: bytes of weights that may stay on the device; as much again is used for what is computed from them.

        A layer that does not fit is copied four times: twice for probes, and twice for neurons.
        """
        self.device = device
        self._threads, self._memory = threads, memory
        self._weights = TorchWeights(device, memory)

    def probe(self, weights: Weights, layer: MlpLayer, orbit: Orbit, seed: int, on_bytes: OnBytes) -> torch.Tensor:
        with self.device.lane() as lane, self.device.interpreting:
            keep = self._weights.reserve(layer)

            def load(mlps: Sequence[MlpViews]) -> list[torch_probe.Parts]:
                return self._weights.mlps(weights, mlps, lane, keep)

            total = self._tensor(np.zeros((2, layer.width)))
            for some in _alike(scaling(layer)):
                for parts in load(some):
                    total += torch.stack([torch_probe.mean_squares(parts[part][:ROWS]) for part in ("gate", "up")])
            gate, up = total.cpu().numpy()
            x = self._tensor(inputs(orbit, seed) * scale_of(gate / len(scaling(layer)), up))
            answered = x.new_empty(len(layer.mlps), *x.shape)
            done = 0
            for some in _alike(layer.mlps):
                answered[done : done + len(some)] = torch_probe.answers(load(some), x, layer.activation)
                done += len(some)
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

            def load(side: int, mlps: Sequence[MlpViews]) -> list[torch_probe.Parts]:
                return self._weights.mlps(weights[side], mlps, lane)

            return torch_neurons.match_pairs(pairs, orbit, load, self._assign_each, self._memory // 2)

    def cross_gram(self, left: Rows, right: Rows) -> reference.CrossGram:
        with self.device.lane() as lane, self.device.interpreting:
            x = self._weights.rows(left, lane)
            y = x if left is right else self._weights.rows(right, lane)
            dtype = _meeting(x if y is x else x + y)
            x_rows = torch.stack([one.to(dtype) for one in x])
            y_rows = x_rows if y is x else torch.stack([one.to(dtype) for one in y])
            found = cross_gram(x_rows, y_rows)
            return reference.CrossGram(*(one.cpu().numpy() for one in found))

    def forget(self) -> None:
        self._weights.forget()

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


def _alike(mlps: Sequence[MlpViews]) -> Iterator[Sequence[MlpViews]]:
    """Neighbours of one shape, storage and dtype, at most `AT_ONCE`."""

    def form(mlp: MlpViews) -> object:
        return sorted((part, view.dtype, view.shape, view.strides) for part, view in mlp.views.items())

    for _, same in groupby(mlps, form):
        while some := list(islice(same, AT_ONCE)):
            yield some

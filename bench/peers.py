"""The same job by other libraries, each the way its users do it. A library that is not installed gives None."""

from __future__ import annotations

import ctypes
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .models import Array, Models, Slab
from .registry import Run

if TYPE_CHECKING:
    import torch

Cosines = npt.NDArray[np.float64]


def torch_published(models: Models, threads: int) -> Run | None:
    """Cosine and Pearson of each tensor as the published notebooks have them: float32 copies, `F.cosine_similarity`.

    Returns [tensors, 2].
    """
    if find_spec("torch") is None:
        return None
    import torch

    tensors = [(_to_torch(x), _to_torch(y)) for x, y in models.tensors()]

    def run() -> Cosines:
        torch.set_num_threads(threads)
        return np.array([_published(x.float(), y.float()) for x, y in tensors])

    return run


def torch_seven(models: Models, threads: int) -> Run | None:
    """The seven metrics of a published three-model comparison. Returns [tensors, 7], cosine and Pearson first."""
    if find_spec("torch") is None:
        return None
    import torch

    tensors = [(_to_torch(x), _to_torch(y)) for x, y in models.tensors()]

    def metrics(x: torch.Tensor, y: torch.Tensor) -> list[float]:
        gap = (x - y).abs()
        spread = (x.std() / x.mean().abs() - y.std() / y.mean().abs()).abs()
        percentile = gap.kthvalue(max(1, round(0.99 * gap.numel()))).values
        relative = (x - y).norm() / x.norm()
        return [*_published(x, y), float(gap.mean()), float(relative), float(spread), float(percentile)]

    def run() -> Cosines:
        torch.set_num_threads(threads)
        return np.array([metrics(x.float(), y.float()) for x, y in tensors])

    return run


def torch_gram(models: Models, threads: int) -> Run | None:
    """All inner products and sums of N models by a float32 matrix product. Returns cosines [tensors, N, N]."""
    if find_spec("torch") is None:
        return None
    import torch

    tensors = [[_to_torch(x) for x in tensor] for tensor in models.tensors()]

    def cosines(rows: list[torch.Tensor]) -> Cosines:
        stacked = torch.stack([row.float() for row in rows])
        gram = (stacked @ stacked.T).double().numpy()
        norms = np.sqrt(np.diag(gram))
        return np.asarray(gram / np.outer(norms, norms))

    def run() -> Cosines:
        torch.set_num_threads(threads)
        return np.array([cosines(rows) for rows in tensors])

    return run


def numkong_cosine(models: Models) -> Run | None:
    """The cosine of each block by NumKong's bf16 kernel, called by all threads. Returns [blocks].

    By the kernel's address: the library's own Python function holds the interpreter lock, so threads would not help.
    """
    if find_spec("numkong") is None:
        return None
    import numkong

    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    kernels = {
        "BF16": signature(numkong.pointer_to_angular("bf16")),
        "F32": signature(numkong.pointer_to_angular("f32")),
    }
    results = {"BF16": np.float32, "F32": np.float64}

    def distances(slab: Slab) -> Cosines:
        dtype = slab.operands[0].dtype
        kernel, out = kernels[dtype], np.empty(len(slab.bounds) - 1, results[dtype])
        for block in range(len(out)):
            x, y = slab.rows(block)
            kernel(x.ctypes.data, y.ctypes.data, x.size, out[block:].ctypes.data)
        return 1 - out.astype(np.float64)

    return lambda: np.concatenate(models.spread(distances))


def torch_product(x: Array, y: Array, threads: int) -> Run | None:
    """Inner products of bf16 rows [M, n] with [N, n], rounded to bf16. Returns [M, N]."""
    if find_spec("torch") is None:
        return None
    import torch

    left, right = (_to_torch(matrix) for matrix in (x, y))

    def run() -> torch.Tensor:
        torch.set_num_threads(threads)
        return left @ right.T

    return run


def numpy_float32(models: Models) -> Run:
    """Cosine and Pearson of each block in float32 numpy, by all threads. Returns [blocks, 2]."""

    def block_of(slab: Slab, block: int) -> list[float]:
        x, y = (row.astype(np.float32) for row in slab.rows(block))
        return [_cosine(x, y), _cosine(x - x.mean(), y - y.mean())]

    def both(slab: Slab) -> list[list[float]]:
        return [block_of(slab, block) for block in range(len(slab.bounds) - 1)]

    return lambda: np.concatenate([np.array(found) for found in models.spread(both)])


def _cosine(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> float:
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _published(x: torch.Tensor, y: torch.Tensor) -> list[float]:
    from torch.nn.functional import cosine_similarity

    centred = cosine_similarity(x - x.mean(), y - y.mean(), dim=0)
    return [float(cosine_similarity(x, y, dim=0)), float(centred)]


def _to_torch(array: Array) -> torch.Tensor:
    """A mapped array as a tensor, not copied; torch knows no numpy bfloat16."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        if array.dtype.itemsize == 2:
            return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
        return torch.from_numpy(array)

"""Native parts of weightkin: guarded file mappings and CPU kernels."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

CHUNK: int
MAX_ROWS: int
BINS: int
INSTRUCTION_SETS: tuple[str, ...]  # of this machine, best first

class Mapping(Buffer):
    def __init__(self, path: str) -> None: ...
    def __len__(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def faulted(self) -> bool: ...
    def prefetch(self, begin: int, end: int) -> None: ...
    def release(self, begin: int, end: int) -> None: ...

Readable = Mapping | npt.NDArray[Any] | bytes | memoryview

Operand = tuple[
    Readable,
    int,
    str,
    Sequence[int],
    Sequence[int],
    npt.NDArray[np.int64] | None,
    npt.NDArray[np.float32] | None,
    int,
    int,
]

class SweepArrays(TypedDict):
    gram: npt.NDArray[np.float64]
    sum: npt.NDArray[np.float64]
    sum_abs: npt.NDArray[np.float64]
    sum_square: npt.NDArray[np.float64]
    max_abs: npt.NDArray[np.float64]
    unequal: npt.NDArray[np.int64]
    nans: npt.NDArray[np.int64]
    infinities: npt.NDArray[np.int64]
    quantile: npt.NDArray[np.float64]
    histogram: npt.NDArray[np.int64]

def instruction_set() -> str: ...
def use_instruction_set(name: str) -> None: ...
def sweep(
    operands: Sequence[Operand],
    bounds: Sequence[int] | npt.NDArray[np.int64],
    tile: int,
    gram: bool,
    difference: bool,
    whole_histogram: bool,
) -> SweepArrays: ...
def read(buffer: Readable, begin: int, end: int) -> int: ...
def fma(flops: int) -> int: ...
def lagged(
    operands: Sequence[Operand],
    axis: int,
    lines: npt.NDArray[np.int64],
    lags: npt.NDArray[np.uint32],
) -> npt.NDArray[np.float64]: ...
def assign(scores: npt.NDArray[np.float32] | npt.NDArray[np.float64], threads: int) -> npt.NDArray[np.int64]: ...
def cross_gram(
    left: Sequence[Operand], right: Sequence[Operand], symmetric: bool, threads: int
) -> tuple[
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]: ...

"""Native parts of weightkin: guarded file mappings, the ring that copies from them, and CPU kernels."""

from collections.abc import Sequence
from typing import Any, TypedDict, final, overload

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

@final
class Transport:
    """What copies the filled slots of a ring on, made by `_cuda.transport`."""

@final
class Ticket:
    """A copy that was submitted to a ring."""

class Ring:
    """Threads copy ranges of mapped files into slots; each filled slot is copied on, to ordinary memory or to a device.

    Requests are copied in the order of their submission, by threads that never need the GIL. A stream is a device's
    stream as an integer (0 is its default stream), None stands for no stream; a ring to ordinary memory takes no notice.
    """

    @overload
    def __init__(self, slots: int = 3, slot_bytes: int = 1 << 25, threads: int = 8) -> None: ...
    @overload
    def __init__(self, transport: Transport, threads: int = 8) -> None: ...
    def submit(self, mapping: Mapping, offset: int, nbytes: int, pointer: int, stream: int | None = 0) -> Ticket:
        """Asks for `nbytes` from `offset` of the mapping at the address `pointer`; never waits for a slot.

        The mapping is kept until then; what lies at `pointer` the caller keeps until it arrived or the ring is closed.
        What is on `stream` by now may still use it: the copy waits for that. Raises ValueError for a range outside the
        file and RuntimeError if the ring is closed.
        """

    def submit_ranges(
        self,
        mapping: Mapping,
        offsets: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64] | int,
        pointer: int,
        stream: int | None = 0,
    ) -> Ticket:
        """The same of many ranges, of one length or each of its own, which then lie one behind the other."""

    def wait(self, ticket: Ticket, stream: int | None = 0) -> None:
        """Blocks until the copy has begun and makes `stream` wait for its end; without a stream, until it has ended.

        Raises what went wrong: OSError if the file shrank, RuntimeError if the device failed or the ring was closed.
        """

    def drain(self) -> None:
        """Blocks until everything submitted has arrived; raises the first error that no `wait` has raised."""

    def close(self) -> None:
        """Gives up what has not been copied and ends the threads; afterwards nothing touches a destination."""

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
def assign_team(
    scores: npt.NDArray[np.float32] | npt.NDArray[np.float64], team: int, transposed: bool = False
) -> npt.NDArray[np.int64]:
    """What a GPU runs for problems [problems, rows, columns], rows <= columns, by a team of CPU threads; slow, for tests.

    Where rows are more than columns it takes them `transposed`.
    """

def cross_gram(
    left: Sequence[Operand], right: Sequence[Operand], symmetric: bool, threads: int
) -> tuple[
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]: ...

"""Runs a plan: reads ahead in file order, computes on threads, gives pages back; memory stays bounded.

Readers bring a slab (consecutive blocks of one unit) into memory, workers compute it, the caller's thread collects.
Slabs change nothing in the numbers: every block is computed as if alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from queue import SimpleQueue
from threading import Lock

import numpy as np
import numpy.typing as npt

from . import ops
from .checkpoint.mapping import Shards
from .plan import Plan
from .relabelling import Relabellings
from .similarity import magnitude_values, weighted_quantile
from .units import Unit
from .view import View

SLAB = 16 << 20
"""Bytes of all members together that one call computes; a slab is at least one block."""
READERS = 4
"""Threads that wait for storage: more of them keep a fast disk's queue full, and they need no core."""
READ = 4 << 20
"""Bytes that a reader asks for at a time."""
WINDOW = 512 << 20
"""Bytes read ahead or being computed, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Slab:
    unit: Unit
    first: int
    """Blocks [first, last) of the unit."""
    last: int

    @property
    def nbytes(self) -> int:
        elements = int(self.unit.bounds[self.last] - self.unit.bounds[self.first])
        return elements * self.unit.nbytes // self.unit.parameters

    def views(self) -> Sequence[View]:
        """The rows of axis 0 that the slab covers, of each member."""
        row = self.unit.parameters // self.unit.views[0].shape[0] if self.unit.views[0].shape else 1
        start, stop = (int(self.unit.bounds[block]) // row for block in (self.first, self.last))
        return [view.narrow(0, start, stop - start) if view.shape else view for view in self.unit.views]


def slabs_of(unit: Unit) -> list[Slab]:
    """The unit's blocks in runs of about `SLAB` bytes."""
    limit = SLAB * unit.parameters // unit.nbytes
    edges = [0]
    for block in range(1, len(unit.bounds) - 1):
        if unit.bounds[block + 1] - unit.bounds[edges[-1]] > limit:
            edges.append(block)
    edges.append(len(unit.bounds) - 1)
    return [Slab(unit, first, last) for first, last in pairwise(edges)]


class _Machine:
    """The shards of all models and what a thread does with them."""

    def __init__(self, plan: Plan, relabellings: Relabellings) -> None:
        self._shards = [Shards(model.checkpoint) for model in plan.models]
        self._relabellings = relabellings
        self._parts: dict[int, dict[int, ops.Sweep]] = defaultdict(dict)
        """Of units that are not done: first block -> what a slab found."""
        self._lock = Lock()

    def read(self, slab: Slab) -> None:
        if slab.unit.rows and slab.unit.gather_axis == 0:
            return  # scattered: to ask for the range around them would read much more than they are
        for model, view in zip(slab.unit.members, slab.views(), strict=True):
            begin, end = view.extent
            for at in range(begin, end, READ):
                self._shards[model][view.shard].prefetch(at, min(at + READ, end))

    def compute(self, slab: Slab) -> ops.Sweep | None:
        """Sweeps a slab; the thread that does a unit's last one adds the null and returns the whole unit."""
        unit = slab.unit
        found = ops.sweep(self._operands(unit), unit.bounds[slab.first : slab.last + 1])
        self._finish(unit.members, slab.views())
        with self._lock:
            parts = self._parts[unit.index]
            parts[slab.first] = found
            if sum(len(part.sum) for part in parts.values()) < len(unit.bounds) - 1:
                return None
            del self._parts[unit.index]
        return self._relabel(
            unit, self._with_quantile(unit, ops.concatenate([parts[first] for first in sorted(parts)]))
        )

    def _with_quantile(self, unit: Unit, found: ops.Sweep) -> ops.Sweep:
        """Sets the percentile of the whole tensor, which is all that its histogram is for."""
        if not unit.is_float:
            return found
        quantile = ops.tensor_quantiles(found, unit.meeting_dtype)
        if quantile is None:  # a tensor of very uneven blocks, or nearly all zeros: count it once more
            values = magnitude_values(unit.meeting_dtype)
            quantile = np.array([weighted_quantile(values, counts, ops.QUANTILE) for counts in self._histogram(unit)])
        return replace(found, tensor_quantile=quantile, histogram=found.histogram[:, :0])

    def _histogram(self, unit: Unit) -> npt.NDArray[np.int64]:
        """[N, 32768]: of all magnitudes."""
        counts = np.zeros((len(unit.members), 1), np.int64)
        for slab in slabs_of(unit):
            bounds = unit.bounds[slab.first : slab.last + 1]
            counts = counts + ops.sweep(self._operands(unit), bounds, gram=False, whole_histogram=True).histogram
            self._finish(unit.members, slab.views())
        return counts

    def _relabel(self, unit: Unit, found: ops.Sweep) -> ops.Sweep:
        """Adds the null, from pages that the sweep has just brought in: storage is not asked again."""
        relabelling = self._relabellings.of(unit)
        if relabelling is None:
            return found
        statistic = ops.lagged(self._operands(unit), relabelling.axis, relabelling.lines, relabelling.lags)
        self._finish(unit.members, [slot.view for slot in unit.slots if slot.view is not None])
        columns = 1 + relabelling.draws
        return replace(found, lagged=statistic[:, :columns], opposite=statistic[:, columns:])

    def check(self) -> None:
        """Refuses everything computed if a file was written to meanwhile."""
        for shards in self._shards:
            shards.check()

    def _operands(self, unit: Unit) -> list[ops.Operand]:
        none = (None,) * len(unit.members)
        return [
            ops.Operand(
                self._shards[model][view.shard], view.offset, view.dtype, view.shape, view.strides,
                rows, None if gain is None else self._gain(model, gain), unit.gain_axis,
                unit.gather_axis,
            )
            for model, view, rows, gain in zip(
                unit.members, unit.views, unit.rows or none, unit.gains or none, strict=True
            )
        ]  # fmt: skip

    def _gain(self, model: int, view: View) -> npt.NDArray[np.float32]:
        return self._shards[model].array(view).astype(np.float32)

    def _finish(self, members: Sequence[int], views: Sequence[View]) -> None:
        """Gives the pages back, and refuses what was computed from a file that shrank meanwhile."""
        for model, view in zip(members, views, strict=True):
            mapping = self._shards[model][view.shard]
            if mapping.faulted:
                self._shards[model].check()
            mapping.release(*view.extent)


def run(
    plan: Plan,
    units: Sequence[Unit],
    relabellings: Relabellings,
    threads: int,
    window: int = WINDOW,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[Unit, ops.Sweep]]:
    """Yields each of `units` with its numbers when all its blocks are done, in no fixed order.

    At most `window` bytes (but at least one slab) are mapped at a time. Raises `CheckpointError` when a file shrinks or
    changes while it is read. Closing the iterator stops the threads after the slabs in hand.
    """
    machine = _Machine(plan, relabellings)
    finished: SimpleQueue[tuple[Slab, Future[ops.Sweep | None]]] = SimpleQueue()
    readers, workers = ThreadPoolExecutor(READERS), ThreadPoolExecutor(threads)

    def compute_when_read(slab: Slab, reading: Future[None]) -> None:
        if reading.cancelled():
            return
        error = reading.exception()
        task: Future[ops.Sweep | None] = Future()
        if error is None:
            task = workers.submit(machine.compute, slab)
        else:
            task.set_exception(error)
        task.add_done_callback(lambda done: finished.put((slab, done)))

    waiting = (slab for unit in units for slab in slabs_of(unit))
    in_flight = slabs = 0
    upcoming = next(waiting, None)
    try:
        while upcoming is not None or slabs:
            # Small slabs are counted too: what they find (histograms) is larger than what they read.
            while upcoming is not None and (
                not slabs or (slabs < window // SLAB and in_flight + upcoming.nbytes <= window)
            ):
                reading = readers.submit(machine.read, upcoming)
                reading.add_done_callback(lambda done, slab=upcoming: compute_when_read(slab, done))  # type: ignore[misc]
                in_flight, slabs = in_flight + upcoming.nbytes, slabs + 1
                upcoming = next(waiting, None)
            slab, task = finished.get()
            whole = task.result()
            in_flight, slabs = in_flight - slab.nbytes, slabs - 1
            on_bytes(slab.nbytes)
            if whole is not None:
                yield slab.unit, whole
        machine.check()
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
        workers.shutdown(wait=True, cancel_futures=True)

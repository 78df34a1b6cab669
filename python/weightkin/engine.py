"""Runs a plan: reads ahead in file order, computes on devices, gives pages back; memory stays bounded.

Readers bring a slab (consecutive blocks of one unit) into memory and queue it, the lanes of all devices take from that one
queue, the caller's thread collects. Neither slabs nor lanes change anything in the numbers: every block is computed as if
alone. A device that fails gives its slabs back and is not used again.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import NamedTuple

from . import ops, slabs
from .devices import Device, Part, Weights
from .errors import DeviceError, DeviceWarning
from .plan import Plan
from .relabelling import Relabellings
from .slab_queue import SlabQueue
from .slabs import Slab, slabs_of
from .units import Unit

READERS = 4
"""Threads of each device that wait for storage: several keep a fast disk's queue full, and they need no core."""
WINDOW = 512 << 20
"""Bytes read ahead or being computed, unless the caller says otherwise or devices need more to be kept busy."""


class _Done(NamedTuple):
    slab: Slab
    unit: ops.Sweep | None
    """If the slab was the last of its unit."""


class _Lanes:
    """What the threads of all devices do, and what they share."""

    def __init__(self, weights: Weights, devices: Sequence[Device]) -> None:
        self.weights = weights
        self.queue = SlabQueue(devices)
        self.events: SimpleQueue[_Done | DeviceWarning | BaseException] = SimpleQueue()
        self._parts: dict[int, dict[int, tuple[Device, Part]]] = defaultdict(dict)
        """Of units that are not done: first block -> what a device found in the slab."""
        self._lock = Lock()

    def read(self, slab: Slab) -> None:
        try:
            self.weights.read(slab)
        except BaseException as error:  # for the caller's thread, which raises it
            self.events.put(error)
        else:
            if not self.queue.put(slab):
                self.events.put(DeviceError("no device is left to compute on"))

    def work(self, device: Device) -> None:
        """The life of one lane."""
        while batch := self.queue.take(device):
            done = 0
            try:
                for part in device.compute(self.weights, batch):
                    self.events.put(_Done(batch[done], self._add(device, batch[done], part)))
                    done += 1
            except DeviceError as error:
                self._retire(device, batch[done:], error)
            except BaseException as error:  # for the caller's thread, which raises it
                self.events.put(error)
                return

    def _add(self, device: Device, slab: Slab, part: Part) -> ops.Sweep | None:
        """Adds a slab's part to those of its unit; the lane that has the last one returns the whole unit."""
        unit = slab.unit
        self.weights.release(unit.members, slab.views())
        with self._lock:
            parts = self._parts[unit.index]
            parts[slab.first] = device, part
            whole = sum(len(one.sweep.sum) for _, one in parts.values()) == len(unit.bounds) - 1
        found = None
        if whole:
            try:
                found = device.finish(self.weights, unit, [_without_lost(*parts[first]) for first in sorted(parts)])
            except DeviceError:
                with self._lock:
                    del parts[slab.first]  # whoever computes it again finishes the unit
                raise
        with self._lock:
            device.nbytes += slab.nbytes
            if whole:
                device.units += 1
                del self._parts[unit.index]
        return found

    def _retire(self, device: Device, batch: Sequence[Slab], error: DeviceError) -> None:
        first = self.queue.retire(device, str(error))
        if not self.queue.give_back(batch):
            self.events.put(DeviceError(f"{device.name}: {error}"))
        elif first:
            rest = ", ".join(self.queue.names())
            self.events.put(
                DeviceWarning(f"{device.name} failed and is not used any more: {error}; going on with {rest}")
            )


def _without_lost(device: Device, part: Part) -> Part:
    """What a device that failed still holds cannot be read."""
    return part if device.retired is None else Part(part.sweep)


def run(
    plan: Plan,
    units: Sequence[Unit],
    relabellings: Relabellings,
    devices: Sequence[Device],
    window: int | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[Unit, ops.Sweep]]:
    """Yields each of `units` with its numbers when all its blocks are done, in no fixed order.

    At most `window` bytes (but at least one slab) are mapped at a time. A device that fails is retired with a
    `DeviceWarning`. Raises `CheckpointError` when a file shrinks or changes while it is read, and `DeviceError` when no
    device is left. Closing the iterator stops the threads after the slabs in hand.
    """
    lanes = _Lanes(Weights(plan, relabellings), devices)
    used = [device for device in devices if device.retired is None]
    busy = sum(device.lanes for device in used)
    room = window or max(WINDOW, sum(device.window for device in used))
    largest = max(slabs.SLAB, room // (2 * max(1, len(used))))

    def cut() -> Iterator[Slab]:
        for unit in units:
            wanted = [device.slab(unit) for device in lanes.queue.takers(unit)]
            yield from slabs_of(unit, min(largest, max(wanted, default=largest)))

    readers = ThreadPoolExecutor(READERS * max(1, sum(not device.spare for device in used)))
    workers = ThreadPoolExecutor(max(1, busy))
    waiting = cut()
    in_flight = count = 0
    upcoming = next(waiting, None)
    for device in used:
        for _ in range(device.lanes):
            workers.submit(lanes.work, device)
    try:
        while upcoming is not None or count:
            # Small slabs are counted too: what they find (histograms) is larger than what they read.
            while upcoming is not None and (
                not count or (count < room // slabs.SLAB and in_flight + upcoming.nbytes <= room)
            ):
                readers.submit(lanes.read, upcoming)
                in_flight, count = in_flight + upcoming.nbytes, count + 1
                upcoming = next(waiting, None)
            event = lanes.events.get()
            if isinstance(event, DeviceWarning):
                warnings.warn(event, stacklevel=2)
            elif isinstance(event, BaseException):
                raise event
            else:
                in_flight, count = in_flight - event.slab.nbytes, count - 1
                on_bytes(event.slab.nbytes)
                if event.unit is not None:
                    yield event.slab.unit, event.unit
        lanes.weights.check()
    finally:
        lanes.queue.close()
        readers.shutdown(wait=True, cancel_futures=True)
        workers.shutdown(wait=True, cancel_futures=True)

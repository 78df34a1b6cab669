"""The one queue that the lanes of all devices take slabs from."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Condition, Lock

from .devices import Device
from .slabs import Slab
from .units import Unit


class SlabQueue:
    """Slabs in the order of files; a lane takes the first that its device accepts."""

    def __init__(self, devices: Sequence[Device]) -> None:
        lock = Lock()
        self._lock = lock
        self._devices = [device for device in devices if device.retired is None]
        self._waiting = {id(device): 0 for device in devices}
        self._wake = {id(device): Condition(lock) for device in devices}
        self._slabs: deque[Slab] = deque()
        self._closed = False

    def takers(self, unit: Unit) -> list[Device]:
        """Devices that may compute a unit: spare ones if no other accepts it."""
        able = [device for device in self._devices if device.retired is None and device.accepts(unit)]
        return [device for device in able if not device.spare] or able

    def names(self) -> list[str]:
        """Of the devices that are left: spare ones if there is no other."""
        left = [device for device in self._devices if device.retired is None]
        return [device.name for device in left if not device.spare] or [device.name for device in left]

    def put(self, slab: Slab) -> bool:
        """Adds a slab to the end. False if no device is left for it."""
        with self._lock:
            self._slabs.append(slab)
            self._wake_one(slab)
            return bool(self.takers(slab.unit))

    def give_back(self, batch: Sequence[Slab]) -> bool:
        """Puts slabs that a device could not compute back to the front. False if no device is left for what waits."""
        with self._lock:
            self._slabs.extendleft(reversed(batch))
            for slab in list(self._slabs):  # others too had waited for the device that is gone
                self._wake_one(slab)
            return all(self.takers(slab.unit) for slab in self._slabs)

    def take(self, device: Device) -> list[Slab]:
        """Waits for a slab, and brings those that may join it; none when the queue is closed or the device retired."""
        with self._lock:
            while not self._closed and device.retired is None:
                for at, slab in enumerate(self._slabs):
                    if any(taker is device for taker in self.takers(slab.unit)):
                        return self._take_with(device, at)
                self._waiting[id(device)] += 1
                self._wake[id(device)].wait()
            return []

    def _take_with(self, device: Device, at: int) -> list[Slab]:
        """Slab number `at` and those behind it that join it, up to the bytes that the device wants in a call."""
        batch = [self._slabs[at]]
        del self._slabs[at]
        room = device.slab(batch[0].unit) - batch[0].nbytes
        while at < len(self._slabs) and self._slabs[at].nbytes <= room and device.joins(batch[0], self._slabs[at]):
            room -= self._slabs[at].nbytes
            batch.append(self._slabs[at])
            del self._slabs[at]
        return batch

    def retire(self, device: Device, reason: str) -> bool:
        """Whether it was not retired before."""
        with self._lock:
            first, device.retired = device.retired is None, device.retired or reason
            self._wake_all(device)
            return first

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for device in self._devices:
                self._wake_all(device)

    def _wake_one(self, slab: Slab) -> None:
        """Wakes one lane that may take `slab`. Who is not waiting looks before it waits."""
        for device in self.takers(slab.unit):
            if self._waiting[id(device)]:
                self._waiting[id(device)] -= 1
                self._wake[id(device)].notify()
                return

    def _wake_all(self, device: Device) -> None:
        self._waiting[id(device)] = 0
        self._wake[id(device)].notify_all()

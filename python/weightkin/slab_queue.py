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

    def put(self, slab: Slab, back: bool = False) -> bool:
        """Adds a slab to the end, or gives it back to the front. False if no device is left for what waits."""
        with self._lock:
            if back:
                self._slabs.appendleft(slab)
            else:
                self._slabs.append(slab)
            # After a failure, slabs that waited for the device that is gone may be another's.
            for waiting in list(self._slabs) if back else [slab]:
                self._wake_one(waiting)
            return all(self.takers(waiting.unit) for waiting in self._slabs)

    def take(self, device: Device) -> Slab | None:
        """Waits for a slab; None when the queue is closed or the device retired."""
        with self._lock:
            while not self._closed and device.retired is None:
                for at, slab in enumerate(self._slabs):
                    if any(taker is device for taker in self.takers(slab.unit)):
                        del self._slabs[at]
                        return slab
                self._waiting[id(device)] += 1
                self._wake[id(device)].wait()
            return None

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

"""Spreads the parts of a search over devices: whichever is free takes the next."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ..devices import Device, HostDevice
from ..errors import DeviceError, DeviceWarning
from .compute import Compute, HostCompute

Task = TypeVar("Task")
Result = TypeVar("Result")

SEARCHES = 2
"""Of a GPU, side by side: while one computes, the next layers' weights are on their way."""


class Workers:
    """Devices that search side by side, and the host for the rest.

    A device that fails is not asked again: what it had in hand goes to the others, and once none is left to the host.
    """

    def __init__(self, computes: Sequence[Compute], host: HostCompute) -> None:
        self._computes = list(computes)
        self._host = host

    @classmethod
    def of(cls, devices: Sequence[Device]) -> Workers:
        """`devices`: as `choose_devices` gives them."""
        host = devices[-1]
        assert isinstance(host, HostDevice)
        used = [one for one in devices if not one.spare and one.retired is None]
        each = max(1, host.lanes // max(1, len(used)))
        return cls([compute for one in used for compute in computes_of(one, each)], HostCompute(host))

    @property
    def threads(self) -> int:
        """Of the host."""
        return self._host.threads

    @property
    def share(self) -> int:
        """Threads of the host for each task that is spread."""
        return max(1, self._host.threads // max(1, len(self._computes)))

    def spread(
        self,
        tasks: Iterable[Task],
        run: Callable[[Compute, Task], Result],
        nbytes: Callable[[Task], int] = lambda _: 0,
    ) -> Iterator[tuple[Task, Result]]:
        """Every task and what `run` found, in the order in which they are done; to the caller's thread alone.

        `nbytes`: of what a task reads, for the devices' accounts.
        """
        waiting = deque(tasks)
        self._computes = [one for one in self._computes if one.device.retired is None]  # a sweep may have lost some
        while waiting:
            side_by_side = len(self._computes) > 1
            for compute, task, found in self._side_by_side(waiting, run) if side_by_side else self._alone(waiting, run):
                compute.device.units += 1
                compute.device.nbytes += nbytes(task)
                yield task, found

    def _alone(
        self, waiting: deque[Task], run: Callable[[Compute, Task], Result]
    ) -> Iterator[tuple[Compute, Task, Result]]:
        """In the caller's thread, so that Ctrl-C need not wait for a task in hand."""
        compute = (self._computes or [self._host])[0]
        while waiting:
            try:
                found = run(compute, waiting[0])
            except DeviceError as error:
                self._retire(compute, error)
                return
            yield compute, waiting.popleft(), found

    def _side_by_side(
        self, waiting: deque[Task], run: Callable[[Compute, Task], Result]
    ) -> Iterator[tuple[Compute, Task, Result]]:
        """Until nothing waits, or every device has failed; tasks in hand are finished if the caller stops."""
        free = list(self._computes)
        running: dict[Future[Result], tuple[Compute, Task]] = {}

        def hand_out() -> None:
            while free and waiting:
                compute, task = free.pop(0), waiting.popleft()
                running[pool.submit(run, compute, task)] = compute, task

        with ThreadPoolExecutor(len(free)) as pool:
            hand_out()
            while running:
                found = []
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    compute, task = running.pop(future)
                    try:
                        found.append((compute, task, future.result()))
                    except DeviceError as error:
                        waiting.appendleft(task)
                        self._retire(compute, error)
                        free = [one for one in free if one in self._computes]
                    else:
                        free += [compute] if compute in self._computes else []  # not if its device failed meanwhile
                hand_out()  # first, so that no device waits while the caller stores what was found
                yield from found

    def _retire(self, compute: Compute, error: DeviceError) -> None:
        device, known = compute.device, compute.device.retired is not None
        device.retired = str(error)
        self._computes = [one for one in self._computes if one.device is not device]
        if known:  # one of several searches on it has said so
            return
        rest = ", ".join(one.device.name for one in self._computes or [self._host])
        text = f"{device.name} failed and is not used any more: {error}; going on with {rest}"
        warnings.warn(text, DeviceWarning, stacklevel=2)


def computes_of(device: Device, threads: int) -> list[Compute]:
    """What searches on a device, helped by `threads` of the host."""
    if isinstance(device, HostDevice):
        return [HostCompute(device)]
    from ..devices.torch_device import TorchDevice  # imports torch
    from .torch_compute import TorchCompute

    assert isinstance(device, TorchDevice)
    memory = device.memory // (2 * SEARCHES)
    return [TorchCompute(device, max(1, threads // SEARCHES), memory) for _ in range(SEARCHES)]

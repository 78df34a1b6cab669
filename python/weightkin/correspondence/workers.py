"""Spreads the parts of a search over devices: whichever is free takes the next."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ..errors import DeviceError
from .compute import Compute, HostCompute

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers:
    """Devices that search side by side, and the processor's `threads` for the rest.

    A device that fails is not asked again: what it had in hand goes to the others, and once none is left to the processor.
    """

    def __init__(self, threads: int, computes: Sequence[Compute] = ()) -> None:
        self.threads = threads
        self._computes = list(computes)

    def spread(self, tasks: Iterable[Task], run: Callable[[Compute, Task], Result]) -> Iterator[tuple[Task, Result]]:
        """Every task and what `run` found, in the order in which they are done; to the caller's thread alone."""
        waiting = deque(tasks)
        while waiting:
            if len(self._computes) > 1:
                yield from self._side_by_side(waiting, run)
                continue
            if not self._computes:
                self._computes.append(HostCompute(self.threads))
            compute, task = self._computes[0], waiting[0]
            try:
                found = run(compute, task)
            except DeviceError as error:
                self._retire(compute, error)
                continue
            waiting.popleft()
            yield task, found

    def _side_by_side(
        self, waiting: deque[Task], run: Callable[[Compute, Task], Result]
    ) -> Iterator[tuple[Task, Result]]:
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
                        found.append((task, future.result()))
                    except DeviceError as error:
                        waiting.appendleft(task)
                        self._retire(compute, error)
                        continue
                    free.append(compute)
                hand_out()  # first, so that no device waits while the caller stores what was found
                yield from found

    def _retire(self, compute: Compute, error: DeviceError) -> None:
        self._computes.remove(compute)
        left = f"{len(self._computes)} go on" if self._computes else "the processor goes on"
        warnings.warn(f"{error}; {left}", RuntimeWarning, stacklevel=2)

"""What the engine asks of a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import ops
from ..slabs import Slab
from ..units import Unit
from .weights import Weights


@dataclass(frozen=True, slots=True)
class Part:
    """What a device found in one slab."""

    sweep: ops.Sweep
    """Without `tensor_quantile` and the null, which are a whole unit's."""
    samples: Any = None
    """What of the slab takes part in the null, as its device holds it; None if the null reads it from the mapping."""


class Device(ABC):
    """Computes slabs, `lanes` of them at a time; all methods may be called from several threads.

    What it finds in a block does not depend on the slab that the block came in, nor on which of several devices of a kind
    it was. `compute` and `finish` raise `DeviceError` when the device, not the input, is at fault.
    """

    name: str
    """As --device names it: "cpu", "cuda:0"."""
    kind: str
    """Devices of one kind find the same bits; a run is only resumed on the kinds that began it."""
    lanes: int
    """Slabs that it takes at a time."""
    window = 0
    """Bytes that should be read ahead or computed to keep it busy, if they are more than the engine's."""
    spare = False
    """Takes only what no other device accepts."""
    retired: str | None = None
    """Why it is not used any more."""

    def __init__(self) -> None:
        self.units = 0
        """Whole units that it finished."""
        self.nbytes = 0
        """Bytes of the slabs that it computed."""

    @abstractmethod
    def accepts(self, unit: Unit) -> bool:
        """Whether it can compute this unit; cheap, and always the same answer."""

    @abstractmethod
    def slab(self, unit: Unit) -> int:
        """Bytes of all members together that one call should have."""

    def joins(self, slab: Slab, other: Slab) -> bool:  # noqa: ARG002
        """Whether both may go into one call of `compute`."""
        return False

    @abstractmethod
    def compute(self, weights: Weights, batch: Sequence[Slab]) -> list[Part]:
        """gram, difference and census of the blocks of each slab; several only if they join the first."""

    @abstractmethod
    def finish(self, weights: Weights, unit: Unit, parts: Sequence[Part]) -> ops.Sweep:
        """A whole unit, of all its parts in order, with the percentile of the tensor and the null.

        Parts may come from other devices, and are left as they are: if this one fails, another one is asked.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What `describe` says of the device itself."""

    def describe(self) -> dict[str, Any]:
        """An entry of summary.json's `devices`."""
        done = {"units": self.units, "bytes": self.nbytes}
        retired = {} if self.retired is None else {"retired": self.retired}
        return {"name": self.name, **self.facts(), **done, **retired}

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Gives back what it holds; it is used again by whoever computes with it again."""


def describe_devices(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """The `devices` of summary.json: those that were meant to compute, and spare ones that had to."""
    return [device.describe() for device in devices if not device.spare or device.nbytes]


def kinds(devices: Sequence[Device]) -> list[str]:
    """What the journal of a run may not mix."""
    return sorted({device.kind for device in devices if not device.spare})

"""What weightkin runs on NVIDIA devices besides Triton; there only if weightkin was built with CUDA.

It can be imported on a machine without a device or a driver. Addresses, devices and streams are integers; what a device
or its driver refuses raises RuntimeError of one line.
"""

from typing import TypedDict

from ._core import Ring as HostRing

class Properties(TypedDict):
    name: str
    total_memory: int  # bytes
    free_memory: int
    capability: tuple[int, int]
    processors: int  # streaming multiprocessors
    pci_bus_id: str

def device_count() -> int:
    """How many devices there are: 0 without a driver."""

def properties(device: int) -> Properties: ...
def versions() -> tuple[str, str]:
    """Of the CUDA runtime built in, and the newest that the driver supports ("" without one), as in "13.0"."""

def Ring(device: int, slots: int = 3, slot_bytes: int = 1 << 25, threads: int = 8) -> HostRing:
    """A ring whose slots are pinned memory, and which copies them to addresses of a device on a stream of its own."""

def assign(scores: int, problems: int, rows: int, columns: int, is_double: bool, out: int, stream: int = 0) -> None:
    """`ops.assign` of `scores` [problems, rows, columns] (float64 or float32) into `out` [problems, columns] int64.

    Both are addresses on one device, contiguous. Runs on `stream`, and returns when `out` is there. Takes 4 bytes per
    problem of the device's memory; where rows > columns also up to 1 GiB, or one problem if that is more. Raises
    ValueError if a score is not finite or above 1e300 in magnitude.
    """

"""All cases of a device, in the order in which they are measured. Importing it needs torch and triton."""

from __future__ import annotations

from . import device_assign, device_matrix, device_null, device_probe, device_stream, device_sweep
from .registry import Case

CASES: tuple[Case, ...] = (
    *device_sweep.CASES,
    *device_null.CASES,
    *device_matrix.CASES,
    *device_probe.CASES,
    *device_assign.CASES,
    *device_stream.CASES,
)

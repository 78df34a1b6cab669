"""A mapped file for tests of the ring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weightkin import _core

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
MEBIBYTE = 1 << 20
DATA: Bytes = np.random.default_rng(0).integers(0, 256, 5 * MEBIBYTE + 321, np.uint8)


def mapped(path: Path) -> _core.Mapping:
    """A new file of these bytes."""
    DATA.tofile(path)
    return _core.Mapping(str(path))


def empty(size: int) -> Bytes:
    return np.full(size, 0xA5, np.uint8)

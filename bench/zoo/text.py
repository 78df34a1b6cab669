"""What the zoo is trained on: source code and documentation that is already on the machine, read as bytes."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Text = npt.NDArray[np.uint8]

KINDS = {"code": (Path(sysconfig.get_paths()["stdlib"]), "*.py"), "prose": (Path("/usr/share/doc"), "*")}
SUFFIXES = {".py", ".txt", ".rst", ".md", "", ".html"}
LARGEST_FILE = 400_000
FEWEST_BYTES = 200_000


def read_bytes(kind: Literal["code", "prose"], limit: int) -> Text:
    """[up to `limit`]: bytes of Python sources, or of documentation files."""
    root, pattern = KINDS[kind]
    parts: list[Text] = []
    size = 0
    for path in sorted(root.rglob(pattern)):
        if size >= limit:
            break
        if path.is_file() and path.suffix in SUFFIXES and path.stat().st_size < LARGEST_FILE:
            parts.append(np.frombuffer(path.read_bytes(), np.uint8))
            size += parts[-1].size
    if kind == "prose" and size < FEWEST_BYTES:  # a bare machine has little documentation: docstrings are prose too
        return read_bytes("code", limit)[limit // 2 :]
    return np.concatenate(parts)[:limit]

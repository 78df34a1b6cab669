"""Fixtures of the kernel tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weightkin import _core

BODIES = [name for name in _core.INSTRUCTION_SETS if name not in {"amx", "avx512_bf16"}]
"""Those with kernels of their own; the rest differ from avx512 in cross_gram alone."""


@pytest.fixture(params=BODIES)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn; the one that was in use comes back."""
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)

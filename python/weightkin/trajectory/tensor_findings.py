"""Single matrices that were replaced where their group as a whole was not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..schema import display_order
from ..statistics.jumps import detours, replaced_tensors
from ..statistics.verdict import MATRIX_GROUPS
from .course import pairs_of
from .gather import Tensor
from .jump import Jump, Kind

MOST_NAMES = 20
"""That a jump lists."""


def without_counterpart(tensors: Sequence[Tensor], known: Sequence[Jump], members: int) -> list[Jump]:
    """Matrices that share nothing with the checkpoints around, which match each other, or with what came before."""
    held = _matrices(tensors, MATRIX_GROUPS)
    if not held or members < 3:
        return []
    places = {pair: place for place, pair in enumerate(pairs_of(members))}
    z = np.stack([tensor.z for tensor in held])
    before = z[:, [places[at, at + 1] for at in range(members - 1)]]
    around = z[:, [places[at, at + 2] for at in range(members - 2)]]
    found = replaced_tensors(before, around)
    return [
        *_jumps(held, found.alone, "replaced", known, None), *_jumps(held, found.from_here, "from_here", known, members - 1),
    ]  # fmt: skip


def detoured_tensors(tensors: Sequence[Tensor], known: Sequence[Jump], members: int) -> list[Jump]:
    """Matrices, embeddings too, that go far out to a checkpoint and come back where nothing else was found."""
    held = _matrices(tensors, (*MATRIX_GROUPS, "embeddings"))
    if not held or members < 3:
        return []
    gap, around, square = (np.stack([getattr(each, name) for each in held]) for name in ("gap", "around", "square"))
    found = detours(gap, around, square)
    found[:, [at for at in range(members) if any(jump.touches(at) for jump in known)]] = False
    return _jumps(held, found, "moved_out", known, None)


def _matrices(tensors: Sequence[Tensor], groups: Sequence[str]) -> list[Tensor]:
    return [tensor for tensor in tensors if len(tensor.unit.axes) > 1 and tensor.unit.group in groups]


def _jumps(
    held: Sequence[Tensor], found: npt.NDArray[np.bool_], kind: Kind, known: Sequence[Jump], last: int | None
) -> list[Jump]:
    """A jump per checkpoint; `last`: where it ends, if not there."""
    out = []
    for at in map(int, np.flatnonzero(found.any(axis=0))):
        flagged = [held[int(row)].unit for row in np.flatnonzero(found[:, at])]
        units = [
            unit for unit in flagged if not any(jump.covers((unit.address.component, unit.group), at) for jump in known)
        ]
        if not units:
            continue
        groups = sorted({(unit.address.component, unit.group) for unit in units}, key=display_order)
        layers = {unit.address.layer for unit in units}
        names = [unit.slots[0].name for unit in units[:MOST_NAMES]]
        numbers = sorted(layer for layer in layers if layer is not None)
        out.append(
            Jump(
                kind,
                at,
                at if last is None else last,
                groups,
                False,
                len(units),
                names,
                [] if None in layers else numbers,
            )
        )
    return out

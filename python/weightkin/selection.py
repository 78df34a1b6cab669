"""What --include and --exclude leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from .errors import PlanError
from .schema import Address, Slot


def excluded(
    slots: Mapping[Address, Mapping[int, Slot]], include: Sequence[str], exclude: Sequence[str]
) -> frozenset[Address]:
    """Addresses whose role or raw name no glob of `include` (if there are any) matches, or one of `exclude` does.

    Raises `PlanError` if a glob matches nothing.
    """
    names = {address: {address.role, *(slot.name for slot in owners.values())} for address, owners in slots.items()}

    def matching(glob: str) -> set[Address]:
        found = {address for address, given in names.items() if any(fnmatchcase(name, glob) for name in given)}
        if not found:
            raise PlanError(
                f"{glob!r} matches no role and no tensor name", "roles look like attn.q, tensors like *.q_proj.*"
            )
        return found

    kept = set().union(*map(matching, include)) if include else set(slots)
    return frozenset(set(slots) - kept | set().union(*map(matching, exclude)))

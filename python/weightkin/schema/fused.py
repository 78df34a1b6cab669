"""How the parts of one tensor lie in it: views with axes in canonical order, from its dtype and shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from ..view import View
from .family import Rule
from .roles import axes_of


class Part(NamedTuple):
    role: str
    expert: int | None
    """Set for stacked experts."""
    view: View | None
    """Offset counted from the first byte of the tensor."""
    axes: tuple[str, ...]
    parameters: int


def parts_of(dtype: str, shape: tuple[int, ...], rule: Rule, shares: Sequence[int]) -> list[Part]:
    """Views of everything that `rule` says is in the tensor; `shares` are proportions of unequal parts, else ().

    Raises `ValueError` where the shape contradicts the rule.
    """
    stored = rule.stored or axes_of(rule.parts[0])
    if stored[-1:] == ("pixel",) and len(shape) > len(stored):
        shape = (*shape[: len(stored) - 1], prod(shape[len(stored) - 1 :]))
    if len(shape) != len(stored):
        raise ValueError(f"{len(shape)} axes instead of {len(stored)} ({', '.join(stored)})")
    whole = View.contiguous(0, 0, dtype, shape)
    parts: list[Part] = []
    for number, role in enumerate(rule.parts):
        axes, piece = axes_of(role), _piece(whole, rule, number, shares)
        if not rule.stacked:
            view = piece if rule.stored is None else piece.permute([stored.index(axis) for axis in axes])
            parts.append(Part(role, None, view, axes, view.size))
            continue
        first = piece.index(0, 0).permute([stored.index(axis) - 1 for axis in axes])
        parts += [
            Part(role, expert, replace(first, offset=first.offset + expert * whole.strides[0]), axes, first.size)
            for expert in range(shape[0])
        ]
    return parts


def opaque_parts(shape: tuple[int, ...], rule: Rule, suffix: str) -> list[Part]:
    """The same parts of a packed format whose elements cannot be viewed; `suffix` is added to the roles.

    Raises `ValueError` where the shape contradicts the rule.
    """
    if rule.stacked and not shape:
        raise ValueError("no axis of experts")
    experts, total = shape[0] if rule.stacked else 1, prod(shape)
    share, rest = divmod(total, experts * len(rule.parts))
    if rest:
        raise ValueError(f"{total:,} elements do not divide into {experts} x {len(rule.parts)} parts")
    return [
        Part(role + suffix, expert if rule.stacked else None, None, (), share)
        for role in rule.parts
        for expert in range(experts)
    ]


def _piece(whole: View, rule: Rule, number: int, shares: Sequence[int]) -> View:
    if len(rule.parts) == 1:
        return whole
    if not shares:
        return whole.split(rule.along, number, len(rule.parts), rule.layout)
    unit, rest = divmod(whole.shape[rule.along], sum(shares))
    if rest:
        raise ValueError(f"axis {rule.along} of shape {whole.shape} does not divide in the proportion {tuple(shares)}")
    return whole.narrow(rule.along, unit * sum(shares[:number]), unit * shares[number])

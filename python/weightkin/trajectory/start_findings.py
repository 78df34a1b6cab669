"""Whether the first checkpoint looks like a random initialisation: tests of each tensor, then of each role, then the word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..schema import display_order
from ..schema.roles import UNKNOWN_GROUP
from ..statistics.random_start import copies, depth_spread, spread
from ..statistics.verdict import MATRIX_GROUPS
from .gather import Tensor
from .start import structure_of

Word = Literal["random", "not_random", "undecided"]

Z_START = 8.0
"""Deviations from independent entries that one tensor must show. Of the tensors of 28 freshly initialised models of seven
architectures, and of thousands of matrices of six distributions, none was above 4.7; a small model that was trained for forty
steps has most of its matrices above 10."""
DISTANCE = 3.0
"""Of a sample's distribution from the closest family; in the same models none was above 2.4."""
COPIED = 0.5
"""Correlation from which tensors are called copies of one another; layers that were trained together reach 0.3."""
SHARE = 0.05
"""Of the tensors of a role that must fail before the role does, at least one: a few may be drawn in a way of their own."""
ENOUGH = 0.5
"""Share of the first checkpoint's parameters that must have been looked at before it is called random."""

DECISIVE = {
    "rows": "norms of rows differ", "columns": "norms of columns differ",
    "edge": "singular values beyond the edge of random ones",
    "correlation": "rows or columns are correlated", "experts": "experts differ in scale",
    "gains": "gains are not all one value",
}  # fmt: skip
"""Tests that no known initialisation fails, and what failing means."""
DOUBTFUL = {
    "distribution": "entries of no family that initialisations use", "layers": "scales of layers follow no power of depth",
    "copies": "tensors are copies of one another", "repeats": "lines repeat, as if blocks were drawn with one seed",
    "vector": "entries of vectors are neither one value nor of a known family",
}  # fmt: skip
"""Tests that an unusual initialisation may fail: they leave the question open."""

LIMITS = {"distribution": DISTANCE, "vector": DISTANCE, "repeats": 0.0}
"""Of the tests that do not count deviations."""


@dataclass
class Role:
    """One role of the first checkpoint."""

    component: str
    group: str
    role: str
    tensors: int
    parameters: int
    constant: int
    """Tensors of one value throughout, such as zero."""
    families: dict[str, int]
    scale: tuple[float, float]
    """Smallest and largest root mean square of its tensors."""
    worst: dict[str, float]
    """Of each test, the largest deviation."""
    failing: dict[str, int] = field(default_factory=dict)
    """Tests that the role fails, and how many of its tensors do."""

    @property
    def family(self) -> str | None:
        """The distribution that most of its tensors are closest to."""
        return max(self.families, key=lambda name: self.families[name], default=None)

    @property
    def place(self) -> str:
        return self.role if self.component == "text" else f"{self.component} {self.role}"


@dataclass
class Start:
    word: Word
    roles: list[Role]
    share: float
    """Of the parameters of the first checkpoint."""
    copied: list[str]
    """What is copied of what."""

    def failing(self, tests: Mapping[str, str]) -> dict[str, list[Role]]:
        """Roles by the test of `tests` that they fail."""
        return {test: held for test in tests if (held := [role for role in self.roles if test in role.failing])}


def tensor_tests(tensor: Tensor) -> dict[str, float]:
    """Of one tensor alone: deviations, by the names of `DECISIVE` and `DOUBTFUL`. {} for what decides nothing."""
    unit, start = tensor.unit, tensor.start
    if not start or unit.group == UNKNOWN_GROUP:
        return {}
    smallest, largest = (float(value) for value in start["extremes"])
    constant = smallest == largest
    if unit.group == "norms" and not unit.address.role.endswith(".bias"):
        return {"gains": 0.0 if constant else float("inf")}
    if constant:
        return {}
    structure = structure_of(start)
    distance = float(start["distance"]) if "distance" in start else float("nan")
    if structure is None:
        return {"vector": distance}
    return {**structure._asdict(), "distribution": distance, "repeats": float(start["repeats"])}


def find_start(tensors: Sequence[Tensor], parameters: int) -> Start:
    """`parameters`: of the whole first checkpoint."""
    by_role: dict[tuple[str, str, str], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.start and tensor.unit.group != UNKNOWN_GROUP:
            by_role[tensor.unit.address.component, tensor.unit.group, tensor.unit.address.role].append(tensor)
    roles, copied = [], []
    for place in sorted(by_role, key=display_order):
        held = by_role[place]
        role = _role(place, held)
        for what, correlation, deviations in _copies(held):
            role.worst["copies"] = max(role.worst.get("copies", -np.inf), deviations)
            if deviations > Z_START and correlation > COPIED:
                role.failing["copies"] = role.failing.get("copies", 0) + 1
                copied.append(f"{what} of {role.place} (correlation {correlation:.2f})")
        roles.append(role)
    share = sum(role.parameters for role in roles) / max(parameters, 1)
    found = Start("undecided", roles, share, copied)
    if found.failing(DECISIVE):
        found.word = "not_random"
    elif not found.failing(DOUBTFUL) and share >= ENOUGH and any(_drawn(role) for role in roles):
        found.word = "random"
    return found


def _drawn(role: Role) -> bool:
    return role.group in MATRIX_GROUPS and role.constant < role.tensors


def _role(place: tuple[str, str, str], held: Sequence[Tensor]) -> Role:
    tests = [tensor_tests(tensor) for tensor in held]
    names = dict.fromkeys(name for one in tests for name in one)
    values = {name: np.array([one[name] for one in tests if name in one]) for name in names}
    scales = [tensor.mean_square**0.5 for tensor in held]
    families: dict[str, int] = defaultdict(int)
    for tensor in held:
        if "family" in tensor.start:
            families[str(tensor.start["family"])] += 1
    constant = sum(float(tensor.start["extremes"][0]) == float(tensor.start["extremes"][1]) for tensor in held)
    parameters = sum(tensor.unit.parameters for tensor in held)
    worst = {
        name: float(np.nanmax(each)) for name, each in values.items() if np.isfinite(each).any() or np.isinf(each).any()
    }
    role = Role(*place, len(held), parameters, constant, dict(families), (min(scales), max(scales)), worst)
    for name, each in values.items():
        failing = int((each > LIMITS.get(name, Z_START)).sum())
        if failing > (0 if name == "gains" else SHARE * len(held)):
            role.failing[name] = failing
    for name, deviations in _scales(held):
        role.worst[name] = max(role.worst.get(name, -np.inf), deviations)
        if deviations > Z_START:
            role.failing[name] = role.failing.get(name, 0) + 1
    return role


def _scales(held: Sequence[Tensor]) -> Iterator[tuple[str, float]]:
    """Of the experts of each layer, and of the layers."""
    drawn = [tensor for tensor in held if "kurtosis" in tensor.start]
    if not drawn:
        return
    kurtosis = float(np.median([float(tensor.start["kurtosis"]) for tensor in drawn]))
    layers: dict[int, list[Tensor]] = defaultdict(list)
    for tensor in drawn:
        if tensor.unit.address.layer is not None:
            layers[tensor.unit.address.layer].append(tensor)
    for experts in layers.values():
        if len(experts) > 1:
            squares = np.array([tensor.mean_square for tensor in experts])
            yield "experts", spread(squares, experts[0].unit.parameters, kurtosis)
    sizes = {(len(experts), experts[0].unit.parameters) for experts in layers.values()}
    if len(sizes) == 1:
        count, elements = sizes.pop()
        means = np.array([np.mean([tensor.mean_square for tensor in layers[layer]]) for layer in sorted(layers)])
        yield "layers", depth_spread(means, np.array(sorted(layers), dtype=np.float64), count * elements, kurtosis)


def _copies(held: Sequence[Tensor]) -> Iterator[tuple[str, float, float]]:
    """Of the experts of each layer with one another, and of the layers, expert by expert."""
    sketched = [tensor for tensor in held if "sketch" in tensor.start and len(tensor.unit.axes) > 1]
    for what, other in (("experts", "layer"), ("layers", "expert")):
        together: dict[Any, list[Tensor]] = defaultdict(list)
        for tensor in sketched:
            together[getattr(tensor.unit.address, other), tensor.unit.views[0].shape].append(tensor)
        found = [
            copies(np.stack([np.asarray(tensor.start["sketch"], np.float64) for tensor in each]))
            for each in together.values()
            if len(each) > 1
        ]
        found = [one for one in found if np.isfinite(one[1])]
        if found:
            yield (what, *max(found, key=lambda one: one[1]))

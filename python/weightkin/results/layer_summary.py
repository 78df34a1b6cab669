"""What summary.json says of a run over layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..correspondence.arrangement import runs
from ..correspondence.layer_similarity import add
from ..correspondence.layer_units import LayerUnit
from ..correspondence.layers import ALL, UNORDERED
from ..correspondence.maps import Array, LayerMap
from ..schema import Model, display_order
from ..similarity import PairSums, cosine, pearson
from .layer_statement import sentence

Groups = Mapping[tuple[str, str], "Group"]
"""By component and group."""


@dataclass
class Group:
    """What the roles of one group of one component add up to."""

    sums: PairSums
    roles: list[str] = field(default_factory=list)
    parameters: int = 0
    """Of B."""
    map: LayerMap | None = None
    _aligned: list[Array] = field(default_factory=list)

    def add(self, unit: LayerUnit, sums: PairSums | None, aligned: Array | None) -> None:
        """`sums` are of whole tensors in place; None where that is not what was compared."""
        if sums is not None:
            self.sums = add(self.sums, sums)
        self.parameters += sum(slot.parameters for slot in unit.slots[1].values())
        if unit.role not in self.roles:
            self.roles.append(unit.role)
        if aligned is not None:
            self._aligned.append(aligned)

    @property
    def aligned(self) -> Array:
        """[LA, LB]: cosine of matching channels, the mean over roles; NaN where there is none."""
        stacked = np.array(self._aligned or [np.full(self.sums.elements.shape, np.nan)])
        held = np.isfinite(stacked)
        return np.where(
            held.any(axis=0), np.where(held, stacked, 0).sum(axis=0) / np.maximum(held.sum(axis=0), 1), np.nan
        )


def summarise(groups: Groups, models: Sequence[Model]) -> dict[str, Any]:
    """The `layers` of summary.json; `assignment` and `arrangement` at its top are those of the first component, text if it
    is there."""
    components = sorted({component for component, _ in groups}, key=lambda component: display_order((component,)))
    found = {}
    for component in components:
        deciding = groups.get((component, ALL))
        if deciding is not None and deciding.map is not None:
            unordered = groups.get((component, UNORDERED))
            chosen = deciding.map
            if unordered is not None and unordered.map is not None and unordered.map.arrangement != "none":
                chosen = unordered.map
            inner = [
                (group, one)
                for (other, group), one in groups.items()
                if other == component and group not in (ALL, UNORDERED)
            ]
            found[component] = _described(deciding, chosen) | {"groups": [_group(*each) for each in inner]}
    first = next(iter(found.values()), {"assignment": [], "arrangement": "none"})
    names = [model.checkpoint.name for model in models]
    statement = " ".join(sentence(component, entry, names) for component, entry in found.items())
    return {
        "assignment": first["assignment"], "arrangement": first["arrangement"], "components": found, "statement": statement,
        "experts_left_out": 0 if any(group == "experts" for _, group in groups) else _routed(models[-1]),
    }  # fmt: skip


def _routed(model: Model) -> int:
    """Parameters of routed experts."""
    return sum(slot.parameters for slot in model.slots if slot.group == "experts" and slot.address.layer is not None)


def _described(group: Group, found: LayerMap) -> dict[str, Any]:
    columns = np.arange(len(found.assignment))
    measures = {"cosine": cosine(group.sums), "pearson": pearson(group.sums), "aligned_cosine": group.aligned}
    lists = {"z": found.z, "p": found.p, "score": found.scores[found.chosen, columns], "margin": found.margin}
    lists |= {"margin_neighbours": found.margin_neighbours}
    lists |= {name: matrix[found.chosen, columns] for name, matrix in measures.items()}
    return {
        "in_place": found.in_place, "layers_a": found.scores.shape[0], "layers_b": found.scores.shape[1],
        "parameters": group.parameters,
        "assignment": found.assignment.tolist(), "monotone": found.monotone.tolist(), "best": found.free.tolist(),
        "second": found.second.tolist(), "arrangement": found.arrangement,
        "runs": [run._asdict() for run in runs(found.assignment)],
        **{name: values.tolist() for name, values in lists.items()},
        "total": dict(zip(("z", "p"), found.total, strict=True)),
        "monotone_total": dict(zip(("z", "p"), found.monotone_total, strict=True)), "draws": found.draws,
    }  # fmt: skip


def _group(name: str, group: Group) -> dict[str, Any]:
    entry: dict[str, Any] = {"group": name, "roles": group.roles, "parameters": group.parameters}
    found = group.map
    if found is None:
        return entry | {"assignment": None, "runs": None, "arrangement": None, "z": None, "p": None}
    z, p = found.total
    entry |= {"assignment": found.assignment.tolist(), "runs": [run._asdict() for run in runs(found.assignment)]}
    return entry | {"arrangement": found.arrangement, "z": z, "p": p}

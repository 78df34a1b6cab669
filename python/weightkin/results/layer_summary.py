"""What summary.json says of a run over layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..correspondence.arrangement import runs, span
from ..correspondence.layer_similarity import add
from ..correspondence.layer_units import MATRIX_GROUPS, LayerUnit
from ..correspondence.layers import ALL, UNORDERED
from ..correspondence.maps import TIE, Array, LayerMap
from ..schema import Model, display_order
from ..similarity import PairSums, cosine, pearson
from ..statistics.verdict import FEWEST_DRAWS, Z_LAYER_MATCH

Groups = Mapping[tuple[str, str], "Group"]
"""By component and group."""

MEANING = {
    "identity": "in the same order",
    "pruned": "in order, with layers of A left out",
    "depth_upscaled": "as runs that begin again before the last one's end (depth up-scaling)",
    "repeated": "in order, with layers repeated in place",
    "interleaved": "in order, with layers between them that match nothing",
    "reordered": "in another order",
    "partial": "in order, but with layers of both that match nothing",
    "mixed": "in no order that has a name",
}
"""Of the names in correspondence/arrangement.py."""

MOST_TIES = 6
"""Runs of layers that a sentence lists."""


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
    statement = " ".join(_sentence(component, entry, names) for component, entry in found.items())
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


def _sentence(component: str, entry: Mapping[str, Any], names: Sequence[str]) -> str:
    assignment = np.array(entry["assignment"])
    matched = np.flatnonzero(assignment >= 0)
    one = len(names) == 1
    if not matched.size:
        return f"{component}: {_unmatched(entry, names)}"
    other = (
        "another layer of it"
        if one
        else f"{'a layer' if len(matched) == 1 else 'layers'} of {names[0]}, {MEANING[entry['arrangement']]}"
    )
    verb = "matches" if len(matched) == 1 else "match"
    start = f"{component}: {len(matched)} of {_layers(len(assignment))} of {names[-1]} {verb} {other}"
    least_z = min(entry["z"][layer] for layer in matched)
    margins = [entry["margin"][layer] for layer in matched if not np.isnan(entry["margin"][layer])]
    each = "z" if len(matched) == 1 else "z of every one at least"
    beyond = f"{each} {least_z:.1f}" + (f", margin {min(margins):.1f}" if margins else "")
    if not entry["in_place"]:
        beyond += "; by products of channels, because neurons and heads are not in the same order"
    alternatives = (
        "This does not tell which of two layers came first."
        if one
        else "This does not tell which of the two models came first, and two trainings that started from one initialisation "
        "share weights in the same way."
    )
    sentences = [
        f"{start} ({entry['draws']} relabelled copies: {beyond}).",
        _ties(entry, names, matched.tolist()),
        alternatives,
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _unmatched(entry: Mapping[str, Any], names: Sequence[str]) -> str:
    """Why there is no match, by the rule of correspondence/maps.py."""
    one, draws = len(names) == 1, entry["draws"]
    what = f"no layer of {names[-1]} " + ("matches another layer of it" if one else f"matches one of {names[0]}")
    known = [(z, layer) for layer, z in enumerate(entry["z"]) if not np.isnan(z)]
    if not known:
        reason = "nothing could be held against relabelled copies."
    elif draws < FEWEST_DRAWS:
        reason = f"only {draws} relabelled copies exist, and {FEWEST_DRAWS} are needed to say so."
    else:
        z, layer = max(known)
        place = "" if one else "in place, "
        reason = (
            f"{place}the largest z is {z:.1f} (layer {layer}), and a match needs {Z_LAYER_MATCH:.0f} and to be above all "
            f"{draws} relabelled copies."
        )
        above = [group for group in entry["groups"] if group["group"] in MATRIX_GROUPS and _above_all(group, draws)]
        if above:
            listed = " and ".join(f"{group['group']} (z {group['z']:.1f})" for group in above)
            alone = any(layer >= 0 for group in above for layer in group["assignment"])
            but = "but all groups of matrices together decide" if alone else "though no single layer stands out"
            reason += (
                f" Summed over all layers, {listed} {'exceeds' if len(above) == 1 else 'exceed'} every copy, {but}."
            )
        if not one:
            reason += " With neurons and heads in another order none matches either."
    caveat = (
        "Copies whose neurons and heads are in another order would not be found."
        if one
        else "This is not proof of independence: another residual basis would hide a match."
    )
    return f"{what}: {reason} {caveat}"


def _above_all(group: Mapping[str, Any], draws: int) -> bool:
    """Whether the group's sum over layers exceeds that of every copy: its p is the least that there is."""
    return group["p"] is not None and bool(group["p"] * (1 + draws) < 1.5)


def _ties(entry: Mapping[str, Any], names: Sequence[str], matched: Sequence[int]) -> str:
    """Layers of B for which another layer of A is as good, up to `TIE`."""
    found: list[list[int]] = []
    for b in matched:
        score, second = entry["score"][b], entry["score"][b] - entry["margin"][b]
        if entry["second"][b] < 0 or not min(score, second) >= TIE * max(score, second):
            continue
        low, high = sorted((entry["assignment"][b], entry["second"][b]))
        if found and [b, low, high] == [first + found[-1][3] for first in found[-1][:3]]:
            found[-1][3] += 1
        else:
            found.append([b, low, high, 1])
    if not found:
        return ""
    count = sum(run[3] for run in found)
    listed = ", ".join(
        f"{span(b, length)} ({span(low, length)} or {span(high, length)})" for b, low, high, length in found[:MOST_TIES]
    )
    more = ", and more" if len(found) > MOST_TIES else ""
    return (
        f"{_layers(count)} of {names[-1]} {'matches' if count == 1 else 'match'} two layers of {names[0]} about equally well: "
        f"{listed}{more}."
    )


def _layers(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'}"

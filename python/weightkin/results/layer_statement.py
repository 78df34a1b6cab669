"""What a run over layers says in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..correspondence.arrangement import span
from ..correspondence.layer_units import MATRIX_GROUPS
from ..correspondence.maps import TIE
from ..statistics.verdict import FEWEST_DRAWS, Z_LAYER_MATCH

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


def sentence(component: str, entry: Mapping[str, Any], names: Sequence[str]) -> str:
    """Of one component, whose `entry` is that of summary.json."""
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
    parts = [
        f"{start} ({entry['draws']} relabelled copies: {beyond}).",
        _ties(entry, names, matched.tolist()),
        alternatives,
    ]
    return " ".join(part for part in parts if part)


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

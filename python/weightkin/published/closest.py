"""Whether A and B are closer to each other than to a third model, group by group, over what all of them share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import display_order
from ..statistics.null import rank_p, standardise
from .subject import Array, Claim, Subject, mean, skipped

NAME, SOURCE = "third_model", "hyunwoongko/solar-vs-glm-vs-phi; asked for by Pebblous"

Pair = tuple[int, int]
Cells = dict[tuple[int, str, int | None], tuple[float, int]]
"""(layer, role, expert) -> Pearson, parameters; layer -1 stands for none."""


def third_model(subject: Subject) -> Claim:
    """Cosines of norms between all pairs, and then, group by group, whether A-B stands out from A-C and B-C.

    Groups are compared over the tensors that all of these pairs have in common: more tensors in one of them would be
    another question. p is the largest over the rivals, each by rank among the shared draws. It is exact if the three
    are independent: turning the channels of the two models that the pairs do not share, each its own way, moves both
    statistics by the same lag. Between two real relations it only says that they differ; there, compare the Pearsons.
    """
    models = range(len(subject.models))
    if len(models) < 3:
        return skipped(NAME, SOURCE, "Needs a third model: whether A and B are close shows only beside another pair.")
    pairs = [pair for pair in combinations(models, 2) if {0, 1} & {*pair}]
    table = subject.results["tensors"]
    table = table.filter(pc.equal(table["component"], subject.component))
    norms = {pair: _mean_norm_cosine(_of(table, pair), subject.gains) for pair in pairs}
    cells = {pair: _cells(_of(table, pair)) for pair in pairs}
    draws = {pair: subject.draws(*pair) for pair in pairs}
    totals = {pair: _parameters(_of(table, pair)) for pair in pairs}
    groups = sorted({group for found in totals.values() for group in found}, key=lambda group: display_order([group]))
    found = [_group(group, pairs, cells, draws, totals) for group in groups if group != "other"]
    return {
        "name": NAME,
        "source": SOURCE,
        "published_style": {"pairs": [{"a": a, "b": b, "norm_cosine": norms[a, b]} for a, b in pairs]},
        "corrected": {"groups": found},
        "why": (
            "A cosine of norms is as high with a third model; whether A and B are closer than that is asked of every "
            "group, over tensors that all pairs share, and a group without any is not evidence for either side."
        ),
    }


def _of(table: pa.Table, pair: Pair) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["a"], pair[0]), pc.equal(table["b"], pair[1])))


def _mean_norm_cosine(table: pa.Table, gains: Sequence[str]) -> float | None:
    of_layers = table.filter(pc.and_(pc.is_in(table["role"], pa.array(gains)), pc.is_valid(table["layer"])))
    return mean(of_layers["cosine"].to_pylist())


def _cells(table: pa.Table) -> dict[str, Cells]:
    """By group, the compared tensors that have a Pearson."""
    out: dict[str, Cells] = defaultdict(dict)
    columns = ("group", "layer", "role", "expert", "pearson", "parameters")
    table = table.filter(pc.and_(pc.equal(table["status"], "compared"), pc.is_valid(table["pearson"])))
    for group, layer, role, expert, pearson, parameters in zip(*(table[name].to_pylist() for name in columns), strict=True):
        out[group][-1 if layer is None else layer, role, expert] = pearson, parameters
    return out


def _parameters(table: pa.Table) -> dict[str, tuple[int, int]]:
    """Group -> parameters compared, parameters in all."""
    compared = pc.if_else(pc.equal(table["status"], "compared"), table["parameters"], 0)
    sums = table.append_column("compared", compared).group_by("group")
    found = sums.aggregate([("compared", "sum"), ("parameters", "sum")]).to_pylist()
    return {row["group"]: (row["compared_sum"], row["parameters_sum"]) for row in found}


def _group(
    group: str,
    pairs: Sequence[Pair],
    cells: Mapping[Pair, Mapping[str, Cells]],
    draws: Mapping[Pair, Mapping[str, Array]],
    totals: Mapping[Pair, Mapping[str, tuple[int, int]]],
) -> dict[str, Any]:
    shared = set.intersection(*({*cells[pair].get(group, {})} for pair in pairs))
    roles = {role for _, role, _ in shared if all(role in draws[pair] for pair in pairs)}
    entry: dict[str, Any] = {"group": group, "tensors": len(shared), "pairs": []}
    entry["parameters"] = sum(cells[pairs[0]][group][key][1] for key in shared)
    for pair in pairs:
        found = cells[pair].get(group, {})
        weighted = sum(found[key][0] * found[key][1] for key in shared)
        compared, everything = totals[pair].get(group, (0, 0))
        entry["pairs"].append({
            "a": pair[0], "b": pair[1], "pearson": weighted / entry["parameters"] if shared else None,
            "compared": compared, "fraction": compared / everything if everything else None,
        })  # fmt: skip
    first, *rivals = (one["pearson"] for one in entry["pairs"])
    entry["closest"] = bool(first > max(rivals)) if shared else None
    entry["p"] = max(_closer_p(draws[pairs[0]], draws[rival], roles) for rival in pairs[1:]) if roles else None
    return entry


def _closer_p(pair: Mapping[str, Array], rival: Mapping[str, Array], roles: set[str]) -> float:
    """Rank of the difference of two pooled statistics among their draws."""
    one, other = (standardise(np.sum([found[role] for role in sorted(roles)], axis=0)) for found in (pair, rival))
    return float(rank_p(one - other))

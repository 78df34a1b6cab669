"""Whether A and B are closer to each other than to a third model, group by group, over what all of them share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import display_order
from .subject import Claim, Subject, mean, skipped

NAME, SOURCE = "third_model", "hyunwoongko/solar-vs-glm-vs-phi; asked for by Pebblous"

Pair = tuple[int, int]
Cells = Mapping[str, Mapping[tuple[Any, ...], tuple[float, int]]]
"""Group -> (layer, role, expert) -> Pearson, parameters: the compared tensors of one pair that have a Pearson."""


def third_model(subject: Subject) -> Claim:
    """Cosines of norms between all pairs, and then, group by group, whether A-B stands out from A-C and B-C.

    Pearsons are means, weighted by parameters, over the tensors that all of these pairs have in common: more tensors in
    one of them would be another question. p is the largest of those of the table `triples`, over the rivals of A-B.
    """
    models = range(len(subject.models))
    if len(models) < 3:
        return skipped(NAME, SOURCE, "Needs a third model: whether A and B are close shows only beside another pair.")
    pairs = [pair for pair in combinations(models, 2) if {0, 1} & {*pair}]
    tables = {pair: _tensors(subject, pair) for pair in pairs}
    cells = {pair: _cells(table) for pair, table in tables.items()}
    totals = {pair: _parameters(table) for pair, table in tables.items()}
    closer = _closer(subject)
    groups = {group for found in totals.values() for group in found} - {"other"}
    norms = {pair: _mean_norm_cosine(table, subject.gains) for pair, table in tables.items()}
    return {
        "name": NAME,
        "source": SOURCE,
        "published_style": {"pairs": [{"a": a, "b": b, "norm_cosine": norms[a, b]} for a, b in pairs]},
        "corrected": {
            "groups": [
                _group(group, pairs, cells, totals) | {"p": closer.get(group)}
                for group in sorted(groups, key=lambda group: display_order([group]))
            ]
        },
        "why": (
            "A cosine of norms is as high with a third model; whether A and B are closer than that is asked of every "
            "group, over tensors that all pairs share, and a group without any is evidence for neither side."
        ),
    }


def _tensors(subject: Subject, pair: Pair) -> pa.Table:
    table = subject.results["tensors"]
    wanted = pc.and_(pc.equal(table["a"], pair[0]), pc.equal(table["b"], pair[1]))
    return table.filter(pc.and_(wanted, pc.equal(table["component"], subject.component)))


def _mean_norm_cosine(table: pa.Table, gains: Sequence[str]) -> float | None:
    of_layers = table.filter(pc.and_(pc.is_in(table["role"], pa.array(gains)), pc.is_valid(table["layer"])))
    return mean(of_layers["cosine"].to_pylist())


def _cells(table: pa.Table) -> Cells:
    out: dict[str, dict[tuple[Any, ...], tuple[float, int]]] = defaultdict(dict)
    columns = ("group", "layer", "role", "expert", "pearson", "parameters")
    table = table.filter(pc.and_(pc.equal(table["status"], "compared"), pc.is_valid(table["pearson"])))
    for group, *place, pearson, parameters in zip(*(table[name].to_pylist() for name in columns), strict=True):
        out[group][tuple(place)] = pearson, parameters
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
    cells: Mapping[Pair, Cells],
    totals: Mapping[Pair, Mapping[str, tuple[int, int]]],
) -> dict[str, Any]:
    shared = set.intersection(*({*cells[pair].get(group, {})} for pair in pairs))
    parameters = sum(cells[pairs[0]][group][place][1] for place in shared)
    found: list[dict[str, Any]] = []
    pearsons: list[float] = []
    for pair in pairs:
        weighted = sum(pearson * weight for pearson, weight in (cells[pair][group][place] for place in shared))
        pearsons.append(weighted / parameters if shared else float("nan"))
        compared, everything = totals[pair].get(group, (0, 0))
        entry = {"a": pair[0], "b": pair[1], "pearson": pearsons[-1], "compared": compared}
        found.append(entry | {"fraction": compared / everything if everything else None})
    closest = pearsons[0] > max(pearsons[1:]) if shared else None
    return {"group": group, "tensors": len(shared), "parameters": parameters, "pairs": found, "closest": closest}


def _closer(subject: Subject) -> dict[str, float]:
    """Group -> p of A-B being closer than every rival: 1 where one of them is closer; none where one has no null."""
    table = subject.results["triples"]
    of_component: list[dict[str, Any]] = table.filter(pc.equal(table["component"], subject.component)).to_pylist()
    found: dict[str, list[float]] = defaultdict(list)
    for row in of_component:
        if row["a"] in (0, 1) and {0, 1} - {row["a"]} <= {row["b"], row["c"]}:
            found[row["group"]].append(row["p"] if row["b"] in (0, 1) else 1.0)
    rivals = 2 * (len(subject.models) - 2)
    return {group: max(values) for group, values in found.items() if len(values) == rivals}

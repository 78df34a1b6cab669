"""From gathered numbers to findings along a series: where weights were replaced, and which steps are unusual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..schema import display_order
from ..statistics.jumps import Relation, Run, detours, foreign_runs, relation, strands, unusual_steps
from ..statistics.verdict import FEWEST_DRAWS, MATRIX_GROUPS
from .gather import Gathered, Group, Pool
from .jump import Jump, Kind
from .tensor_findings import detoured_tensors, without_counterpart


@dataclass
class Steps:
    """What was found along the series."""

    tested: list[Group]
    """Groups of matrices in which a match can be told from none."""
    untestable: list[Group]
    """Those with too few draws, or that match nowhere although others do."""
    jumps: list[Jump]
    forgotten: list[Group]
    """Groups of which no checkpoint keeps anything of the first, which may be a random initialisation."""
    unusual: dict[int, list[Group]]
    """By the place that an unusual step leads to."""
    same: list[int]
    """Places whose checkpoint has every compared byte of the one before it."""
    relations: dict[Group, dict[tuple[int, int], Relation]]


def find_steps(gathered: Gathered, intervals: Sequence[float] | None, trained_start: bool, ordered: bool) -> Steps:
    """`intervals`: durations of the steps, if they are known. `trained_start`: the first checkpoint is no random
    initialisation, of which training could have left no trace. `ordered`: nothing says that the order is not that of the
    training; else nothing is asked of the path."""
    pools = {place: gathered.pools[place] for place in sorted(gathered.pools, key=display_order)}
    matrices = {place: pool for place, pool in pools.items() if place[1] in MATRIX_GROUPS}
    relations = {place: found for place, pool in matrices.items() if (found := _relations(pool))}
    tested = [place for place, found in relations.items() if "match" in found.values()] or list(relations)
    members = next(iter(pools.values())).members if pools else 0
    runs = _foreign({place: relations[place] for place in tested}, members)
    forgotten = [] if trained_start else runs.pop((0, 0, "until_here"), [])
    jumps = [
        Jump(kind, first, last, groups, len(groups) == len(tested))
        for (first, last, kind), groups in sorted(runs.items())
    ]
    jumps += without_counterpart(gathered.tensors, jumps, members)
    unusual: dict[int, list[Group]] = defaultdict(list)
    if ordered:
        moved = _moved_out({place: matrices[place] for place in tested}, jumps)
        jumps += moved
        jumps += detoured_tensors(gathered.tensors, jumps, members)
        for place in tested:
            lengths = np.sqrt(matrices[place].gap / matrices[place].square[:-1])
            for at in unusual_steps(lengths, intervals):
                if not any(jump.touches(at) for jump in jumps):
                    unusual[at].append(place)
    unequal = np.sum([pool.unequal for pool in pools.values()], axis=0)
    same = [int(at) + 1 for at in np.flatnonzero(unequal == 0)] if pools else []
    untestable = [place for place in matrices if place not in tested]
    return Steps(tested, untestable, jumps, forgotten, dict(sorted(unusual.items())), same, relations)


def _relations(pool: Pool) -> dict[tuple[int, int], Relation]:
    """Of every pair; {} if the group has no null."""
    found = {}
    for pair in pool.pairs:
        evidence = pool.evidence(*pair)
        if evidence is None or evidence.draws < FEWEST_DRAWS:
            return {}
        found[pair] = relation(evidence.z, evidence.p <= 1 / (evidence.draws + 1) * (1 + 1e-9))
    return found


def _foreign(
    relations: Mapping[Group, Mapping[tuple[int, int], Relation]], members: int
) -> dict[tuple[int, int, Kind], list[Group]]:
    """Runs of checkpoints that share nothing with the others, and in which groups."""
    runs: dict[tuple[int, int, Kind], list[Group]] = defaultdict(list)
    for place, found in relations.items():
        for run in foreign_runs(strands(members, found)):
            runs[run.first, run.last, _kind(run, members)].append(place)
    return runs


def _kind(run: Run, members: int) -> Kind:
    if run.last == members - 1:
        return "from_here"
    return "until_here" if run.first == 0 else "replaced"


def _moved_out(pools: Mapping[Group, Pool], known: Sequence[Jump]) -> list[Jump]:
    """Checkpoints to which whole groups go far out, where nothing stronger explains that."""
    groups: dict[int, list[Group]] = defaultdict(list)
    for place, pool in pools.items():
        for at in map(int, np.flatnonzero(detours(pool.gap, pool.around, pool.square))):
            if not any(jump.covers(place, at) for jump in known):
                groups[at].append(place)
    return [Jump("moved_out", at, at, held, len(held) == len(pools)) for at, held in sorted(groups.items())]

"""From gathered numbers to findings: which checkpoints are of another training, which steps are unusual, what the start is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..schema import display_order
from ..statistics.jumps import (
    Relation, Replaced, Run, detours, foreign_runs, relation, replaced_tensors, strands, unusual_steps,
)  # fmt: skip
from ..statistics.verdict import FEWEST_DRAWS, MATRIX_GROUPS
from .course import pairs_of
from .gather import Gathered, Group, Pool, Tensor

MOST_TENSORS = 20
"""Names that a jump lists."""


@dataclass
class Jump:
    """Weights that were replaced from place `first` to place `last`; the kinds are those of summary.json."""

    kind: str
    """"replaced" (what comes before goes on after), "from_here" (to the end), "until_here" (from the beginning), "moved_out" (some
    of the weights are shared, but the path goes far out and comes back)"""
    first: int
    last: int
    groups: list[Group]
    whole: bool
    """Every group of matrices that can be tested."""
    tensors: list[str] = field(default_factory=list)
    """Where single tensors were replaced, not a group: their names."""
    count: int = 0
    """How many tensors."""


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
    same: list[int]
    """Places whose checkpoint has every compared byte of the one before it."""
    relations: dict[Group, dict[tuple[int, int], Relation]]


def find_steps(gathered: Gathered, intervals: Sequence[float] | None, trained_start: bool) -> Steps:
    """`intervals`: durations of the steps, if they are known. `trained_start`: the first checkpoint is no random initialisation,
    which training could have left no trace of."""
    pools = {place: gathered.pools[place] for place in sorted(gathered.pools, key=display_order)}
    matrices = {place: pool for place, pool in pools.items() if place[1] in MATRIX_GROUPS}
    relations = {place: found for place, pool in matrices.items() if (found := _relations(pool))}
    able = [place for place, found in relations.items() if "match" in found.values()]
    tested = able or list(relations)
    untestable = [place for place in matrices if place not in tested]
    members = next(iter(pools.values())).members if pools else 0
    runs: dict[tuple[int, int, str], list[Group]] = defaultdict(list)
    for place in tested:
        for run in foreign_runs(strands(members, relations[place])):
            runs[run.first, run.last, _kind(run, members)].append(place)
        outside = _covered(runs, place)
        pool = matrices[place]
        for at in np.flatnonzero(detours(pool.gap, pool.around, pool.square)):
            if not any(first - 1 <= at <= last + 1 for first, last in outside):
                runs[int(at), int(at), "moved_out"].append(place)
    forgotten = [] if trained_start else runs.pop((0, 0, "until_here"), [])
    jumps = [
        Jump(kind, first, last, groups, len(groups) == len(tested))
        for (first, last, kind), groups in sorted(runs.items())
    ]
    jumps += _tensor_jumps(gathered.tensors, jumps, members)
    unusual: dict[int, list[Group]] = defaultdict(list)
    for place in tested:
        pool = matrices[place]
        for at in unusual_steps(np.sqrt(pool.gap / pool.square[:-1]), intervals):
            if not any(jump.first - 1 <= at <= jump.last + 1 for jump in jumps):
                unusual[at].append(place)
    moved = sum(pool.unequal for pool in pools.values())
    same = [int(at) + 1 for at in np.flatnonzero(moved == 0)] if pools else []
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


def _kind(run: Run, members: int) -> str:
    if run.last == members - 1:
        return "from_here"
    return "until_here" if run.first == 0 else "replaced"


def _covered(runs: dict[tuple[int, int, str], list[Group]], place: Group) -> list[tuple[int, int]]:
    return [(first, last) for (first, last, _), groups in runs.items() if place in groups]


def _tensor_jumps(tensors: Sequence[Tensor], known: Sequence[Jump], members: int) -> list[Jump]:
    """Single matrices that were replaced where their group was not."""
    held = [
        tensor
        for tensor in tensors
        if len(tensor.unit.axes) > 1 and tensor.unit.group in (*MATRIX_GROUPS, "embeddings")
    ]
    if not held or members < 3:
        return []
    gap, around, square, z = (
        np.stack([getattr(tensor, name) for tensor in held]) for name in ("gap", "around", "square", "z")
    )
    pairs = _pairs(members)
    found = replaced_tensors(z[:, pairs[0]], z[:, pairs[1]], detours(gap, around, square))
    for row, tensor in enumerate(held):
        for jump in known:
            if jump.whole or (tensor.unit.address.component, tensor.unit.group) in jump.groups:
                for each in found:
                    each[row, max(0, jump.first - 1) : jump.last + 2] = False
    return list(_listed(held, found, members))


def _pairs(members: int) -> tuple[list[int], list[int]]:
    """Where neighbours, and those around one, are among a course's pairs."""
    places = {pair: place for place, pair in enumerate(pairs_of(members))}
    return [places[at, at + 1] for at in range(members - 1)], [places[at, at + 2] for at in range(members - 2)]


def _listed(held: Sequence[Tensor], found: Replaced, members: int) -> Iterator[Jump]:
    for kind, flags in zip(("replaced", "from_here"), found, strict=True):
        for at in np.flatnonzero(flags.any(axis=0)):
            rows = np.flatnonzero(flags[:, at])
            groups = Counter((held[row].unit.address.component, held[row].unit.group) for row in rows)
            names = [held[row].unit.slots[0].name for row in rows[:MOST_TENSORS]]
            last = int(at) if kind == "replaced" else members - 1
            yield Jump(kind, int(at), last, sorted(groups, key=display_order), False, names, len(rows))

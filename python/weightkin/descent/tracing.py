"""Finds out which models are kin: in place, then by searching the representatives of families, then in the order of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from ..aligning import FIRST_NUMBER
from ..comparison import Work
from ..correspondence.alignment import Alignment
from ..plan import Plan
from ..relabelling import Relabellings, largest_statistic
from ..results.collect import collect
from ..results.evidence import PairEvidence
from ..results.journal import Journal
from ..results.packing import unpack
from ..results.summary import PairTotals, numbers
from ..results.tables import PairSweep
from ..results.tables import pair_of as number_of
from ..results.verdict import judge
from .distances import Distances, from_journal
from .frame import FramePlan, frame
from .kinship import WHOLE_RELATIONS, Kin, Pair, families, pair_of, representative
from .searching import Outcome, Searcher
from .structure import Structure, structure

Search = Callable[[int, int], Outcome]


@dataclass
class Traced:
    """What is known of all pairs of models."""

    kin: dict[Pair, Kin]
    distances: list[Distances]
    """Of all models in place, then of each family in the order of its reference model."""
    ranks: dict[Pair, int] = field(default_factory=dict)
    """Edits of the structure between two models of one family; none where a pair is missing."""
    outcomes: dict[Pair, Outcome] = field(default_factory=dict)
    """By the reference and the model that was searched."""

    def of(self, members: set[int]) -> Distances:
        """Those that hold all of `members`, the last of such."""
        return next(one for one in reversed(self.distances) if members <= set(one.models))


def in_place(plan: Plan, journal: Journal) -> dict[Pair, Kin]:
    """From the units of `plan`, which the journal holds."""
    pairs = numbers("matrix", plan, collect(plan, journal))["pairs"]
    return {(one["a"], one["b"]): Kin(one["a"], one["b"], one, "in place") for one in pairs}


@dataclass
class Tracer:
    """One run over the models of `plan`."""

    plan: Plan
    work: Work
    relabellings: Relabellings
    journal: Journal
    searcher: Searcher | None
    """None: everything stays in place."""
    _numbers: Mapping[tuple[object, ...], int] = field(default_factory=dict)
    """Of all units so far: what differs must not share a place in the journal."""

    def trace(self) -> Traced:
        """Compares all models in place, searches, and compares families in the order of one member."""
        self.work.sweep(self.plan, self.journal, self.relabellings)
        everything = range(len(self.plan.models))
        found = Traced(in_place(self.plan, self.journal), [from_journal(self.plan, self.journal, everything)])
        for reference, alignments in self._searched(found).items():
            if any(one != Alignment() for one in alignments.values()):
                self._in_order_of(reference, alignments, found)
        return found

    def _searched(self, found: Traced) -> dict[int, dict[int, Alignment]]:
        """Searches one model of each family against one of each other; returns how the models of each family, and those that
        match it in part, match its reference.

        A family here are models that explain each other in place. One that is found to match another joins it.
        """
        sizes = [model.checkpoint.parameters for model in self.plan.models]
        known = families(len(sizes), [pair for pair, one in found.kin.items() if one.explained])
        first = [representative(members, found.kin, sizes) for members in known]
        matches = {
            one: {member: Alignment() for member in members if member != one}
            for one, members in zip(first, known, strict=True)
        }
        if self.searcher is None:
            return matches
        # Those that match in part first: once they are explained, they need not be held against the others.
        pairs = sorted(combinations(first, 2), key=lambda pair: not found.kin[pair_of(*pair)].related)
        for reference, other in pairs:
            if reference in matches and other in matches:
                outcome = self._search(reference, other, found, matches)
                if outcome.relation in WHOLE_RELATIONS:
                    self._take_along(reference, other, found, matches)
        return matches

    def _take_along(self, reference: int, other: int, found: Traced, matches: dict[int, dict[int, Alignment]]) -> None:
        """The family of `other`, which was found to match `reference`, matches it too."""
        for member, alignment in matches.pop(other).items():
            if alignment == Alignment() and found.kin[pair_of(other, member)].explained:
                matches[reference][member] = matches[reference][other]
            elif (reference, member) not in found.outcomes:
                self._search(reference, member, found, matches)

    def _search(self, reference: int, model: int, found: Traced, matches: dict[int, dict[int, Alignment]]) -> Outcome:
        outcome = self._outcome(reference, model)
        found.outcomes[reference, model] = outcome
        if outcome.entry:
            kin = Kin(*pair_of(reference, model), outcome.entry, "search")
            if kin.related:
                found.kin[pair_of(reference, model)] = kin
                matches[reference][model] = outcome.alignment
        return outcome

    def _outcome(self, reference: int, model: int) -> Outcome:
        """Of a search, once for all runs that share the journal."""
        assert self.searcher is not None
        number = FIRST_NUMBER + reference * len(self.plan.models) + model
        if number not in self.journal.finished:
            outcome = self.searcher.both_ways(self.plan.models[reference], self.plan.models[model])
            self.journal.append(number, json.dumps(outcome.to_json()).encode())
        return Outcome.from_json(json.loads(self.journal[number]))

    def _in_order_of(self, reference: int, alignments: Mapping[int, Alignment], found: Traced) -> None:
        """Compares the family once more, all in the order of `reference`."""
        ordered = frame(replace(self.plan, numbers=self._numbers or self.plan.numbers), reference, alignments)
        self._numbers = ordered.numbers
        self.work.sweep(ordered, self.journal, self.relabellings)
        members = sorted((reference, *alignments))
        found.distances.append(from_journal(ordered, self.journal, members))
        pairs = [pair for pair in combinations(members, 2) if not found.kin[pair].explained]
        found.kin |= _in_order(ordered, self.journal, pairs, found)
        models = self.plan.models
        structures: dict[int, Structure] = {
            model: structure(models[reference], models[model], alignments.get(model, Alignment())) for model in members
        }
        for a, b in combinations(members, 2):
            found.ranks[a, b] = structures[a].edits(structures[b])


def _in_order(plan: FramePlan, journal: Journal, pairs: list[Pair], found: Traced) -> dict[Pair, Kin]:
    """The verdict of pairs that were compared in the order of a third model. How follows from how each matches that one."""
    evidence = {pair: PairEvidence(*pair) for pair in pairs}
    totals = {pair: PairTotals(*pair, evidence[pair]) for pair in pairs}
    for unit in plan.units:
        if len(unit.members) < 2:
            continue
        sweep = unpack(journal[unit.index], len(unit.bounds) - 1, len(unit.members))
        chosen = plan.chosen.get(unit.index, frozenset())
        for a, b, row in plan.compared(unit):
            if (a, b) not in totals:
                continue
            totals[a, b].add(row, PairSweep(unit, sweep, a, b))
            if sweep.lagged.shape[1] and not chosen & {a, b}:
                number = number_of(unit, a, b)
                evidence[a, b].add(unit, sweep.lagged[number], largest_statistic(unit), sweep.opposite[number])
    out = {}
    for (a, b), total in totals.items():
        for row in plan.untested(a, b):
            total.add(row, None)
        entry: dict[str, Any] = {"a": a, "b": b, "coverage": total.coverage.to_dict()}
        for level, names in (("role", ("component", "group", "role")), ("group", ("component", "group"))):
            entry[f"{level}s"] = total.level(level, names)
        judge(entry, [plan.models[model].checkpoint.name for model in (a, b)], evidence[a, b])
        entry["verdict"]["how"] = _how(a, b, found)
        before = found.kin[a, b]
        one = Kin(a, b, entry, "family")
        if one.related or not before.related:
            out[a, b] = one
    return out


def _how(a: int, b: int, found: Traced) -> list[str]:
    words = [word for (_, model), one in found.outcomes.items() if model in (a, b) and one.entry
             for word in one.entry["verdict"]["how"] if word != "finetuned"]  # fmt: skip
    return list(dict.fromkeys(words))

"""Searches a model for the re-ordered parts of another, both ways round where that may say more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..aligning import Way
from ..comparison import Work
from ..correspondence.alignment import Alignment, HeadMatch, Indices, Mlp, MlpMatch, from_json, to_json
from ..devices import Device
from ..errors import PlanError
from ..plan import make_plan
from ..results.collect import collect
from ..results.journal import Journal
from ..results.summary import numbers
from ..schema import Address, Model
from .kinship import RELATED, WHOLE_RELATIONS

Progress = Callable[[str, int, int], None]


class Outcome(NamedTuple):
    """What a search of model B for parts of model A found."""

    alignment: Alignment
    """From parts of B to parts of A."""
    entry: dict[str, Any]
    """As in summary.json of `compare`; {} if the two have nothing that can be compared."""
    reverse: bool
    """Whether B's parts explain A's: the search went the other way round, and `alignment` is its inverse."""

    def to_json(self) -> dict[str, Any]:
        return {"alignment": to_json(self.alignment), "entry": self.entry, "reverse": self.reverse}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Outcome:
        return cls(from_json(value["alignment"]), value["entry"], value["reverse"])

    @property
    def relation(self) -> str:
        return str(self.entry["verdict"]["relation"]) if self.entry else "not_tested"


class Searcher(NamedTuple):
    """How to search."""

    null: int
    seed: int
    threads: int
    devices: Sequence[Device]
    memory: int | None
    progress: Progress
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def both_ways(self, a: Model, b: Model) -> Outcome:
        """The search of B in A, or of A in B if that explains more: a whole that holds copies of parts is explained by the
        parts, a rest by the whole."""
        there = self._search(a, b)
        if there.relation not in RELATED:
            return there
        if there.relation in WHOLE_RELATIONS and "pruned" not in there.entry["verdict"]["how"]:
            return there
        back = self._search(b, a)
        if _worth(back) > _worth(there):
            return Outcome(inverse(back.alignment, b), back.entry, True)
        return there

    def _search(self, a: Model, b: Model) -> Outcome:
        try:
            plan = make_plan([a, b], self.include, self.exclude)
        except PlanError:
            return Outcome(Alignment(), {}, False)
        work = Work(plan, self.null, self.seed, self.threads, self.devices, self.memory, self.progress)
        journal = Journal(None, "", False)
        try:
            work.run(Way("auto"), journal)
            entry = numbers("compare", work.plan, collect(work.plan, journal), work.alignment)
        finally:
            journal.close()
        return Outcome(work.plan.alignment or Alignment(), entry, False)


def _worth(found: Outcome) -> tuple[bool, bool, bool]:
    """More for a whole relation, and for one in which nothing was lost."""
    if found.relation not in RELATED:
        return False, False, False
    return True, found.relation in WHOLE_RELATIONS, "pruned" not in found.entry["verdict"]["how"]


def inverse(alignment: Alignment, a: Model) -> Alignment:
    """From parts of A, the model `a`, to parts of B: of several that match one, the first."""
    widths = {
        slot.address: slot.view.shape[slot.axes.index("neuron")]
        for slot in a.slots
        if "neuron" in slot.axes and slot.view
    }
    layers = {
        component: {match: layer for layer, match in sorted(found.items(), reverse=True)}
        for component, found in alignment.layers.items()
    }
    mlps: dict[Mlp, MlpMatch] = {}
    for mlp, match in sorted(alignment.mlps.items(), key=lambda item: (item[0].layer, item[0].expert or 0)):
        one = match.mlp
        width = widths[Address(one.component, one.layer, f"{one.kind}.up", one.expert)]
        neurons = None if match.neurons is None else _inverse(match.neurons, width)
        mlps.setdefault(one, MlpMatch(mlp, neurons))
    heads = {
        (component, layer_a): HeadMatch(*(_inverse(order, int(order.max()) + 1) for order in match))
        for (component, layer), match in alignment.heads.items()
        if (layer_a := alignment.layer_of(component, layer)) is not None
    }
    return Alignment(layers, mlps, heads)


def _inverse(order: Indices, size: int) -> Indices:
    out = np.full(size, -1, np.int64)
    kept = np.flatnonzero(order >= 0)[::-1]
    out[order[kept]] = kept
    return out

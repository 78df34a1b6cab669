"""compare --align: in place first; then, where that leaves something unexplained, through what was found to correspond."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .correspondence.alignment import Alignment, Mlp, MlpMatch, from_json, read_alignment, to_json
from .plan import Plan, realign
from .results.collect import collect
from .results.gaps import gaps
from .results.journal import Journal
from .results.summary import numbers

if TYPE_CHECKING:
    from .correspondence.layer_match import LayerMatch
    from .correspondence.workers import Workers

STAGES = (("layers",), ("experts", "heads"))
"""Kinds that are searched for together. Experts come after layers: those of a layer are sought in the layer it matches."""
FIRST_NUMBER = 1 << 62
"""In the journal, of what the first stage found, then the second, then each layer's experts; no unit has so large a number."""

Sweep = Callable[[Plan], None]
"""Compares what the journal lacks of a plan."""


class LayerMemory:
    """What was found of pairs of layers, in the journal: a `Memory` of correspondence/search.py."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.numbers: set[int] = set()
        """Of the records that took part."""

    def holds(self, number: int) -> bool:
        return FIRST_NUMBER + len(STAGES) + number in self._journal.finished

    def keep(self, number: int, match: LayerMatch) -> None:
        from .correspondence.applied import applied_mlps  # slow to import
        from .correspondence.evidence import describe_layer

        entry = {"alignment": to_json(Alignment(mlps=applied_mlps(match))), "evidence": describe_layer(match)}
        self._journal.append(FIRST_NUMBER + len(STAGES) + number, json.dumps(entry).encode())

    def mlps(self, number: int) -> Mapping[Mlp, MlpMatch]:
        self.numbers.add(len(STAGES) + number)
        return _mlps(self._journal, len(STAGES) + number)

    def evidence(self) -> list[dict[str, Any]]:
        """`evidence.describe_layer` of each."""
        return [json.loads(self._journal[FIRST_NUMBER + number])["evidence"] for number in sorted(self.numbers)]


Search = Callable[[Plan, set[tuple[str, str]], Alignment, LayerMemory], tuple[Alignment, dict[str, Any]]]
"""From a plan, the components and kinds that are wanted, and what is known: more of it, and its evidence. What takes long is
for the memory."""


@dataclass(frozen=True)
class Way:
    """How parts are paired: "auto", "none", or a given alignment."""

    name: str
    why: str = ""
    """Of "none"."""
    given: Alignment | None = None
    file: Path | None = None
    digest: str = ""
    """Of the file's content."""

    @classmethod
    def of(cls, align: str | Path, null: int) -> Way:
        """`null`: how many relabelled copies there are. Raises `AlignmentError` if it is a file that cannot be read."""
        if align == "none":
            return cls("none", "not asked for")
        if align == "auto":
            return cls("auto") if null else cls("none", "without relabelled copies nothing can be significant")
        given = read_alignment(Path(align))
        return cls("file", "", given, Path(align), blake2b(Path(align).read_bytes(), digest_size=8).hexdigest())

    @property
    def key(self) -> str:
        """Equal for runs that may go on from each other's journal."""
        return f"{self.file} {self.digest}" if self.file is not None else self.name


def align(plan: Plan, way: Way, journal: Journal, sweep: Sweep, find: Search) -> dict[str, Any]:
    """Compares the two models of `plan`: what the last plan that was swept compares. Returns how parts were paired.

    What each stage finds (of experts: each layer) is journalled like a unit, so a resumed run does not search again.
    """
    said: dict[str, Any] = {"mode": way.name, "searched": False}
    if way.given is not None:
        from .correspondence.evidence import describe_given  # slow to import

        plan = realign(plan, way.given)
        sweep(plan)
        said |= {"why": "the alignment was given", "file": str(way.file)}
        return said | describe_given(way.given, *plan.models)
    sweep(plan)
    if way.name == "none":
        return said | {"why": way.why}
    known, evidence, why = Alignment(), dict[str, Any](), ""
    said["kinds"] = []
    for stage, kinds in enumerate(STAGES):
        found = gaps(numbers("compare", plan, collect(plan, journal)))
        wanted = {(component, kind) for component, kind in found.wanted if kind in kinds}
        why = why or found.why
        if not wanted:
            continue
        stored = _once(journal, stage, partial(_stored, find, plan, wanted, known, journal))
        known = _alignment(stored, journal)
        evidence = _merged(evidence, stored["evidence"])
        said["searched"] = True
        said["kinds"] += [kind for kind in kinds if any(kind == one for _, one in wanted)]
        if known.layers or known.mlps or known.heads:
            plan = realign(plan, known)
            sweep(plan)
    return said | {"why": why or "everything matches in place"} | evidence


def search(
    plan: Plan,
    wanted: set[tuple[str, str]],
    known: Alignment,
    memory: LayerMemory,
    *,
    seed: int,
    workers: Workers,
    draws: int,
    progress: Callable[[str, int, int], None],
) -> tuple[Alignment, dict[str, Any]]:
    """A `Search`, by correspondence/search.py."""
    from .correspondence.evidence import describe  # slow to import
    from .correspondence.search import find_alignment

    found = find_alignment(
        *plan.models, seed=seed, workers=workers, draws=draws, progress=progress, wanted=wanted, start=known,
        memory=memory,
    )  # fmt: skip
    return found.alignment, describe(found, memory.evidence())


def _stored(
    find: Search, plan: Plan, wanted: set[tuple[str, str]], known: Alignment, journal: Journal
) -> dict[str, Any]:
    """What a stage found, but for the matches of MLPs: of those, their records' numbers, for the neurons are many."""
    memory = LayerMemory(journal)
    alignment, evidence = find(plan, wanted, known, memory)
    return {"alignment": to_json(replace(alignment, mlps={})), "evidence": evidence, "mlps": sorted(memory.numbers)}


def _alignment(stored: Mapping[str, Any], journal: Journal) -> Alignment:
    """Of what `_stored` gave."""
    mlps: dict[Mlp, MlpMatch] = {}
    for number in stored["mlps"]:
        mlps |= _mlps(journal, number)
    return replace(from_json(stored["alignment"]), mlps=mlps)


def _mlps(journal: Journal, number: int) -> Mapping[Mlp, MlpMatch]:
    """Of the record of one pair of layers."""
    return from_json(json.loads(journal[FIRST_NUMBER + number])["alignment"]).mlps


def _once(journal: Journal, number: int, compute: Callable[[], Any]) -> Any:
    if FIRST_NUMBER + number not in journal.finished:
        journal.append(FIRST_NUMBER + number, json.dumps(compute()).encode())
    return json.loads(journal[FIRST_NUMBER + number])


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of two stages."""
    return {
        **other,
        **{key: value for key, value in one.items() if value},
        **{key: [*one.get(key, ()), *other[key]] for key in ("tested", "notes")},
    }

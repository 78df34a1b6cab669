"""From the journal to tables and totals, in one pass over it: what is held in memory does not grow with the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ..plan import Plan, Row
from ..relabelling import largest_statistic
from ..similarity import PairSums
from ..statistics.multiplicity import benjamini_hochberg
from .evidence import NULLS, Found, PairEvidence
from .gains import gains_table
from .journal import Journal
from .packing import unpack, unpack_null
from .summary import PairTotals
from .tables import TENSORS, PairSweep, add_measures, block_columns, blocks_table, pair_of, tensor_record
from .triples import TRIPLES, triples

BATCH = 1 << 13
"""Rows that are held before they are handed on."""


def collect(
    plan: Plan, journal: Journal, write: Mapping[str, Callable[[pa.Table], None]] | None = None
) -> dict[tuple[int, int], PairTotals]:
    """Writes the rows of all tables, if there is where to; returns each pair's totals."""
    evidence = {pair: PairEvidence(*pair) for pair in plan.pairs}
    found = _tensor_evidence(plan, journal, evidence)
    totals = {pair: PairTotals(*pair, evidence[pair]) for pair in plan.pairs}
    batch = _Batch(write) if write is not None else None
    for unit in plan.units:
        sweep = unpack(journal[unit.index], len(unit.bounds) - 1, len(unit.members))
        for a, b, row in plan.compared(unit):
            pair = PairSweep(unit, sweep, a, b)
            totals[a, b].add(row, pair)
            if batch is not None:
                batch.add(a, b, row, pair, found[a, b].get(unit.index, {}))
    for a, b in plan.pairs:
        for row in plan.untested(a, b):
            totals[a, b].add(row, None)
            if batch is not None:
                batch.add(a, b, row, None, {})
    if batch is not None and write is not None:
        batch.flush()
        for one in evidence.values():
            write["nulls"](pa.Table.from_pylist(list(one.records()), NULLS))
        write["gains"](gains_table(plan))
        if len(plan.models) > 2:
            write["triples"](pa.Table.from_pylist(list(triples(evidence)), TRIPLES))
    return totals


class _Batch:
    """Rows of `tensors` and `blocks` on their way out. What follows from sums is computed for many rows at once.

    Keeps sums, not sweeps.
    """

    def __init__(self, write: Mapping[str, Callable[[pa.Table], None]]) -> None:
        self._write = write
        self._written = 0
        self._records: list[dict[str, Any]] = []
        self._floats: list[tuple[dict[str, Any], PairSums]] = []
        self._pieces: list[Mapping[str, Any]] = []
        self._blocks: list[tuple[PairSums, bool]] = []
        self._rows = 0

    def add(self, a: int, b: int, row: Row, found: PairSweep | None, evidence: dict[str, Any]) -> None:
        record = tensor_record(a, b, row, found) | evidence
        if found is not None:
            self._pieces.append(block_columns(a, b, self._written + len(self._records), found))
            self._blocks.append((found.blocks, found.unit.is_float))
            self._rows += len(found.max_abs)
            if found.unit.is_float:
                self._floats.append((record, found.whole))
        self._records.append(record)
        self._rows += 1
        if self._rows > BATCH:
            self.flush()

    def flush(self) -> None:
        if self._floats:
            add_measures(self._floats)
        if self._pieces:
            self._write["blocks"](blocks_table(self._pieces, self._blocks))
        if self._records:
            self._write["tensors"](pa.Table.from_pylist(_null_nans(self._records), TENSORS))
        self._written += len(self._records)
        for held in (self._records, self._floats, self._pieces, self._blocks):
            held.clear()
        self._rows = 0


def _tensor_evidence(
    plan: Plan, journal: Journal, evidence: Mapping[tuple[int, int], PairEvidence]
) -> dict[tuple[int, int], dict[int, dict[str, Any]]]:
    """z and p of each unit, by pair; adjusting p for the number of tensors needs all before the first row is written."""
    found: dict[tuple[int, int], dict[int, tuple[Found, float]]] = {pair: {} for pair in evidence}
    for unit in plan.units:
        lagged, opposite = unpack_null(journal[unit.index], len(unit.members))
        if lagged.shape[1]:
            for a, b, _ in plan.compared(unit):
                pair = pair_of(unit, a, b)
                largest = largest_statistic(unit)
                one = evidence[a, b].add(unit, lagged[pair], largest, opposite[pair])
                if one is not None:
                    found[a, b][unit.index] = one, float(lagged[pair][0]) / largest
    return {pair: _adjusted(units) for pair, units in found.items()}


def _adjusted(found: Mapping[int, tuple[Found, float]]) -> dict[int, dict[str, Any]]:
    """Of each unit: its evidence and its aligned cosine, for the columns of `tensors`."""
    adjusted = benjamini_hochberg(np.array([one.p for one, _ in found.values()]))
    return {
        index: {"z": one.z, "p": one.p, "p_adjusted": float(p), "draws": one.draws, "aligned_cosine": aligned}
        for (index, (one, aligned)), p in zip(found.items(), adjusted, strict=True)
    }


def _null_nans(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: None if value != value else value for name, value in record.items()} for record in records]

"""From the journal to tables and totals, in one pass over it: what is held in memory does not grow with the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..plan import Plan
from ..relabelling import largest_statistic
from ..statistics.multiplicity import benjamini_hochberg
from .evidence import NULLS, Found, PairEvidence
from .folder import atomic
from .journal import Journal
from .summary import Histograms, PairTotals
from .tables import BLOCKS, TENSORS, PairSweep, block_columns, pair_of, tensor_record, to_table
from .triples import TRIPLES, triples

BATCH = 1 << 13
"""Rows that are held before they are handed on."""


class Sink:
    """Takes a table in pieces: to a parquet file that appears when the run's `ExitStack` closes, or to memory."""

    def __init__(self, name: str, schema: pa.Schema, output: Path | None, stack: ExitStack) -> None:
        self._schema, self._pieces = schema, list[pa.Table]()
        self._writer = None
        if output is not None:
            partial = stack.enter_context(atomic(output / f"{name}.parquet"))
            self._writer = stack.enter_context(pq.ParquetWriter(partial, schema, compression="zstd"))

    def write(self, piece: pa.Table) -> None:
        if self._writer is None:
            self._pieces.append(piece)
        else:
            self._writer.write_table(piece)

    def table(self) -> pa.Table:
        """Everything written, if it was to memory."""
        return pa.concat_tables([self._schema.empty_table(), *self._pieces])


def collect(
    plan: Plan, journal: Journal, write: Mapping[str, Callable[[pa.Table], None]]
) -> tuple[dict[tuple[int, int], PairTotals], Histograms]:
    """Writes the rows of all tables; returns each pair's totals and the pooled histograms."""
    evidence = {pair: PairEvidence(*pair) for pair in plan.pairs}
    found = _tensor_evidence(plan, journal, evidence)
    totals = {pair: PairTotals(*pair, evidence[pair]) for pair in plan.pairs}
    histograms = Histograms()
    records: list[dict[str, Any]] = []
    pieces: list[Mapping[str, Any]] = []
    written = pending_blocks = 0

    def flush(minimum: int) -> None:
        nonlocal written, pending_blocks
        if len(records) > minimum:
            write["tensors"](pa.Table.from_pylist(_null_nans(records), TENSORS))
            written += len(records)
            records.clear()
        if pending_blocks > minimum:
            write["blocks"](to_table(pieces, BLOCKS))
            pieces.clear()
            pending_blocks = 0

    for unit in plan.units:
        sweep = journal.sweep(unit)
        for a, b, row in plan.compared(unit):
            pair = PairSweep(unit, sweep, a, b)
            totals[a, b].add(row, pair)
            pieces.append(block_columns(a, b, written + len(records), pair))
            pending_blocks += len(unit.bounds) - 1
            records.append(tensor_record(a, b, row, pair) | found[a, b].get(unit.index, {}))
        if unit.is_float:
            histograms.add(unit, unit.group, sweep, pair.code)
        flush(BATCH)
    for a, b in plan.pairs:
        for row in plan.untested(a, b):
            totals[a, b].add(row, None)
            records.append(tensor_record(a, b, row, None))
        flush(BATCH)
        write["nulls"](pa.Table.from_pylist(list(evidence[a, b].records()), NULLS))
    if len(plan.models) > 2:
        write["triples"](pa.Table.from_pylist(list(triples(evidence)), TRIPLES))
    flush(0)
    return totals, histograms


def _tensor_evidence(
    plan: Plan, journal: Journal, evidence: Mapping[tuple[int, int], PairEvidence]
) -> dict[tuple[int, int], dict[int, dict[str, Any]]]:
    """z and p of each unit, by pair; adjusting p for the number of tensors needs all before the first row is written."""
    found: dict[tuple[int, int], dict[int, Found]] = {pair: {} for pair in evidence}
    for unit in plan.units:
        lagged = journal.lagged(unit)
        if lagged.shape[1]:
            for a, b, _ in plan.compared(unit):
                one = evidence[a, b].add(unit, lagged[pair_of(unit, a, b)], largest_statistic(unit))
                if one is not None:
                    found[a, b][unit.index] = one
    return {pair: _adjusted(units) for pair, units in found.items()}


def _adjusted(found: Mapping[int, Found]) -> dict[int, dict[str, Any]]:
    adjusted = benjamini_hochberg(np.array([one.p for one in found.values()]))
    return {
        index: {"z": one.z, "p": one.p, "p_adjusted": float(p), "draws": one.draws}
        for (index, one), p in zip(found.items(), adjusted, strict=True)
    }


def _null_nans(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: None if value != value else value for name, value in record.items()} for record in records]

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
from ..statistics.multiplicity import benjamini_hochberg
from .evidence import NULLS, PairEvidence
from .folder import atomic
from .journal import Journal
from .summary import Histograms, PairTotals
from .tables import BLOCKS, TENSORS, PairSweep, block_columns, pair_of, tensor_record, to_table

BATCH = 1 << 16
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
    found = {pair: _tensor_evidence(plan, journal, pair, evidence[pair]) for pair in plan.pairs}
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
    flush(0)
    return totals, histograms


def _tensor_evidence(
    plan: Plan, journal: Journal, pair: tuple[int, int], evidence: PairEvidence
) -> dict[int, dict[str, Any]]:
    """z and p of each unit of a pair; adjusting p for their number needs all of them before the first row is written."""
    found = {}
    for unit in plan.units:
        if pair[0] in unit.members and pair[1] in unit.members:
            one = evidence.add(unit, journal.lagged(unit)[pair_of(unit, *pair)])
            if one is not None:
                found[unit.index] = one
    adjusted = benjamini_hochberg(np.array([one.p for one in found.values()]))
    return {
        index: {"z": one.z, "p": one.p, "p_adjusted": float(p), "draws": one.draws}
        for (index, one), p in zip(found.items(), adjusted, strict=True)
    }


def _null_nans(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: None if value != value else value for name, value in record.items()} for record in records]

"""The parquet tables of a comparison: one row per pair of models and address (`tensors`) or block of it (`blocks`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..ops import Sweep
from ..plan import Row
from ..similarity import PairSums, measures, pearson
from ..statistics.vectors import correlation_z
from ..units import Unit
from .evidence import NULLS
from .gains import GAINS
from .triples import TRIPLES

MEASURES = [
    "cosine", "pearson", "cosine_if_uncorrelated", "relative_l2_a", "relative_l2_b", "mean_abs_difference",
    "max_abs_difference", "p99_a", "p99_b", "p99_difference", "cv_a", "cv_b", "cv_difference", "changed_fraction",
]  # fmt: skip
"""Columns of both tables, and keys of roles and groups in summary.json.

p99: the 99th percentile of magnitude. Exact where both tensors are BF16 or 8-bit, or both F16. Otherwise (F32, F64, two types,
folded gains) magnitudes are counted by the upper 16 bits of their float32, and p99 is the lower edge of a bin: up to 1/128
of it too small, so a smaller `p99_difference` than that says nothing."""

COUNTS = ["nans_a", "nans_b", "infinities_a", "infinities_b"]

TENSORS = pa.schema(
    [("a", pa.int16()), ("b", pa.int16()), ("component", pa.string()), ("group", pa.string()), ("layer", pa.int64()),
     ("layer_b", pa.int64()), ("role", pa.string()), ("expert", pa.int64()), ("expert_b", pa.int64()),
     ("name_a", pa.string()), ("name_b", pa.string()),
     ("dtype_a", pa.string()), ("dtype_b", pa.string()), ("shape_a", pa.list_(pa.int64())),
     ("shape_b", pa.list_(pa.int64())), ("parameters", pa.int64()), ("status", pa.string()), ("reason", pa.string()),
     ("identical", pa.bool_()), *((name, pa.float64()) for name in MEASURES), *((name, pa.int64()) for name in COUNTS),
     ("z", pa.float64()), ("p", pa.float64()), ("p_adjusted", pa.float64()), ("draws", pa.int64()),
     ("aligned_cosine", pa.float64()), ("z_closed_form", pa.float64()), ("note", pa.string())]
)  # fmt: skip
"""`status` is "compared" or "untested" (then `reason` says why and the measures are null). `identical`: of one type, with
the same bytes in the same order; tokens that were matched by string between different numbers are not, nor are matrices that
gains were folded into, whatever their products.

`layer` and `expert` are those of A, and of B where A has no counterpart; `layer_b` and `expert_b` the other way round.
`p` is the rank of the observed statistic among `draws` relabellings, `p_adjusted` by Benjamini and Hochberg over the pair's
tensors. `aligned_cosine`: mean cosine of matching channels once lines and channels are brought to one scale.
`z_closed_form`, of vectors: r sqrt(n-1). `note`: why there is no evidence although there could be."""

BLOCKS = pa.schema(
    [("a", pa.int16()), ("b", pa.int16()), ("row", pa.int64()), ("block", pa.int32()), ("first", pa.int64()),
     ("last", pa.int64()), *((name, pa.float64()) for name in MEASURES), *((name, pa.int64()) for name in COUNTS)]
)  # fmt: skip
"""`row` is the row in `tensors`; elements [first, last) of it, in row-major order of the compared view."""


def schemas(models: int) -> dict[str, pa.Schema]:
    """The tables of a comparison of so many models."""
    triples = {"triples": TRIPLES} if models > 2 else {}
    return {"tensors": TENSORS, "blocks": BLOCKS, "nulls": NULLS, "gains": GAINS, **triples}


def pair_index(members: int, i: int, j: int) -> int:
    """Number of the pair (i, j), i < j, in the order (0,1), (0,2), ..., (1,2), ..."""
    return i * members - i * (i + 1) // 2 + j - i - 1


def pair_of(unit: Unit, a: int, b: int) -> int:
    """Number of the pair of models (a, b) among those of a unit's members."""
    return pair_index(len(unit.members), unit.members.index(a), unit.members.index(b))


class PairSweep:
    """One pair's view of a unit's sweep: sums per block, extremes and counts."""

    @np.errstate(invalid="ignore")  # infinite blocks: inf - inf
    def __init__(self, unit: Unit, sweep: Sweep, a: int, b: int) -> None:
        i, j = unit.members.index(a), unit.members.index(b)
        pair = pair_of(unit, a, b)
        gram, total = sweep.gram, sweep.sum
        gaps = np.stack([sweep.sum_abs[:, pair], sweep.sum_square[:, pair], sweep.unequal[:, pair].astype(np.float64)])
        elements = np.diff(unit.bounds).astype(np.float64)
        raw = (gram[:, i, j], (gram[:, i, i], gram[:, j, j]), (total[:, i], total[:, j]))
        self.unit = unit
        self.blocks = PairSums.of(elements, *raw, gaps)
        whole = [np.atleast_1d(part.sum(axis=-1)) for part in (elements, raw[0], *raw[1], *raw[2])]
        self.whole = PairSums.of(
            whole[0], whole[1], (whole[2], whole[3]), (whole[4], whole[5]), gaps.sum(axis=-1, keepdims=True)
        )
        self.max_abs = np.where(np.isnan(gaps[0]), np.nan, sweep.max_abs[:, pair])  # the kernel leaves NaNs out
        self.quantiles = sweep.quantile[:, i], sweep.quantile[:, j]
        self.whole_quantiles = float(sweep.tensor_quantile[i]), float(sweep.tensor_quantile[j])
        self.counts = [sweep.nans[:, i], sweep.nans[:, j], sweep.infinities[:, i], sweep.infinities[:, j]]
        same_type = unit.views[i].dtype == unit.views[j].dtype
        folded = bool(unit.gains) and (unit.gains[i] is not None or unit.gains[j] is not None)
        self.identical = same_type and not folded and self.whole.unequal[0] == 0 and unit.in_place(a, b)


def tensor_record(a: int, b: int, row: Row, found: PairSweep | None) -> dict[str, Any]:
    """One row of `tensors`, but for what `add_measures` adds."""
    slots = row.slots
    record: dict[str, Any] = dict.fromkeys(TENSORS.names)
    record |= {"a": a, "b": b, "group": row.group, "parameters": row.parameters, "reason": row.reason}
    record |= dict(zip(("component", "layer", "role", "expert"), row.address, strict=True))
    address = (slots[1] or slots[0]).address  # type: ignore[union-attr]  # one is there
    record |= {"layer_b": address.layer, "expert_b": address.expert}
    record["status"] = "untested" if found is None else "compared"
    for side, slot in zip("ab", slots, strict=True):
        if slot is not None:
            record[f"name_{side}"] = slot.name
            record[f"dtype_{side}"] = slot.view.dtype if slot.view else None
            record[f"shape_{side}"] = list(slot.view.shape) if slot.view else None
    if found is not None:
        record |= {"identical": bool(found.identical), "note": found.unit.chosen}
        if found.unit.is_float:
            p99 = found.whole_quantiles
            record |= {"max_abs_difference": float(found.max_abs.max()), "p99_a": p99[0], "p99_b": p99[1]}
            record["p99_difference"] = abs(p99[0] - p99[1])
            record |= {name: int(counts.sum()) for name, counts in zip(COUNTS, found.counts, strict=True)}
        else:
            record["changed_fraction"] = float(found.whole.unequal[0] / found.whole.elements[0])
    return record


def block_columns(a: int, b: int, row: int, found: PairSweep) -> Mapping[str, Any]:
    """The rows of `blocks` of one pair's unit, but for the measures that follow from sums."""
    size = len(found.unit.bounds) - 1
    columns: dict[str, Any] = dict.fromkeys(BLOCKS.names, np.full(size, np.nan))
    columns |= {"a": np.full(size, a), "b": np.full(size, b), "row": np.full(size, row), "block": np.arange(size)}
    columns |= {"first": found.unit.bounds[:-1], "last": found.unit.bounds[1:]}
    columns |= {"max_abs_difference": found.max_abs}
    columns |= {"p99_a": found.quantiles[0], "p99_b": found.quantiles[1]}
    with np.errstate(invalid="ignore"):  # infinite ones
        columns["p99_difference"] = np.abs(found.quantiles[0] - found.quantiles[1])
    columns |= dict(zip(COUNTS, found.counts, strict=True))
    if not found.unit.is_float:
        unknown = np.full(size, np.nan)
        columns |= {name: unknown for name in MEASURES if name != "changed_fraction"}
    return columns


def add_measures(rows: Sequence[tuple[dict[str, Any], PairSums]]) -> None:
    """Fills in what follows from sums, for many rows of `tensors` at once."""
    sums = PairSums.concatenated([whole for _, whole in rows])
    columns = measures(sums)
    closed_form = correlation_z(pearson(sums), sums.elements)
    for place, (record, _) in enumerate(rows):
        record |= {name: float(values[place]) for name, values in columns.items()}
        if record["shape_a"] is not None and len(record["shape_a"]) == 1:
            record["z_closed_form"] = float(closed_form[place])


def blocks_table(pieces: Sequence[Mapping[str, Any]], sums: Sequence[tuple[PairSums, bool]]) -> pa.Table:
    """Pieces of `blocks`, one after the other, with the measures; NaN becomes null. `sums`: and whether of floats."""
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in BLOCKS.names}
    floats = np.concatenate([np.full(len(blocks.elements), is_float) for blocks, is_float in sums])
    for name, values in measures(PairSums.concatenated([blocks for blocks, _ in sums])).items():
        columns[name] = values if name == "changed_fraction" else np.where(floats, values, np.nan)
    return pa.table([pa.array(columns[field.name], field.type, from_pandas=True) for field in BLOCKS], schema=BLOCKS)

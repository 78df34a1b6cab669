"""What the published analyses are about: the first two models in one component, and what a run found for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ..checkpoint.mapping import Shards
from ..errors import PlanError
from ..plan import Plan
from ..results import Results
from ..results.evidence import Found, evidence_of
from ..schema import Model, Slot, axes_of, display_order
from ..similarity import PairSums, cosine, pearson

Array = npt.NDArray[np.float64]
Claim = dict[str, Any]

KEY_VALUE = ("attn.k", "attn.v")
ROUTER = "router"


def is_gain(group: str, role: str) -> bool:
    """Whether a role is what the analyses call a LayerNorm: the gains of a norm of the residual stream."""
    return group == "norms" and axes_of(role) == ("residual",) and not role.endswith(".bias")


def component_of(plan: Plan) -> str:
    """The component whose norms models 0 and 1 share in layers: text, or else the first; raises `PlanError` if none."""
    shared = {
        unit.address.component
        for unit in plan.units
        if unit.address.layer is not None and is_gain(unit.group, unit.address.role) and {0, 1} <= {*unit.members}
    }
    if not shared:
        a, b = (model.checkpoint.name for model in plan.models[:2])
        hint = (
            "the published analyses compare norm gains of layers; `weightkin compare` says what else these models share"
        )
        raise PlanError(f"{a} and {b} have no norms in common that can be compared (same role, layer and width)", hint)
    return min(shared, key=lambda component: display_order([component]))


@dataclass(frozen=True)
class Subject:
    """Models 0 and 1 (A and B) in `component`."""

    models: Sequence[Model]
    component: str
    results: Results

    @property
    def seed(self) -> int:
        return int(self.results.summary["seed"])

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of `tensors` for A and B that lie in layers: norms, key and value, router. Compared or not."""
        table = self.results["tensors"]
        wanted = pc.and_(pc.equal(table["a"], 0), pc.equal(table["b"], 1))
        wanted = pc.and_(wanted, pc.equal(table["component"], self.component))
        of_interest = pc.or_(pc.equal(table["group"], "norms"), pc.is_in(table["role"], _values(*KEY_VALUE, ROUTER)))
        wanted = pc.and_(pc.and_(wanted, of_interest), pc.is_valid(table["layer"]))
        rows: list[dict[str, Any]] = table.filter(wanted).to_pylist()
        return sorted(rows, key=lambda row: (display_order([row["role"]]), row["layer"]))

    def compared(self, role: str) -> dict[int, dict[str, Any]]:
        """Layer -> row, of one role."""
        return {row["layer"]: row for row in self.rows if row["role"] == role and row["status"] == "compared"}

    @cached_property
    def gains(self) -> list[str]:
        """Roles of norm gains that both have, in the order in which they are shown."""
        roles = [row["role"] for row in self.rows if row["status"] == "compared" and is_gain(row["group"], row["role"])]
        return list(dict.fromkeys(roles))

    @cached_property
    def gain_rows(self) -> list[dict[str, Any]]:
        return [row for role in self.gains for row in self.compared(role).values()]

    def draws(self, a: int, b: int) -> dict[str, Array]:
        """Role -> [1 + R]: the pooled null statistic of models a and b, observed value first."""
        table = self.results["nulls"]
        rows = table.filter(
            pc.and_(pc.and_(pc.equal(table["a"], a), pc.equal(table["b"], b)), pc.equal(table["level"], "role"))
        ).to_pylist()
        return {
            row["role"]: np.array([row["observed"], *row["draws"]])
            for row in rows
            if row["component"] == self.component
        }

    @cached_property
    def gain_evidence(self) -> Found | None:
        """z and p of all norm gains, pooled draw by draw; None without a null."""
        draws = self.draws(0, 1)
        pooled = [draws[role] for role in self.gains if role in draws]
        return evidence_of(np.sum(pooled, axis=0)) if pooled else None

    def layers(self, model: int, role: str) -> Iterator[tuple[int, Array]]:
        """Layer and tensor (axes in canonical order) of every layer of a model that has the role, ascending."""
        slots = {
            slot.address.layer: slot
            for slot in self.models[model].slots
            if slot.address.component == self.component and slot.address.role == role and _is_readable(slot)
        }
        shards = Shards(self.models[model].checkpoint)
        for layer in sorted(layer for layer in slots if layer is not None):
            view = slots[layer].view
            assert view is not None
            array = shards.array(view).astype(np.float64)
            shards[view.shard].release(*view.extent)
            shards.check()
            yield layer, array


def _is_readable(slot: Slot) -> bool:
    return slot.view is not None and slot.view.size > 0 and slot.untested is None and slot.address.expert is None


def _values(*values: str) -> Any:
    import pyarrow as pa

    return pa.array(values)


def similarities(rows: Array) -> tuple[Array, Array]:
    """[L, L] cosines and [L, L] Pearsons between the rows of [L, n]."""
    size, (gram, total) = rows.shape[1], (rows @ rows.T, rows.sum(axis=1))
    square = np.broadcast_to(np.diag(gram), gram.shape)
    sums = np.broadcast_to(total, gram.shape)
    no_gaps = np.zeros((3, *gram.shape))
    pairs = PairSums.of(np.full(gram.shape, float(size)), gram, (square.T, square), (sums.T, sums), no_gaps)
    return cosine(pairs), pearson(pairs)


def mean(values: Sequence[float | None] | Array) -> float | None:
    """Of those that are defined; None if there are none."""
    defined = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(defined)) if defined else None


def evidence_keys(found: Found | None) -> dict[str, Any]:
    """z, p (of the rank) and draws, as everywhere in summary.json."""
    return {"z": found.z, "p": found.p, "draws": found.draws} if found else {"z": None, "p": None, "draws": 0}


def skipped(name: str, source: str, reason: str, **more: Mapping[str, Any]) -> Claim:
    """A claim that these models leave nothing to recompute for."""
    return {"name": name, "source": source, "published_style": None, "corrected": None, "why": reason, **more}

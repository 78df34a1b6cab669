"""claims: runs a comparison of what the published analyses looked at, and recomputes them from its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import comparison
from ..errors import PlanError
from ..plan import Plan, make_plan
from ..results.folder import SUMMARY, Results, atomic, load, strict_json
from .baseline import baseline
from .closest import third_model
from .layers import NAME, layer_table
from .metrics import seven_metrics
from .norms import same_layer_cosine, shuffle_test, shuffled_cosines
from .routers import assign_routers, router_claim
from .share import coverage
from .subject import KEY_VALUE, ROUTER, Claim, Subject, component_of


def claims(
    paths: Sequence[str | Path],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: comparison.Progress = lambda *_: None,
    **options: Any,
) -> Results:
    """Recomputes the published derivation analyses on the first two models, each beside its corrected counterpart.

    Unless `include` says otherwise, it reads norms, key, value and router of two models, and everything of three or more,
    because whether A and B are closer than either is to a third model is asked of every group. Options: `output`,
    `resume`, `threads`, `memory`, `seed` and `null`; all of them as of `matrix`.

    The results are those of `matrix`, with `claims` in the summary (each with `name`, `source`, `published_style`,
    `corrected`, `why`; the middle two are None if the models leave nothing to recompute) and the table `claims_layers`.
    Raises `PlanError` if fewer than two models are given, or if the first two have no norms in common.
    """
    if len(paths) < 2:
        raise PlanError(f"{len(paths)} models given: the published analyses compare two or more")
    plan = make_plan(comparison.open_models(paths))
    component_of(plan)  # without norms in common, what is left of them could not even be planned
    include = include or selection(plan)
    component = component_of(make_plan(plan.models, include, exclude, options.get("canonical", False)))
    results = comparison.run("claims", paths, include=include, exclude=exclude, progress=progress, **options)
    if "claims" in results.summary:  # of a finished run that was resumed
        return results
    progress("recomputing the analyses", plan.nbytes, plan.nbytes)
    subject = Subject(plan.models, component, results)
    shuffled, routers = shuffled_cosines(subject), assign_routers(subject)
    found = [
        same_layer_cosine(subject),
        baseline(subject),
        shuffle_test(subject, shuffled),
        router_claim(subject, routers),
        seven_metrics(subject),
        third_model(subject),
        coverage(subject, plan),
    ]
    return _with_claims(results, component, found, layer_table(subject, shuffled, routers))


def selection(plan: Plan) -> list[str]:
    """Roles to read: of two models those of the analyses, shared or not, of more everything ([])."""
    if len(plan.models) > 2:
        return []
    slots = (slot for model in plan.models for slot in model.slots)
    return sorted({s.address.role for s in slots if s.group == "norms" or s.address.role in (*KEY_VALUE, ROUTER)})


def _with_claims(results: Results, component: str, found: Sequence[Claim], layers: pa.Table) -> Results:
    """The results with the claims added, in their folder if they have one."""
    names = results.table_names
    summary = results.summary | {"tables": [*names, NAME], "component": component, "claims": list(found)}
    summary = strict_json(summary)
    if results.folder is None:
        return Results(summary, {name: results[name] for name in names} | {NAME: layers})
    with atomic(results.folder / f"{NAME}.parquet") as partial:
        pq.write_table(layers, partial, compression="zstd")
    with atomic(results.folder / SUMMARY) as partial:
        partial.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return load(results.folder)

"""weightkin: does one large language model come from another?

`compare`, `matrix`, `lineage`, `series`, `layers`, `experts`, `claims` and `load` return `Results`; what reads weights is
imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import AlignmentError, CheckpointError, DeviceError, PlanError, ResultsError, WeightkinError

if TYPE_CHECKING:
    from .comparison import compare, matrix
    from .descent import lineage
    from .inspection import inspect
    from .layer_maps import layers
    from .matching import experts
    from .published import claims
    from .realign import align
    from .results import Results, load
    from .trajectory import series

__version__ = "0.1.0"

__all__ = [
    "AlignmentError", "CheckpointError", "DeviceError", "PlanError", "Results", "ResultsError", "WeightkinError", "align",
    "claims", "compare", "experts", "inspect", "layers", "lineage", "load", "matrix", "series",
]  # fmt: skip

_HOMES = {
    "align": "realign", "compare": "comparison", "matrix": "comparison", "claims": "published",
    "inspect": "inspection", "experts": "matching", "layers": "layer_maps", "lineage": "descent", "Results": "results",
    "load": "results", "series": "trajectory",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'weightkin' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

"""`difference`, which `compare` runs on each tile right after `gram`, while the tile is in cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weightkin import ops

from . import peers
from .checks import difference_error
from .models import Slab, folders, mapped
from .registry import Case, Settings, Target, Work


def sweep(slab: Slab) -> ops.Sweep:
    """Both ops on one slab."""
    return ops.sweep(slab.operands, slab.bounds)


@contextmanager
def pair(settings: Settings) -> Iterator[Work]:
    """A model and a perturbed copy."""
    with mapped(folders(settings, 2, related=True), settings.threads) as models:
        yield Work(
            ours=lambda: models.spread(sweep),
            check=lambda: difference_error(models, models.spread(sweep)),
            roofs={"XOR read": models.read},
            peers={"torch seven metrics": peers.torch_seven(models, settings.threads)},
            nbytes=models.nbytes,
        )


CASES = (
    Case(
        "difference/pair",
        "gram + difference of two models, mapped and warm",
        pair,
        tolerance=1e-6,
        targets=(Target("torch seven metrics", 20),),
    ),
)

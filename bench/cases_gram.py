"""`gram`: all inner products of a few models, every byte read once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weightkin import ops

from . import peers
from .checks import gram_error
from .models import Models, Slab, folders, mapped
from .registry import Case, Settings, Target, Work


def sweep(slab: Slab) -> ops.Sweep:
    """The op on one slab."""
    return ops.sweep(slab.operands, slab.bounds, difference=False)


@contextmanager
def pair(settings: Settings) -> Iterator[Work]:
    """A model and a perturbed copy."""
    with mapped(folders(settings, 2, related=True), settings.threads) as models:
        yield Work(
            ours=lambda: models.spread(sweep),
            check=lambda: gram_error(models, models.spread(sweep)),
            roofs={"XOR read": models.read},
            peers={
                "torch float32": peers.torch_published(models, settings.threads),
                "NumKong cosine": peers.numkong_cosine(models),
                "numpy float32": peers.numpy_float32(models),
            },
            nbytes=models.nbytes,
            flops=_flops(models),
        )


@contextmanager
def eight(settings: Settings) -> Iterator[Work]:
    """Eight independent models: 28 pairs."""
    with mapped(folders(settings, 8), settings.threads) as models:
        yield Work(
            ours=lambda: models.spread(sweep),
            check=lambda: gram_error(models, models.spread(sweep)),
            roofs={"XOR read": models.read},
            peers={"torch float32": peers.torch_gram(models, settings.threads)},
            nbytes=models.nbytes,
            flops=_flops(models),
        )


def _flops(models: Models) -> int:
    """A multiply-add for each of the N (N+1) / 2 products of an element, an addition for each of its N sums."""
    count = len(models.checkpoints)
    return models.checkpoints[0].parameters * (count * (count + 1) + count)


CASES = (
    Case(
        "gram/pair",
        "two models, mapped and warm",
        pair,
        tolerance=1e-6,
        targets=(Target("roof", 0.9), Target("torch float32", 20), Target("NumKong cosine", 1)),
    ),
    Case("gram/8-models", "all 28 pairs, mapped and warm", eight, tolerance=1e-6, targets=(Target("roof", 1 / 1.25),)),
)

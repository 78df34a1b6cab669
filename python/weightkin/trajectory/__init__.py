"""Checkpoints of one training, in order: read once, each held against its neighbours and the last."""

from .run import series

__all__ = ["series"]

"""Checkpoints as they lie on disk: found, validated before they are trusted, and mapped."""

from .checkpoint import Checkpoint, open_checkpoint
from .header import TensorEntry

__all__ = ["Checkpoint", "TensorEntry", "open_checkpoint"]

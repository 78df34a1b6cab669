"""The family tree of many models: who is kin, how far apart, and which way round if anything tells."""

from .run import lineage

__all__ = ["lineage"]

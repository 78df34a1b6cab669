"""The published analyses, recomputed on any models, each beside its corrected counterpart."""

from .run import claims

__all__ = ["claims"]

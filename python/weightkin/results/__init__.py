"""What a run found: a summary and tables, in memory or in a folder."""

from .folder import SCHEMA_VERSION, Results, load

__all__ = ["SCHEMA_VERSION", "Results", "load"]

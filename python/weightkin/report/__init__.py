"""One HTML page of stored results, to look at and to hand on. Reads no weights and, once written, needs no network."""

from __future__ import annotations

from .page import missing, report

__all__ = ["missing", "report"]

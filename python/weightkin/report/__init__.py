"""One HTML page of stored results, to look at and to hand on. Reads no weights and, once written, needs no network."""

from __future__ import annotations

from .page import report

__all__ = ["report"]

"""The `weightkin` command: each subcommand is a thin shell over one function of the package."""

from .app import main

__all__ = ["main"]

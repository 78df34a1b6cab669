"""Sizes that config.json gives for a component. Whatever is not a positive integer there counts as missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .names import conventions


def section(config: Mapping[str, Any], component: str) -> Mapping[str, Any]:
    """The part of config.json that describes `component`; that of text for the components without their own."""
    sections = conventions()["sections"]
    own = component in sections and component != "text"
    keys = sections[component if own else "text"]
    found: Mapping[str, Any] = next((config[key] for key in keys if isinstance(config.get(key), Mapping)), {})
    return found if own else {**config, **found}


def positive(entries: Mapping[str, Any], key: str) -> int | None:
    """The positive integer at `key`, if there is one."""
    value = entries.get(key)
    return value if type(value) is int and value > 0 else None


def head_rows(entries: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """Rows of one attention head: the sum of the entries `keys`, or else head_dim, or else width over heads."""
    if keys:
        parts = [positive(entries, key) for key in keys]
        return sum(part for part in parts if part) if all(parts) else None
    if rows := positive(entries, "head_dim"):
        return rows
    width = positive(entries, "embed_dim") or positive(entries, "hidden_size")
    heads = positive(entries, "num_attention_heads") or positive(entries, "num_heads")
    return width // heads if width and heads and width % heads == 0 else None


def shares(entries: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[int, ...]:
    """Proportions of fused parts. Without num_key_value_heads every head has its own key and value.

    Raises `ValueError` if they are not there.
    """
    values = [
        positive(entries, key) or (positive(entries, "num_attention_heads") if key == "num_key_value_heads" else None)
        for key in keys
    ]
    known = tuple(value for value in values if value)
    if len(known) < len(keys):
        raise ValueError(f"config.json does not give {', '.join(dict.fromkeys(keys))}")
    return known

"""Formats whose elements are not numbers by themselves: they need the scales beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..checkpoint import TensorEntry

MXFP4 = "MXFP4 blocks"
SCALES = {"_scale_inv": "block-scaled FP8 (needs its scales)", "_scale": "quantized (needs its scales)"}
"""Suffix of the tensor with the scales -> why the tensor with the elements cannot be compared."""
FP8 = ("F8_E4M3", "F8_E5M2")
QUANTIZED = (*FP8, "I8", "U8")


class Packed(NamedTuple):
    base: str
    """The name that the tensor would have unpacked."""
    is_scale: bool
    by_element: bool
    """Whether its shape is the unpacked one."""
    reason: str


def packed(entry: TensorEntry, tensors: Mapping[str, TensorEntry], config: Mapping[str, Any]) -> Packed | None:
    """How `entry` is packed, or whose scale it is; None for plain numbers."""
    name = entry.name
    if entry.dtype == "U8":
        for suffix in ("_blocks", "_scales"):
            if name.endswith(suffix):
                return Packed(name.removesuffix(suffix), suffix == "_scales", False, MXFP4)
    for suffix, reason in SCALES.items():
        if entry.dtype in QUANTIZED and f"{name}{suffix}" in tensors:
            return Packed(name, False, entry.dtype != "U8", reason)  # U8 holds several elements each
        base = tensors.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if base is not None and base.dtype in QUANTIZED:
            return Packed(base.name, True, False, reason)
    if entry.dtype in FP8 and config.get("quantization_config"):
        return Packed(name, False, True, SCALES["_scale"])
    return None

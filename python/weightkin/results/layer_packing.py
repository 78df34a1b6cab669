"""What was found of one role between all layers, as the bytes that a journal holds."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import numpy as np

from ..correspondence.layer_scores import Scores
from ..correspondence.maps import Array
from ..similarity import PairSums


def pack(scores: tuple[Scores, Array] | None, sums: PairSums | None) -> bytes:
    """Scores with aligned cosines, and sums over whole tensors, where there are any."""
    arrays: dict[str, Any] = {}
    if sums is not None:
        arrays["sums"] = np.stack([getattr(sums, field.name) for field in fields(PairSums)])
    if scores is not None:
        arrays |= {"scores": scores[0], "aligned": scores[1]}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack(payload: bytes) -> tuple[Scores | None, Array | None, PairSums | None]:
    """Scores, aligned cosines and sums as `pack` had them."""
    with np.load(io.BytesIO(payload)) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    return held.get("scores"), held.get("aligned"), PairSums(*held["sums"]) if "sums" in held else None

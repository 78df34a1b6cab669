"""Results for report pages: of every command, and with names that would be markup."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import stacks
import weightkin
from comparisons import BF16, Array, model, perturbed
from expert_models import moe, noisy, shuffled, write
from folders import write_checkpoint
from weightkin import Results

HOSTILE = "</script><script>window.hostile = 1</script><img src=x onerror='window.hostile = 1'>"
"""Part of a tensor's name."""
FORMULA = "=1+1"
"""Name of a tensor that a spreadsheet would compute."""
LARGE = 3 << 20
"""Elements of the tensor that has several blocks."""

DTYPES = {"f4": "<f4", "f8": "<f8", "u2": "<u2", "i4": "<i4"}


def hostile_pair(folder: Path) -> tuple[Path, Path]:
    """Two relatives, one of whose tensors has the hostile name, one the formula, and one several blocks; one is missing in
    the first."""
    tensors = model(0, layers=3) | {
        f"model.layers.0.{HOSTILE}.weight": np.ones((4, 32), BF16),
        FORMULA: np.ones(8, BF16),
        "model.layers.1.self_attn.k_proj.weight": _normal((LARGE // 32, 32), 1),
    }
    other = perturbed(tensors) | {"lm_head.weight": _normal((51, 32), 2)}
    return write_checkpoint(folder / "a", tensors), write_checkpoint(folder / "b", other)


def compared(folder: Path) -> Results:
    return weightkin.compare(*hostile_pair(folder), output=folder / "compare")


def matrix(folder: Path) -> Results:
    states = model(0), perturbed(model(0)), model(7)
    paths = [write_checkpoint(folder / name, state) for name, state in zip("abc", states, strict=True)]
    return weightkin.matrix(paths, output=folder / "matrix")


def claimed(folder: Path) -> Results:
    states = model(0, 4, mean=1.0), perturbed(model(0, 4, mean=1.0))
    paths = [write_checkpoint(folder / name, state) for name, state in zip("ab", states, strict=True)]
    return weightkin.claims(paths, output=folder / "claims")


def layers(folder: Path) -> Results:
    source = stacks.layers(4, 0)
    a, b = stacks.write(folder / "a", source), stacks.write(folder / "b", stacks.derived(source, [0, 1, 2, 1, 2, 3]))
    return weightkin.layers([a, b], output=folder / "layers")


def experts(folder: Path) -> Results:
    state = moe(0)
    a, b = write(folder / "a", state), write(folder / "b", noisy(shuffled(state, 1)[0], 0.2))
    return weightkin.experts(a, b, output=folder / "experts")


def course(folder: Path) -> Results:
    """Checkpoints of one training, the fourth of which is of another."""
    states = [model(0)]
    for number in range(6):
        states.append(perturbed(states[-1], number))
    states[3] = model(1)
    return weightkin.series([write_checkpoint(folder / f"step{at}", state) for at, state in enumerate(states)])


def _normal(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(BF16)


@cache
def data(page: Path) -> list[list[dict[str, Any]]]:
    """What a page's script reads: sections of each results folder."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    parts: list[list[dict[str, Any]]] = json.loads(found[1])
    return parts


def section(page: Path, kind: str, title: str = "", part: int = 0) -> dict[str, Any]:
    """The only section of that kind, or with that title."""
    (found,) = [one for one in data(page)[part] if one["kind"] == kind and one["title"].startswith(title)]
    return found


def unpack(packed: dict[str, Any]) -> Any:
    """The values of a packed column: an array, or a list of texts."""
    if "values" in packed:
        return [packed["values"][code] for code in unpack(packed["codes"])] if "codes" in packed else packed["values"]
    return np.frombuffer(base64.b64decode(packed["data"]), DTYPES[packed["type"]])


def columns(table: dict[str, Any]) -> dict[str, Any]:
    """A table's columns by their keys."""
    return {one["key"]: unpack(one["data"]) for one in table["columns"]}

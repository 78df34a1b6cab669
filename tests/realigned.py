"""Alignments to write copies by, for the tests of align."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from folders import arrays
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.alignment import Alignment, HeadMatch, Mlp, MlpMatch, to_json
from weightkin.correspondence.attention import attention_of, slots_by_address
from weightkin.schema import Model, resolve

Array = np.ndarray[Any, Any]
SWAPPED = Alignment({"text": {0: 1, 1: 0}})
"""Of a model of `two_layers` with itself."""


def two_layers(size: int = 3) -> list[dict[str, Array]]:
    """A shard for each layer."""
    return [{f"model.layers.{at}.input_layernorm.weight": np.full(size, 1.0 + at, np.float32)} for at in (0, 1)]


def written(folder: Path, alignment: Alignment) -> Path:
    path = folder / "alignment.json"
    path.write_text(json.dumps(to_json(alignment)))
    return path


def model_of(path: Path) -> Model:
    return resolve(open_checkpoint(path))


def random_alignment(model: Model, seed: int) -> Alignment:
    """Of a model with a shuffled one of its shapes: experts, neurons and heads of every layer."""
    random, slots = np.random.default_rng(seed), slots_by_address(model)
    mlps: dict[Mlp, MlpMatch] = {}
    heads: dict[tuple[str, int], HeadMatch] = {}
    experts: dict[tuple[str, int], list[int]] = {}
    for slot in model.slots:
        component, layer, role, expert = slot.address
        kind, _, part = role.partition(".")
        if layer is None or slot.view is None:
            continue
        if kind in ("expert", "shared_expert", "mlp") and part == "up":
            mlp = Mlp(component, layer, kind, expert)
            neurons = random.permutation(slot.view.shape[0])
            mlps[mlp] = MlpMatch(mlp, neurons)
            if expert is not None:
                experts.setdefault((component, layer), []).append(expert)
        attention = attention_of(slots, component, layer)
        if role == "attn.q" and not isinstance(attention, str):
            groups = random.permutation(attention.groups)
            inside = [attention.per_group * group + random.permutation(attention.per_group) for group in groups]
            heads[component, layer] = HeadMatch(groups, np.concatenate(inside))
    for (component, layer), numbers in experts.items():
        for expert, match in enumerate(random.permutation(len(numbers)).tolist()):
            mlp = Mlp(component, layer, "expert", expert)
            mlps[mlp] = MlpMatch(mlp._replace(expert=match), mlps[mlp].neurons)
    return Alignment({}, mlps, heads)


def inverse(alignment: Alignment) -> Alignment:
    """From parts of the copy back to parts of B."""
    mlps = {}
    for mlp, (match, neurons) in alignment.mlps.items():
        assert neurons is not None
        mlps[match] = MlpMatch(mlp, np.argsort(neurons))
    heads = {
        place: HeadMatch(np.argsort(one.groups), np.argsort(one.queries)) for place, one in alignment.heads.items()
    }
    return Alignment({}, mlps, heads)


def same_bytes(some: Path, others: Path) -> bool:
    left, right = (arrays(open_checkpoint(path)) for path in (some, others))
    return left.keys() == right.keys() and all(x.tobytes() == right[name].tobytes() for name, x in left.items())

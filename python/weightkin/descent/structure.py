"""By how many edits of the structure two models of one family differ: layers, and the order of what is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ..correspondence.alignment import Alignment
from ..correspondence.pairing import Pairing, Pairings
from ..schema import Model

Layer = tuple[str, int]
"""Component and number of a layer of the reference."""
FOLLOWING = ("norms", "router")
"""Groups whose order is that of others: a router's is that of its experts."""


@dataclass(frozen=True)
class Structure:
    """How a model is arranged, told by a reference model of its family."""

    layers: Mapping[str, Sequence[object]]
    """Of each component, what each of its layers is: the number of one of the reference, or something that no other has."""
    arrangement: Mapping[tuple[Layer, str], Mapping[object, object]]
    """Of each layer of the reference, of its attention and its MLPs: for each part, which part that is, in which order."""

    def edits(self, other: Structure) -> int:
        """Layers to insert, drop or replace; layers that lack heads, experts or neurons of the other; layers in which those
        that both have are in another order."""
        components = self.layers.keys() & other.layers.keys()
        moved = sum(levenshtein(self.layers[one], other.layers[one]) for one in components)
        places = self.arrangement.keys() & other.arrangement.keys()
        for place in places:
            here, there = self.arrangement[place], other.arrangement[place]
            moved += (here.keys() != there.keys()) + any(
                here[part] != there[part] for part in here.keys() & there.keys()
            )
        return moved


def structure(reference: Model, model: Model, alignment: Alignment) -> Structure:
    """Of `model`, whose parts match those of `reference` by `alignment`."""
    layers: dict[str, dict[int, object]] = defaultdict(dict)
    found: dict[tuple[Layer, str], dict[object, object]] = defaultdict(dict)
    for pairing in Pairings(reference, model, alignment).pairs():
        component, layer, role, _ = pairing.b.address
        if layer is None:
            continue
        match = None if pairing.a is None else pairing.a.address.layer
        if layers[component].get(layer) is None:
            layers[component][layer] = match
        kind = "attention" if pairing.b.group == "attention" else "mlp"
        if pairing.a is not None and match is not None and pairing.b.group not in FOLLOWING:
            here = pairing.a.address.role, pairing.a.address.expert
            found[(component, match), kind].setdefault(here, (role, pairing.b.address.expert, _order(pairing)))
    return Structure(
        {
            component: [
                (model.checkpoint.path, layer) if match is None else match for layer, match in sorted(numbers.items())
            ]
            for component, numbers in layers.items()
        },
        found,
    )


def levenshtein(one: Sequence[object], other: Sequence[object]) -> int:
    """Fewest insertions, deletions and replacements from one to the other."""
    row = list(range(len(other) + 1))
    for at, item in enumerate(one, 1):
        above, row[0] = row[0], at
        for place, match in enumerate(other, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (item != match))
    return row[-1]


def _order(pairing: Pairing) -> bytes | None:
    """Of its entries; None for those that both have in order."""
    given = [rows for rows in pairing.rows or () if rows is not None]
    if all((np.diff(rows) > 0).all() for rows in given):
        return None
    digest = blake2b(digest_size=16)
    for rows in pairing.rows or ():
        digest.update(b"-" if rows is None else np.ascontiguousarray(rows).tobytes())
    return digest.digest()

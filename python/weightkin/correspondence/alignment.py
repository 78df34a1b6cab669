"""What was found to correspond: for parts of model B, the parts of model A that they match."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import AlignmentError

if TYPE_CHECKING:
    from ..schema import Model

Indices = npt.NDArray[np.int64]

FORMAT, VERSION = "weightkin alignment", 1


class Mlp(NamedTuple):
    """One gated MLP of a model: a routed expert, a shared expert or a dense layer's."""

    component: str
    layer: int
    kind: str
    """Prefix of its roles: "expert", "shared_expert" or "mlp"."""
    expert: int | None
    """Number of a routed expert; else None."""

    @property
    def name(self) -> str:
        """For people."""
        number = "" if self.expert is None else f" {self.expert}"
        return f"{self.component} layer {self.layer} {self.kind.replace('_', ' ')}{number}"


class MlpMatch(NamedTuple):
    """The MLP of A that one of B matches."""

    mlp: Mlp
    neurons: Indices | None
    """[I_B]: the neuron of A that each neuron of B matches, -1 for none; None: the same order."""


class HeadMatch(NamedTuple):
    """How the attention heads of one layer of B match those of its layer of A."""

    groups: Indices
    """[G_B]: the key/value head of A that each of B matches, -1 for none."""
    queries: Indices
    """[H_B]: the query head of A that each of B matches, -1 for none."""


class Source(NamedTuple):
    """A checkpoint: its name, and the fingerprint of its files."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Alignment:
    """Maps from parts of B to parts of A. What is in none of them is compared in place.

    `layers` is for each component: layer of B -> layer of A; a layer of B that is missing there (or whose component has a
    map that lacks it) has no counterpart. Maps need not be one to one. Experts of a layer: those of `mlps`.
    """

    layers: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    mlps: Mapping[Mlp, MlpMatch] = field(default_factory=dict)
    heads: Mapping[tuple[str, int], HeadMatch] = field(default_factory=dict)
    """By component and layer of B."""
    found_in: tuple[Source, Source] | None = None
    """The files of A and of B that it was found in, if that is known."""

    def layer_of(self, component: str, layer: int) -> int | None:
        """The layer of A that a layer of B is compared with; None if there is none."""
        found = self.layers.get(component)
        return layer if found is None else found.get(layer)

    def other_files(self, a: Model, b: Model) -> list[str]:
        """What to say where it is used for files that it was not found in. Their fingerprints know their times, so a mere
        copy of a model is among these."""
        return [
            f"the alignment was found in the files of {known.name}, and those of {model.checkpoint.name} are others"
            for known, model in zip(self.found_in or (), (a, b), strict=False)
            if known.fingerprint != model.checkpoint.fingerprint()
        ]


def to_json(alignment: Alignment) -> dict[str, Any]:
    """As lists, for a file that `read_alignment` reads.

    `models`: name and fingerprint of A and of B, if known. `layers`: of each component, the layer of A for layer 0, 1, ... of
    B, -1 for none. `mlps`: the MLP of A (`a`) for one of B (`b`), each as component, layer, kind and expert, and `neurons`.
    `heads`: by component and layer of B.
    """
    sources = alignment.found_in
    return {
        "format": FORMAT,
        "version": VERSION,
        "models": None if sources is None else [source._asdict() for source in sources],
        "layers": {
            component: [found.get(layer, -1) for layer in range(max(found, default=-1) + 1)]
            for component, found in alignment.layers.items()
        },
        "mlps": [
            {"b": list(mlp), "a": list(match.mlp), "neurons": None if match.neurons is None else match.neurons.tolist()}
            for mlp, match in alignment.mlps.items()
        ],
        "heads": [
            {"component": component, "layer": layer, "groups": match.groups.tolist(), "queries": match.queries.tolist()}
            for (component, layer), match in alignment.heads.items()
        ],
    }


def from_json(value: Any, where: object = "the alignment") -> Alignment:
    """The alignment that `to_json` gave; `where` it stands, for the error. Raises `AlignmentError`."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AlignmentError(f"{where}: is not a {FORMAT}")
    if value.get("version") != VERSION:
        raise AlignmentError(f"{where}: has version {value.get('version')!r}, this program reads {VERSION}")
    try:
        layers = {
            component: {layer: match for layer, match in enumerate(_indices(found).tolist()) if match >= 0}
            for component, found in value["layers"].items()
        }
        mlps = {
            _mlp(entry["b"]): MlpMatch(
                _mlp(entry["a"]), None if entry["neurons"] is None else _indices(entry["neurons"])
            )
            for entry in value["mlps"]
        }
        heads = {
            (str(entry["component"]), int(entry["layer"])): HeadMatch(
                _indices(entry["groups"]), _indices(entry["queries"])
            )
            for entry in value["heads"]
        }
        found_in = value.get("models")
        if found_in is not None:
            of_a, of_b = (Source(str(one["name"]), str(one["fingerprint"])) for one in found_in)
            found_in = of_a, of_b
    except KeyError as error:
        raise AlignmentError(f"{where}: lacks {error.args[0]!r}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise AlignmentError(f"{where}: is damaged: {error}") from None
    return Alignment(layers, mlps, heads, found_in)


def read_alignment(path: Path) -> Alignment:
    """The alignment that a JSON file holds. Raises `AlignmentError`."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AlignmentError(f"{path}: is not valid JSON: {error}") from None
    return from_json(value, path)


def _indices(values: Any) -> Indices:
    """A list of numbers from -1; no two alike but -1 are not asked for, because maps need not be one to one."""
    if not isinstance(values, list) or any(type(value) is not int or value < -1 for value in values):
        raise ValueError("a list holds something other than whole numbers from -1")
    return np.array(values, np.int64)


def _mlp(values: Any) -> Mlp:
    component, layer, kind, expert = values
    numbers = [layer] if expert is None else [layer, expert]
    if (
        not isinstance(component, str)
        or not isinstance(kind, str)
        or any(type(number) is not int for number in numbers)
    ):
        raise ValueError("an MLP is not a component, a layer, a kind and an expert")
    return Mlp(component, layer, kind, expert)

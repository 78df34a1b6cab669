"""Families: which name has which role, and how fused tensors are laid out. Read from families/*.toml."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from ..view import Layout
from .names import Place, conventions
from .roles import read_data

GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a tensor holds: one part, or several fused along axis `along`, each for every expert if they are stacked."""

    parts: tuple[str, ...]
    """Roles, in the order in which they lie there."""
    stored: tuple[str, ...] | None = None
    """Axes as they are in the file, "expert" first if experts are stacked; None: those of the role."""
    along: int = 0
    layout: Layout = "concatenated"
    shares: tuple[str, ...] = ()
    """Entries of config.json in whose proportion the parts divide the axis; (): equal parts."""

    @property
    def stacked(self) -> bool:
        return self.stored is not None and self.stored[0] == "expert"


@dataclass(frozen=True)
class Family:
    name: str
    model_types: tuple[str, ...]
    rules: dict[tuple[str, bool, str], Rule]
    """Rule of (component, whether within a layer, name without ".weight")."""
    rename: dict[str, str]
    """Path segments that are read as others."""
    head_rows: dict[str, tuple[str, ...]]
    """Role -> entries of config.json that sum to the rows of one head, where that is not head_dim."""
    mtp_marker: str | None
    """A name that only the layers after the last decoder layer have; None: this family has none."""

    def rule(self, place: Place) -> Rule | None:
        """What the name at `place` holds; None if this family does not know it."""
        tail = ".".join(self.rename.get(segment, segment) for segment in place.tail.split("."))
        components = ("mtp", "text") if place.component == "mtp" else (place.component,)
        for component in components:
            for suffix in ("", ".weight", ".bias"):
                rule = self.rules.get((component, place.layered, tail.removesuffix(suffix)))
                if rule is not None:
                    return _bias(rule) if suffix == ".bias" else rule
        return None


def _bias(rule: Rule) -> Rule | None:
    """The rule for a name's bias, which has only the first axis."""
    if rule.stored or rule.along != 0 or any(part.endswith(".bias") for part in rule.parts):
        return None
    return replace(rule, parts=tuple(f"{part}.bias" for part in rule.parts))


@cache
def load_family(name: str) -> Family:
    """The family of families/<name>.toml; a fragment that other files include is one without model types."""
    data = read_data(f"families/{name}.toml")
    rules: dict[tuple[str, bool, str], Rule] = {}
    rename: dict[str, str] = {}
    head_rows: dict[str, tuple[str, ...]] = {}
    marker: str | None = None
    for included in map(load_family, data.get("include", ())):
        rules |= included.rules
        rename |= included.rename
        head_rows |= included.head_rows
        marker = included.mtp_marker or marker
    for component in ("text", "vision", "audio", "projector", "mtp"):
        for scope, names in data.get(component, {}).items():
            rules |= {(component, scope == "layers", stem): _rule(value) for stem, value in names.items()}
    rename |= data.get("rename", {})
    head_rows |= {role: tuple(keys) for role, keys in data.get("head_rows", {}).items()}
    marker = data.get("mtp_marker", marker)
    return Family(name, tuple(data.get("model_types", ())), rules, rename, head_rows, marker)


def _rule(value: str | dict[str, Any]) -> Rule:
    if isinstance(value, str):
        return Rule((value,))
    return Rule(
        parts=tuple(value["parts"]),
        stored=tuple(value["stored"]) if "stored" in value else None,
        along=value.get("along", 0),
        layout=value.get("layout", "concatenated"),
        shares=tuple(value.get("shares", ())),
    )


@cache
def _families() -> dict[str, Family]:
    """Every family by model type."""
    stems = sorted(file.name.removesuffix(".toml") for file in (files(__package__) / "families").iterdir())
    return {kind: family for family in map(load_family, stems) for kind in family.model_types}


def choose(config: Mapping[str, Any], places: Collection[Place]) -> tuple[Family, str, bool]:
    """Family, its name for display, and whether a family file matched.

    The model type of config.json decides, or else that of its text section; without either, the smallest family that
    knows every name.
    """
    families = _families()
    kinds = model_types(config)
    for kind in kinds:
        if kind in families:
            return (families[kind] if kind == kinds[0] else _wrapped(families[kind])), kind, True
    if not kinds:
        for family in sorted({f.name: f for f in families.values()}.values(), key=lambda f: (len(f.rules), f.name)):
            if all(_knows(family, place) for place in places):
                return family, family.name, True
    return load_family(GENERIC), GENERIC, False


def _knows(family: Family, place: Place) -> bool:
    """Before the layers after the decoder's are told apart, their names look like text."""
    extra = place.component == "text" and family.mtp_marker is not None
    return bool(family.rule(place) or (extra and family.rule(place._replace(component="mtp"))))


def model_types(config: Mapping[str, Any]) -> list[str]:
    """Of the whole model and of its text section, in lower case."""
    sections = [config, *(config.get(key) for key in conventions()["sections"]["text"])]
    kinds = [section.get("model_type") for section in sections if isinstance(section, Mapping)]
    return [kind.lower() for kind in kinds if isinstance(kind, str)]


def _wrapped(text: Family) -> Family:
    """A known language model inside an unknown model: the other components are read by the generic family."""
    generic = load_family(GENERIC)
    others = {key: rule for key, rule in generic.rules.items() if key[0] not in ("text", "mtp")}
    return replace(text, rules=others | text.rules)

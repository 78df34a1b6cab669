"""What a series shows, in plain words, with what remains possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..trajectory.start_findings import DECISIVE, DOUBTFUL

if TYPE_CHECKING:
    from ..trajectory.findings import Steps
    from ..trajectory.jump import Jump
    from ..trajectory.start_findings import Start

Group = tuple[str, str]
Curves = Mapping[Group, Mapping[str, Any]]
"""Entries of summary.json by component and group."""

FEW = 3
OFF_THE_PATH = "as when another model is mixed in, or another run of the same beginning takes the place"
UNORDERED = "Detours and long steps were not looked for: the numbers of the steps do not ascend in the order given."


class Names(NamedTuple):
    """Checkpoints as people count and call them."""

    names: Sequence[str]
    members: Sequence[int]

    def number(self, place: int) -> int:
        return self.members[place] + 1

    def of(self, place: int) -> str:
        """checkpoint 5 (NAME)"""
        return f"checkpoint {self.number(place)} ({self.names[self.members[place]]})"

    def run(self, first: int, last: int) -> str:
        if first == last:
            return self.of(first)
        ends = self.names[self.members[first]], self.names[self.members[last]]
        return f"checkpoints {self.number(first)} to {self.number(last)} ({ends[0]} to {ends[1]})"


def statement(
    found: Steps, start: Start, word: str, groups: Sequence[Mapping[str, Any]], names: Names, left_out: Sequence[int],
    not_finite: Mapping[str, int], ordered: bool,
) -> str:  # fmt: skip
    """Jumps, then the start, then what remains possible."""
    curves = {(group["component"], group["group"]): group for group in groups}
    parts = [
        f"Checkpoint {number + 1} ({names.names[number]}) has another architecture than the others and was compared with none."
        for number in left_out
    ]
    parts += [_jump(jump, curves, names) for jump in found.jumps]
    if not found.jumps:
        parts.append(_without_jump(found, curves, names))
    parts += [_unusual(at, held, names) for at, held in found.unusual.items()]
    parts += [
        f"{_capital(names.of(at))} is the same as the one before it, in every byte compared." for at in found.same
    ]
    parts += [] if ordered else [UNORDERED]
    parts.append(_start(start, names))
    if start.word != "not_random" and found.tested:
        parts.append(_kept(found, curves, names))
    if found.untestable:
        parts.append(f"No match can be told from none in {_listed(found.untestable)}.")
    if not_finite:
        parts.append(f"Tensors that hold NaN or infinite values were left out: {len(not_finite)}.")
    return " ".join([*parts, _caveat(start, word)])


def _jump(jump: Jump, curves: Curves, names: Names) -> str:
    if jump.count:
        return _tensors(jump, names)
    who, several = names.run(jump.first, jump.last), jump.first != jump.last
    where = (
        "every group of matrices that can be tested"
        if jump.whole
        else f"{_listed(jump.groups)}, not in the other groups,"
    )
    if jump.kind == "moved_out":
        return (
            f"{_capital(who)} is off the path: in {where} the weights go far out to it and come back, {OFF_THE_PATH}."
        )
    if jump.kind == "replaced":
        before, after = (_z(jump.groups, curves, "z_previous", at) for at in (jump.first, jump.last + 1))
        around = "" if several else f" (z {_z(jump.groups, curves, 'z_around', jump.first, least=True)} at least)"
        verb, it = ("are", "they show") if several else ("is", "it shows")
        return (
            f"{_capital(who)} {verb} not of this training: in {where} {it} no match with the checkpoints before and after "
            f"(z {before} and {after} at most), while these match each other{around}."
        )
    at = jump.first if jump.kind == "from_here" else jump.last + 1
    z = _z(jump.groups, curves, "z_previous", at)
    return (
        f"{'The' if jump.whole else 'Some'} weights are replaced at {names.of(at)}: in {where} it shows no match with "
        f"{names.of(at - 1)} (z {z} at most), "
        "and no later checkpoint that was held against an earlier one does."
    )


def _tensors(jump: Jump, names: Names) -> str:
    """Of single matrices."""
    who, verb = names.of(jump.first), "is" if jump.count == 1 else "are"
    layers = f", all of layer {', '.join(map(str, jump.layers))}" if 0 < len(jump.layers) <= FEW else ""
    what = f"{jump.count} {'matrix' if jump.count == 1 else 'matrices'} of {_listed(jump.groups)}"
    what += f" (such as {jump.tensors[0]}{layers})"
    if jump.kind == "replaced":
        return f"In {who} {what} {verb} not of this training: before and after match each other, and not what is there."
    if jump.kind == "moved_out":
        return f"In {who} {what} {verb} off the path: weights go far out and come back, {OFF_THE_PATH}."
    return f"From {who} on {what} {'shows' if jump.count == 1 else 'show'} no match with what was there before."


def _without_jump(found: Steps, curves: Curves, names: Names) -> str:
    if not found.tested:
        return "Whether a step replaces weights could not be tested: no group of matrices has a null."
    if found.forgotten:
        return (
            f"In {_listed(found.forgotten)} nothing of {names.of(0)} is left in {names.of(1)}: training between them may have "
            "erased it, or this training did not begin there. No later step replaces weights."
        )
    relations = [(pair, one) for place in found.tested for pair, one in found.relations[place].items()]
    weak = sorted({after for (before, after), one in relations if after - before == 1 and one != "match"})
    if weak:
        listed = ", ".join(names.of(at) for at in weak[:FEW])
        return (
            f"No step is seen to replace weights, but at {listed} the match with the one before is too weak to be sure."
        )
    z, place, at = min(
        (z, place, at) for place in found.tested for at, z in enumerate(curves[place]["z_previous"]) if z is not None
    )
    return (
        f"No step replaces weights: in {_listed(found.tested)} every checkpoint matches the one before it far beyond all "
        f"relabelled copies (least z {z:.0f}, of {_called(place)} at {names.of(at)})."
    )


def _unusual(at: int, held: Sequence[Group], names: Names) -> str:
    return (
        f"The step to {names.of(at)} is unusually long in {_listed(held)}, next to the steps around it: another learning rate "
        "or other data may do that, and so may weights that were mixed in; what was there before it is still there after it."
    )


def _start(start: Start, names: Names) -> str:
    who = _capital(names.of(0))
    reasons = [
        f"{tests[test]} ({_roles(held)})"
        for tests in (DECISIVE, DOUBTFUL)
        for test, held in start.failing(tests).items()
    ]
    reasons += [f"copies among {one}" for one in start.copied]
    if start.word == "random":
        families = sorted({role.family for role in start.roles if role.family})
        return (
            f"{who} is consistent with a random initialisation: entries look independent ({' or '.join(families)}), singular "
            "values end where those of random matrices do, lines, experts and layers are as alike as chance, gains are of one "
            "value."
        )
    if start.word == "not_random":
        rest = " Its matrices themselves look drawn at random." if set(start.failing(DECISIVE)) == {"gains"} else ""
        return f"{who} is not a random initialisation (trained or copied): {'; '.join(reasons)}.{rest}"
    why = "; ".join(reasons) or f"{start.share:.0%} of its parameters could be looked at"
    return f"Whether {names.of(0)} is a random initialisation is undecided: {why}."


def _kept(found: Steps, curves: Curves, names: Names) -> str:
    """Whether the last checkpoint still carries the start."""
    last = max(b for relations in found.relations.values() for _, b in relations)
    kept = [place for place in found.tested if found.relations[place].get((0, last)) == "match"]
    if not kept:
        replaced = any(jump.whole and jump.kind in ("from_here", "until_here") for jump in found.jumps)
        more = "" if replaced else ", which does not show that the training began elsewhere"
        return f"Nothing of it can be seen in {names.of(last)}{more}."
    pearson = [curves[place]["pearson_last"][0] for place in kept]
    z = min(curves[place]["z_last"][0] for place in kept)
    of = "all groups of matrices" if len(kept) == len(found.tested) else _listed(kept)
    return (
        f"The last one still carries it in {of} (Pearson {min(pearson):.2f} to {max(pearson):.2f}, z {z:.0f} at least)."
    )


def _caveat(start: Start, word: str) -> str:
    parts = []
    if word in ("jump", "undecided"):
        parts.append(
            "parts that were only re-ordered or rotated would look replaced (`weightkin compare` searches for the former)"
        )
    if start.word == "random":
        parts.append("weights that were copied and buried under noise, or trained very little, would look random too")
    if word == "no_jump":
        parts.append("weights that were mixed in by steps no longer than those of training would look like training")
    return f"What remains possible: {'; '.join([*parts, 'nothing here says what the data were'])}."


def _z(groups: Sequence[Group], curves: Curves, curve: str, at: int, least: bool = False) -> str:
    values = [value for group in groups if (value := curves[group][curve][at]) is not None]
    return f"{(min if least else max)(values):.1f}" if values else "-"


def _roles(held: Sequence[Any]) -> str:
    shown = [role.place for role in held[:FEW]]
    return ", ".join(shown) + (f" and {len(held) - FEW} more" if len(held) > FEW else "")


def _listed(groups: Sequence[Group]) -> str:
    names = [_called(group) for group in groups]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _called(group: Group) -> str:
    component, name = group
    return name if component in ("text", name) else f"{component} {name}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

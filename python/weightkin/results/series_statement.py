"""What a series shows, in plain words, with what remains possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..trajectory.findings import Jump, Steps
    from ..trajectory.start_findings import Start

Group = tuple[str, str]
FEW = 3


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
    not_finite: Mapping[str, int],
) -> str:  # fmt: skip
    """Jumps, then the start, then caveats."""
    curves = {(group["component"], group["group"]): group for group in groups}
    parts = [
        f"Checkpoint {number + 1} ({names.names[number]}) has another architecture than the others and was compared with none."
        for number in left_out
    ]
    parts += [_jump(jump, found, curves, names) for jump in found.jumps]
    if word == "no_jump":
        parts.append(_no_jump(found, curves, names))
    elif word == "undecided":
        parts.append(_undecided(found, curves, names))
    elif word == "not_tested":
        parts.append("Whether a step replaces weights could not be tested: no group of matrices has a null.")
    parts += [_unusual(at, held, names) for at, held in found.unusual.items()]
    parts += [
        f"{_capital(names.of(at))} is the same as the one before it, in every byte compared." for at in found.same
    ]
    parts.append(_start(start, names))
    kept = _kept(start, found, curves, names)
    parts += [kept] if kept else []
    if found.untestable:
        parts.append(f"Too small to show a match at all: {_listed(found.untestable)}.")
    if not_finite:
        parts.append(f"{len(not_finite)} tensors hold NaN or infinite values and were left out.")
    parts.append(_caveat(start, word))
    return " ".join(parts)


def _jump(jump: Jump, found: Steps, curves: Mapping[Group, Mapping[str, Any]], names: Names) -> str:
    who = names.run(jump.first, jump.last)
    several = jump.first != jump.last
    if jump.count:
        what = f"{jump.count} {'matrix' if jump.count == 1 else 'matrices'} of {_listed(jump.groups)} (such as {jump.tensors[0]})"
        if jump.kind == "replaced":
            return f"In {who} {what} {'is' if jump.count == 1 else 'are'} not of this training: before and after they match, but not with it."
        return f"From {names.of(jump.first)} on {what} {'is' if jump.count == 1 else 'are'} not what came before."
    where = (
        "every group of matrices that can be tested"
        if jump.whole
        else f"{_listed(jump.groups)}, not in the other groups,"
    )
    if jump.kind == "moved_out":
        return (
            f"{_capital(who)} is off the path: in {where if not jump.whole else 'all groups'} the weights go far out to it and "
            "come back, as when another model is mixed in or another run of the same beginning takes its place."
        )
    if jump.kind == "replaced":
        before, after = (
            _z(jump.groups, curves, "z_previous", jump.first),
            _z(jump.groups, curves, "z_previous", jump.last + 1),
        )
        around = "" if several else f" (z {_z(jump.groups, curves, 'z_around', jump.first, least=True)} at least)"
        verb, it = ("are", "they share") if several else ("is", "it shares")
        return (
            f"{_capital(who)} {verb} not of this training: in {where} {it} nothing with the checkpoints before and after "
            f"(z {before} and {after} at most), while these match each other{around}."
        )
    at = jump.first if jump.kind == "from_here" else jump.last + 1
    z = _z(jump.groups, curves, "z_previous", at)
    return (
        f"The weights are replaced at {names.of(at)}: in {where} it shares nothing with {names.of(at - 1)} (z {z} at most), nor "
        "does any later checkpoint that was compared with an earlier one."
    )


def _no_jump(found: Steps, curves: Mapping[Group, Mapping[str, Any]], names: Names) -> str:
    values = [
        (z, place, at) for place in found.tested for at, z in enumerate(curves[place]["z_previous"]) if z is not None
    ]
    z, place, at = min(values)
    return (
        f"No step replaces weights: in {_listed(found.tested)} every checkpoint matches the one before it far beyond all relabelled "
        f"copies (least z {z:.0f}, of {_called(place)} at {names.of(at)})."
    )


def _undecided(found: Steps, curves: Mapping[Group, Mapping[str, Any]], names: Names) -> str:
    if found.forgotten:
        return (
            f"In {_listed(found.forgotten)} nothing of {names.of(0)} is left in {names.of(1)}: training between them may have erased "
            "it, or this training did not begin there. No later step replaces weights."
        )
    unclear = sorted(
        {
            b
            for relations in found.relations.values()
            for (a, b), one in relations.items()
            if b - a == 1 and one != "match"
        }
    )
    listed = ", ".join(names.of(at) for at in unclear[:FEW])
    return f"No step is seen to replace weights, but at {listed} the match with the checkpoint before is too weak to be sure."


def _unusual(at: int, held: Sequence[Group], names: Names) -> str:
    return (
        f"The step to {names.of(at)} is unusually long in {_listed(held)}, next to the steps around it: another learning rate or other "
        "data may do that, and so may weights that were mixed in; what was there before it is still there after it."
    )


def _start(start: Start, names: Names) -> str:
    from ..trajectory.start_findings import DECISIVE, DOUBTFUL

    who = _capital(names.of(0))
    reasons = [
        f"{what} ({_roles(held)})"
        for tests in (DECISIVE, DOUBTFUL)
        for test, held in start.failing(tests).items()
        for what in [tests[test]]
    ]
    reasons += [f"copies among {one}" for one in start.copied]
    if start.word == "random":
        families = sorted({family for role in start.roles for family in role.families})
        drawn = " or ".join(families) or "constant"
        return (
            f"{who} is consistent with a random initialisation: entries look independent ({drawn}), singular values end where those "
            "of random matrices do, lines, experts and layers are as alike as chance, gains are of one value."
        )
    if start.word == "not_random":
        only = set(start.failing(DECISIVE)) == {"gains"}
        rest = " Its matrices themselves look drawn at random." if only else ""
        return f"{who} is not a random initialisation (trained or copied): {'; '.join(reasons)}.{rest}"
    why = "; ".join(reasons) or f"only {start.share:.0%} of its parameters could be looked at"
    return f"Whether {names.of(0)} is a random initialisation is undecided: {why}."


def _kept(start: Start, found: Steps, curves: Mapping[Group, Mapping[str, Any]], names: Names) -> str | None:
    """Whether the last checkpoint still carries the start."""
    if start.word == "not_random" or found.jumps or not found.tested:
        return None
    last = max(b for relations in found.relations.values() for _, b in relations)
    kept = [place for place in found.tested if found.relations[place].get((0, last)) == "match"]
    if not kept:
        return f"Nothing of it can be seen in {names.of(last)}, which does not show that the training began elsewhere."
    pearson = [curves[place]["pearson_last"][0] for place in kept]
    z = min(curves[place]["z_last"][0] for place in kept)
    of = "all groups" if len(kept) == len(found.tested) else _listed(kept)
    return (
        f"The last one still carries it in {of} (Pearson {min(pearson):.2f} to {max(pearson):.2f}, z {z:.0f} at least)."
    )


def _caveat(start: Start, word: str) -> str:
    parts = []
    if start.word == "random":
        parts.append("weights that were copied and buried under noise, or trained very little, would look random too")
    if word == "no_jump":
        parts.append("weights that were mixed in little by little would look like training")
    parts.append("neither says what the data were")
    return f"What remains possible: {'; '.join(parts)}."


def _z(
    groups: Sequence[Group], curves: Mapping[Group, Mapping[str, Any]], curve: str, at: int, least: bool = False
) -> str:
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

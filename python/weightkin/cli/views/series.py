"""What `series` prints: a line per checkpoint, a strip per group of roles, the tests of the start, and the statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ...results import Results
from ..text import UNDEFINED, count, labels, magnitude, percent, safe
from .models import describe, show_coverage
from .pictures import marks
from .tables import correlation, heat, table

WORDS = {
    "no_jump": ("no jump", "bold green"), "jump": ("weights replaced", "bold red"), "undecided": ("undecided", "bold yellow"),
    "not_tested": ("jumps not tested", "dim"),
}  # fmt: skip
STARTS = {
    "random": ("consistent with a random initialisation", "bold green"),
    "not_random": ("not a random initialisation (trained or copied)", "bold red"),
    "undecided": ("start undecided", "bold yellow"),
}
GAP = "..."


def show_series(console: Console, results: Results, verbose: bool) -> None:
    """With `verbose`, the numbers of every group, and all tests of the start."""
    summary = results.summary
    found = summary["series"]
    _show_models(console, summary["models"])
    console.print()
    _show_checkpoints(console, found, summary["models"])
    console.print()
    _show_strips(console, found)
    if verbose:
        for group in found["groups"]:
            _show_group(console, found, group)
    console.print()
    _show_start(console, found["start"], verbose)
    console.print()
    show_coverage(console, summary["coverage"], [], verbose)
    console.print()
    word, start = (headline(found), WORDS[found["word"]][1]), STARTS[found["start"]["word"]]
    console.print(Text.assemble(word, "; checkpoint ", str(found["start"]["checkpoint"]), ": ", start))
    console.print(Text(safe(found["statement"])))
    for note in found["notes"]:
        console.print(Text.assemble(("note: ", "yellow"), safe(note)))
    if found["steps_from"] == "names":
        console.print(Text("Steps are the numbers in the names; --steps gives others.", "dim"))


def headline(found: Mapping[str, Any]) -> str:
    """What the steps come to, in a few words: of jumps what was found at them, as the lines of the checkpoints have it."""
    words = [word for jump in found["jumps"] for _, word in _marks(jump)]
    words += ["another architecture"] if found["other_architecture"] else []
    return ", ".join(dict.fromkeys(words)) or WORDS[found["word"]][0]


def _show_models(console: Console, models: Sequence[Mapping[str, Any]]) -> None:
    """What they are, once for all that are alike."""
    alike: dict[str, list[int]] = {}
    for number, model in enumerate(models, 1):
        alike.setdefault(describe(model), []).append(number)
    for text, numbers in alike.items():
        each = "each" if len(numbers) == len(models) else f"checkpoint {', '.join(map(str, numbers))}"
        console.print(Text.assemble((f"{each}: ", "bold cyan"), text))
    for number, model in enumerate(models, 1):
        for problem in model["problems"]:
            console.print(Text.assemble((f"note on checkpoint {number}: ", "yellow"), safe(problem)))


def _show_checkpoints(console: Console, found: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> None:
    flagged = dict(mark for jump in found["jumps"] for mark in _marks(jump))
    flagged |= {one["checkpoint"]: "unusual step" for one in found["unusual"]}
    flagged |= dict.fromkeys(found["same"], "same as before")
    flagged |= dict.fromkeys(found["other_architecture"], "another architecture")
    shown = table(
        ["", "checkpoint"], ["step", "norm", "growth", "step length", "like the one before", "z", "like the last"]
    )
    shown.add_column("")
    members = [one for one in found["checkpoints"] if one["compared"]]
    tested = [group for group in found["groups"] if _place(group) in [_place(each) for each in found["tested"]]]
    names = labels(models)
    for one in found["checkpoints"]:
        at = members.index(one) if one["compared"] else None
        cells = _cells(found["groups"], tested, at)
        step = UNDEFINED if one["step"] is None else f"{one['step']:,.10g}"
        mark = Text(flagged.get(one["checkpoint"], ""), "bold red" if one["checkpoint"] in flagged else "")
        shown.add_row(Text(str(one["checkpoint"]), "bold cyan"), safe(names[one["checkpoint"] - 1]), step, *cells, mark)
    console.print(shown)
    legend = (
        "Norm, growth and step length (by the norm before) are of all that was compared; likeness is the Pearson, and z the "
        f"evidence, of the group of matrices that has least ({', '.join(safe(_called(group)) for group in tested) or 'none'})."
    )
    console.print(Text(legend, "dim"))


def _marks(jump: Mapping[str, Any]) -> list[tuple[int, str]]:
    """By the checkpoints that a jump is about."""
    some = "" if jump["whole"] else "some "
    if jump["kind"] == "from_here":
        return [(jump["first"], f"{some}weights replaced")]
    if jump["kind"] == "until_here":
        return [(jump["last"] + 1, f"{some}weights replaced")]
    word = "off the path" if jump["kind"] == "moved_out" else "not of this training"
    return [(number, f"{some and 'in part '}{word}") for number in range(jump["first"], jump["last"] + 1)]


def _cells(groups: Sequence[Mapping[str, Any]], tested: Sequence[Mapping[str, Any]], at: int | None) -> list[Text]:
    if at is None:
        return [Text(UNDEFINED, "dim")] * 6
    norm = sum(group["norm"][at] ** 2 for group in groups) ** 0.5
    growth = length = None
    if at:
        before = sum(group["norm"][at - 1] ** 2 for group in groups) ** 0.5
        moved = (
            sum(((group["relative_l2_previous"][at] or 0.0) * group["norm"][at - 1]) ** 2 for group in groups) ** 0.5
        )
        growth, length = (norm / before, moved / before) if before else (None, None)
    z = _least(tested, "z_previous", at)
    return [
        Text(magnitude(norm)), Text(_fixed(growth, 4)), Text(_fixed(length, 4)),
        correlation(_least(tested, "pearson_previous", at)), Text(_fixed(z, 1)),
        correlation(_least(tested, "pearson_last", at)),
    ]  # fmt: skip


def _least(groups: Sequence[Mapping[str, Any]], curve: str, at: int) -> float | None:
    values = [group[curve][at] for group in groups if group[curve][at] is not None]
    return min(values, default=None)


def _show_strips(console: Console, found: Mapping[str, Any]) -> None:
    shown: Any = marks(console)
    found_table = table(["group"], ["parameters"])
    for title in ("like the one before", "like the last", "norm"):
        found_table.add_column(title, no_wrap=True)
    for group in found["groups"]:
        norms = [value or 0.0 for value in group["norm"]]
        low, high = min(norms), max(norms)
        scaled = [(value - low) / (high - low) if high > low else 0.0 for value in norms]
        strips = [_strip(group[curve], shown) for curve in ("pearson_previous", "pearson_last")]
        extent = f" {magnitude(low)} to {magnitude(high)}" if high > low else f" {magnitude(low)}"
        norm = Text.assemble("".join(shown[round(value * (len(shown) - 1))] for value in scaled), (extent, "dim"))
        found_table.add_row(safe(_called(group)), count(group["parameters"]), *strips, norm)
    console.print(
        Text.assemble(
            ("By group", "bold"), (f"  (a mark per checkpoint; Pearson from 0 to 1: {shown}; .: none)", "dim")
        )
    )
    console.print(found_table)


def _strip(values: Sequence[float | None], shown: str) -> Text:
    line = Text(no_wrap=True)
    for value in values:
        if value is None:
            line.append(".", "dim")
        else:
            line.append(shown[round(max(value, 0.0) * (len(shown) - 1))], heat(value))
    return line


def _show_group(console: Console, found: Mapping[str, Any], group: Mapping[str, Any]) -> None:
    console.print()
    console.print(Text(safe(_called(group)), "bold cyan"))
    columns = ["norm", "growth", "step length", "changed", "like the one before", "z", "like the last", "z", "turn"]
    shown = table([""], columns)
    members = [one for one in found["checkpoints"] if one["compared"]]
    for at, one in enumerate(members):
        curve = {name: values[at] for name, values in group.items() if isinstance(values, list)}
        growth, length, turn = (curve[name] for name in ("growth", "relative_l2_previous", "turn"))
        shown.add_row(
            Text(str(one["checkpoint"]), "bold cyan"), magnitude(curve["norm"]), _fixed(growth, 4), _fixed(length, 4),
            percent(curve["changed_fraction"]), correlation(curve["pearson_previous"]), _fixed(curve["z_previous"], 1),
            correlation(curve["pearson_last"]), _fixed(curve["z_last"], 1), _fixed(turn, 2),
        )  # fmt: skip
    console.print(shown)


def _show_start(console: Console, start: Mapping[str, Any], verbose: bool) -> None:
    console.print(Text(f"Tests of checkpoint {start['checkpoint']} as a random initialisation", "bold"))
    shown = table(["role"], ["tensors", "scale", "rows", "columns", "edge", "correlation", "distribution"])
    shown.add_column("fails")
    roles = [role for role in start["roles"] if verbose or role["worst"]]
    for role in roles:
        name = role["role"] if role["component"] == "text" else f"{role['component']} {role['role']}"
        low, high = role["scale_smallest"], role["scale_largest"]
        scale = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
        worst = [
            _fixed(role["worst"].get(test), 1) for test in ("rows", "columns", "edge", "correlation", "distribution")
        ]
        fails = ", ".join(f"{test} ({number})" for test, number in role["failing"].items()) or "-"
        shown.add_row(
            safe(name), f"{role['tensors']:,}", scale, *worst, Text(fails, "red" if role["failing"] else "dim")
        )
    console.print(shown)
    legend = (
        "Largest of the role's tensors, in deviations from independent entries (random: below 8); distribution: root of the "
        "sample's size times the distance from the closest of normal, cut normal and uniform (random: below 3); in brackets: "
        "tensors that fail."
    )
    console.print(Text(legend, "dim"))


def _fixed(value: float | None, decimals: int) -> str:
    return UNDEFINED if value is None else f"{value:.{decimals}f}"


def _place(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["component"], entry["group"]


def _called(entry: Mapping[str, Any]) -> str:
    component, group = _place(entry)
    return str(group) if component in ("text", group) else f"{component} {group}"

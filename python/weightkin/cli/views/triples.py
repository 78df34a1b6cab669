"""Which of two models a third is closer to, where relabelled copies cannot explain it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ...results import Results
from ..text import coefficient, safe
from .tables import table

LIKELY = 0.05
MOST = 12
"""Rows without --verbose; the table `triples` has them all."""


def show_triples(console: Console, results: Results, names: Sequence[str], verbose: bool) -> None:
    """Every "A is closer to B than to C" with p up to 0.05, largest z first; nothing for two models."""
    if "triples" not in results.table_names:
        return
    tested = [row for row in results["triples"].to_pylist() if row["z"] is not None]
    rows = [row for row in tested if row["p"] <= LIKELY]
    console.print()
    console.print(Text("Closer to one than to the other", "bold"))
    if not tested:
        untold = (
            "three models share no matrices" if results.summary["options"]["null"] else "--null 0: no relabelled copies"
        )
        console.print(Text(f"nothing was tested ({untold})", "dim"))
        return
    if not rows:
        console.print(Text(f"no model, by no group of matrices (p over {LIKELY})", "dim"))
        return
    rows.sort(key=lambda row: -row["z"])
    shown = table(("model", "is closer to", "than to", "by its"), ("aligned", "and", "z", "p"))
    for row in rows if verbose else rows[:MOST]:
        place = row["group"] if row["component"] == "text" else f"{row['component']} {row['group']}"
        shown.add_row(
            *(safe(names[row[model]]) for model in "abc"), safe(place), coefficient(row["aligned_b"]),
            coefficient(row["aligned_c"]), f"{row['z']:.1f}", f"{row['p']:.2g}",
        )  # fmt: skip
    console.print(shown)
    note = "aligned: mean cosine of matching channels with either; p: rank among relabelled copies, both tails"
    if len(rows) > MOST and not verbose:
        note = f"{len(rows) - MOST} more with -v; {note}"
    console.print(Text(note, "dim"))

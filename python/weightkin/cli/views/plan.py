"""What `plan` and --dry-run print."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ...estimate import STORAGE_RATES, Estimate
from ..text import count, duration, labels, plural, safe, size
from .models import show_coverage, show_models, tested
from .pictures import bar
from .tables import table

LETTERS = "AB"
SEARCH = (
    "Not in this time: where the comparison in place leaves something unexplained, `compare` searches for layers, experts "
    "and heads, and reads those weights again (--align none: it does not)."
)


def show_estimate(console: Console, found: Estimate, verbose: bool) -> None:
    """What will be read, what cannot be compared, and the time that takes."""
    names = labels(found.models)
    marks = LETTERS if len(found.models) == 2 else [str(number) for number in range(1, len(found.models) + 1)]
    show_models(console, found.models, marks)
    console.print()
    if len(found.pairs) == 1:
        show_coverage(console, found.pairs[0]["coverage"], [], verbose)
    else:
        for pair in found.pairs:
            line = Text(f"{names[pair['a']]} x {names[pair['b']]}  ", "bold")
            line.append_text(bar(console, tested(pair["coverage"]), 20))
            console.print(line.append(f" of {count(pair['coverage']['parameters'])} parameters", "not bold"))
            if verbose:
                show_coverage(console, pair["coverage"], [], verbose)
    console.print()
    reads = table(["To read"], ["bytes", "of"])
    for name, model in zip(names, found.models, strict=True):
        reads.add_row(Text(safe(name)), size(model["bytes_to_read"]), size(model["bytes"]))
    if len(found.models) > 1:
        reads.add_row(Text("in all", "bold"), size(found.nbytes), size(sum(model["bytes"] for model in found.models)))
    console.print(reads)
    console.print(
        Text(f"{plural(found.units, 'unit')} in {plural(found.blocks, 'block')}, {plural(len(found.pairs), 'pair')}")
    )
    console.print()
    where = ", ".join(plural(found.threads, "thread") if name == "cpu" else name for name in found.devices)
    rate = f"{found.compute_rate / 1e9:.1f} GB/s on {where}"
    console.print(Text.assemble(("Estimated time", "bold"), f"  (this machine computes {rate})"))
    times = table(["weights come from", "time"])
    times.add_row("memory", duration(found.seconds["memory"]))
    for storage in STORAGE_RATES:
        bound = "" if storage * 1e9 < found.compute_rate else "  (computing is the limit)"
        times.add_row(f"storage at {storage} GB/s", duration(found.seconds[str(storage)]) + bound)
    console.print(times)
    if len(found.models) == 2:
        console.print(Text(SEARCH, "dim"))

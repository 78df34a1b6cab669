"""What `inspect` prints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ...inspection import Inspection
from ..text import count, percent, plural, safe, size
from .models import describe
from .tables import table


def show_inspection(console: Console, found: Inspection, verbose: bool) -> None:
    """A checkpoint, group by group; with `verbose` role by role."""
    model = found.to_dict() | {"bytes": found.nbytes}
    console.print(Text.assemble((safe(found.name), "bold"), f"  {describe(model)} · {plural(found.shards, 'shard')}"))
    for component, extent in found.extents.items():
        parts = [plural(extent.layers, "layer")] if extent.layers else []
        parts += [f"{plural(extent.experts, 'expert')} in a layer"] if extent.experts else []
        if parts:
            console.print(Text(f"{safe(component)}: {', '.join(parts)}"))
    console.print()
    rows = table([""], ["parameters", "share", "bytes", "tensors"])
    rows.columns[0].no_wrap = True
    components = list(dict.fromkeys(part.component for part in found.groups))
    for component in components:
        if len(components) > 1:
            rows.add_row(Text(safe(component).upper(), "bold cyan"))
        for group in (part for part in found.groups if part.component == component):
            inner = [part for part in found.roles if (part.component, part.group) == (component, group.group)]
            for part in [group, *(inner if verbose else [])]:
                name = Text(safe(part.group), "bold") if part.role is None else Text(f"  {safe(part.role)}")
                share = percent(part.parameters / found.parameters) if found.parameters else "-"
                rows.add_row(name, count(part.parameters), share, size(part.nbytes), f"{part.slots:,}")
    console.print(rows)
    if found.untested:
        console.print()
        reasons = table(["Cannot be compared", "reason"], ["tensors", "parameters"])
        for entry in found.untested:
            place = entry.role if entry.component == "text" else f"{entry.component} {entry.role}"
            reasons.add_row(Text(safe(place)), Text(safe(entry.reason)), f"{entry.slots:,}", count(entry.parameters))
        console.print(reasons)
    for problem in found.problems:
        console.print(Text.assemble(("note: ", "yellow"), safe(problem)))

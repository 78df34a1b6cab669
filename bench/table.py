"""Rows as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from .measure import OURS, Outcome, Participant, Row

SCALES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")), "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))}

RATES = {
    "copy": "copy on the device, read and written",
    "link": "pinned memory to the device",
    "matmul": "bf16 matrix product by torch",
    "staging": "host threads into small buffers",
    "memory": "copy on the host, read and written",
}

Cells = tuple[str | Text, ...]


def table(rows: Sequence[Row]) -> Table:
    """One section per case: the roof, ours, and the peers."""
    out = Table(show_edge=False, pad_edge=False, header_style="bold")
    out.add_column("case")
    for heading in ("best", "GB/s", "GFLOP/s", "ours is", "must be"):
        out.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        out.add_section()
        out.add_row(Text(row.case, "bold"))
        for cells in _lines(row):
            out.add_row(*cells)
    return out


def rates_table(found: Mapping[str, Any]) -> Table:
    """What a device and its host can do at most."""
    device = found["device"]
    out = Table(
        title=f"{device['name']}, driver {device.get('driver_version', 'unknown')}", show_edge=False, pad_edge=False
    )
    for heading in ("can do at most", "per second"):
        out.add_column(heading, justify="right" if heading == "per second" else "left")
    for name, what in RATES.items():
        scale, unit = (1e12, "TFLOP") if name == "matmul" else (1e9, "GB")
        out.add_row(what, f"{found['rates'][name] / scale:.4g} {unit}")
    return out


def _lines(row: Row) -> Iterator[Cells]:
    if not row.passed:
        reason = row.problem or f"error {row.error} > {row.tolerance:g}"
        yield Text("  FAILED", "bold red"), "", "", "", "", Text(reason, "red")
        return
    roofs = [(name, found) for name, found in row.participants.items() if found.kind == "roof"]
    if roofs:
        name, fastest = min(roofs, key=lambda named: named[1].best)
        yield _line(row, f"  roof: {name}", fastest, _target(row, "roof"))
    yield _line(row, Text(f"  {OURS}", "cyan"), row.participants[OURS], _target(row, None))
    if row.elements:
        yield (
            f"    per million {row.counted}",
            amount(row.participants[OURS].best / row.elements * 1e6, row.unit),
            "",
            "",
            "",
            "",
        )
    for name, found in row.participants.items():
        if found.kind == "peer":
            yield _line(row, f"  {name}", found, _target(row, name))
    for name in row.missing:
        yield f"  {name}", Text("not installed", "dim"), "", "", "", ""


def _line(row: Row, name: str | Text, found: Participant, outcome: Outcome | None) -> Cells:
    timed = row.unit == "s"
    return (
        name,
        amount(found.best, row.unit),
        f"{row.nbytes / found.best / 1e9:.2f}" if timed and row.nbytes else "",
        f"{row.flops / found.best / 1e9:.1f}" if timed and row.flops and found.kind != "roof" else "",
        f"{found.ratio:.3g}x" if found.kind != "ours" else "",
        _bound(outcome, row.unit) if outcome else "",
    )


def _target(row: Row, against: str | None) -> Outcome | None:
    return next((outcome for outcome in row.targets if outcome.against == against), None)


def _bound(outcome: Outcome, unit: str) -> Text:
    bound = f"<= {amount(outcome.target, unit)}" if outcome.against is None else f">= {outcome.target:.3g}x"
    return Text(f"{bound} {'met' if outcome.met else 'missed'}", "green" if outcome.met else "red")


def amount(value: float, unit: str) -> str:
    """`value` seconds or bytes, with three digits and a prefix."""
    scale, symbol = next((pair for pair in SCALES[unit] if value >= pair[0]), SCALES[unit][-1])
    return f"{value / scale:.3g} {symbol}"

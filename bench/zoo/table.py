"""The evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from .calibration import Calibration
from .evaluate import Judged

COLOURS = {"no_evidence": "dim", "derived": "green", "partial": "green", "identical": "green", "norms_only": "yellow"}


def pairs_table(pairs: Sequence[Judged]) -> Table:
    """One row per pair."""
    out = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("zoo", "pair", "relation", "verdict", "how", "components", "strongest matrices"):
        out.add_column(heading)
    for heading in ("Pearson", "z"):
        out.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        best = pair.strongest
        wrong = not pair.related and pair.word != "no_evidence"
        out.add_row(
            pair.zoo,
            f"{pair.a} {pair.b}",
            pair.relation,
            Text(pair.word, "bold red" if wrong else COLOURS.get(pair.word, "")),
            ", ".join(pair.how),
            ", ".join(f"{name} {word}" for name, word in pair.components.items()) if len(pair.components) > 1 else "",
            f"{best['component']} {best['group']}" if best else "none tested",
            f"{best['pearson']:.3f}" if best and best["pearson"] is not None else "",
            f"{best['z']:.1f}" if best else "",
        )
    return out


def auc_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per relation, one column per score."""
    out = Table("relation", show_edge=False, pad_edge=False, header_style="bold")
    for score in found:
        out.add_column(f"AUC by {score}", justify="right")
    for relation in next(iter(found.values())):
        out.add_row(relation, *(f"{values[relation]:.3f}" for values in found.values()))
    return out


def calibration_table(sets: dict[str, Calibration]) -> Table:
    """One column per set of independent pairs."""
    out = Table("independent pairs", show_edge=False, pad_edge=False, header_style="bold")
    for name in sets:
        out.add_column(name, justify="right")
    rows = {
        "pairs": [f"{one.pairs}" for one in sets.values()],
        "tensors": [f"{one.tensors:,}" for one in sets.values()],
        "p uniform (KS p)": [f"{one.uniform_p:.3f}" for one in sets.values()],
        "smallest adjusted p of a norm role": [f"{one.smallest_norm_p:.3f}" for one in sets.values()],
        "verdicts": [", ".join(f"{n} {word}" for word, n in one.verdicts.items()) for one in sets.values()],
        "failures": [f"{len(one.failures)}" for one in sets.values()],
    }
    for group in sorted({group for one in sets.values() for group in one.z_mean}):
        rows[f"z of {group}: mean, deviation"] = [
            f"{one.z_mean[group]:+.2f}, {one.z_deviation[group]:.2f}" if group in one.z_mean else ""
            for one in sets.values()
        ]
    for role in sorted({role for one in sets.values() for role in one.largest_z}):
        rows[f"largest z of {role}"] = [
            f"{one.largest_z[role]:+.2f}" if role in one.largest_z else "" for one in sets.values()
        ]
    for name, values in rows.items():
        out.add_row(name, *values)
    return out

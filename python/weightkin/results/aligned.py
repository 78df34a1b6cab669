"""What an alignment did: the keys of summary.json, the words of a verdict, and the sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..correspondence.arrangement import runs, span

Record = Mapping[str, Any]

HOW = {
    "depth_upscaled": "depth_upscaled", "repeated": "depth_upscaled", "pruned": "pruned", "partial": "pruned",
    "reordered": "reordered", "mixed": "reordered", "interleaved": "interleaved",
}  # fmt: skip
"""The verdict's word for the arrangement of layers (correspondence/arrangement.py)."""
SEARCHED = {"layers": "layers", "experts": "experts and neurons", "heads": "attention heads"}


def alignment_keys(record: Record) -> dict[str, Any]:
    """`alignment` in short, and in full, of what was found, `layers`, `experts` and `heads`.

    `record`: of aligning.py.
    """
    layers, experts, heads = (record.get(kind) for kind in SEARCHED)
    short = {key: value for key, value in record.items() if key not in SEARCHED}
    out: dict[str, Any] = {"alignment": short}
    short["layers"] = {component: one["assignment"] for component, one in (layers or {}).items() if one["applied"]}
    keys = ("component", "layer_a", "layer_b", "identity_fraction", "neurons_moved")
    short["experts"] = [{key: one[key] for key in keys} for one in experts or () if one["applied"]]
    short["heads"] = [{key: one[key] for key in keys[:3]} for one in heads or () if one["applied"]]
    if layers:
        first = "text" if "text" in layers else next(iter(layers))
        out["layers"] = {"assignment": layers[first]["assignment"], "components": layers}
    if experts:
        out["experts"] = {"layers": experts}
    if heads:
        out["heads"] = {"layers": heads}
    return out


def applied(entry: Record, kind: str) -> list[Record]:
    """The maps of one kind that were applied, each with its component. `entry`: a pair's summary."""
    found = entry.get(kind, {})
    if kind == "layers":
        maps: list[Record] = [one | {"component": name} for name, one in found.get("components", {}).items()]
    else:
        maps = found.get("layers", [])
    return [one for one in maps if one["applied"]]


def realigned(entry: Record) -> set[str]:
    """Components of which something was not compared in place."""
    return {one["component"] for kind in SEARCHED for one in applied(entry, kind)}


def unmatched(entry: Record, component: str) -> dict[str, float]:
    """Share of B's layers, and of the experts of its re-aligned layers, that match nothing in A."""
    layers, experts, _ = ([one for one in applied(entry, kind) if one["component"] == component] for kind in SEARCHED)
    held = sum(one["experts_b"] for one in experts)
    return {
        "layers": max((one["assignment"].count(-1) / len(one["assignment"]) for one in layers), default=0.0),
        "experts": sum(one["unmatched"] for one in experts) / held if held else 0.0,
    }


def how(entry: Record, words: Mapping[str, str]) -> list[str]:
    """The verdict's words for what was re-ordered, of the components that are derived at least in part."""
    kin = {component for component, word in words.items() if word in ("derived", "partial")}
    found: dict[str, None] = {}
    layers, experts, heads = ([one for one in applied(entry, kind) if one["component"] in kin] for kind in SEARCHED)
    if heads or any(_reordered(one) for one in experts):
        found["permuted"] = None
    found |= dict.fromkeys(HOW[one["arrangement"]] for one in layers)
    if any(one["experts_b"] < one["experts_a"] and -1 not in one["assignment"] for one in experts):
        found["pruned"] = None
    if any(one["from_dense"] for one in experts):
        found["upcycled"] = None
    if experts and any(_transplanted(entry, component) for component in kin):
        found["transplanted experts"] = None
    return list(found)


def _reordered(one: Record) -> bool:
    """Whether experts or neurons of a layer are in another order: not merely fewer, or copies of a dense parent."""
    matched = [number for number in one["assignment"] if number >= 0]
    return bool(one["neurons_reordered"]) or matched != sorted(matched)


def _transplanted(entry: Record, component: str) -> bool:
    """Whether the experts match and no other matrices do."""
    from ..statistics.verdict import MATRIX_GROUPS

    verdicts = {one["group"]: one["verdict"] for one in entry["groups"] if one["component"] == component}
    others = [verdicts[group] for group in MATRIX_GROUPS if group in verdicts and group != "experts"]
    return verdicts.get("experts") in ("derived", "partial") and set(others) <= {"no_evidence", "not_tested"}


def sentences(entry: Record) -> Iterator[str]:
    """What was searched for, what was found, and how sure it is."""
    from .verdict import layers_text

    record = entry.get("alignment")
    if record is None or record["mode"] == "none":
        return
    maps = {kind: applied(entry, kind) for kind in SEARCHED}
    if record["mode"] == "file":
        yield f"Parts were paired as {record['file']} says; how sure that is was not tested here."
    elif not record["searched"]:
        yield "No alignment was searched: what was compared matches in place."
        return
    else:
        missed = [SEARCHED[kind] for kind in record["kinds"] if not maps[kind]]
        if missed:
            yield f"A search among {_listed(missed)} found nothing significant that is not in place already."
        for one in record["tested"]:
            if one["kind"] == "experts" and one["z"] is not None and not maps["experts"]:
                matched = [layer for layer in entry.get("experts", {}).get("layers", ()) if layer["mlps"]]
                yield _searched(one, [layer for layer in matched if layer["component"] == one["component"]])
    for one in maps["layers"]:
        yield _layers(one)
    for component in dict.fromkeys(one["component"] for one in maps["experts"]):
        yield _experts([one for one in maps["experts"] if one["component"] == component])
    if maps["heads"]:
        where = layers_text([one["layer_b"] for one in maps["heads"]])
        yield f"Attention heads in {where} of B are in another order{_sure(maps['heads'])}."
    if any(one["neurons_moved"] for one in maps["experts"]) or maps["heads"]:
        yield "What an order was chosen on (gate for neurons, q and k for heads) was compared but is no evidence."


def tested_experts(entry: Record) -> set[str]:
    """Components whose MLPs were held against each other by their answers, whatever their number, width and order."""
    return {one["component"] for one in entry.get("alignment", {}).get("tested", ()) if one["kind"] == "experts"}


def _searched(one: Record, matched: Sequence[Record]) -> str:
    """`matched`: layers in which MLPs match, all of them in place."""
    (a, b), where = one["mlps"], "" if one["component"] == "text" else f" of the {one['component']} part"
    mlps = sum(layer["mlps"] for layer in matched)
    found = f", and {mlps:,} match one of A in place" if mlps else ""
    mlps_of_b, layers = _mlps(one["experts"]), f"{one['layers']} {'layer' if one['layers'] == 1 else 'layers'}"
    return (
        f"{b:,} {mlps_of_b}{where} of B in {layers} ({one['parameters']:,} parameters) were held against {a:,} of A by "
        f"their answers to random inputs, whatever their number, width and order: z = {one['z']:.1f} for all together, rank p "
        f"= {one['p']:.2g} among {one['draws']} relabelled copies{found}."
    )


def _mlps(experts: int) -> str:
    """`experts`: how many routed ones are among them."""
    return "experts and other MLPs" if experts else "MLPs"


def _layers(one: Record) -> str:
    found = [
        f"{span(run.first_b, run.length)} of B {'is' if run.length == 1 else 'are'} {span(run.first_a, run.length)} of A"
        for run in runs(np.array(one["assignment"]))
        if run.first_a >= 0
    ]
    lone = one["assignment"].count(-1)
    found += [f"{lone} of B match{'es' if lone == 1 else ''} none"] if lone else []
    name = one["arrangement"].replace("_", "-")
    return f"The layers of the {one['component']} part are {name}: {'; '.join(found)}{_sure([one])}."


def _experts(found: Sequence[Record]) -> str:
    mlps, moved = sum(one["mlps"] for one in found), sum(one["moved"] for one in found)
    neurons, reordered, dense = (
        sum(one[key] for one in found) for key in ("neurons_moved", "neurons_reordered", "from_dense")
    )
    sure = any(one["z"] is not None for one in found)
    name = _mlps(sum(one["experts_b"] for one in found))
    verb = "match one of A" if sure else "were paired with one of A"
    text = f"In {len(found)} {'layer' if len(found) == 1 else 'layers'} {mlps} {name} of B {verb}{_sure(found)}"
    parts, lone = [], sum(one["unmatched"] for one in found)
    if lone:
        parts.append(f"{lone} experts of B match none")
    if dense:
        parts.append(f"{dense} of them a dense or shared one")
    if moved > dense:
        parts.append(f"{moved - dense} of them one of another number")
    if reordered:
        parts.append(f"{reordered} with their neurons in another order")
    if neurons > reordered:
        parts.append(f"{neurons - reordered} by some of their neurons, in their order")
    return f"{text}: {', '.join(parts)}." if parts else f"{text}."


def _sure(found: Sequence[Record]) -> str:
    z = [one["z"] for one in found if one["z"] is not None]
    if not z:
        return ""
    p, values = max(one["p"] for one in found), f"{min(z):.0f}" if len(z) == 1 else f"{min(z):.0f} to {max(z):.0f}"
    return f" (z = {values}, p {'=' if len(z) == 1 else '<='} {p:.2g} of the rank{'' if len(z) == 1 else ' each'})"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

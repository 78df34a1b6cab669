"""The verdict of one pair: a word per group and component, and the sentences that may be quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from ..meetings import VOCABULARY_ROLES
from ..statistics.verdict import (
    MATRIX_GROUPS,
    PEARSON,
    UNMATCHED,
    Z_EMBEDDINGS,
    Z_MATRIX,
    Z_NORMS,
    Evidence,
    component_verdict,
    group_verdict,
    relation,
)  # fmt: skip
from .aligned import how, realigned, tested_experts, unmatched
from .aligned import sentences as alignment_sentences
from .evidence import PairEvidence
from .tables import COUNTS

THRESHOLDS = (
    f"above every relabelled copy; matrices: z of {Z_MATRIX:.0f}, norms: {Z_NORMS:.0f}, embeddings: {Z_EMBEDDINGS:.0f}; "
    f"Pearson of {PEARSON}"
)

WORDS = {
    "identical": "is identical",
    "derived": "is derived",
    "partial": "is derived in part",
    "norms_only": "shares only its norm gains",
    "no_evidence": "shows no evidence of derivation",
    "not_tested": "could not be tested",
}


def judge(entry: dict[str, Any], names: Sequence[str], pooled: PairEvidence) -> None:
    """Adds `verdict` to a pair's summary and to each of its groups. `names`: of models A and B."""
    by_component: dict[str, list[Evidence]] = {}
    for group in entry["groups"]:
        by_component.setdefault(group["component"], []).append(_evidence(group, pooled))
    untested = {one["component"] for one in entry["coverage"]["untested"]}
    in_place = by_component.keys() - untested - realigned(entry)
    words = {component: component_verdict(groups, component in in_place) for component, groups in by_component.items()}
    alone = {component: unmatched(entry, component) for component in words}
    for component, shares in alone.items():
        if words[component] == "derived" and max(shares.values()) > UNMATCHED:
            words[component] = "partial"
    for group in entry["groups"]:
        evidence = _evidence(group, pooled)
        others = by_component[group["component"]]
        derived = any(one.positive for one in others if one.group in MATRIX_GROUPS)
        group["verdict"] = group_verdict(evidence, derived)
        if (
            group["verdict"] == "derived"
            and group["group"] == "experts"
            and alone[group["component"]]["experts"] > UNMATCHED
        ):
            group["verdict"] = "partial"
        group["layers_without"] = evidence.clear_layers
    for component in sorted(untested - set(words)):
        words[component] = "not_tested"
    for component in tested_experts(entry):
        if words.get(component) == "not_tested":
            words[component] = "no_evidence"
    word = relation(words)
    entry["verdict"] = {
        "relation": word,
        "how": _how(entry, word, words),
        "components": words,
        "statement": _statement(entry, names, word, words),
    }


def _evidence(group: Mapping[str, Any], pooled: PairEvidence) -> Evidence:
    keys = ("component", "group", "tensors", "parameters", "pearson", "z", "p", "draws")
    values = {key: group[key] for key in keys} | {"p": group["p_rank"]}
    layers = pooled.layers(group["component"], group["group"])
    return Evidence(**values, identical=group["identical"], layers=layers)


def _how(entry: Mapping[str, Any], word: str, words: Mapping[str, str]) -> list[str]:
    """What was re-ordered; `finetuned` where everything was compared in place and everything matched, as further training
    leaves it (of B from A, of A from B, of both from one ancestor; or a mere change of scales)."""
    if realigned(entry):
        return how(entry, words)
    return ["finetuned"] if word == "derived" and entry["coverage"]["fraction"] > 0.999 else []


def _statement(entry: Mapping[str, Any], names: Sequence[str], word: str, words: Mapping[str, str]) -> str:
    """What was tested, what was found, what was not tested, and which alternatives remain."""
    coverage = entry["coverage"]
    a, b = names if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")
    tested = [group for group in entry["groups"] if group["verdict"] != "not_tested"]
    matrices = any(group["group"] in MATRIX_GROUPS for group in tested)
    sentences = [_headline(a, b, word, words, matrices)]
    through = "in place or through the alignment" if realigned(entry) else "of the same name and layer"
    sentences.append(
        f"{_capital(percent(coverage['fraction']))} of the {coverage['parameters']:,} parameters of both were compared element "
        f"by element with their counterpart {through}."
    )
    sentences += alignment_sentences(entry)
    if "vocabulary" in entry and any(role["role"] in VOCABULARY_ROLES for role in entry["roles"]):
        tokens = entry["vocabulary"]
        sentences.append(
            f"Embeddings were compared over {tokens['shared']:,} tokens that both vocabularies have, {tokens['same_id']:,} of "
            "them under the same number."
        )
    found = [group for group in tested if group["verdict"] in ("identical", "derived", "partial", "norms_only")]
    if found:
        listed = ", ".join(_quantified(group) for group in found)
        sentences.append(f"Above every relabelling of the channels: {listed}.")
    clear = [group for group in tested if group["verdict"] == "no_evidence"]
    if clear:
        listed = ", ".join(_quantified(group) for group in clear)
        sentences.append(f"Below what a match must reach ({THRESHOLDS}): {listed}.")
    blank = [group for group in entry["groups"] if group["verdict"] == "not_tested"]
    if blank:
        listed = ", ".join(f"{_where(group)} ({group['parameters']:,} parameters)" for group in blank)
        sentences.append(
            "Compared but not judged, for want of relabelled copies (too few asked for, constant, not finite, or no axis of "
            f"arbitrary order): {listed}."
        )
    unusual = sum(group[count] for group in entry["groups"] for count in COUNTS)
    if unusual:
        sentences.append(f"{unusual:,} elements are NaN or infinite; tensors that hold one have no evidence.")
    sentences += _left_out(coverage["untested"], a, b)
    sentences.append(_alternatives(word, entry.get("alignment", {}).get("searched", False)))
    return " ".join(sentences)


def _headline(a: str, b: str, word: str, words: Mapping[str, str], matrices: bool) -> str:
    """`matrices`: whether any were tested."""
    if word == "identical":
        return f"{a} and {b} are identical in every byte compared."
    if word == "derived":
        return f"{a} and {b} share descent: all groups of matrices that could be tested match."
    if word == "norms_only":
        if not matrices:
            return f"{a} and {b} share norm gains; no matrices were tested, so nothing is known of the rest."
        return f"{a} and {b} share norm gains, and nothing else that could be tested: their matrices do not match."
    if word == "no_evidence":
        return f"No evidence that {a} and {b} share descent was found."
    if word == "not_tested":
        return f"Whether {a} and {b} share descent could not be tested."
    parts = "; ".join(f"the {component} part {WORDS[one]}" for component, one in words.items())
    return f"{a} and {b} share descent in part: {parts}."


def _quantified(group: Mapping[str, Any]) -> str:
    pearson = f"{group['pearson']:.3f}" if isfinite(group["pearson"]) else "undefined"
    but = f", but not in {layers_text(group['layers_without'])} of B" if group["layers_without"] else ""
    return f"{_where(group)} (Pearson {pearson}, z = {group['z']:.1f}, {group['parameters']:,} parameters{but})"


def _where(group: Mapping[str, Any]) -> str:
    component, name = group["component"], str(group["group"])
    return name if component in ("text", name) else f"{component} {name}"


def _left_out(untested: Sequence[Mapping[str, Any]], a: str, b: str) -> list[str]:
    if not untested:
        return []
    reasons: dict[str, int] = {}
    for one in untested:
        reason = {"missing in A": f"missing in {a}", "missing in B": f"missing in {b}"}.get(
            one["reason"], one["reason"]
        )
        reasons[reason] = reasons.get(reason, 0) + one["parameters"]
    listed = ", ".join(
        f"{reason} ({count:,} parameters)" for reason, count in sorted(reasons.items(), key=lambda r: -r[1])
    )
    return [f"Not compared element by element: {listed}."]


def _alternatives(word: str, searched: bool) -> str:
    if word == "identical":
        return "This does not tell which of the two came first."
    if word in ("derived", "partial"):
        return (
            "This does not tell which of the two came first, and two trainings that started from one initialisation share "
            "weights in the same way."
        )
    unseen = "weights whose residual channels were rotated or re-ordered"
    if searched:
        return f"This is not proof of independence: {unseen} would not be found."
    return (
        f"This is not proof of independence: {unseen}, or whose layers, experts or neurons were re-ordered, would not be "
        f"found by comparing parts of the same name in place."
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def percent(fraction: float) -> str:
    """A share that never rounds to all or nothing when it is neither."""
    if 0 < fraction < 0.001:
        return "under 0.1 %"
    if 0.999 < fraction < 1:
        return "over 99.9 %"
    return f"{100 * fraction:.1f} %" if fraction < 1 else "All"


def layers_text(numbers: Sequence[int]) -> str:
    """layer 5; layers 0-3, 7, 9-10"""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    listed = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"layer{'s' if len(numbers) > 1 else ''} {listed}"

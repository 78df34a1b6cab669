"""Verdicts on small models that were really trained, with a lineage that is known."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest
from click.testing import CliRunner
from weightkin.bench.zoo.__main__ import main
from weightkin.bench.zoo.calibration import calibrate
from weightkin.bench.zoo.evaluate import Judged, auc_by_relation, judge_zoo
from weightkin.bench.zoo.lineage import PAIRS
from weightkin.bench.zoo.members import MEMBERS

import weightkin
from weightkin.checkpoint import open_checkpoint
from weightkin.correspondence.heads import find_head_matches
from weightkin.schema import resolve


@pytest.fixture(scope="session")
def judged(zoo: Path) -> dict[tuple[str, str], Judged]:
    """Every pair of its truth.json."""
    return {(pair.a, pair.b): pair for pair in judge_zoo(zoo)}


def groups(pair: Judged, *words: str, component: str = "text") -> set[str]:
    """The groups of a component that have one of these verdicts."""
    return {one["group"] for one in pair.groups if one["component"] == component and one["verdict"] in words}


def test_strangers(judged: dict[tuple[str, str], Judged]) -> None:
    """No verdict, uniform ranks, no large z of any matrix role, no small p of any norm role."""
    strangers = [pair for pair in judged.values() if not pair.related]
    assert len(strangers) >= 5
    found = calibrate([pair for pair in strangers if pair.primary])
    assert found.failures == () and found.verdicts == {"no_evidence": found.pairs}
    assert found.uniform_p > 1e-3
    assert calibrate(strangers).failures == ()


@pytest.mark.parametrize("name", ["sft", "cpt"])
def test_trained_on(judged: dict[tuple[str, str], Judged], name: str) -> None:
    pair = judged["base", name]
    assert (pair.word, pair.components) == ("derived", {"text": "derived"})
    assert groups(pair, "derived", "identical") == {"norms", "attention", "router", "experts", "mlp", "embeddings"}


@pytest.mark.parametrize(
    ("name", "how", "without"), [("upscaled", "depth_upscaled", [5]), ("pruned", "pruned", [3, 4])]
)
def test_other_depth(
    zoo: Path, judged: dict[tuple[str, str], Judged], name: str, how: str, without: Collection[int]
) -> None:
    """Layers that moved are not found in place, but through the layer map."""
    pair = judged["base", name]
    assert (pair.word, pair.how) == ("derived", [how])
    assert groups(pair, "derived") >= {"attention", "router", "experts", "mlp", "embeddings"}
    found = weightkin.compare(zoo / "base", zoo / name, align="none").summary
    assert found["verdict"]["relation"] == "partial"
    assert {layer for one in found["groups"] for layer in one["layers_without"]} <= set(without)


@pytest.mark.parametrize(("name", "pearson"), [("permuted", 0.9999), ("shuffled", 0.8), ("laundered", 0.8)])
def test_another_order(judged: dict[tuple[str, str], Judged], name: str, pearson: float) -> None:
    """Experts, neurons and heads in another order, up and down rescaled: all of it is found, and all is compared."""
    pair = judged["base", name]
    assert (pair.word, pair.how) == ("derived", ["permuted"]) and pair.compared > 0.95
    assert groups(pair, "derived", "identical") >= {"attention", "router", "experts", "mlp", "embeddings"}
    experts = next(one for one in pair.groups if one["group"] == "experts")
    assert experts["pearson"] >= pearson


def test_upcycled(judged: dict[tuple[str, str], Judged]) -> None:
    """Every expert is compared with the dense MLP that it comes from."""
    pair = judged["dense", "upcycled"]
    assert (pair.word, pair.how) == ("derived", ["upcycled"]) and pair.compared > 0.95
    assert groups(pair, "derived") >= {"attention", "experts", "embeddings"}


def test_shuffled_heads(zoo: Path) -> None:
    """Heads that changed places are found; no heads of an independent model are."""
    layers = [("text", layer, layer) for layer in range(6)]
    base, shuffled, twin = (resolve(open_checkpoint(zoo / name)) for name in ("base", "shuffled", "twin"))
    truth = json.loads((zoo / "truth.json").read_text())["heads"]["shuffled"]
    found = find_head_matches(base, shuffled, layers, seed=0, draws=64, threads=2)
    matches = {layer: one.match for (_, layer), one in found.items()}
    for layer, match in matches.items():
        assert match is not None and not found["text", layer].identity
        assert {"groups": match.groups.tolist(), "queries": match.queries.tolist()} == truth[str(layer)]
    strangers = find_head_matches(base, twin, layers, seed=0, draws=64, threads=2).values()
    assert all(one.match is None for one in strangers)
    for one in strangers:
        assert one.searched is not None and one.confirmed is not None
        assert abs(one.searched.z) < 4.5 and abs(one.confirmed.z) < 4.5


def test_transplant(judged: dict[tuple[str, str], Judged]) -> None:
    """All but the routed experts come from solar; those come from base, cut to a width that cannot meet in place."""
    donor = judged["base", "transplant"]
    assert (donor.word, donor.how) == ("partial", ["transplanted experts"])
    assert groups(donor, "derived") == {"experts"}
    pair = judged["solar", "transplant"]
    assert pair.word in ("derived", "partial")
    assert groups(pair, "derived", "identical") >= {"attention", "router", "mlp", "embeddings"}
    experts = next(one for one in pair.groups if one["group"] == "experts")
    assert experts["verdict"] == "partial" and set(experts["layers_without"]) == set(range(1, 6))


def test_norms_only(judged: dict[tuple[str, str], Judged]) -> None:
    pair = judged["base", "regrown"]
    assert pair.word == "norms_only"
    assert groups(pair, "norms_only") == {"norms"}
    assert groups(pair, "no_evidence") == {"attention", "router", "experts", "mlp", "embeddings"}


def test_vision_tower_reused(judged: dict[tuple[str, str], Judged]) -> None:
    pair = judged["vlm_a", "vlm_b"]
    assert pair.word == "partial"
    assert (pair.components["vision"], pair.components["text"]) == ("derived", "no_evidence")


def test_kin_score_above_strangers(judged: dict[tuple[str, str], Judged]) -> None:
    found = auc_by_relation(list(judged.values()), lambda pair: pair.matrices)
    assert auc_by_relation(list(judged.values()), lambda pair: pair.norms)["norms_only"] == 1
    for relation in (
        "finetuned",
        "depth_upscaled",
        "pruned",
        "module:vision",
        "siblings",
        "partial",
        "permuted",
        "shuffled",
        "upcycled",
    ):
        assert found[relation] == 1


def test_evaluation_on_a_terminal(zoo: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(zoo), "--align", "none", "--output", str(tmp_path / "out.json")])
    assert done.exit_code == 0, done.output
    for text in ("derived", "norms_only", "AUC", "p uniform"):
        assert text in done.output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["auc"]["matrices"]["finetuned"] == 1 and report["calibration"]["primary"]["failures"] == []


def test_nothing_to_evaluate() -> None:
    assert "name a zoo" in CliRunner().invoke(main, []).output


def test_every_pair_is_of_members_and_sources_come_first() -> None:
    names = [make.__name__ for make in MEMBERS]
    for make, sources in MEMBERS.items():
        assert all(names.index(source) < names.index(make.__name__) for source in sources)
    assert {name for pair in PAIRS for name in pair[:2]} == set(names)

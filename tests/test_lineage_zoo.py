"""The family tree of models that were really trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import weightkin
from test_lineage import edges
from weightkin import Results

CHILDREN = ("sft", "cpt", "permuted", "laundered", "upscaled", "pruned")
"""Of base."""
STRANGERS = ("twin", "solar", "vlm_c")


@pytest.fixture(scope="module")
def found(zoo: Path) -> Results:
    names = ["pruned", "sft", "twin", "cpt", "permuted", "base", "laundered", "upscaled", "solar"]
    names += ["scaled"] if (zoo / "scaled").exists() else []
    return weightkin.lineage([zoo / name for name in names], null=64, threads=2)


@pytest.fixture(scope="module")
def in_parts(zoo: Path) -> Results:
    names = ("upcycled", "dense", "vlm_a", "vlm_b", "vlm_c")
    return weightkin.lineage([zoo / name for name in names], null=64, threads=2)


def test_every_model_hangs_where_it_came_from(found: Results, in_parts: Results) -> None:
    names = {node["name"] for node in found.summary["lineage"]["nodes"]}
    children = [name for name in (*CHILDREN, "scaled") if name in names]
    assert {frozenset(pair) for pair in edges(found)} == {frozenset(("base", name)) for name in children}
    assert edges(in_parts).keys() == {("upcycled", "dense"), ("vlm_a", "vlm_b")}
    for one in (found, in_parts):
        assert not edges(one, "secondary")
        assert all(edge["support"] is None or edge["support"] > 0.8 for edge in edges(one).values())


def test_what_the_edges_say(found: Results, in_parts: Results) -> None:
    by_pair = {
        frozenset(pair): (edge, [node["name"] for node in one.summary["lineage"]["nodes"]])
        for one in (found, in_parts)
        for pair, edge in edges(one).items()
    }

    def edge(a: str, b: str) -> tuple[list[str], str | None, bool]:
        one, names = by_pair[frozenset((a, b))]
        return one["how"], None if one["child"] is None else names[one["child"]], one["strong"]

    assert edge("base", "upscaled") == (["depth_upscaled"], "upscaled", True)
    assert edge("dense", "upcycled") == (["upcycled"], "upcycled", True)
    assert edge("base", "pruned") == (["pruned"], "pruned", False)
    assert edge("base", "sft") == (["finetuned"], "sft", False)
    assert edge("base", "permuted") == (["permuted"], None, False)
    assert edge("vlm_a", "vlm_b")[1] is None
    vision, _ = by_pair[frozenset(("vlm_a", "vlm_b"))]
    assert vision["relation"] == "partial" and "vision attention" in vision["parts"]
    assert all("text" not in part and not part.startswith("attention") for part in vision["parts"])
    first = found.summary["lineage"]["trees"][0]
    names = [node["name"] for node in found.summary["lineage"]["nodes"]]
    assert names[first["root"]] == "base" and first["rooted"]


def test_what_siblings_learned_alike_is_said(found: Results) -> None:
    """All were trained on the same text: that sft, which moved least, is the parent of others cannot be excluded."""
    names = [node["name"] for node in found.summary["lineage"]["nodes"]]
    doubted = {
        names[other["outer"]]: names[other["model"]] for edge in edges(found).values() for other in edge["alternatives"]
    }
    assert doubted and set(doubted.values()) == {"sft"} and set(doubted) <= {"cpt", "laundered", "upscaled", "pruned"}


def test_strangers_stay_apart(found: Results, in_parts: Results) -> None:
    apart = set()
    for one in (found, in_parts):
        lineage = one.summary["lineage"]
        apart |= {lineage["nodes"][tree["nodes"][0]]["name"] for tree in lineage["trees"] if len(tree["nodes"]) == 1}
    assert apart == set(STRANGERS)

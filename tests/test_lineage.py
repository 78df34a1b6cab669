"""Family trees of planted models: chain, siblings, average, other orders and scales, strangers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import weightkin
from commands import weightkin as command
from comparisons import same_tables
from descendants import State, doubled, fresh, mixed, reordered, rescaled, stepped, write
from weightkin import Results
from weightkin.errors import PlanError, ResultsError
from weightkin.results.journal import Journal

NULL = 31


def planted() -> dict[str, State]:
    """base -> child -> grandchild; base -> sibling; average of sibling and child; edits of base; strangers."""
    base = fresh(0)
    child, sibling = stepped(base, 1), stepped(base, 2)
    return {
        "base": base,
        "child": child,
        "grandchild": stepped(child, 3, 0.05),
        "sibling": sibling,
        "average": mixed([(0.5, child), (0.5, sibling)]),
        "reordered": reordered(base, 4),
        "reordered-tuned": stepped(reordered(base, 4), 5),
        "rescaled": rescaled(base, 6),
        "doubled": stepped(doubled(base), 7, 0.02),
        "stranger": fresh(8),
        "stranger-tuned": stepped(fresh(8), 9),
        "loner": fresh(10),
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("models"), planted())


@pytest.fixture(scope="module")
def found(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return weightkin.lineage(models, null=NULL, threads=2, output=tmp_path_factory.mktemp("out") / "tree")


def edges(results: Results, kind: str = "tree") -> dict[tuple[str, str], dict[str, Any]]:
    """By the names of their ends, in the order of the models."""
    lineage = results.summary["lineage"]
    names = [node["name"] for node in lineage["nodes"]]
    return {
        (names[min(edge["a"], edge["b"])], names[max(edge["a"], edge["b"])]): edge
        for edge in lineage["edges"]
        if edge["kind"] == kind
    }


def test_planted_tree(found: Results) -> None:
    wanted = {
        ("base", "child"), ("child", "grandchild"), ("base", "sibling"), ("base", "reordered"),
        ("reordered", "reordered-tuned"), ("base", "rescaled"), ("base", "doubled"), ("stranger", "stranger-tuned"),
    }  # fmt: skip
    tree = edges(found)
    assert tree.keys() - {("child", "average"), ("sibling", "average")} == wanted
    assert tree["base", "reordered"]["support"] is None  # equals: nothing to resample
    assert all(edge["support"] >= 0.95 for pair, edge in tree.items() if pair != ("base", "reordered"))
    assert all(not edge["alternatives"] for edge in tree.values())


def test_an_average_has_two_parents(found: Results) -> None:
    first, second = edges(found), edges(found, "secondary")
    both = {("child", "average"), ("sibling", "average")}
    assert len(both & first.keys()) == len(both & second.keys()) == 1 and both == (both & first.keys()) | second.keys()
    names = [node["name"] for node in found.summary["lineage"]["nodes"]]
    for pair in both:
        edge = (first | second)[pair]
        assert edge["strong"] and names[edge["child"]] == "average" and "0.50" in edge["reasons"][0]


def test_distances_are_of_the_change_alone(found: Results) -> None:
    """A step of 0.1 is 0.1 away, in any order and scale; what is only rescaled or re-ordered hardly is."""
    tree = edges(found)
    for pair, size in {
        ("base", "child"): 0.1,
        ("child", "grandchild"): 0.05,
        ("reordered", "reordered-tuned"): 0.1,
    }.items():
        assert tree[pair]["distance"] == pytest.approx(size, rel=0.1)
    assert tree["base", "reordered"]["distance"] < 1e-3
    assert tree["base", "rescaled"]["distance"] < 0.02 and tree["base", "rescaled"]["raw_distance"] > 0.2
    assert "rescaled" in tree["base", "rescaled"]["how"] and "rescaled" not in tree["base", "child"]["how"]
    assert tree["base", "reordered"]["how"] == ["permuted"] and tree["reordered", "reordered-tuned"]["how"] == [
        "finetuned"
    ]


def test_directions_have_reasons(found: Results) -> None:
    tree, names = edges(found), [node["name"] for node in found.summary["lineage"]["nodes"]]
    doubled_edge = tree["base", "doubled"]
    assert names[doubled_edge["child"]] == "doubled" and doubled_edge["strong"]
    assert "more than once" in doubled_edge["reasons"][0]
    sibling = tree["base", "sibling"]
    assert names[sibling["child"]] == "sibling" and not sibling["strong"] and "branches meet" in sibling["reasons"][0]
    assert tree["stranger", "stranger-tuned"]["child"] is None
    grandchild = tree["child", "grandchild"]
    assert names[grandchild["child"]] == "grandchild" and "one origin" in grandchild["reasons"][0]
    first = found.summary["lineage"]["trees"][0]
    assert names[first["root"]] == "base" and first["rooted"]


def test_a_copy_has_no_direction_and_is_no_branch(tmp_path: Path) -> None:
    base = fresh(0)
    states = {"base": base, "copy": base, "child": stepped(base, 1), "sibling": stepped(base, 2)}
    paths = write(tmp_path, states)
    found = weightkin.lineage([*paths, paths[0]], null=NULL, threads=2)
    assert all(edge["child"] is None for edge in found.summary["lineage"]["edges"])
    names = [node["name"] for node in found.summary["lineage"]["nodes"]]
    assert len(set(names)) == 5 and names[1:4] == ["copy", "child", "sibling"]
    assert edges(found)[names[0], "copy"]["distance"] == 0
    assert all(name in found.summary["lineage"]["statement"] for name in names)


def test_a_rescaled_copy_of_an_absent_parent_is_not_taken_for_it(tmp_path: Path) -> None:
    base = fresh(0)
    children = {f"child-{number}": stepped(base, number, 0.05) for number in range(1, 4)}
    for name, hub in (("base", base), ("scaled", rescaled(base, 5))):
        lineage = weightkin.lineage(write(tmp_path / name, {name: hub, **children}), null=NULL, threads=2).summary[
            "lineage"
        ]
        assert all(edge["a"] == 0 for edge in lineage["edges"]) and len(lineage["edges"]) == 3
        assert [edge["child"] for edge in lineage["edges"]] == ([1, 2, 3] if hub is base else [None] * 3)


def test_strangers_have_no_edge(found: Results) -> None:
    lineage = found.summary["lineage"]
    assert [len(tree["nodes"]) for tree in lineage["trees"]] == [9, 2, 1]
    assert "No evidence of kin: loner; that is not proof of independence" in lineage["statement"]
    assert "rotated is not found" in lineage["statement"]


def test_tables(found: Results) -> None:
    rows = found["edges"].to_pylist()
    assert len(rows) == len(found.summary["lineage"]["edges"])
    assert {row["kind"] for row in rows} == {"tree", "secondary"}
    distances = found["distances"].to_pandas()
    pair = distances[(distances.family == 0) & (distances.a == 0) & (distances.b == 1)]
    assert set(pair.layer) == {0, 1, 2} and pair.distance.between(0.008, 0.012).all()


def test_siblings_of_an_absent_parent(tmp_path: Path) -> None:
    base = fresh(0)
    results = weightkin.lineage(
        write(tmp_path, {name: stepped(base, seed) for seed, name in enumerate("abc", 1)}), null=NULL, align="none"
    )
    lineage = results.summary["lineage"]
    assert [node["name"] for node in lineage["nodes"] if not node["observed"]] == ["unobserved 1"]
    assert {tuple(sorted((edge["a"], edge["b"]))) for edge in lineage["edges"]} == {(0, 3), (1, 3), (2, 3)}
    for edge in lineage["edges"]:
        assert edge["distance"] == pytest.approx(0.1, rel=0.1) and edge["relation"] == "inferred"
        assert edge["child"] is None and edge["parts"] == ["attention", "mlp"]


def test_parts_of_two_families(tmp_path: Path) -> None:
    """Attention of one, MLPs of another."""
    one, other = fresh(1), fresh(2)
    graft = stepped({name: (one if "attn" in name else other)[name] for name in one}, 3, 0.02)
    states = {"one": one, "one-tuned": stepped(one, 4), "other": other, "graft": graft}
    results = weightkin.lineage(write(tmp_path, states), null=NULL)
    joined = edges(results) | edges(results, "secondary")
    assert joined.keys() == {("one", "one-tuned"), ("one", "graft"), ("other", "graft")}
    assert len(edges(results, "secondary")) == 1
    assert joined["one", "graft"]["parts"] == ["attention"] and joined["other", "graft"]["parts"] == ["mlp"]
    for pair in (("one", "graft"), ("other", "graft")):
        assert joined[pair]["child"] == 3 and "holds parts of both" in joined[pair]["reasons"][0]


def test_from_stored_matrix(models: list[Path], tmp_path: Path) -> None:
    """The same tree of what is in place; it says that nothing was searched for."""
    chosen = [models[0], models[1], models[2], models[3], models[9]]
    weightkin.matrix(chosen, output=tmp_path / "matrix", null=NULL)
    stored = weightkin.lineage([tmp_path / "matrix"], output=tmp_path / "tree")
    fresh_run = weightkin.lineage(chosen, align="none", null=NULL)
    assert edges(stored).keys() == {("base", "child"), ("child", "grandchild"), ("base", "sibling")}
    assert stored.summary["lineage"]["edges"] == fresh_run.summary["lineage"]["edges"]
    assert "not searched for" in stored.summary["lineage"]["statement"]
    again = weightkin.lineage([tmp_path / "tree"])
    assert again.summary["lineage"] == stored.summary["lineage"]


def test_order_of_models_changes_nothing(models: list[Path], found: Results) -> None:
    some = ["doubled", "grandchild", "stranger", "reordered-tuned", "child", "base", "reordered"]
    by_name = {path.name: path for path in models}
    turned = weightkin.lineage([by_name[name] for name in some], null=NULL)
    pairs = {frozenset(pair) for pair in edges(turned)}
    assert pairs == {frozenset(pair) for pair in edges(found) if set(pair) <= set(some)}


def test_resumed(models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any record of the journal, it ends with what an undisturbed run gives."""
    chosen = [models[0], models[1], models[5], models[9]]
    whole = weightkin.lineage(chosen, null=NULL)
    append, left = Journal.append, [7]

    def dying(self: Journal, number: int, payload: bytes) -> None:
        if self._path is not None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        append(self, number, payload)

    monkeypatch.setattr(Journal, "append", dying)
    attempts = 0
    while attempts < 40:
        left[0] = 7
        try:
            results = weightkin.lineage(chosen, null=NULL, output=tmp_path / "out", resume=attempts > 0)
            break
        except KeyboardInterrupt:
            attempts += 1
    assert attempts > 3
    assert same_tables(results, whole) and results.summary["lineage"] == whole.summary["lineage"]


def test_refusals(models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="1 given: a tree takes 2 to 16 models"):
        weightkin.lineage(models[:1])
    with pytest.raises(PlanError, match="a null of 5"):
        weightkin.lineage(models[:2], null=5)
    weightkin.compare(*models[:2], output=tmp_path / "pair", null=0)
    with pytest.raises(ResultsError, match="holds results of compare"):
        weightkin.lineage([tmp_path / "pair"])


def test_on_a_terminal(found: Results, tmp_path: Path) -> None:
    """Stored results are shown and exported without reading a model."""
    assert found.folder is not None
    done = command("lineage", found.folder, "--export", tmp_path / "tree.nwk")
    for text in ("base", "└── ", "grandchild", "permuted", "support 100%", "Why one is taken", "Apart  loner", "Also "):
        assert text in done.stdout, text
    assert "nothing was read" in done.stderr and "tree.nwk" in done.stderr
    printed = json.loads(command("lineage", found.folder, "--json").stdout)
    assert printed["lineage"] == found.summary["lineage"]
    assert (
        "no format has this suffix" in command("lineage", found.folder, "--export", tmp_path / "x.txt", code=1).stderr
    )
    assert "is there already" in command("lineage", found.folder, "--export", tmp_path / "tree.nwk", code=1).stderr

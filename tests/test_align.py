"""compare --align auto: what is in place stays so, what was re-ordered is found, and strangers are left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aligned_models import EXPERTS, GROUPS, LAYERS, State, model, noisy, relayered, shuffled, write
from comparisons import same_tables
from interrupted import Stop, check_equal
from weightkin import Results, compare
from weightkin.cli.app import main
from weightkin.correspondence import search
from weightkin.correspondence.alignment import Mlp, to_json

Pair = Callable[[State, State], tuple[Path, Path]]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    def written(a: State, b: State) -> tuple[Path, Path]:
        return write(tmp_path / "a", a), write(tmp_path / "b", b)

    return written


def said(results: Results) -> tuple[str, list[str]]:
    verdict = results.summary["verdict"]
    return verdict["relation"], verdict["how"]


def test_in_place_nothing_is_searched(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_alignment", None)
    folders = pair(model(0), noisy(model(0), 1))
    results = compare(*folders)
    alignment = results.summary["alignment"]
    assert (alignment["searched"], alignment["why"]) == (False, "everything matches in place")
    assert said(results) == ("derived", ["finetuned"])
    assert "No alignment was searched" in results.summary["verdict"]["statement"]
    assert same_tables(results, compare(*folders, align="none"))
    assert compare(*pair(model(0), model(0))).summary["verdict"]["relation"] == "identical"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_strangers_get_no_map(pair: Pair, seed: int) -> None:
    folders = pair(model(0), relayered(model(seed), [0, 1, 2, 0]) if seed == 3 else model(seed))
    results, in_place = compare(*folders), compare(*folders, align="none")
    alignment = results.summary["alignment"]
    assert alignment["searched"] and alignment["kinds"] == ["layers", "experts", "heads"]
    assert not (alignment["layers"] or alignment["experts"] or alignment["heads"])
    assert said(results) == ("no_evidence", []) and same_tables(results, in_place)
    assert "found nothing significant" in results.summary["verdict"]["statement"]


def test_everything_at_once(pair: Pair) -> None:
    b, truth = shuffled(model(0), 5)
    results = compare(*pair(model(0), noisy(b, 1)))
    summary = results.summary
    assert said(results) == ("derived", ["permuted"]) and summary["coverage"]["fraction"] > 0.95
    assert {
        group["verdict"] for group in summary["groups"] if group["group"] in ("attention", "experts", "router")
    } == {"derived"}
    for one in summary["experts"]["layers"]:
        wanted = {mlp.expert: match.mlp.expert for mlp, match in truth.mlps.items() if mlp.layer == one["layer_b"]}
        assert one["assignment"] == [wanted[expert] for expert in range(EXPERTS)]
    for one in summary["heads"]["layers"]:
        wanted_heads = truth.heads["text", one["layer_b"]]
        assert (one["groups"], one["queries"]) == (wanted_heads.groups.tolist(), wanted_heads.queries.tolist())
    assert len(summary["heads"]["layers"]) == len(summary["alignment"]["experts"]) == LAYERS
    statement = summary["verdict"]["statement"]
    assert "neurons in another order" in statement and "Attention heads in layers 0-2 of B" in statement


def test_layers_that_moved(pair: Pair) -> None:
    order = [0, 1, 2, 1, 2]
    results = compare(*pair(model(0), noisy(relayered(model(0), order), 1)))
    assert said(results) == ("derived", ["depth_upscaled"])
    assert results.summary["layers"]["assignment"] == order
    assert results.summary["alignment"]["kinds"] == ["layers"]  # all else is explained then
    assert results.summary["coverage"]["fraction"] == 1.0


def test_experts_of_another_model(pair: Pair) -> None:
    """The experts alone come from A, re-ordered, on fewer neurons."""
    donor, _ = shuffled(model(0), 5, width=20)
    b = model(7) | {name: x for name, x in donor.items() if ".experts." in name}
    results = compare(*pair(model(0), b))
    assert said(results) == ("partial", ["permuted", "transplanted experts"])
    groups = {group["group"]: group["verdict"] for group in results.summary["groups"]}
    assert groups == {
        "norms": "no_evidence", "attention": "no_evidence", "router": "no_evidence", "experts": "derived",
        "embeddings": "no_evidence",
    }  # fmt: skip


def test_heads_of_which_some_stayed(pair: Pair) -> None:
    """What stayed in place is beyond doubt, but explains only a part."""
    b, truth = shuffled(model(0), 5)
    only_heads = model(0) | {name: x for name, x in b.items() if "self_attn" in name}
    assert any((match.groups == range(GROUPS)).any() for match in truth.heads.values())
    results = compare(*pair(model(0), noisy(only_heads, 1)))
    assert said(results) == ("derived", ["permuted"])
    (attention,) = (group for group in results.summary["groups"] if group["group"] == "attention")
    assert attention["pearson"] > 0.95


def test_layers_and_experts_of_its_own(pair: Pair) -> None:
    """Half of B's layers come from A, and of one layer half of the experts: that is no derivation of the whole."""
    stranger = relayered(model(7), [0, 1, 2, 0, 1, 2])
    b = relayered(model(0), [0, 0, 1, 1, 2, 2])
    b |= {name: x for name, x in stranger.items() if any(f".layers.{layer}." in name for layer in (1, 3, 5))}
    results = compare(*pair(model(0), noisy(b, 1)))
    assert results.summary["layers"]["assignment"] == [0, -1, 1, -1, 2, -1]
    assert said(results) == ("partial", ["interleaved"])
    assert "3 of B match none" in results.summary["verdict"]["statement"]

    b, truth = shuffled(model(0), 5)
    own = {f".experts.{expert}." for expert in range(EXPERTS // 2)}
    b |= {name: x for name, x in model(7).items() if any(part in name for part in own)}
    results = compare(*pair(model(0), b))
    assert said(results) == ("partial", ["permuted"])
    groups = {group["group"]: group["verdict"] for group in results.summary["groups"]}
    assert (groups["experts"], groups["attention"]) == ("partial", "derived")
    for one in results.summary["experts"]["layers"]:
        wanted = [truth.mlps[Mlp("text", one["layer_b"], "expert", expert)].mlp.expert for expert in (2, 3)]
        assert one["assignment"] == [-1, -1, *wanted]


def test_resumed_runs_do_not_search_again(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    b, _ = shuffled(model(0), 5)
    folders = pair(model(0), b)
    whole = compare(*folders, output=tmp_path / "whole")
    output, phases = tmp_path / "results", list[str]()

    def stop_after_the_search(phase: str, _done: int, _total: int) -> None:
        phases.append(phase)
        if phase == "comparing" and "searching heads" in phases and phases[-4:] == ["comparing"] * 4:
            raise Stop

    with pytest.raises(Stop):
        compare(*folders, output=output, progress=stop_after_the_search)
    monkeypatch.setattr(search, "find_alignment", None)
    compare(*folders, output=output, resume=True)
    assert whole.folder is not None
    check_equal(output, whole.folder)


def test_a_search_goes_on_after_the_layers_that_are_done(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b, _ = shuffled(model(0), 5)
    folders = pair(model(0), b)
    whole = compare(*folders, output=tmp_path / "whole")
    match_layer, searched = search.match_layer, list[int]()

    def once_more(*arguments: Any, **options: Any) -> Any:
        if len(searched) == 2:
            searched.clear()
            raise Stop
        searched.append(arguments[2][2])
        return match_layer(*arguments, **options)

    monkeypatch.setattr(search, "match_layer", once_more)
    with pytest.raises(Stop):
        compare(*folders, output=tmp_path / "results")
    compare(*folders, output=tmp_path / "results", resume=True)
    assert searched == [2] and whole.folder is not None
    check_equal(tmp_path / "results", whole.folder)


def test_without_a_null_nothing_is_searched(pair: Pair) -> None:
    results = compare(*pair(model(0), model(1)), null=0)
    assert results.summary["alignment"]["mode"] == "none"


def test_what_is_excluded_is_not_searched(pair: Pair) -> None:
    kinds = compare(*pair(model(0), model(1)), exclude=["expert.*"]).summary["alignment"]["kinds"]
    assert kinds == ["layers", "heads"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_on_the_command_line(pair: Pair, tmp_path: Path) -> None:
    b, truth = shuffled(model(0), 5)
    folders = pair(model(0), b)
    shown = run(*folders)
    assert shown.exit_code == 0 and "Alignment: searched" in shown.output
    assert f"experts of {LAYERS} layers, neurons of {LAYERS * EXPERTS} experts" in shown.output
    assert "Alignment: in place  (not asked for)" in run(*folders, "--align", "none").output
    missing = run(*folders, "--align", tmp_path / "none.json")
    assert missing.exit_code == 1 and "neither auto, none nor a file" in missing.output
    file = tmp_path / "alignment.json"
    file.write_text(json.dumps(to_json(truth)))
    given = json.loads(run(*folders, "--align", file, "--json").stdout)
    assert given["verdict"]["how"] == ["permuted"] and given["alignment"]["mode"] == "file"

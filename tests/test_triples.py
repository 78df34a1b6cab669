"""Of three models, which two are closer: asked with the relabellings that both comparisons share."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from commands import weightkin
from folders import write_checkpoint
from weightkin import Results, compare, matrix, ops
from weightkin.comparison import open_models
from weightkin.plan import make_plan
from weightkin.relabelling import Relabellings, largest_statistic
from weightkin.results.evidence import PairEvidence
from weightkin.results.triples import triples

HIDDEN, CONFIG = 64, {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, one that was made from it, and two of their own."""
    random = np.random.default_rng(5)
    names = [f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in range(2) for part in "qkvo"]
    base, strange, stranger = ({name: random.standard_normal((HIDDEN, HIDDEN)) for name in names} for _ in range(3))
    child = {name: value + 0.5 * random.standard_normal(value.shape) for name, value in base.items()}
    return [
        write_checkpoint(
            tmp_path_factory.mktemp("models") / str(number),
            {name: value.astype(np.float32) for name, value in one.items()},
            CONFIG,
        )
        for number, one in enumerate((base, child, strange, stranger))
    ]


@pytest.fixture(scope="module")
def results(folders: list[Path]) -> Results:
    return matrix(folders)


def test_kin_are_closer_than_strangers(results: Results) -> None:
    rows = results["triples"].to_pylist()
    assert len(rows) == 4 * 3  # of each model, every pair of others
    for row in rows:
        kin = {row["a"], row["b"]} == {0, 1}
        assert (row["z"] > 10) == kin
        assert row["p"] == pytest.approx(2 / HIDDEN) if kin else row["p"] > 2 / HIDDEN
        assert row["difference"] == pytest.approx(row["aligned_b"] - row["aligned_c"]) and row["difference"] >= 0


def test_numbers_of_the_models_do_not_matter(folders: list[Path]) -> None:
    """One model turns against two others alike, whether it is numbered before, between or after them."""
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 1, 2, 0]):
        rows = matrix([folders[number] for number in order])["triples"].to_pylist()
        found = {(order[row["a"]], order[row["b"]], order[row["c"]]): (row["z"], row["p"]) for row in rows}
        if order[:2] == [0, 1]:
            expected = found
        assert found.keys() == expected.keys()
        for key, (z, p) in found.items():
            assert z == pytest.approx(expected[key][0], rel=1e-3) and p == expected[key][1]


@pytest.mark.parametrize("stranger", range(3))
def test_p_is_uniform_for_a_stranger_before_between_and_after_two_siblings(stranger: int, folders: list[Path]) -> None:
    draws, found = HIDDEN - 1, []
    plan = make_plan(open_models(folders[:3]))
    for run in range(300):
        random = np.random.default_rng([run, stranger])
        evidence = {pair: PairEvidence(*pair) for pair in plan.pairs}
        relabellings = Relabellings(plan, draws, run)
        for unit in plan.units[:4]:
            common, *own = random.standard_normal((4, *unit.views[0].shape))
            models = [own[model] + 2 * common * (model != stranger) for model in range(3)]
            turn = relabellings.of(unit)
            assert turn is not None
            operands = [ops.operand(model.astype(np.float32)) for model in models]
            statistic = ops.lagged(operands, turn.axis, turn.lines, turn.lags)
            for pair, row in zip(combinations(range(3), 2), statistic, strict=True):
                evidence[pair].add(unit, row[: 1 + turn.draws], largest_statistic(unit), row[1 + turn.draws :])
        (p,) = (row["p"] for row in triples(evidence) if row["a"] == stranger)
        found.append(p - random.random() * 2 / (1 + draws))
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_two_models_have_none(folders: list[Path]) -> None:
    assert "triples" not in compare(*folders[:2]).table_names


def test_printed(folders: list[Path]) -> None:
    printed = weightkin("matrix", *folders[:3]).stdout
    assert "Closer to one than to the other" in printed and "is closer to" in printed
    assert "no model, by no group" in weightkin("matrix", folders[0], *folders[2:]).stdout

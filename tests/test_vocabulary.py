"""Tokens matched by string where two tokenizers differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from folders import write_checkpoint
from weightkin import CheckpointError, compare
from weightkin.vocabulary import match_tokens

HIDDEN, TOKENS = 64, 200
CONFIG = {"model_type": "llama", "hidden_size": HIDDEN}


def model(folder: Path, tokens: list[str], rows: np.ndarray, kind: str = "BPE") -> Path:
    """A checkpoint whose row i embeds tokens[i]."""
    write_checkpoint(folder, {"model.embed_tokens.weight": rows.astype(np.float32)}, CONFIG)
    vocab: object = {token: number for number, token in enumerate(tokens)}
    if kind == "Unigram":
        vocab = [[token, 0.0] for token in tokens]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": kind, "vocab": vocab}, "added_tokens": []}))
    return folder


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_tokens_in_another_order(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows, order = random.standard_normal((TOKENS, HIDDEN)), random.permutation(TOKENS)
    names = [f"token{i}" for i in range(TOKENS)]
    a = model(tmp_path / "a", names, rows)
    kept = order[: TOKENS - 40]
    b = model(tmp_path / "b", [names[i] for i in kept] + ["other"], np.vstack([rows[kept], rows[:1]]), kind)
    summary = compare(a, b).summary
    (role,) = summary["roles"]
    assert role["pearson"] == pytest.approx(1) and role["z"] > 10 and role["parameters"] == len(kept) * HIDDEN
    same = int(np.count_nonzero(kept == np.arange(len(kept))))
    assert summary["vocabulary"] == {
        "tokens_a": TOKENS,
        "tokens_b": len(kept) + 1,
        "shared": len(kept),
        "same_id": same,
    }
    sentence = (
        f"Embeddings were compared over 160 tokens that both vocabularies have, {same} of them under the same number."
    )
    assert sentence in summary["verdict"]["statement"]
    (left_out,) = summary["coverage"]["untested"]
    assert (left_out["reason"], left_out["parameters"]) == ("token of one vocabulary only", 40 * HIDDEN)


@pytest.mark.parametrize("order", ["same", "other", "other, swapped"])
def test_identical_is_in_the_same_order(order: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows, names = random.standard_normal((TOKENS, HIDDEN)), [f"token{i}" for i in range(TOKENS)]
    places = np.arange(TOKENS) if order == "same" else random.permutation(TOKENS)
    a = model(tmp_path / "a", [*names, "renamed"], np.vstack([rows, rows[:1]]))
    b = model(tmp_path / "b", [names[i] for i in places] + ["another name"], np.vstack([rows[places], rows[:1]]))
    if order == "other, swapped":
        a, b = b, a
    results = compare(a, b)
    assert results.summary["roles"][0]["changed_fraction"] == 0
    for identical in (results["tensors"]["identical"].to_pylist()[0], results.summary["groups"][0]["identical"]):
        assert identical == (order == "same")
    assert results.summary["groups"][0]["verdict"] == ("identical" if order == "same" else "derived")


def test_equal_vocabularies_compare_by_index(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((2, TOKENS, HIDDEN))
    names = [f"token{i}" for i in range(TOKENS)]
    summary = compare(*(model(tmp_path / name, names, one) for name, one in zip("ab", rows, strict=True))).summary
    assert "vocabulary" not in summary and "vocabular" not in summary["verdict"]["statement"]
    assert summary["roles"][0]["pearson"] == pytest.approx(np.corrcoef(*rows.reshape(2, -1))[0, 1], abs=1e-6)
    assert summary["verdict"]["relation"] in ("no_evidence", "not_tested")


def test_tokens_without_an_embedding_do_not_count(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN))
    names = [f"token{i}" for i in range(TOKENS + 5)]
    a, b = model(tmp_path / "a", names, rows), model(tmp_path / "b", ["first", *names], rows)
    summary = compare(a, b).summary
    assert summary["vocabulary"] | {"tokens_a": 0} == {
        "tokens_a": 0,
        "tokens_b": TOKENS + 6,
        "shared": 199,
        "same_id": 0,
    }
    assert summary["roles"][0]["parameters"] == 199 * HIDDEN
    assert "over 199 tokens that both vocabularies have, 0 of them" in summary["verdict"]["statement"]


def test_nothing_is_said_of_tokens_whose_embeddings_were_not_compared(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN))
    a, b = (model(tmp_path / name, [f"{name}{i}" for i in range(TOKENS)], rows) for name in "ab")
    for folder in (a, b):
        extra = {"model.norm.weight": rows[0], "model.embed_tokens.weight": rows}
        write_checkpoint(folder, {name: array.astype(np.float32) for name, array in extra.items()}, CONFIG)
    summary = compare(a, b).summary
    assert summary["vocabulary"]["shared"] == 0 and "vocabular" not in summary["verdict"]["statement"]


def test_spaces_are_spelled_alike() -> None:
    found = match_tokens({"Ġa": 0, "b": 1, "c": 5}, {"▁a": 3, "b": 1})
    assert [found.rows[0].tolist(), found.rows[1].tolist(), found.same_id] == [[0, 1], [3, 1], 1]


def test_a_damaged_tokenizer_is_one_line(tmp_path: Path) -> None:
    rows = np.ones((TOKENS, HIDDEN))
    a, b = (model(tmp_path / name, [f"{name}{i}" for i in range(TOKENS)], rows) for name in "ab")
    (b / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is not a tokenizer with a vocabulary"):
        compare(a, b)

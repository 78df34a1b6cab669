"""Tokens of two models matched by their string: the same token has the same row of neither embedding by law."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from .checkpoint import Checkpoint
from .errors import CheckpointError


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that two models share."""

    tokens: tuple[int, int]
    """How many each has."""
    rows: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    """Their ids in each, in ascending order of the first."""

    @property
    def shared(self) -> int:
        return len(self.rows[0])

    @property
    def same_id(self) -> int:
        """Shared tokens that have one id in both."""
        return int(np.count_nonzero(self.rows[0] == self.rows[1]))

    def within(self, rows_a: int, rows_b: int) -> Vocabulary:
        """Without tokens whose id lies beyond an embedding of that many rows."""
        kept = (self.rows[0] < rows_a) & (self.rows[1] < rows_b)
        return Vocabulary(self.tokens, (self.rows[0][kept], self.rows[1][kept]))


def token_ids(checkpoint: Checkpoint) -> dict[str, int] | None:
    """Token -> id from tokenizer.json beside the shards; None if there is none. Raises `CheckpointError` if it is damaged."""
    path = checkpoint.shards[0].parent / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_bytes())
        vocab = data["model"]["vocab"]
        ids = {token: number for number, (token, _) in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)
        ids |= {added["content"]: added["id"] for added in data.get("added_tokens") or []}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(path, f"is not a tokenizer with a vocabulary ({type(error).__name__})") from None
    if not all(_is_id(number) for number in ids.values()):
        raise CheckpointError(path, "holds a token id that is not a number from 0 on")
    return ids


def _is_id(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 40


def match_tokens(a: dict[str, int], b: dict[str, int]) -> Vocabulary:
    """The shared tokens. Byte-level spellings of a space ("Ġ") and sentencepiece's ("▁") count as the same."""
    a, b = ({token.replace("▁", "Ġ"): number for token, number in ids.items()} for ids in (a, b))
    pairs = sorted((number, b[token]) for token, number in a.items() if token in b)
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Vocabulary((len(a), len(b)), (found[:, 0].copy(), found[:, 1].copy()))


def vocabularies_of(checkpoints: Sequence[Checkpoint], embedded: Sequence[int]) -> dict[tuple[int, int], Vocabulary]:
    """Of each pair of models with a tokenizer each, unless the two give every token the same id: tokens with embeddings.

    `embedded`: how many tokens of each model have one.
    """
    ids = [token_ids(checkpoint) for checkpoint in checkpoints]
    out = {}
    for a, b in combinations(range(len(ids)), 2):
        left, right = ids[a], ids[b]
        if left is not None and right is not None and left != right:
            out[a, b] = match_tokens(left, right).within(embedded[a], embedded[b])
    return out

"""Which attention head of one model is which of the other: searched for in q and k, scored on v and o."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .. import ops, reference
from ..checkpoint.mapping import Shards
from ..schema import Model, Slot
from ..statistics.null import draw_lags, draw_lines, rank_p, z_score
from ..statistics.verdict import FEWEST_DRAWS, Z_MATRIX
from .alignment import HeadMatch, Indices
from .attention import MATRICES, Attention, attention_of, slots_by_address

ELEMENTS = 1 << 15
"""Of one head's matrix that take part: the cosine of two unrelated heads then deviates by 0.006."""

MOST_DRAWS = 64
"""Each costs a search: enough to see how the best of all permutations varies, which is what z is about."""

Array = npt.NDArray[np.float64]
Elements = np.ndarray[Any, np.dtype[Any]]
"""Of bf16."""


class Evidence(NamedTuple):
    """A statistic against its draws."""

    z: float
    p: float
    """Of the rank, exact."""
    draws: int

    @property
    def clear(self) -> bool:
        """Above every draw, and as far from them as a verdict asks for."""
        return self.z >= Z_MATRIX and self.p * (self.draws + 1) < 1.5


@dataclass(frozen=True, slots=True)
class LayerHeads:
    """What was found about the heads of one layer of B."""

    layer_a: int
    untested: str | None
    """Why nothing was searched for; all else is empty then."""
    match: HeadMatch | None = None
    """The best one if both kinds of evidence are clear; None: heads are left in their order."""
    searched: Evidence | None = None
    """Of the best sum of cosines in q and k that any permutation reaches."""
    confirmed: Evidence | None = None
    """Of the cosines in v and o along it, at which the search did not look."""
    v: float = float("nan")
    """Mean cosine of matched value heads, after balancing."""
    o: float = float("nan")

    @property
    def identity(self) -> bool:
        """Whether the heads match in their order."""
        return self.match is not None and all(
            np.array_equal(found, np.arange(len(found))) for found in (self.match.groups, self.match.queries)
        )


class _Found(NamedTuple):
    """The best permutation of each draw."""

    groups: Indices
    """[1 + R, G_B]"""
    queries: Indices
    """[1 + R, H_B]"""
    score: Array
    """[1 + R]"""


def find_head_matches(
    a: Model, b: Model, layers: Sequence[tuple[str, int, int]], *, seed: int, draws: int, threads: int
) -> dict[tuple[str, int], LayerHeads]:
    """By component and layer of B. `layers`: component, layer of A, layer of B.

    Head counts may differ if heads have the same rows. The null rotates the residual axis of B by lags that all layers
    share and searches anew at each, so it has the bias of searching in it; the permutation found at a lag is scored on v
    and o at the same lag.
    """
    slots, shards = (slots_by_address(a), slots_by_address(b)), (Shards(a.checkpoint), Shards(b.checkpoint))
    out = {}
    for component, layer_a, layer_b in layers:
        pair = attention_of(slots[0], component, layer_a), attention_of(slots[1], component, layer_b)
        out[component, layer_b] = _layer(pair, shards, component, layer_a, seed, draws, threads)
    for one in shards:
        one.check()
    return out


def _layer(
    pair: tuple[Attention | str, Attention | str],
    shards: tuple[Shards, Shards],
    component: str,
    layer_a: int,
    seed: int,
    draws: int,
    threads: int,
) -> LayerHeads:
    a, b = pair
    if isinstance(a, str) or isinstance(b, str):
        return LayerHeads(layer_a, next(one for one in pair if isinstance(one, str)))
    width, other = (one.slots["attn.q"].view.shape[1] for one in (a, b))  # type: ignore[union-attr]  # checked there
    if (width, a.rows) != (other, b.rows):
        return LayerHeads(layer_a, f"heads of {a.rows} x {width} and of {b.rows} x {other} elements")
    draws = min(draws, MOST_DRAWS, width - 1)
    if draws < FEWEST_DRAWS:
        return LayerHeads(layer_a, f"a null of {draws} draws can show nothing")
    lags = draw_lags(width, draws, seed, component, "residual")
    positions = draw_lines(a.rows, max(1, ELEMENTS // width), seed, "head", a.rows, run=1)
    scores = {}
    for role in MATRICES:
        left, right = (_rows(one, role, files, positions) for one, files in zip((a, b), shards, strict=True))
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            return LayerHeads(layer_a, f"NaN or infinite elements in {role}")
        scores[role] = _lagged_cosines(_balanced(left), _balanced(right), lags, threads)
    return _judge(layer_a, scores, a, b, threads)


def _judge(layer_a: int, scores: Mapping[str, Array], a: Attention, b: Attention, threads: int) -> LayerHeads:
    q, k, v, o = (scores[role] for role in MATRICES)
    best = _search(q, k, a.per_group, b.per_group, threads)
    along_v, along_o = _along(v, best.groups), _along(o, best.queries)
    searched, confirmed = _evidence(best.score), _evidence(along_v + along_o)
    clear = searched.clear and confirmed.clear
    return LayerHeads(
        layer_a,
        None,
        HeadMatch(best.groups[0], best.queries[0]) if clear else None,
        searched,
        confirmed,
        float(along_v[0]) / min(a.groups, b.groups),
        float(along_o[0]) / int(np.count_nonzero(best.queries[0] >= 0)),
    )


def _search(q: Array, k: Array, per_group_a: int, per_group_b: int, threads: int) -> _Found:
    """The permutation of groups, and of query heads inside matched groups, with the largest sum of cosines.

    `q`: [1 + R, H_A, H_B], `k`: [1 + R, G_A, G_B]. Exact: the best order inside a group depends on no other group.
    """
    draws, groups_a, groups_b = k.shape
    blocks = q.reshape(draws, groups_a, per_group_a, groups_b, per_group_b).swapaxes(2, 3)
    inside = ops.assign(blocks.reshape(-1, per_group_a, per_group_b), threads)
    inside = inside.reshape(draws, groups_a, groups_b, per_group_b)
    reached = np.take_along_axis(blocks, np.maximum(inside, 0)[..., None, :], axis=-2)[..., 0, :]
    total = k + np.where(inside >= 0, reached, 0.0).sum(axis=-1)
    groups = ops.assign(total, threads)
    chosen = np.take_along_axis(inside, np.maximum(groups, 0)[:, None, :, None], axis=1)[:, 0]
    matched = (chosen >= 0) & (groups >= 0)[..., None]
    queries = np.where(matched, chosen + per_group_a * groups[..., None], -1)
    return _Found(groups, queries.reshape(draws, -1), _along(total, groups))


def _along(scores: Array, rows: Indices) -> Array:
    """[1 + R]: sum over columns of scores[r, rows[r, column], column], where there is such a row."""
    reached = np.take_along_axis(scores, np.maximum(rows, 0)[:, None, :], axis=1)[:, 0]
    return np.asarray(np.where(rows >= 0, reached, 0.0).sum(axis=-1))


def _evidence(statistic: Array) -> Evidence:
    z = float(z_score(statistic))
    return Evidence(z if np.isfinite(z) else 0.0, float(rank_p(statistic)), len(statistic) - 1)


def _rows(attention: Attention, role: str, shards: Shards, positions: Indices) -> Array:
    """[heads, positions, n]: some rows of each head, the residual axis last."""
    slot: Slot = attention.slots[role]
    assert slot.view is not None
    view = slot.view if slot.axes[0] == "head" else slot.view.permute((1, 0))
    heads = shards.array(view).reshape(-1, attention.rows, view.shape[1])[:, positions].astype(np.float64)
    shards[view.shard].release(*view.extent)
    return heads


def _balanced(heads: Array) -> Elements:
    """Channels balanced over all heads.

    Balancing (csrc/cpu/lagged.h) keeps a few large channels from deciding, and undoes norm gains that were folded in.
    Rounding to bf16 makes the inner products several times as fast; it knows no channel from another, so the null stays
    exact.
    """
    balanced = reference.balance(heads.reshape(-1, heads.shape[2]))
    return balanced.reshape(heads.shape).astype(ml_dtypes.bfloat16)


def _lagged_cosines(left: Elements, right: Elements, lags: npt.NDArray[np.uint32], threads: int) -> Array:
    """[1 + R, A, B]: cosine of each head of `left` with each of `right` rotated by each lag along the last axis."""
    width = right.shape[2]
    heads, turning = [ops.operand(left)], ops.operand(np.concatenate([right, right], axis=2))
    out = []
    for lag in lags:
        turned = turning._replace(offset=right.itemsize * int(lag), shape=(*right.shape[:2], width))
        found = ops.cross_gram(heads, [turned], threads)
        scale = np.sqrt(np.outer(found.square_left, found.square_right))
        out.append(np.divide(found.product, scale, out=np.zeros_like(scale), where=scale > 0))
    return np.stack(out)

"""From evidence to one word per group, component and pair. All thresholds are here, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Word = Literal["identical", "derived", "partial", "norms_only", "no_evidence", "not_tested"]

MATRIX_GROUPS = ("attention", "router", "experts", "mlp", "projector")
"""Groups whose matrices can carry a verdict of derivation. Norm gains (a few numbers per layer that sit near a constant)
and embeddings (token statistics are common to independent models) cannot do so alone; unknown names never take part."""

Z_MATRIX = 6.0
"""Pooled z of a group's matrices. Balanced statistics are sums of many bounded terms, so their null is close to normal
(independent trained pairs stay within |z| < 4.5): 6 is 1e-9 there, and the observed value must also exceed every draw,
which assumes nothing."""

Z_NORMS = 8.0
"""Of the norms. They have few elements with long tails: independent pairs have been seen at a pooled z of 4.2."""

Z_EMBEDDINGS = 10.0
"""Of token embeddings alone, whose nulls have heavy tails because independent models share token statistics."""

Z_LAYER_MATCH = 8.0
"""Of the best layer of A for a layer of B, among the best of every draw. The best of L has a long upper tail: 8 deviations
of the best of 48 normal scores is a score of 5.6, which 48 x 48 of them exceed once in 40,000 pairs of models."""

PEARSON = 0.01
"""Pooled Pearson that is worth a word. With 1e11 parameters any trifle is significant: this asks for an effect."""

Z_LAYER_STRONG, Z_LAYER_CLEAR = 10.0, 3.0
"""A group is derived in part if its strongest layer is beyond the first and some layer is below the second."""

Z_EXPERT = 8.0
"""Deviations by which the score of two matched experts must exceed the mean of all pairs of relabelled copies; it must also
exceed the best pair of the layer in every copy, which assumes nothing. Scores of independent trained layers have long
tails: their largest, of 60,000 pairs of small models, was 6.3; relatives start at 60."""

PEARSON_EXPLAINED = 0.8
"""Pooled Pearson from which a group that matches in place is taken for explained. Below it a part of its experts or heads
may have changed places: the others alone make a z that is beyond doubt."""

UNMATCHED = 0.05
"""Share of B's layers, or of the experts of layers that were searched, that may match nothing in A where B as a whole is
derived: training hard can hide a few. With more of them it is derived in part."""

FEWEST_DRAWS = 19
"""With fewer draws not even p = 0.05 could be reached, so nothing is said."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one group of one component of a pair."""

    component: str
    group: str
    tensors: int
    parameters: int
    pearson: float
    """Pooled; NaN if undefined."""
    z: float | None
    """Pooled over the group's matrices (norms: vectors); None where nothing has a null."""
    p: float | None
    """Of the rank, exact."""
    draws: int
    identical: bool
    """Every compared byte of the group."""
    layers: Mapping[int, float] = field(default_factory=dict)
    """Pooled z of each layer."""

    @property
    def tested(self) -> bool:
        return self.z is not None and self.p is not None and self.draws >= FEWEST_DRAWS

    @property
    def positive(self) -> bool:
        """Above every draw, by the group's threshold, with an effect worth naming."""
        if not self.tested:
            return False
        assert self.z is not None and self.p is not None
        threshold = {"norms": Z_NORMS, "embeddings": Z_EMBEDDINGS}.get(self.group, Z_MATRIX)
        above_all = self.p <= 1 / (self.draws + 1) * (1 + 1e-9)
        return above_all and self.z >= threshold and self.pearson >= PEARSON

    @property
    def clear_layers(self) -> list[int]:
        """Layers that show nothing although others of the group show a lot; empty if the group is of one kind."""
        if not self.positive or max(self.layers.values(), default=0.0) < Z_LAYER_STRONG:
            return []
        return sorted(layer for layer, z in self.layers.items() if z < Z_LAYER_CLEAR)


def group_verdict(evidence: Evidence, matrices_derived: bool) -> Word:
    """`matrices_derived`: whether any matrix group of the component is positive; norms alone are `norms_only`."""
    if not evidence.tested:
        return "not_tested"
    if not evidence.positive:
        return "no_evidence"
    if evidence.identical:
        return "identical"
    if evidence.group == "norms" and not matrices_derived:
        return "norms_only"
    return "partial" if evidence.clear_layers else "derived"


def component_verdict(groups: Sequence[Evidence], nothing_left_out: bool) -> Word:
    """The word for one component from its groups. `nothing_left_out`: every address was compared."""
    matrices = [one for one in groups if one.group in MATRIX_GROUPS and one.tested]
    positive = [one for one in matrices if one.positive]
    by_group = {one.group: one for one in groups}
    if not positive:
        if "norms" in by_group and by_group["norms"].positive:
            return "norms_only"
        if "embeddings" in by_group and by_group["embeddings"].positive:
            return "partial"
        return "no_evidence" if matrices else "not_tested"
    if nothing_left_out and all(one.identical for one in groups):
        return "identical"
    whole = len(positive) == len(matrices) and not any(one.clear_layers for one in positive)
    return "derived" if whole else "partial"


def relation(components: Mapping[str, Word]) -> Word:
    """The word for the pair: that of all tested components if they agree, else `partial` if any is derived."""
    words = {word for word in components.values() if word != "not_tested"}
    if not words:
        return "not_tested"
    if len(words) == 1:
        return words.pop()
    if words <= {"identical", "derived"}:
        return "derived"
    return "partial" if words & {"identical", "derived", "partial"} else "norms_only"

"""What is true of the zoo: how the second model of each pair came to be."""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """Two members, and how `b` came from `a`."""

    a: str
    b: str
    relation: str
    note: str = ""

    @property
    def related(self) -> bool:
        return self.relation != "independent"


PAIRS = (
    Pair("base", "twin", "independent", "same architecture and text, another seed"),
    Pair("base", "sft", "finetuned"),
    Pair("base", "cpt", "finetuned", "long, large learning rate"),
    Pair("base", "permuted", "permuted", "exact up to expert and neuron order"),
    Pair("base", "shuffled", "shuffled", "experts, neurons and heads permuted, neurons rescaled; function unchanged"),
    Pair("base", "scaled", "rescaled", "function unchanged"),
    Pair("base", "rotated", "rotated", "function unchanged; only rotation-invariant evidence is left"),
    Pair("base", "laundered", "permuted+rescaled+finetuned"),
    Pair("base", "upscaled", "depth_upscaled"),
    Pair("base", "pruned", "pruned"),
    Pair("base", "regrown", "norms_only", "only the norm gains come from base; they trained on"),
    Pair("base", "solar", "independent", "mismatched head count, expert width, depth and vocabulary"),
    Pair("base", "transplant", "partial", "routed experts come from base, all else from solar"),
    Pair("solar", "transplant", "partial", "all but the routed experts come from solar"),
    Pair("dense", "upcycled", "upcycled"),
    Pair("base", "upcycled", "independent"),
    Pair("vlm_a", "vlm_b", "module:vision", "vision tower reused, language model independent"),
    Pair("vlm_a", "vlm_c", "independent"),
    Pair("twin", "sft", "independent"),
    Pair("twin", "permuted", "independent"),
    Pair("twin", "laundered", "independent"),
    Pair("solar", "cpt", "independent"),
    Pair("twin", "upscaled", "independent"),
    Pair("dense", "base", "independent"),
    Pair("solar", "regrown", "independent"),
    Pair("sft", "cpt", "siblings", "both descend from base"),
    Pair("permuted", "laundered", "siblings", "both descend from base"),
    Pair("sft", "upscaled", "siblings", "both descend from base"),
    Pair("pruned", "cpt", "siblings", "both descend from base"),
)

PRIMARY = {("base", "twin"), ("base", "solar"), ("dense", "base"), ("vlm_a", "vlm_c")}
"""Independent pairs of which no two share their evidence: all other independent pairs descend from one of these."""

UNCHANGED = ("permuted", "shuffled", "scaled", "rotated")
"""Members that compute the function of base."""

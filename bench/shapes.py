"""Names, shapes and dtypes of real checkpoints, from their published configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

from weightkin.view import ITEM_SIZES

FEWEST_EXPERTS = 4
"""Of a layer that is made to measure: its router's bias must have a correlation."""


class Tensor(NamedTuple):
    """One tensor as a safetensors header has it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Decoder:
    """A mixture-of-experts decoder with the tensor names of `solar_open` and `glm4_moe`."""

    model_type: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_dim: int
    experts: int
    expert_width: int
    dense_layers: int
    """The first so many layers have one dense MLP instead of experts."""
    dense_width: int
    vocabulary: int
    attention_bias: bool
    ends: bool = True
    """Embeddings, final norm and unembedding."""
    prediction_layers: int = 0
    """Multi-token prediction layers, which follow the last decoder layer."""

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, in file order."""
        if self.ends:
            yield Tensor("model.embed_tokens.weight", "BF16", (self.vocabulary, self.hidden))
        for layer in range(self.layers + self.prediction_layers):
            yield from self._layer(f"model.layers.{layer}", dense=layer < self.dense_layers)
        for layer in range(self.layers, self.layers + self.prediction_layers):
            yield from self._prediction(f"model.layers.{layer}")
        if self.ends:
            yield Tensor("model.norm.weight", "BF16", (self.hidden,))
            yield Tensor("lm_head.weight", "BF16", (self.vocabulary, self.hidden))

    def config(self) -> dict[str, Any]:
        """config.json, as far as names and shapes depend on it."""
        return {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "torch_dtype": "bfloat16",
            "num_hidden_layers": self.layers,
            "num_nextn_predict_layers": self.prediction_layers,
            "hidden_size": self.hidden,
            "intermediate_size": self.dense_width,
            "moe_intermediate_size": self.expert_width,
            "n_routed_experts": self.experts,
            "n_shared_experts": 1,
            "num_experts_per_tok": min(8, self.experts),
            "first_k_dense_replace": self.dense_layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.head_dim,
            "attention_bias": self.attention_bias,
            "vocab_size": self.vocabulary,
        }

    def _layer(self, stem: str, dense: bool) -> Iterator[Tensor]:
        yield Tensor(f"{stem}.input_layernorm.weight", "BF16", (self.hidden,))
        key_value = self.key_value_heads * self.head_dim
        for name, rows in {"q": self.heads * self.head_dim, "k": key_value, "v": key_value}.items():
            yield Tensor(f"{stem}.self_attn.{name}_proj.weight", "BF16", (rows, self.hidden))
            if self.attention_bias:
                yield Tensor(f"{stem}.self_attn.{name}_proj.bias", "BF16", (rows,))
        yield Tensor(f"{stem}.self_attn.o_proj.weight", "BF16", (self.hidden, self.heads * self.head_dim))
        yield Tensor(f"{stem}.post_attention_layernorm.weight", "BF16", (self.hidden,))
        if dense:
            yield from self._mlp(f"{stem}.mlp", self.dense_width)
            return
        yield Tensor(f"{stem}.mlp.gate.weight", "BF16", (self.experts, self.hidden))
        yield Tensor(f"{stem}.mlp.gate.e_score_correction_bias", "F32", (self.experts,))
        for expert in range(self.experts):
            yield from self._mlp(f"{stem}.mlp.experts.{expert}", self.expert_width)
        yield from self._mlp(f"{stem}.mlp.shared_experts", self.expert_width)

    def _mlp(self, stem: str, neurons: int) -> Iterator[Tensor]:
        yield Tensor(f"{stem}.gate_proj.weight", "BF16", (neurons, self.hidden))
        yield Tensor(f"{stem}.up_proj.weight", "BF16", (neurons, self.hidden))
        yield Tensor(f"{stem}.down_proj.weight", "BF16", (self.hidden, neurons))

    def _prediction(self, stem: str) -> Iterator[Tensor]:
        yield Tensor(f"{stem}.embed_tokens.weight", "BF16", (self.vocabulary, self.hidden))
        yield Tensor(f"{stem}.eh_proj.weight", "BF16", (self.hidden, 2 * self.hidden))
        for name in ("enorm", "hnorm", "shared_head.norm"):
            yield Tensor(f"{stem}.{name}.weight", "BF16", (self.hidden,))
        yield Tensor(f"{stem}.shared_head.head.weight", "BF16", (self.vocabulary, self.hidden))


DECODERS = {
    "solar-open-100b": Decoder(
        "solar_open", "SolarOpenForCausalLM", layers=48, hidden=4096, heads=64, key_value_heads=8, head_dim=128,
        experts=128, expert_width=1280, dense_layers=0, dense_width=10240, vocabulary=196608, attention_bias=False,
    ),
    "glm-4.5-air": Decoder(
        "glm4_moe", "Glm4MoeForCausalLM", layers=46, hidden=4096, heads=96, key_value_heads=8, head_dim=128,
        experts=128, expert_width=1408, dense_layers=1, dense_width=10944, vocabulary=151552, attention_bias=True,
        prediction_layers=1,
    ),
}  # fmt: skip


def tiny(decoder: Decoder) -> Decoder:
    """Every name of `decoder`, with the smallest shapes that keep the axes apart."""
    return replace(
        decoder, hidden=16, heads=4, key_value_heads=2, head_dim=6, expert_width=3, dense_width=5, vocabulary=32
    )


def narrow(decoder: Decoder) -> Decoder:
    """Every layer of `decoder`, narrow enough to compare one in a second."""
    return replace(decoder, hidden=256, heads=4, key_value_heads=2, head_dim=32, expert_width=96, dense_width=160)


def first_layers(decoder: Decoder, layers: int, experts: int | None = None) -> Decoder:
    """The first `layers` layers alone, with `experts` experts each, or all of them."""
    experts = decoder.experts if experts is None else min(experts, decoder.experts)
    return replace(decoder, layers=layers, experts=experts, ends=False, prediction_layers=0)


def fit(decoder: Decoder, nbytes: int) -> Decoder:
    """As many layers and, in each, as many experts as come closest below `nbytes`: at least one layer and 4 experts."""

    def size(layers: int, experts: int) -> int:
        return sum(tensor.nbytes for tensor in first_layers(decoder, layers, experts).tensors())

    least = decoder.dense_layers + 1
    layers = next((n for n in range(least, decoder.layers) if size(n, decoder.experts) >= nbytes), decoder.layers)
    fewest = size(layers, FEWEST_EXPERTS)
    per_expert = size(layers, FEWEST_EXPERTS + 1) - fewest
    return first_layers(decoder, layers, FEWEST_EXPERTS + max(0, (nbytes - fewest) // per_expert))

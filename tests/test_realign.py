"""align: a copy of B in the order of A. Stored layouts are permuted by hand here, without the program's schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from families import EXPERTS, build, family_folder
from folders import arrays, write_checkpoint
from realigned import Array, inverse, model_of, random_alignment, same_bytes, written
from weightkin import AlignmentError, ResultsError, align
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.copying import regions
from weightkin.correspondence.alignment import Alignment, HeadMatch, Mlp, MlpMatch
from weightkin.correspondence.layer_order import places
from weightkin.correspondence.reordering import reorder
from weightkin.schema import Model


def trained(family: str, folder: Path) -> Path:
    """A folder of that family none of whose vectors are constant, so that a mistake in their order shows."""
    model = build(family)
    generator = torch.Generator().manual_seed(1)
    for x in [*model.parameters(), *(x for name, x in model.named_buffers() if "correction" in name)]:
        if x.ndim < 2:
            x.data += 0.3 * torch.randn(x.shape, generator=generator).to(x.dtype)
    model.save_pretrained(folder)
    return folder


def logits(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(3, 43).reshape(2, 20)).logits
    return found


FAMILIES = {
    "gpt_oss": "stacked, transposed, gate and up alternating, biases, sinks",
    "llama4_text": "stacked, transposed, gate before up; dense layers between",
    "glm4_moe": "biases of q, k and v, a shared expert, a dense layer, norms of heads",
    "phi3": "q, k and v in one tensor, gate and up in another",
    "phimoe": "experts by other names, biases",
    "deepseek_v3": "latent attention",
    "minimax_m2": "norms over all heads",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_copy_computes_the_same_and_can_be_undone(family: str, tmp_path: Path) -> None:
    """transformers says so, to which the layout of every tensor is known by other code."""
    b = trained(family, tmp_path / "b")
    alignment = random_alignment(model_of(b), 1)
    found = align(b, b, tmp_path / "copy", alignment=written(tmp_path, alignment))
    assert found.moved["mlps_with_neurons"] == len(alignment.mlps) and found.left_out == []
    assert (found.moved["layers_with_heads"] > 0) == (family != "deepseek_v3") and found.notes == []
    assert not same_bytes(b, tmp_path / "copy")
    torch.testing.assert_close(logits(tmp_path / "copy"), logits(b), atol=2e-5, rtol=1e-3)
    align(b, tmp_path / "copy", tmp_path / "back", alignment=written(tmp_path, inverse(alignment)))
    assert same_bytes(tmp_path / "back", b)


def test_a_fused_vision_tower(tmp_path: Path) -> None:
    b = family_folder("qwen2_5_vl")
    alignment = random_alignment(model_of(b), 2)
    assert any(component == "vision" for component, _ in alignment.heads)
    align(b, b, tmp_path / "copy", alignment=written(tmp_path, alignment))
    align(b, tmp_path / "copy", tmp_path / "back", alignment=written(tmp_path, inverse(alignment)))
    assert same_bytes(tmp_path / "back", b) and not same_bytes(tmp_path / "copy", b)


def heads_by_hand(x: Array, order: list[int], rows: int, axis: int) -> Array:
    return np.concatenate([np.take(x, range(rows * head, rows * head + rows), axis) for head in order], axis)


def test_exact_copy_of_a_model_permuted_by_hand(tmp_path: Path) -> None:
    """gpt-oss as it is stored, in shards with odd offsets. The copy has A's elements in B's files."""
    a = trained("gpt_oss", tmp_path / "a")
    random, config = np.random.default_rng(3), json.loads((a / "config.json").read_text())
    rows, per_group = config["head_dim"], config["num_attention_heads"] // config["num_key_value_heads"]
    state = {name: np.array(x) for name, x in arrays(open_checkpoint(a)).items()}
    mlps, heads = {}, {}
    for layer in range(config["num_hidden_layers"]):
        stem = f"model.layers.{layer}."
        experts, groups = (
            random.permutation(EXPERTS).tolist(),
            random.permutation(config["num_key_value_heads"]).tolist(),
        )
        queries = [per_group * group + head for group in groups for head in random.permutation(per_group).tolist()]
        heads["text", layer] = HeadMatch(np.array(groups), np.array(queries))
        for name in ("q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias"):
            full = f"{stem}self_attn.{name}"
            state[full] = heads_by_hand(state[full], queries if name[0] == "q" else groups, rows, 0)
        state[f"{stem}self_attn.o_proj.weight"] = heads_by_hand(
            state[f"{stem}self_attn.o_proj.weight"], queries, rows, 1
        )
        state[f"{stem}self_attn.sinks"] = state[f"{stem}self_attn.sinks"][queries]
        for name in [name for name in state if name.startswith((f"{stem}mlp.router.", f"{stem}mlp.experts."))]:
            state[name] = state[name][experts]
        for new, old in enumerate(experts):
            neurons = random.permutation(config["intermediate_size"])
            mlp = Mlp("text", layer, "expert", new)
            mlps[mlp] = MlpMatch(mlp._replace(expert=old), neurons)
            both = (2 * neurons[:, None] + [0, 1]).ravel()
            for name, order in (
                ("gate_up_proj", (slice(None), both)),
                ("gate_up_proj_bias", both),
                ("down_proj", neurons),
            ):
                state[f"{stem}mlp.experts.{name}"][new] = state[f"{stem}mlp.experts.{name}"][new][order]
    names = sorted(state)
    b = write_checkpoint(tmp_path / "b", [{name: state[name] for name in names[at::2]} for at in (0, 1)], config, gap=3)
    assert not same_bytes(a, b)
    found = align(a, b, tmp_path / "copy", alignment=written(tmp_path, Alignment({}, mlps, heads)))
    assert same_bytes(a, tmp_path / "copy") and found.notes == []
    for shard in b.glob("*.safetensors"):
        one, other = shard.read_bytes(), (tmp_path / "copy" / shard.name).read_bytes()
        length = 8 + int.from_bytes(one[:8], "little")
        assert len(one) == len(other) and one[:length] == other[:length]


def test_what_matches_nothing_takes_the_places_that_are_left() -> None:
    assert places(np.array([2, -1, 0, -1])).tolist() == [2, 1, 0, 3]
    assert places(np.array([-1, -1, 0])).tolist() == [2, 0, 1]
    assert places(np.array([7, 1, 0])).tolist() == [2, 1, 0]  # A has more
    assert places(np.array([1, 1, -1])).tolist() == [0, 1, 2]  # one place serves once


def test_regions_are_no_larger_than_one_expert() -> None:
    model = model_of(family_folder("gpt_oss"))
    found = reorder(model, model, random_alignment(model, 1))
    largest = max(slot.view.nbytes for slot in model.slots if slot.view and slot.address.expert is not None)
    for shard in {move.target.shard for move in found.moves}:
        own = [move for move in found.moves if move.target.shard == shard and move.target.shape[0] > EXPERTS]
        assert max(region.end - region.begin for region in regions(own)) <= max(2 * largest, model_largest(model))


def model_largest(model: Model) -> int:
    """Bytes of the largest matrix that is no expert's."""
    return max(slot.view.nbytes for slot in model.slots if slot.view and slot.address.role.startswith("attn"))


def layered(orders: dict[int, int]) -> Alignment:
    return Alignment({"text": orders})


def test_layers_change_places_only_one_to_one_and_with_their_like(tmp_path: Path) -> None:
    a = family_folder("llama")
    swapped = {name.replace("layers.0", "layers.x").replace("layers.2", "layers.0").replace("layers.x", "layers.2"): x
               for name, x in load_file(a / "model.safetensors").items()}  # fmt: skip
    b = tmp_path / "b"
    b.mkdir()
    (b / "config.json").write_bytes((a / "config.json").read_bytes())
    save_file(swapped, b / "model.safetensors", metadata={"format": "pt"})
    found = align(a, b, tmp_path / "copy", alignment=written(tmp_path, layered({0: 2, 1: 1, 2: 0})))
    assert same_bytes(a, tmp_path / "copy") and found.moved["layers"] == 2 and found.notes == []
    for orders in ({0: 2, 1: 1, 2: 2}, {0: 0, 1: 1}):
        check_refused(
            a, b, layered(orders), tmp_path, "text: layers stay in place: their map to those of A is not one to one"
        )
    moe = family_folder("deepseek_v3")
    check_refused(moe, moe, layered({0: 1, 1: 0, 2: 2}), tmp_path, "do not have the shapes")


def test_layers_of_a_pruned_model_stay(tmp_path: Path) -> None:
    one, two, three = (
        {f"model.layers.{at}.input_layernorm.weight": np.full(3, 1.0 + at, np.float32)} for at in range(3)
    )
    a, b = write_checkpoint(tmp_path / "a", [one, two, three]), write_checkpoint(tmp_path / "b", [one, two])
    check_refused(a, b, layered({0: 0, 1: 2}), tmp_path, "some match layers whose numbers B does not have")


def check_refused(a: Path, b: Path, alignment: Alignment, folder: Path, note: str) -> None:
    """Nothing moves, so nothing is written."""
    with pytest.raises(ResultsError, match=f"a copy would be {b.name} itself") as refused:
        align(a, b, folder / "nothing", alignment=written(folder, alignment))
    assert note in str(refused.value.hint)
    assert not [path for path in folder.iterdir() if "nothing" in path.name]


def edited(source: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], None], **config: Any) -> Path:
    folder.mkdir()
    state = load_file(source / "model.safetensors")
    change(state)
    (folder / "config.json").write_text(json.dumps(json.loads((source / "config.json").read_text()) | config))
    save_file(state, folder / "model.safetensors")
    return folder


def test_parts_that_cannot_be_moved_stay_and_are_named(tmp_path: Path) -> None:
    glm = family_folder("glm4_moe")
    everything = random_alignment(model_of(glm), 4)

    def unknown(state: dict[str, torch.Tensor]) -> None:
        state["model.layers.1.mlp.surprise"] = torch.ones(EXPERTS)

    def quantized(state: dict[str, torch.Tensor]) -> None:
        name = "model.layers.1.mlp.experts.0.up_proj.weight"
        state[name] = state[name].to(torch.float8_e4m3fn)
        state[f"{name}_scale_inv"] = torch.ones(1, 1)

    def nothing(_: dict[str, torch.Tensor]) -> None:
        pass

    cases = {
        "text layer 1: all parts stay in place: whether model.layers.1.mlp.surprise": (unknown, {}),
        "text layer 1: experts stay in place: block-scaled FP8": (quantized, {}),
        "text layers 0-2: attention heads stay in place": (nothing, {"head_dim": None}),
    }
    for number, (note, (change, config)) in enumerate(cases.items()):
        b = edited(glm, tmp_path / f"b{number}", change, **config)
        found = align(glm, b, tmp_path / str(number), alignment=written(tmp_path, everything))
        assert any(line.startswith(note) for line in found.notes), found.notes
        one, other = (arrays(open_checkpoint(path)) for path in (b, tmp_path / str(number)))
        router = "model.layers.1.mlp.gate.weight"
        assert (one[router].tobytes() == other[router].tobytes()) == (number < 2)


def test_experts_stay_in_their_group_of_the_router(tmp_path: Path) -> None:
    def wider(state: dict[str, torch.Tensor]) -> None:
        for name in [name for name in state if ".experts.4." in name]:
            state[name.replace(".experts.4.", ".experts.5.")] = state[name].clone()
        for name in [name for name in state if name.endswith(("mlp.gate.weight", "correction_bias"))]:
            state[name] = torch.cat([state[name], state[name][-1:]])

    b = edited(family_folder("glm4_moe"), tmp_path / "b", wider, n_group=2)
    for order, crosses in (([5, 4, 3, 0, 2, 1], False), ([5, 1, 2, 3, 4, 0], True)):
        mlps = {
            Mlp("text", 1, "expert", at): MlpMatch(Mlp("text", 1, "expert", to), None) for at, to in enumerate(order)
        }
        if crosses:
            check_refused(b, b, Alignment({}, mlps), tmp_path, "some match one in another group of the router")
        else:
            found = align(b, b, tmp_path / "copy", alignment=written(tmp_path, Alignment({}, mlps)))
            assert found.notes == [] and found.moved["experts"]


def test_matches_elsewhere_and_several_of_one(tmp_path: Path) -> None:
    b = family_folder("mixtral")
    first = Mlp("text", 1, "expert", 0)
    doubled = {first._replace(expert=at): MlpMatch(first._replace(expert=2), None) for at in (0, 1)}
    elsewhere = {first: MlpMatch(first._replace(layer=2, expert=3), None)}
    several = "text layer 1: experts stay in place: several match the same one of A"
    check_refused(b, b, Alignment({}, doubled), tmp_path, several)
    none = f"text layer 1: {EXPERTS} of {EXPERTS} experts match none of A's experts in the same layer"
    check_refused(b, b, Alignment({}, elsewhere), tmp_path, none)
    check_refused(b, b, Alignment(), tmp_path, "all that matches is in place already")


def test_an_alignment_of_other_models_is_refused(tmp_path: Path) -> None:
    b, mlp = family_folder("mixtral"), Mlp("text", 1, "expert", 0)
    cases = {
        "text layer 1 expert 9 of B": Alignment({}, {mlp._replace(expert=9): MlpMatch(mlp, None)}),
        "3 neurons": Alignment({}, {mlp: MlpMatch(mlp, np.arange(3))}),
        "1 key/value heads": Alignment({}, {}, {("text", 0): HeadMatch(np.zeros(1, int), np.arange(6))}),
        "heads in text layer 7": Alignment({}, {}, {("text", 7): HeadMatch(np.arange(2), np.arange(6))}),
        "text layer 5 of A": layered({0: 5}),
    }
    for text, alignment in cases.items():
        with pytest.raises(AlignmentError, match=text):
            align(b, b, tmp_path / "copy", alignment=written(tmp_path, alignment))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alignment.json"]

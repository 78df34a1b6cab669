"""align: a copy of B in the order of A. Stored layouts are permuted by hand here, without the program's schema."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from weightkin.bench.zoo.architectures import MOE
from weightkin.bench.zoo.edits import permute, permute_heads, permute_neurons
from weightkin.bench.zoo.states import save, tensors, write

from commands import environment, weightkin
from families import EXPERTS, build, family_folder
from folders import arrays, to_hub_cache, write_checkpoint
from weightkin import AlignmentError, ResultsError, WeightkinError, align, compare
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.copying import regions
from weightkin.correspondence.alignment import Alignment, HeadMatch, Mlp, MlpMatch, to_json
from weightkin.correspondence.attention import attention_of, slots_by_address
from weightkin.correspondence.layer_order import places
from weightkin.correspondence.reordering import reorder
from weightkin.schema import Model, resolve

Array = np.ndarray[Any, Any]
SWAPPED = Alignment({"text": {0: 1, 1: 0}})
"""Of a model of `two_layers` with itself."""


def two_layers(size: int = 3) -> list[dict[str, Array]]:
    """A shard for each layer."""
    return [{f"model.layers.{at}.input_layernorm.weight": np.full(size, 1.0 + at, np.float32)} for at in (0, 1)]


def written(folder: Path, alignment: Alignment) -> Path:
    path = folder / "alignment.json"
    path.write_text(json.dumps(to_json(alignment)))
    return path


def model_of(path: Path) -> Model:
    return resolve(open_checkpoint(path))


def random_alignment(model: Model, seed: int) -> Alignment:
    """Of a model with a shuffled one of its shapes: experts, neurons and heads of every layer."""
    random, slots = np.random.default_rng(seed), slots_by_address(model)
    mlps: dict[Mlp, MlpMatch] = {}
    heads: dict[tuple[str, int], HeadMatch] = {}
    experts: dict[tuple[str, int], list[int]] = {}
    for slot in model.slots:
        component, layer, role, expert = slot.address
        kind, _, part = role.partition(".")
        if layer is None or slot.view is None:
            continue
        if kind in ("expert", "shared_expert", "mlp") and part == "up":
            mlp = Mlp(component, layer, kind, expert)
            neurons = random.permutation(slot.view.shape[0])
            mlps[mlp] = MlpMatch(mlp, neurons)
            if expert is not None:
                experts.setdefault((component, layer), []).append(expert)
        attention = attention_of(slots, component, layer)
        if role == "attn.q" and not isinstance(attention, str):
            groups = random.permutation(attention.groups)
            inside = [attention.per_group * group + random.permutation(attention.per_group) for group in groups]
            heads[component, layer] = HeadMatch(groups, np.concatenate(inside))
    for (component, layer), numbers in experts.items():
        for expert, match in enumerate(random.permutation(len(numbers)).tolist()):
            mlp = Mlp(component, layer, "expert", expert)
            mlps[mlp] = MlpMatch(mlp._replace(expert=match), mlps[mlp].neurons)
    return Alignment({}, mlps, heads)


def inverse(alignment: Alignment) -> Alignment:
    """From parts of the copy back to parts of B."""
    mlps = {}
    for mlp, (match, neurons) in alignment.mlps.items():
        assert neurons is not None
        mlps[match] = MlpMatch(mlp, np.argsort(neurons))
    heads = {
        place: HeadMatch(np.argsort(one.groups), np.argsort(one.queries)) for place, one in alignment.heads.items()
    }
    return Alignment({}, mlps, heads)


def same_bytes(some: Path, others: Path) -> bool:
    left, right = (arrays(open_checkpoint(path)) for path in (some, others))
    return left.keys() == right.keys() and all(x.tobytes() == right[name].tobytes() for name, x in left.items())


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


def test_other_files_come_along(tmp_path: Path) -> None:
    b = write_checkpoint(tmp_path / "b", two_layers()[0] | two_layers()[1])
    (b / "tokenizer").mkdir()
    for name in ("tokenizer/vocab.txt", "README.md", "pytorch_model.bin", "other.safetensors", ".hidden"):
        (b / name).write_text(name)
    (tmp_path / "secret").write_text("not ours")
    (b / "link").symlink_to(tmp_path / "secret")
    found = align(b, b, tmp_path / "copy", alignment=written(tmp_path, SWAPPED))
    copied = sorted(
        str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()
    )
    assert copied == ["README.md", "config.json", "model.safetensors", "tokenizer/vocab.txt"]
    assert [line.split(":")[0] for line in found.left_out] == ["link", "other.safetensors", "pytorch_model.bin"]
    one = align(b, b / "model.safetensors", tmp_path / "one", alignment=written(tmp_path, SWAPPED))
    assert sorted(path.name for path in one.folder.iterdir()) == ["config.json", "model.safetensors"]


def test_from_a_hub_cache(tmp_path: Path) -> None:
    snapshot = to_hub_cache(write_checkpoint(tmp_path / "x", two_layers()), tmp_path / "hub")
    found = align(snapshot, snapshot.parent.parent, tmp_path / "copy", alignment=written(tmp_path, SWAPPED))
    assert not same_bytes(snapshot, found.folder) and found.left_out == []
    assert not any(path.is_symlink() for path in found.folder.iterdir())
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in snapshot.iterdir()}


def test_folders_that_are_refused(tmp_path: Path) -> None:
    b = write_checkpoint(tmp_path / "b", two_layers()[0] | two_layers()[1])
    (tmp_path / "link").symlink_to(b)
    (tmp_path / ".taken.partial").mkdir()
    cases = {"b": "exists", "b/copy": "lies inside", "link/copy": "lies inside", "taken": "partial: exists"}
    for output, text in cases.items():
        with pytest.raises(ResultsError, match=text):
            align(b, b, tmp_path / output, alignment=written(tmp_path, SWAPPED))
    assert sorted(path.name for path in b.iterdir()) == ["config.json", "model.safetensors"]


class Stop(BaseException):
    """As Ctrl-C."""


LIMITED = """
import resource, sys, weightkin
a, output, alignment = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    weightkin.align(a, a, output, alignment=alignment)
except weightkin.ResultsError as error:
    print(error)
"""


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt, where the disk is full, and where a shard changes while it is read."""
    b = write_checkpoint(tmp_path / "b", two_layers(300)[0] | two_layers(300)[1])
    shard, stored = b / "model.safetensors", written(tmp_path, SWAPPED)

    def stop(*_: object) -> None:
        raise Stop("asked to")

    def change(*_: object) -> None:
        shard.write_bytes(shard.read_bytes() + b"0")

    def check_left() -> None:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["alignment.json", "b"]

    command = [sys.executable, "-c", LIMITED, str(b), str(tmp_path / "copy"), str(stored)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == f"{tmp_path / 'copy'}: cannot be written: File too large\n"
    check_left()
    for progress, error, text in ((stop, Stop, "asked"), (change, WeightkinError, "changed")):
        with pytest.raises(error, match=text):
            align(b, b, tmp_path / "copy", alignment=stored, progress=progress)
        check_left()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(ResultsError, match=r"no room: .* bytes are needed, 10 are free"):
        align(b, b, tmp_path / "copy", alignment=stored)
    check_left()


def test_on_the_command_line(tmp_path: Path) -> None:
    b = family_folder("mixtral")
    stored = written(tmp_path, random_alignment(model_of(b), 5))
    done = weightkin("align", b, b, "-o", tmp_path / "copy", "--alignment", stored)
    assert done.stdout.startswith("re-ordered: ") and "attention heads in 3 layers" in done.stdout
    assert done.stderr == f"written to {tmp_path / 'copy'}\n"
    done = weightkin("align", b, b, "-o", tmp_path / "other", "--alignment", stored, "--json", "-q")
    assert json.loads(done.stdout)["moved"]["layers_with_heads"] == 3 and done.stderr == ""
    done = weightkin("align", b, b, "-o", tmp_path / "copy", "--alignment", stored, code=1)
    assert done.stderr == f"weightkin: {tmp_path / 'copy'}: exists\nhint: give a new folder\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, large enough to be told from others."""
    return save(fresh_small(0), tmp_path_factory.mktemp("models") / "base")


def fresh_small(seed: int) -> Any:
    automatic: Any = AutoModelForCausalLM
    torch.manual_seed(seed)
    arguments = MOE | dict(n_routed_experts=6, first_k_dense_replace=1, num_hidden_layers=2)
    return automatic.from_config(CONFIG_MAPPING["glm4_moe"](**arguments), dtype=torch.float32)


def test_search_align_and_compare(base: Path, tmp_path: Path) -> None:
    """A permuted model comes back to the byte, and `compare` without any alignment says so."""
    random = np.random.default_rng(0)
    state, _ = permute(tensors(base), random)
    state, _ = permute_heads(state, random, 16)
    b = write(permute_neurons(state, random), base, tmp_path / "b")
    assert not same_bytes(base, b)
    found = align(base, b, tmp_path / "copy", seed=1, threads=2)
    assert found.moved == {"layers": 0, "experts": 6, "mlps_with_neurons": 8, "layers_with_heads": 2}
    assert not [line for line in found.notes if "MLPs" in line or "heads" in line]
    assert same_bytes(base, tmp_path / "copy")
    summary = compare(base, tmp_path / "copy", threads=2).summary
    assert summary["verdict"]["relation"] == "identical"
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in b.iterdir()}


def test_nothing_of_another_model_is_moved(base: Path, tmp_path: Path) -> None:
    other = save(fresh_small(1), tmp_path / "other")
    done = weightkin("align", base, other, "-o", tmp_path / "copy", "--seed", "1", "-q", code=1)
    assert "weightkin: nothing of other can be moved to where it stands in base" in done.stderr
    assert "attention heads match none of A clearly" in done.stderr
    assert "8 of 8 MLPs match none of the same layer of A clearly" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(("name", "changed"), [("permuted", ()), ("shuffled", ("up_proj", "down_proj"))])
def test_trained_models_come_back(zoo: Path, tmp_path: Path, name: str, changed: tuple[str, ...]) -> None:
    """To the byte, but for the neurons that were rescaled too."""
    found = align(zoo / "base", zoo / name, tmp_path / "copy", threads=2)
    wanted, copy = (arrays(open_checkpoint(path)) for path in (zoo / "base", found.folder))
    differing = {tensor for tensor, x in wanted.items() if x.tobytes() != copy[tensor].tobytes()}
    assert differing == {tensor for tensor in wanted if changed and any(part in tensor for part in changed)}
    assert found.notes == []

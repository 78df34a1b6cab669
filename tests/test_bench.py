"""The bench: its checkpoints are what they claim, its peers compute the same, and wrong numbers get no speed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from weightkin.bench import cases_gram, peers
from weightkin.bench.checks import similarities
from weightkin.bench.generate import FINE_TUNING, write_copy, write_model
from weightkin.bench.generate import main as generate
from weightkin.bench.measure import OURS, Row, measure
from weightkin.bench.models import folders, mapped
from weightkin.bench.registry import Case, Settings, Target, Work
from weightkin.bench.run import CASES, main, report
from weightkin.bench.shapes import DECODERS, Decoder, first_layers, fit, tiny
from weightkin.bench.table import table

from folders import arrays
from weightkin.checkpoint import open_checkpoint
from weightkin.errors import WeightkinError
from weightkin.schema import resolve

NARROW = replace(DECODERS["solar-open-100b"], hidden=256, heads=4, key_value_heads=2, head_dim=32, expert_width=96)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(tmp_path_factory.mktemp("bench"), nbytes=8_000_000, threads=2, rounds=2, decoder=NARROW)


def test_sizes_are_the_published_ones() -> None:
    solar, glm = DECODERS["solar-open-100b"], DECODERS["glm-4.5-air"]
    assert sum(1 for _ in solar.tensors()) == 18_963
    assert parameters(solar) == pytest.approx(102.6e9, rel=1e-3)
    assert parameters(glm) == pytest.approx(110.5e9, rel=1e-3)
    attention = (2 * 64 + 2 * 8) * 128 * 4096
    layer = attention + 2 * 4096 + 128 * 4096 + 128 + 129 * 3 * 1280 * 4096
    assert parameters(first_layers(solar, 3)) == 3 * layer
    assert parameters(first_layers(solar, 1, 16)) == layer - 112 * (4096 + 1 + 3 * 1280 * 4096)


@pytest.mark.parametrize("nbytes", [10**9, 8 * 10**9, 20 * 10**9])
@pytest.mark.parametrize("name", DECODERS)
def test_fit_comes_close(name: str, nbytes: int) -> None:
    found = sum(tensor.nbytes for tensor in fit(DECODERS[name], nbytes).tensors())
    assert 0.9 * nbytes < found <= nbytes


@pytest.mark.parametrize("name", DECODERS)
def test_every_generated_tensor_has_a_role(tmp_path: Path, name: str) -> None:
    decoder = tiny(DECODERS[name])
    model = resolve(open_checkpoint(write_model(tmp_path / "whole", decoder, shard_bytes=1_000_000)))
    assert (model.family, model.known, model.checkpoint.problems) == (decoder.model_type, True, ())
    assert [(slot.name, slot.note) for slot in model.slots if slot.group == "other" or slot.note] == []
    per_layer = Counter[int | None]()
    for slot in model.slots:
        per_layer[slot.address.layer] += slot.parameters
    assert per_layer[decoder.layers - 1] == parameters(first_layers(decoder, 3)) - parameters(first_layers(decoder, 2))
    assert sum(per_layer.values()) == model.checkpoint.parameters == parameters(decoder)
    assert len(model.checkpoint.shards) == pytest.approx(model.checkpoint.nbytes / 1e6, abs=1)


def test_values_look_like_weights_and_depend_on_seed_and_name_alone(tmp_path: Path) -> None:
    few, more = (arrays(open_checkpoint(write_model(tmp_path / str(n), first_layers(NARROW, n, 4)))) for n in (1, 2))
    other = arrays(open_checkpoint(write_model(tmp_path / "other", first_layers(NARROW, 1, 4), seed=1)))
    for name, array in few.items():
        np.testing.assert_array_equal(array, more[name])
        assert not np.array_equal(array, other[name])
        values = array.astype(np.float64)
        mean, deviation = (0.3, 0.05) if "norm" in name else (0, 0.02)
        assert values.mean() == pytest.approx(mean, abs=5 * deviation / np.sqrt(values.size))
        assert values.std() == pytest.approx(deviation, rel=4 / np.sqrt(values.size))


def test_copy_is_the_original_plus_independent_noise(tmp_path: Path) -> None:
    original = arrays(open_checkpoint(write_model(tmp_path / "a", first_layers(NARROW, 1, 4))))
    copy = arrays(open_checkpoint(write_copy(tmp_path / "b", tmp_path / "a", noise=0.01)))
    x = original["model.layers.0.self_attn.q_proj.weight"].astype(np.float64)
    noise = copy["model.layers.0.self_attn.q_proj.weight"].astype(np.float64) - x
    assert noise.std() == pytest.approx(0.01, rel=0.02)
    assert abs(np.corrcoef(x.ravel(), noise.ravel())[0, 1]) < 5 / np.sqrt(x.size)
    assert FINE_TUNING < 0.01


def test_generator_command(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    run = CliRunner().invoke
    for arguments in ([a, "--model", "glm-4.5-air", "--layers", "2", "--experts", "3", "--tiny"], [b, "--copy-of", a]):
        assert run(generate, arguments, catch_exceptions=False).exit_code == 0
    assert open_checkpoint(a).tensors.keys() == open_checkpoint(b).tensors.keys()
    assert open_checkpoint(a).config == open_checkpoint(b).config
    assert run(generate, [str(tmp_path / "c")]).exit_code == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_right_and_reports_ratios(case: Case, settings: Settings) -> None:
    try:
        row = measure(case, settings)
    except WeightkinError as error:  # a temporary folder that is kept in memory
        pytest.skip(str(error))
    assert row.passed, row.error
    assert len(row.targets) == len(case.targets)
    stored = json.loads(json.dumps(report([row], settings, ["bench"]), allow_nan=False))
    participants = stored["cases"][0]["participants"]
    assert participants[OURS]["ratio"] == 1
    assert len(participants) > 1 or case.name.startswith("experts/")  # nobody else matches experts
    for found in participants.values():
        assert found["ratio"] == pytest.approx(found["best"] / participants[OURS]["best"])
        assert 0 < found["best"] <= found["median"]
    assert stored["machine"]["cores"] >= 1
    assert case.name in rendered(row)


def test_peers_compute_what_we_do(settings: Settings) -> None:
    with mapped(folders(settings, 2, related=True), 2) as models:
        sweeps = models.spread(cases_gram.sweep)
        sizes = [np.diff(slab.bounds) for slab in models.slabs]
        expected = np.array(
            [
                similarities(found.gram[block], found.sum[block], int(size))[:, 0, 1]
                for found, blocks in zip(sweeps, sizes, strict=True)
                for block, size in enumerate(blocks)
            ]
        )
        assert len(expected) == len(models.tensors()), "one block per tensor, or the peers' rows mean something else"
        np.testing.assert_allclose(peers.numpy_float32(models)(), expected, atol=1e-5)
        for peer in (peers.torch_published(models, 2), peers.torch_seven(models, 2)):
            if peer is not None:
                np.testing.assert_allclose(peer()[:, :2], expected, atol=1e-5)
        if (torch_gram := peers.torch_gram(models, 2)) is not None:
            np.testing.assert_allclose(torch_gram()[:, 0, 1], expected[:, 0], atol=1e-5)
        if (numkong := peers.numkong_cosine(models)) is not None:
            np.testing.assert_allclose(numkong(), expected[:, 0], atol=1e-4)


def test_a_wrong_case_gets_no_speed(settings: Settings) -> None:
    row = measure(made_up(error=2e-6), settings)
    assert (row.passed, row.participants, row.targets) == (False, {}, ())
    assert "FAILED" in rendered(row)
    assert "ms" not in rendered(row)
    assert not measure(made_up(error=float("nan")), settings).passed


def test_a_missing_peer_is_named(settings: Settings) -> None:
    row = measure(made_up(error=0), settings)
    assert row.missing == ("absent",)
    assert "not installed" in rendered(row)
    assert [(outcome.value, outcome.met) for outcome in row.targets if outcome.against == "absent"] == [(None, None)]


def test_command_lists_cases_and_refuses_unknown_ones() -> None:
    listed = CliRunner().invoke(main, ["--list"], catch_exceptions=False)
    assert [line.split()[0] for line in listed.output.splitlines()] == [case.name for case in CASES]
    assert CliRunner().invoke(main, ["--case", "nothing"]).exit_code == 2


def made_up(error: float) -> Case:
    """A case whose runs do nothing."""

    @contextmanager
    def prepare(_: Settings) -> Iterator[Work]:
        yield Work(ours=lambda: None, check=lambda: error, roofs={"way": lambda: None}, peers={"absent": None})

    return Case("made/up", "of nothing", prepare, 1e-6, (Target("roof", 0.5), Target("absent", 1)))


def parameters(decoder: Decoder) -> int:
    """Elements of all tensors."""
    return sum(int(np.prod(tensor.shape)) for tensor in decoder.tensors())


def rendered(row: Row) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table([row]))
    return capture.get()

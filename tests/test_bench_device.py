"""The bench of devices: every case is right, on a GPU or at tiny sizes in Triton's interpreter; clocks, choice, the script."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from weightkin.bench.measure import OURS, broken, measure
from weightkin.bench.registry import Case, Settings
from weightkin.bench.run import attempt, main, report, store
from weightkin.bench.shapes import DECODERS, narrow
from weightkin.bench.short import lines

from triton_cases import DEVICE, interpret, torch
from weightkin.errors import WeightkinError

with pytest.MonkeyPatch.context() as environment:
    interpret(environment)
    from weightkin.bench import device, device_agreement, device_peers, device_rates
    from weightkin.bench.device_cases import CASES

NAME = "cuda:0" if DEVICE == "cuda" else "cpu"
SAME_ON_A_PROCESSOR = ("experts/strangers", "experts/neurons", "compare/tensors")
"""Measured by the same code as on a processor, in test_bench."""


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As `poisoned`, but for deterministic algorithms, which cuBLAS has not."""
    interpret(monkeypatch)
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    decoder = narrow(DECODERS["solar-open-100b"])
    chosen = Settings(tmp_path_factory.mktemp("bench"), 40_000, threads=2, rounds=1, decoder=decoder, device=NAME)
    return replace(chosen, timer=device.timer(torch.device(NAME)))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    "case", [one for one in CASES if one.name not in SAME_ON_A_PROCESSOR], ids=lambda one: one.name
)
def test_every_case_is_right_and_reports_ratios(case: Case, settings: Settings) -> None:
    try:
        row = measure(case, settings)
    except WeightkinError as error:  # a temporary folder that is kept in memory
        pytest.skip(str(error))
    assert row.passed, row.error
    assert len(row.targets) == len(case.targets)
    assert row.participants[OURS].ratio == 1
    assert len(row.participants) > 1
    stored = json.loads(json.dumps(report([row], settings, ["bench"]), allow_nan=False))
    assert case.name in "\n".join(lines(stored))


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_rates_are_per_second(settings: Settings) -> None:
    rates = device_rates.measure_rates(torch.device(NAME), settings)
    assert all(np.isfinite(rate) and rate > 0 for rate in rates.values())
    found = {"device": device.describe(torch.device(NAME)), "rates": rates}
    text = "\n".join(lines(report([], settings, ["bench"], found)))
    assert f"{rates['matmul'] / 1e12:.4g} TFLOP/s" in text


def test_a_run_of_another_amount_counts_as_ours(settings: Settings) -> None:
    """The roof of a product is a square one: its time is that of as many operations as ours has."""
    (case,) = [one for one in CASES if one.name == "cross_gram/experts"]
    with case.prepare(settings) as work:
        ((name, _),) = work.roofs.items()
        roof = device_rates.matmul(torch.device(NAME), settings.nbytes)
        assert work.shares[name] == pytest.approx(work.flops / roof.amount)


def test_peers_compute_what_is_asked() -> None:
    target = torch.device(NAME)
    x, y = (device_rates.normal(target, seed, 6, 512) for seed in (1, 2))
    wide = x.double().cpu().numpy(), y.double().cpu().numpy()
    np.testing.assert_allclose(device_peers.product(x, y).cpu(), wide[0] @ wide[1].T, rtol=1e-3, atol=1e-3)
    flat = [one.reshape(-1) for one in (x, y)]
    cosine, pearson = device_peers.cosine_and_pearson(*flat)[0].tolist()
    a, b = (one.reshape(-1) for one in wide)
    assert cosine == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-5)
    assert pearson == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-5)
    assert device_peers.seven_metrics(*flat)[0, 2].item() == pytest.approx(np.abs(a - b).mean(), rel=1e-5)


def test_random_data_are_random_and_repeat() -> None:
    target = torch.device(NAME)
    drawn = device_rates.normal(target, 3, 1000).float()
    assert torch.equal(drawn, device_rates.normal(target, 3, 1000).float())
    assert abs(drawn.mean()) < 0.2 and 0.9 < drawn.std() < 1.1
    assert len(device_rates.random_bytes(target, 1001).unique()) > 200


def test_what_broke_is_reported_and_the_others_go_on(settings: Settings) -> None:
    def prepare(_: Settings) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    row = attempt(Case("made/up", "", prepare, 0, ()), settings)  # type: ignore[arg-type]
    assert not row.passed
    assert row.problem == "RuntimeError: CUDA error: an illegal memory access"
    assert any("FAILED: RuntimeError" in line for line in lines(report([row], settings, ["bench"])))


def test_a_file_keeps_what_is_not_measured_again(tmp_path: Path, settings: Settings) -> None:
    rows = [broken(Case(name, "", None, 0, ()), "old") for name in ("a/1", "a/2")]  # type: ignore[arg-type]
    store(tmp_path / "r.json", report(rows, settings, []), keep=False)
    store(tmp_path / "r.json", report([replace(rows[1], problem="new")], settings, []), keep=True)
    held = json.loads((tmp_path / "r.json").read_text())["cases"]
    assert [(row["case"], row["problem"]) for row in held] == [("a/1", "old"), ("a/2", "new")]


@pytest.mark.skipif(DEVICE == "cuda", reason="there is a GPU")
def test_without_a_gpu_one_line_says_so() -> None:
    for name in ("cuda", "cuda:3", "cuda:x", "meta"):
        result = CliRunner().invoke(main, ["--device", name])
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert result.stderr.startswith("Error: ")


@pytest.mark.usefixtures("interpreted")
def test_devices_agree() -> None:
    result = CliRunner().invoke(
        device_agreement.main, ["--device", "cuda" if DEVICE == "cuda" else "cpu", "--layers", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "0 among devices" in result.output


def test_the_script_is_well_formed() -> None:
    """And the files of tests that it names are there."""
    script = Path(__file__).parents[1] / "bench/gpu.sh"
    named = re.findall(r"tests/(test_\w+\.py)", script.read_text())
    assert named and all(Path(__file__).with_name(name).exists() for name in named)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert subprocess.run([script, "--help"], capture_output=True, text=True, check=True).stdout.startswith("Builds")
    refused = subprocess.run([script, "--nonsense"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "unknown option --nonsense" in refused.stderr

"""The prediction of large comparisons: counts are those of the real shapes, rates those of the file, bounds add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from weightkin.bench import predict, rates, workload
from weightkin.bench.shapes import DECODERS, first_layers, fit
from weightkin.bench.workload import Workload, models_of

RATES = rates.Rates(
    storage=7e9, staging=50e9, memory=200e9, link=25e9, sweep=400e9, lagged=1e9, probe=1e12, probe_from="probe/layer",
    products=1e12, assign=((128, 6400.0), (1408, 50.0)), tensors=1000.0,
)  # fmt: skip
STORED = Path(__file__).parents[1] / "bench/results/xeon-2-cores-avx512.json"


def test_bytes_are_those_of_the_shapes() -> None:
    decoder = first_layers(DECODERS["glm-4.5-air"], 2, 4)
    with models_of([decoder, decoder]) as models:
        (found,) = workload.compare(models)
        (answers,) = workload.experts(models, related=False)
        _, neurons = workload.experts(models, related=True)
    assert found.nbytes == 2 * sum(tensor.nbytes for tensor in decoder.tensors())
    assert found.tensors == sum(1 for _ in decoder.tensors())
    mlps = 3 * 4096 * (10944 + 5 * 1408)
    assert answers.nbytes == 2 * 2 * mlps
    assert answers.probed == 2 * 64 * 2 * mlps
    # The first layer has one dense MLP, the second five.
    assert [side for _, side in neurons.assignments] == [10944, 1408]
    assert neurons.nbytes == 0


def test_models_that_share_no_widths_share_few_bytes() -> None:
    with models_of([first_layers(DECODERS[name], 2, 4) for name in ("solar-open-100b", "glm-4.5-air")]) as models:
        (found,) = workload.compare(models)
    norms, keys_and_values, router = 2 * 4096, 2 * 1024 * 4096, 4 * 4096
    assert found.nbytes == 2 * (2 * 2 * (norms + keys_and_values) + 2 * router + 4 * 4)


def test_a_phase_takes_as_long_as_its_slowest_resource() -> None:
    work = Workload("", nbytes=100 * 10**9, swept=100 * 10**9, tensors=1000)
    one, eight = (predict.phase(work, RATES, devices) for devices in (1, 8))
    assert one.resources == pytest.approx(
        {"storage": 100 / 7, "staging": 2, "memory": 1.5, "link": 4, "kernels": 0.25, "Python": 1}
    )
    assert (one.bound, one.seconds) == ("storage", pytest.approx(100 / 7))
    faster = predict.phase(work, replace(RATES, storage=100e9), 1)
    assert (faster.bound, faster.seconds) == ("link", pytest.approx(4))
    assert eight.resources["link"] == pytest.approx(0.5)
    assert predict.phase(work, replace(RATES, storage=100e9), 8).bound == "staging"


def test_kernels_and_assignments_take_turns() -> None:
    found = predict.phase(Workload("", products=10**12, assignments=((100, 1408),)), RATES)
    assert found.resources == pytest.approx({"kernels": 1, "assignment": 2})
    assert (found.bound, found.seconds) == ("kernels", pytest.approx(3))


def test_assignments_between_measured_sizes() -> None:
    assert RATES.problems(128) == pytest.approx(6400)
    assert RATES.problems(1408) == pytest.approx(50)
    between = RATES.problems(424)
    assert between is not None and between**2 == pytest.approx(6400 * 50, rel=0.02)  # 424 is their geometric mean


def test_what_was_not_measured_is_named() -> None:
    found = predict.phase(Workload("", nbytes=10, products=10), replace(RATES, storage=None, products=None))
    assert found.unmeasured == ("storage", "kernels")
    assert predict.phase(Workload(""), RATES).seconds == 0


def test_rates_of_a_stored_file() -> None:
    stored = json.loads(STORED.read_text())
    found = rates.read(stored)
    rows = {row["case"]: row for row in stored["cases"]}
    assert found.link is None
    assert (
        found.sweep == rows["difference/pair"]["nbytes"] / rows["difference/pair"]["participants"]["weightkin"]["best"]
    )
    assert found.assign[1] == (
        1408,
        pytest.approx(128 / rows["assign/experts-random"]["participants"]["weightkin"]["best"]),
    )


def test_the_command_holds_itself_against_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECODERS, "glm-4.5-air", first_layers(DECODERS["glm-4.5-air"], 2, 8))
    stored = json.loads(STORED.read_text())
    stored["cases"] = [row for row in stored["cases"] if not row["case"].startswith("experts/")]
    (row,) = [row for row in stored["cases"] if row["case"] == "compare/cold"]
    assert row["nbytes"] == 2 * sum(
        tensor.nbytes for tensor in fit(DECODERS["solar-open-100b"], row["nbytes"] // 2).tensors()
    )
    row["participants"]["weightkin"]["best"] = 1000.0
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(stored | {"rates": {"link": 1e9, "staging": 1e12, "memory": 1e12}}))
    run = CliRunner().invoke(
        predict.main, [str(path), "--storage", "7", "--devices", "1,2", "--models", "glm-4.5-air", "glm-4.5-air"]
    )
    assert run.exit_code == 0, run.output
    assert "compare --align none, 2 devices" in run.output
    assert "bound by link" in run.output
    (told,) = [line for line in run.output.splitlines() if line.startswith("  compare/cold, 1.9 GB: ")]
    assert ", 1000.00 s, " in told and "less than the 16 GB" in told
    assert "s if it goes as the measured part did" in run.output
    assert "not measured: kernels" in run.output

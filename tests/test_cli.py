"""The command line: what goes where, exit codes, and what bad input says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import weightkin as package
from commands import COMMAND, environment, weightkin
from folders import Arrays, write_checkpoint
from real_names import SOLAR_OPEN, solar_open_100b, write_headers
from weightkin.cli import main
from weightkin.cli.options import Size

COMMANDS = ["compare", "matrix", "layers", "claims", "plan", "inspect", "demo", "env", "bench"]


def weights(seed: int, evil: str = "plain") -> Arrays:
    """A small llama: norms near 1, a projection, and a tensor that no family knows."""
    draw = np.random.default_rng(seed).standard_normal
    stem = "model.layers.0"
    return {
        f"{stem}.input_layernorm.weight": (1 + 0.1 * draw(64)).astype(np.float32),
        f"{stem}.self_attn.q_proj.weight": draw((64, 64)).astype(np.float32),
        f"{stem}.mlp.down_proj.weight": draw((64, 32 + 2 * seed)).astype(np.float32),
        f"{stem}.{evil}": draw((3, 4)).astype(np.float32),
        "model.layers.1.input_layernorm.weight": np.ones(64, np.float32),
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    return str(write_checkpoint(folder / "a", weights(1))), str(write_checkpoint(folder / "b", weights(2)))


def invoke(*arguments: str | Path, **env: str | None) -> Result:
    """Runs the command in this process."""
    plain: dict[str, str | None] = dict.fromkeys(("COLUMNS", "FORCE_COLOR", "NO_COLOR"))
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=plain | env)


def test_help_lists_all_commands_and_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'rich', 'pyarrow', 'torch', 'weightkin._core'} & set(sys.modules)"
    code = f"import sys\nfrom weightkin.cli import main\nmain(['--help'], standalone_mode=False)\nprint({heavy})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("set()\n")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bench"])
def test_help_of_commands(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0 and result.stdout.startswith("Usage: ")


def test_version() -> None:
    assert invoke("--version").stdout == f"weightkin, version {package.__version__}\n"


def test_tables_go_to_stdout_and_messages_to_stderr(pair: tuple[str, str]) -> None:
    shown = weightkin("compare", *pair)
    assert "attn.q" in shown.stdout and "Pearson" in shown.stdout
    assert shown.stderr.startswith("read ") and "-o DIR" in shown.stderr
    quiet = weightkin("compare", *pair, "-q")
    assert (quiet.stdout, quiet.stderr) == (shown.stdout, "")


def test_json_is_all_of_stdout(pair: tuple[str, str], tmp_path: Path) -> None:
    shown = weightkin("compare", *pair, "--json", "-o", tmp_path / "out")
    summary = json.loads(shown.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["command"] == "compare"
    assert "stored in" in shown.stderr
    for command, models in {"inspect": pair[:1], "plan": pair, "matrix": pair, "env": ()}.items():
        assert json.loads(invoke(command, *models, "--json").stdout)


def test_what_a_reader_must_not_overlook(tmp_path: Path) -> None:
    a, b = dict(weights(1)), dict(weights(2))
    b["model.layers.1.input_layernorm.weight"] = a["model.layers.1.input_layernorm.weight"]
    b["model.layers.0.self_attn.q_proj.weight"][0, 0] = np.nan
    pair = [write_checkpoint(tmp_path / name, arrays) for name, arrays in (("a", a), ("b", b))]
    shown = invoke("compare", *pair, "-v").stdout
    assert re.search(r"attn\.q .*1 NaN in B", shown)
    assert re.search(r"norms: the cosine 0\.99\d* says nothing", shown)
    assert re.search(r"mlp\.down +shape: mlp\.down 64x34 against 64x36", shown)
    same = invoke("compare", pair[0], pair[0]).stdout
    assert "identical" in same and "A and B are the same files." in same
    assert "100% of 6.41K parameters" in same


def test_results_are_stored_once_and_resumed(pair: tuple[str, str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = invoke("compare", *pair, "-o", output)
    assert "stored in" in first.stderr
    again = invoke("compare", *pair, "-o", output)
    assert again.exit_code == 1 and again.stderr.startswith(f"weightkin: {output}: already holds results\nhint: ")
    resumed = invoke("compare", *pair, "-o", output, "--resume")
    assert resumed.stdout == first.stdout and "nothing was read now" in resumed.stderr
    other = invoke("compare", *reversed(pair), "-o", output, "--resume")
    assert other.exit_code == 1 and "another comparison" in other.stderr


def test_what_says_less_than_it_seems(tmp_path: Path) -> None:
    models = []
    for seed in (1, 2, 3):
        bias = {"model.layers.0.self_attn.q_proj.bias": np.zeros(64, np.float32)}
        models.append(write_checkpoint(tmp_path / f"m{seed}", weights(seed, "self_attn.k_proj.weight") | bias))
    (models[1] / "config.json").unlink()
    shown = invoke("compare", *models[:2]).stdout
    assert re.search(r"attn\.q\.bias .* constant *$", shown, re.MULTILINE) and "identical" not in shown
    assert "63 relabelled copies: the width allows no more" in shown
    assert (
        re.search(r"^B  m2  \w+-like names \(guessed\)", shown, re.MULTILINE)
        and "note on B: there is no config.json" in shown
    )
    every = invoke("matrix", *models).stdout
    assert "In place only" in every and "63 relabelled copies: the width allows no more" in every
    untested = invoke("matrix", *models, "--null", "0").stdout
    assert "nothing was tested (--null 0" in untested and "no model, by no group" not in untested
    assert re.search(r"no relabelled copies: nothing was tested$", untested, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("compare {a} {folder}/bb", 1, r"weightkin: .*/bb: does not exist\nhint: did you mean .*/b\?\n"),
        ("compare {a} {folder}/pickles", 1, r"weightkin: .*pickled weights.*'pytorch_model\.bin'\nhint: convert .*\n"),
        ("compare {a} {folder}/other", 1, r"weightkin: nothing to compare: a, other share .*\nhint: .*inspect.*\n"),
        ("compare {a} {b} --include zzz", 1, r"weightkin: 'zzz' matches no role .*\nhint: .*\n"),
        ("compare {a} {b} --device cpu,cuda:999", 1, r"weightkin: --device cuda:999: .*\nhint: .*\n"),
        ("compare {a} {b} --device cpu --device tpu", 2, r"(?s)Usage: .*'tpu' is not auto, cpu, cuda or cuda:N\n"),
        ("compare {a} {b} --memory plenty", 2, r"(?s)Usage: .*'plenty' is not a size such as 512MB or 2GiB\n"),
        ("compare {a} {b} --resume", 2, r"(?s)Usage: .*--resume needs .*-o DIR\n"),
        ("compare {a} {b} -o {folder}/pickles", 1, r"weightkin: .*/pickles: is not empty .*\nhint: .*\n"),
        ("compare {a}", 2, r"(?s)Usage: .*Missing argument.*\n"),
        ("matrix {a}", 2, r"(?s)Usage: .*at least two models\n"),
        ("plan {a}", 2, r"(?s)Usage: .*at least two models\n"),
        ("nonsense", 2, r"(?s)Usage: .*No such command 'nonsense'\.\n"),
        ("comapre {a} {b}", 2, r"(?s)Usage: .*No such command 'comapre'\. Did you mean 'compare'\?\n"),
        ("compare {a} {b} --align atuo", 1, r"weightkin: --align atuo: neither .*\nhint: did you mean auto\?\n"),
    ],
)
def test_mistakes_are_one_line(pair: tuple[str, str], arguments: str, code: int, said: str) -> None:
    folder = Path(pair[0]).parent
    (folder / "pickles").mkdir(exist_ok=True)
    (folder / "pickles" / "pytorch_model.bin").touch()
    if not (folder / "other").exists():
        write_checkpoint(folder / "other", {"something": np.ones(3, np.float32)})
    result = invoke(*arguments.format(a=pair[0], b=pair[1], folder=folder).split())
    assert result.exit_code == code and result.stdout == ""
    assert re.fullmatch(said, result.stderr), result.stderr


def test_a_bug_shows_its_traceback(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("weightkin.comparison.compare", fail)
    result = invoke("compare", *pair)
    assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)


def test_unknown_instruction_set() -> None:
    shown = weightkin("env", code=1, env=environment(WEIGHTKIN_ISA="abacus"))
    assert re.fullmatch(r"weightkin: .*WEIGHTKIN_ISA.*'abacus'.*\n", shown.stderr)


def test_plain_and_narrow_output(pair: tuple[str, str]) -> None:
    for command in ("compare", "matrix", "plan"):
        shown = invoke(command, *pair, COLUMNS="80")
        assert "\x1b" not in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b[" in invoke("compare", *pair, FORCE_COLOR="1").stdout
    wide = invoke("compare", *pair).stdout
    assert "rel.L2 /B" in wide and "Too narrow" not in wide
    weightkin("compare", *pair, env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")).stdout.encode("ascii")


def test_names_from_files_cannot_command_the_terminal(tmp_path: Path) -> None:
    pair = [write_checkpoint(tmp_path / f"{seed}\x1b[2J[red]", weights(seed, "[bold]x.weight")) for seed in (1, 2)]
    for arguments in (["compare", *pair, "-v"], ["inspect", pair[0], "-v"], ["plan", *pair], ["matrix", *pair]):
        shown = invoke(*arguments)
        assert "\x1b" not in shown.stdout + shown.stderr
        assert r"1\x1b[2J[red]" in shown.stdout
        assert "[bold]x" in shown.stdout or "-v" not in arguments


def test_a_reader_that_stops_early_is_no_failure(pair: tuple[str, str]) -> None:
    process = subprocess.Popen([*COMMAND, "compare", *pair], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0 and "Broken" not in said and "Traceback" not in said


def test_dry_run_reads_no_weights(tmp_path: Path) -> None:
    a, b = (write_headers(tmp_path / name, solar_open_100b(), SOLAR_OPEN) for name in "ab")
    plan = json.loads(weightkin("compare", a, b, "--dry-run", "--json", "-o", tmp_path / "out").stdout)
    assert plan["nbytes"] == sum(model["bytes_to_read"] for model in plan["models"]) > 400e9
    assert plan["units"] == 18963 and plan["pairs"][0]["coverage"]["fraction"] == 1
    assert plan["seconds"]["1"] >= plan["nbytes"] / 1e9 and plan["seconds"]["14"] >= plan["seconds"]["memory"]
    assert not (tmp_path / "out").exists()
    shown = invoke("plan", a, b).stdout
    assert "storage at 14 GB/s" in shown and "18,963 units" in shown
    assert "`compare` searches" in shown and "searches" not in invoke("plan", a, b, a).stdout


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("512MB", 512 * 10**6), ("2GiB", 2 << 30), ("1.5g", 15 * 10**8), ("4096", 4096), ("7kib", 7168)],
)
def test_sizes(text: str, nbytes: int) -> None:
    assert Size().convert(text, None, None) == nbytes


@pytest.mark.parametrize("text", ["", "0", "-1", "GB", "1 2", "1e9", "1PB"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        Size().convert(text, None, None)

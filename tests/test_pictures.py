"""Bars and strips of characters: to scale, within the terminal's width, and the same without colour."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pages import compared, experts, layers, matrix
from weightkin.cli.views.comparison import show_comparison
from weightkin.cli.views.experts import show_experts
from weightkin.cli.views.layer_maps import show_layer_maps
from weightkin.cli.views.matrix import show_matrix
from weightkin.cli.views.pictures import LABEL, Scale, bar, show_bar, show_strips

SCALE = Scale("Pearson", 0.0, 1.0)
VIEWS = {
    "compare": (compared, show_comparison), "matrix": (matrix, show_matrix), "experts": (experts, show_experts),
    "layers": (layers, show_layer_maps),
}  # fmt: skip


def console(width: int = 80, encoding: str = "utf-8") -> Console:
    """What it prints is in `written`."""
    file = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    return Console(width=width, file=file, highlight=False, markup=False, emoji=False)


def written(of: Console) -> list[str]:
    file = of.file
    assert isinstance(file, io.TextIOWrapper)
    file.seek(0)
    return file.read().splitlines()


def test_strip_of_each_layer() -> None:
    screen = console()
    show_strips(screen, SCALE, [("attention", {0: 0.0, 1: 0.5, 3: 1.0, 4: -0.3})])
    _, title, strip, ruler = written(screen)
    assert "Pearson by layer" in title and "▁=0 to █=1" in title and "- not compared" in title
    assert strip == f"{'attention':<{LABEL}}▁▅-█▁" and ruler == f"{'':<{LABEL}}0"


@pytest.mark.parametrize(("layers", "width"), [(46, 80), (92, 80), (92, 140), (61, 80)])
def test_strips_fit(layers: int, width: int) -> None:
    """As few layers per mark as the width allows; the numbers stand under their marks."""
    screen = console(width)
    show_strips(screen, SCALE, [("mlp", dict.fromkeys(range(layers), 1.0)), ("a" * 40, {layers - 1: 0.0})])
    lines = written(screen)
    assert len(lines) <= 6 and max(map(len, lines)) <= width
    full = next(line for line in lines if line.startswith("mlp"))[LABEL:]
    step = -(-layers // len(full))
    assert set(full) == {"█"} and step == -(-layers // (width - LABEL))
    ruler = lines[-1][LABEL:]
    assert all(ruler[10 * at :].startswith(str(10 * at * step)) for at in range(len(full) // 10))


def test_nothing_for_one_layer() -> None:
    screen = console()
    show_strips(screen, SCALE, [("mlp", {0: 1.0})])
    assert written(screen) == []


def test_scale_with_a_floor() -> None:
    screen = console(encoding="ascii")
    show_strips(screen, Scale("z", 8.0, 100.0, 8.0), [("mlp", {0: 7.9, 1: 8.0, 2: 100.0})])
    assert written(screen)[2] == f"{'mlp':<{LABEL}}.07"


@pytest.mark.parametrize(("encoding", "shades"), [("utf-8", "█░▒·"), ("ascii", "#.:x")])
def test_bar_by_reason(encoding: str, shades: str) -> None:
    screen = console(120, encoding)
    parts = [("compared", 50.0), ("shape", 20.0), ("missing", 25.0), ("excluded", 3.0), ("dtype", 2.0)]
    show_bar(screen, "Compared", parts, "100 parameters")
    drawn, said = written(screen)
    counts = [drawn.split()[1].count(shade) for shade in shades]
    assert counts == [18, 9, 7, 2] and drawn.endswith(" 50.00% of 100 parameters")
    for text in ("missing 25.00%", "shape 20.00%", "2 other reasons 5.00%"):
        assert text in said


@pytest.mark.parametrize(("amount", "filled"), [(0, 0), (1, 1), (99_999, 9), (100_000, 10)])
def test_bar_is_all_or_nothing_only_if_that_is_so(amount: int, filled: int) -> None:
    assert bar(console(), [("", amount), ("", 100_000 - amount)], 10).plain.count("█") == filled


def test_bar_of_nothing() -> None:
    assert "█" not in bar(console(), [("", 0), ("", 0)]).plain


@pytest.mark.parametrize("view", VIEWS)
def test_views(view: str, tmp_path: Path) -> None:
    make, show = VIEWS[view]
    results = make(tmp_path)
    screen = console()
    show(screen, results, True)
    lines = written(screen)
    assert max(map(len, lines)) <= 80 and not any("\x1b" in line for line in lines)
    strips = [line for line in lines if line[LABEL:] and set(line[LABEL:]) <= set("▁▂▃▄▅▆▇█.-")]
    assert len(strips) >= 2 and any("█" in strip for strip in strips)
    assert any(line.startswith(("Compared  █", "Matched  █", " 1  2 █")) for line in lines)

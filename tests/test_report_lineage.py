"""The family tree on a report page: every model has its row, in a browser too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

import weightkin
from descendants import fresh, mixed, stepped, write
from pages import HOSTILE, columns, data, layers, section
from test_report_browser import Browser, cells, header
from test_report_browser import pytestmark as needs_browser
from weightkin import Results
from weightkin.report import report


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """base with a child and an average, two siblings of an absent parent, and a loner, whose name is markup."""
    base, absent = fresh(0), fresh(1)
    child, sibling = stepped(base, 2), stepped(base, 3)
    states = {
        "base": base, "child": child, "sibling": sibling, "average": mixed([(0.4, child), (0.6, sibling)]),
        **{f"orphan-{seed}": stepped(absent, seed) for seed in (4, 5, 6)}, "loner": fresh(7),
    }  # fmt: skip
    found = weightkin.lineage(write(tmp_path_factory.mktemp("models"), states), null=31, align="none")
    found.summary["lineage"]["nodes"][-2]["name"] = HOSTILE
    return found


@pytest.fixture(scope="module")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report([results], tmp_path_factory.mktemp("pages") / "tree.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.driver.quit()


def test_rows_and_lines(results: Results, page: Path) -> None:
    drawn = section(page, "family")
    nodes = {node["name"]: node for node in drawn["nodes"]}
    assert sorted(node["y"] for node in drawn["nodes"]) == list(range(9))
    assert nodes[HOSTILE]["x"] == 0 and [node["x"] for node in drawn["nodes"]].count(0) == 3
    assert abs(nodes["child"]["x"] - nodes["base"]["x"]) == abs(nodes["sibling"]["x"] - nodes["base"]["x"]) == 1
    assert [node["observed"] for node in drawn["nodes"]].count(False) == 1
    assert len([line for line in drawn["lines"] if line["kind"] == "secondary"]) == 1
    table = columns(section(page, "table", "Edges"))
    assert len(table["a"]) == len(results.summary["lineage"]["edges"]) == 7
    assert any("an average of them" in text for text in table["reasons"])


@needs_browser
def test_drawn_in_a_browser(browser: Browser, page: Path) -> None:
    browser.open(page)
    tree = browser.section("family")
    assert len(tree.find_elements(By.CSS_SELECTOR, ".points path")) == 9
    assert len(tree.find_elements(By.CSS_SELECTOR, ".js-line")) >= 3
    labels = [one.text for one in tree.find_elements(By.CSS_SELECTOR, ".textpoint text")]
    assert any(label.strip().startswith("child") for label in labels) and any("<script>" in label for label in labels)
    says = tree.find_element(By.CSS_SELECTOR, ".chart").get_attribute("aria-label") or ""
    assert "average: derived, finetuned" in says
    edges = browser.section("table", "Edges")
    at, button = header(edges, "away")
    button.click()
    away = [float(cell) for cell in cells(edges, at)]
    assert away == sorted(away, reverse=True) and len(away) == 7
    assert browser.js("return window.hostile") is None and browser.errors() == []
    assert browser.requests().isdisjoint({"http", "https", "ws", "wss"})


@needs_browser
def test_on_a_phone(browser: Browser, page: Path) -> None:
    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.open(page)
    tree = browser.section("family")
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
    assert len(tree.find_elements(By.CSS_SELECTOR, ".points path")) == 9
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_other_results_have_no_tree(tmp_path: Path) -> None:
    page = report([layers(tmp_path)], tmp_path / "page.html")
    assert "family" not in [one["kind"] for one in data(page)[0]]

"""Report pages in a real browser: drawn whole, without errors, without a network, and every control does what it says."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from pages import FORMULA, HOSTILE, LARGE, claimed, compared, course, experts, layers, matrix
from weightkin import Results
from weightkin.report import report

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

pytestmark = pytest.mark.skipif(
    None in (CHROMIUM, DRIVER), reason="needs chromium and chromedriver (apt-get install chromium chromium-driver)"
)

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,900",
)  # fmt: skip
PATIENCE = 30
"""Seconds until something is taken never to happen."""


class Browser:
    def __init__(self, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for switch in (*SWITCHES, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.downloads = folder
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())
        # The first `get` may return when the browser's own first page is there.
        loaded = "return document.readyState === 'complete' && location.protocol === 'file:'"
        self.until(lambda: bool(self.js(loaded)))

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def sections(self) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, ".section")

    def section(self, kind: str, title: str = "") -> WebElement:
        """Drawn, and in view."""
        found = next(
            one
            for one in self.sections()
            if one.get_attribute("data-kind") == kind and one.find_element(By.TAG_NAME, "h2").text.startswith(title)
        )
        self.show(found)
        return found

    def show(self, section: WebElement) -> None:
        self.js("arguments[0].scrollIntoView()", section)
        self.until(lambda: section.get_attribute("data-drawn") == "yes")

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < end
            time.sleep(0.02)

    def choose(self, section: WebElement, label: str, text: str) -> None:
        (select,) = [
            one.find_element(By.TAG_NAME, "select")
            for one in section.find_elements(By.TAG_NAME, "label")
            if one.text.startswith(label)
        ]
        (option,) = [one for one in select.find_elements(By.TAG_NAME, "option") if one.text == text]
        option.click()

    def traces(self, section: WebElement, chart: int = 0) -> list[dict[str, Any]]:
        """What a chart draws: z of heat maps, y of others."""
        script = "return arguments[0].querySelectorAll('.chart')[arguments[1]].data.map(({z, y}) => ({z, y}))"
        found: list[dict[str, Any]] = self.js(script, section, chart)
        return found

    def errors(self) -> list[str]:
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """The schemes of what was asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return {url.split(":")[0] for url in urls}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.driver.quit()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compared(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every command."""
    makers = (matrix, claimed, layers, experts, course)
    others = [make(tmp_path_factory.mktemp(make.__name__)) for make in makers]
    return report([results, *others], tmp_path_factory.mktemp("pages") / "report.html")


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def cells(section: WebElement, column: int) -> list[str]:
    rows = section.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[column].text for row in rows]


def downloaded(file: Path) -> list[dict[str, str]]:
    """Rows of a file, which is removed."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    file.unlink()
    return rows


def header(section: WebElement, title: str) -> tuple[int, WebElement]:
    """Number of the column, and its button."""
    heads = section.find_elements(By.CSS_SELECTOR, "thead th")
    (at,) = [at for at, head in enumerate(heads) if head.text.rstrip(" ▲▼") == title]
    return at, heads[at].find_element(By.TAG_NAME, "button")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_everything_is_drawn(browser: Browser, page: Path, width: int, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.requests()
    browser.open(page)
    kinds = set()
    for section in browser.sections():
        browser.show(section)
        kind = section.get_attribute("data-kind")
        kinds.add(kind)
        charts = section.find_elements(By.CSS_SELECTOR, ".chart")
        assert bool(charts) == (kind != "table") and all(chart.get_attribute("aria-label") for chart in charts)
        for chart in charts:
            assert chart.find_elements(By.CSS_SELECTOR, ".main-svg") and chart.size["height"] > 150
            assert chart.find_elements(By.CSS_SELECTOR, ".hm image, .point, .points path, .js-line"), kind
        assert kind != "table" or section.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert kinds == {
        "groups",
        "table",
        "nulls",
        "roles",
        "norms",
        "gains",
        "blocks",
        "matrix",
        "layers",
        "experts",
        "series",
    }
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    ground = browser.js("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.errors() == []
    assert browser.requests() <= {"file", "data", "blob"}
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_names_do_nothing(opened: Browser) -> None:
    tensors = opened.section("table", "Tensors")
    opened.section("blocks").find_element(By.CSS_SELECTOR, "input").send_keys("hostile", Keys.ENTER)
    opened.until(lambda: HOSTILE in opened.section("blocks").text)
    tensors.find_element(By.CSS_SELECTOR, "input").send_keys("onerror=")
    opened.until(lambda: len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == 1)
    assert HOSTILE in tensors.text
    assert opened.js("return window.hostile") is None and opened.errors() == []


def test_sort(opened: Browser) -> None:
    tensors = opened.section("table", "Tensors")
    at, button = header(tensors, "parameters")
    button.send_keys(Keys.ENTER)  # as from a keyboard: the largest first
    sizes = [int(cell.replace(",", "")) for cell in cells(tensors, at)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == LARGE
    button.send_keys(Keys.ENTER)
    assert [int(cell.replace(",", "")) for cell in cells(tensors, at)] == sizes[::-1]
    heads = tensors.find_elements(By.CSS_SELECTOR, "thead th")
    assert heads[at].get_attribute("aria-sort") == "ascending"
    at, button = header(tensors, "role")
    button.click()
    assert cells(tensors, at) == sorted(cells(tensors, at))


def test_filter_and_download(opened: Browser, results: Results) -> None:
    tensors = opened.section("table", "Tensors")
    box = tensors.find_element(By.CSS_SELECTOR, "input")
    box.send_keys("mlp layer>=1")
    stored = results["tensors"].to_pylist()
    wanted = [row for row in stored if "mlp" in row["role"] and row["layer"] >= 1]
    opened.until(lambda: len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == len(wanted))
    tensors.find_element(By.CSS_SELECTOR, ".download").click()
    file = opened.downloads / "tensors.csv"
    opened.until(file.exists)
    rows = downloaded(file)
    assert [row["name_a"] for row in rows] == [row["name_a"] for row in wanted]
    assert [np.float32(row["pearson"]) for row in rows] == [np.float32(row["pearson"]) for row in wanted]
    box.clear()
    box.send_keys(FORMULA)
    opened.until(lambda: len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == 1)
    tensors.find_element(By.CSS_SELECTOR, ".download").click()
    opened.until(file.exists)
    (row,) = downloaded(file)
    assert row["name_a"] == f"'{FORMULA}"


def test_slider(opened: Browser) -> None:
    section = opened.section("experts")
    slider, said = (section.find_element(By.CSS_SELECTOR, name) for name in ("input[type=range]", "output"))
    before, drawn = said.text, opened.traces(section)[1]["y"]
    slider.send_keys(Keys.ARROW_RIGHT)
    opened.until(lambda: said.text != before)
    assert before.startswith("layer 1 of B") and said.text.startswith("layer 2 of B")
    assert opened.traces(section)[1]["y"] != drawn


def test_gains_of_a_layer(opened: Browser, results: Results) -> None:
    """From the map of all layers to the channels of one, with the keyboard."""
    section = opened.section("gains")
    slider, said = (section.find_element(By.CSS_SELECTOR, name) for name in ("input[type=range]", "output"))
    assert said.text.startswith("norm.input, all 3 layers: Pearson") and len(opened.traces(section)) == 1
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    opened.until(lambda: "norm.input, layer 1:" in said.text)
    channels = opened.js("const {x, y} = arguments[0].querySelector('.chart').data[1]; return [x, y]", section)
    stored = [row["values"] for row in results["gains"].to_pylist() if row["layer"] == 1]
    assert channels == stored
    (row,) = [row for row in results["tensors"].to_pylist() if (row["role"], row["layer"]) == ("norm.input", 1)]
    assert f"Pearson {row['pearson']:.4f}" in said.text and slider.get_attribute("aria-valuetext") == said.text


def test_layers_of_a_role(opened: Browser) -> None:
    """With the map of all matrices drawn in."""
    section = opened.section("layers")
    before = opened.traces(section)
    opened.choose(section, "Roles", "attn.q")
    after = opened.traces(section)
    assert after[0]["z"] != before[0]["z"] and after[1]["y"] == before[1]["y"] == [0, 1, 2, 1, 2, 3]


def test_keyboard(opened: Browser) -> None:
    """Every control of a section can be reached with the tabulator key and has a name."""
    for kind in ("roles", "gains", "table", "blocks", "experts"):
        section = opened.section(kind)
        wanted = section.find_elements(By.CSS_SELECTOR, "select, input, button:not(:disabled), .chart, .scroll")
        wanted = [one for one in wanted if one.is_displayed() and "modebar" not in str(one.get_attribute("class"))]
        assert wanted and all(one.accessible_name for one in wanted)
        opened.js("arguments[0].focus()", wanted[0])
        for one in wanted[1:12]:
            opened.driver.switch_to.active_element.send_keys(Keys.TAB)
            assert opened.driver.switch_to.active_element == one


def test_measures_switch(opened: Browser, results: Results) -> None:
    section = opened.section("roles")
    rows = results["tensors"].to_pylist()
    (wanted,) = [row for row in rows if (row["role"], row["layer"]) == ("mlp.gate", 1)]
    names = {"Pearson": "pearson", "cosine": "cosine", "cosine if uncorrelated": "cosine_if_uncorrelated", "z": "z"}
    for title, name in names.items():
        opened.choose(section, "Measure", title)
        heat = opened.js("return arguments[0].querySelector('.chart').data[0]", section)
        value = heat["customdata"][heat["y"].index("mlp.gate")][heat["x"].index(1)]
        assert np.float32(value) == np.float32(wanted[name])


def test_blocks_of_a_row(opened: Browser) -> None:
    tensors = opened.section("table", "Tensors")
    tensors.find_element(By.CSS_SELECTOR, "input").send_keys("layers.1.self_attn.k_proj")
    opened.until(lambda: len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == 1)
    tensors.find_element(By.CSS_SELECTOR, "td button").click()
    blocks = opened.section("blocks")
    opened.until(lambda: "model.layers.1.self_attn.k_proj.weight: 3 blocks" in blocks.text)
    assert len(opened.traces(blocks)[0]["z"][0]) == 3


def test_statistic_of_a_null(opened: Browser, results: Results) -> None:
    section = opened.section("nulls")
    before = opened.traces(section, 1)
    opened.choose(section, "By", "role")
    opened.choose(section, "Statistic", "mlp.gate")
    after = opened.traces(section, 1)
    assert after != before
    (stored,) = [row for row in results["nulls"].to_pylist() if (row["level"], row["role"]) == ("role", "mlp.gate")]
    assert sum(after[0]["y"]) == len(stored["draws"])


def test_paper(opened: Browser) -> None:
    """Printing draws what had not come into view."""
    waiting = [one for one in opened.sections() if one.get_attribute("data-drawn") != "yes"]
    assert waiting
    printed = base64.b64decode(opened.driver.print_page())
    assert printed.startswith(b"%PDF") and len(printed) > 50_000
    assert not [one for one in opened.sections() if one.get_attribute("data-drawn") != "yes"]
    assert opened.errors() == []


def test_19000_tensors(browser: Browser, results: Results, tmp_path: Path) -> None:
    stored = results["tensors"]
    copies = -(-19_000 // len(stored))
    many = pa.concat_tables([stored] * copies)
    names = pa.array(
        [f"model.layers.{row // 400}.mlp.experts.{row % 400}.gate_proj.weight" for row in range(len(many))]
    )
    for side in ("name_a", "name_b"):
        many = many.set_column(many.schema.get_field_index(side), side, names)
    layer = pa.array([row // 400 for row in range(len(many))], pa.int64())
    many = many.set_column(many.schema.get_field_index("layer"), "layer", layer)
    tables = {name: results[name] for name in results.table_names} | {"tensors": many}
    page = report([Results(results.summary, tables)], tmp_path / "page.html")
    assert page.stat().st_size < 15e6
    browser.open(page)
    tensors = browser.section("table", "Tensors")
    assert f"of {len(many):,} rows" in tensors.text
    assert len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == 50
    tensors.find_element(By.CSS_SELECTOR, "input").send_keys("layers.7.mlp.experts.399.")
    browser.until(lambda: len(tensors.find_elements(By.CSS_SELECTOR, "tbody tr")) == 1)
    assert browser.errors() == []


def test_curves_of_a_training(opened: Browser) -> None:
    section = opened.section("series")
    assert "checkpoint 4: not of this training" in section.text
    titles = {"Pearson to the last checkpoint": (1.0, -1), "length of the step, by the norm before": (None, 0)}
    for title, (value, at) in titles.items():
        opened.choose(section, "Above", title)
        for trace in opened.traces(section):
            assert len(trace["y"]) == 7 and trace["y"][at] == (value if value is None else pytest.approx(value))
    axis = "return arguments[0].querySelector('.chart').data[0].x"
    opened.choose(section, "Along", "checkpoints")
    assert opened.js(axis, section) == [1, 2, 3, 4, 5, 6, 7]
    opened.choose(section, "Along", "training steps")
    assert opened.js(axis, section) == [0, 1, 2, 3, 4, 5, 6]
    assert opened.errors() == []

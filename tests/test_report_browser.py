"""The report in a real browser, over its debugging pipe: it must load in silence, alone, and fit a phone."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from diabolo import AnomalyDetector, Clusterer, Embedder, Synthesizer, report
from diabolo.tasks.task import Task

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "about:blank"),
)
PHONE, DESK = (390, 844), (1280, 900)
PATIENCE = 60  # seconds for an answer of the browser


class Browser:
    """A headless browser that is spoken to in JSON, each message ended by a zero byte."""

    def __init__(self, program: str, profile: Path) -> None:
        heard, self.write = high_pipe()
        self.read, spoken = high_pipe()
        start = f"import os, sys; os.dup2({heard}, 3); os.dup2({spoken}, 4); os.execvp(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", start, program, *FLAGS[:-1], f"--user-data-dir={profile}", FLAGS[-1]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(heard, spoken), **quiet)
        os.close(heard)
        os.close(spoken)
        self.rest, self.number, self.session = b"", 0, None
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        os.close(self.write)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)

    def open_tab(self) -> str:
        """Speak to a new tab from now on, and hear of everything in it."""
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return target

    def close_tab(self, target: str) -> None:
        self.session = None
        self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers; what it tells meanwhile is kept in ``events``."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while (answer := self.hear()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def hear(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser says nothing"
            part = os.read(self.read, 1 << 20)
            assert part, "the browser has gone"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def visit(self, page: Path, size: tuple[int, int]) -> None:
        """Load the page afresh in a window of this size, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self.hear())

    def told(self, *methods: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("method") in methods]

    def run(self, script: str) -> Any:
        """The value of a script on the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


def high_pipe() -> tuple[int, int]:
    """A pipe whose ends are not among the first ten file descriptors, where the browser looks for its own."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in low)
    for end in low:
        os.close(end)
    return high  # type: ignore[return-value]


@pytest.fixture(scope="module")
def program_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def browser(program_running: Browser) -> Iterator[Browser]:
    """A fresh tab: what one test emulates, no other meets."""
    tab = program_running.open_tab()
    yield program_running
    program_running.close_tab(tab)


def rows() -> pa.Table:
    """Hostile and very long names, ids, categories, gaps and labels."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))
    names = ["pressure", "a_very_long_name_of_a_column_" * 3, "x" * 70, "<script>alert(1)</script>", "flow", "level"]
    table = pa.table({name: pa.array(each, mask=each > 6) for name, each in zip(names, values.T, strict=True)})
    table = table.append_column("pump", pa.array(rng.choice(["north", "south"], 500)))
    table = table.append_column("id", pa.array([f"reading-{row:06d}-of-a-long-identifier" for row in range(500)]))
    return table.append_column("kind", pa.array(np.where(values[:, 0] > 0, "<b>high</b>", "low")))


TASKS: dict[str, Callable[[], Task]] = {
    "detector": lambda: AnomalyDetector("Linear", random_state=0, ignore=("kind",)),
    "embedder": lambda: Embedder("Linear", random_state=0, ignore=("kind",)),
    "clusterer": lambda: Clusterer("Linear", clusters=12, random_state=0, ignore=("kind",)),
    "synthesizer": lambda: Synthesizer("Linear", random_state=0),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each task with much in it, and of images."""
    folder, table = tmp_path_factory.mktemp("pages"), rows()
    strange = table.slice(0, 40).set_column(4, "flow", pa.array(np.full(40, 60.0)))
    for kind, task in TASKS.items():
        data = pa.concat_tables([table, strange]) if kind == "detector" else table
        labels = "kind" if kind in ("embedder", "clusterer") else None
        report.write(task().fit(table), data, folder / f"{kind}.html", labels=labels)
        if kind != "detector":
            images = np.random.default_rng(0).normal(size=(90, 2, 8, 8)).cumsum(3)
            report.write(task().set_params(ignore=()).fit(images), images, folder / f"{kind}-images.html")
    return {path.stem: path for path in folder.glob("*.html")}


KINDS = [*TASKS, *(f"{kind}-images" for kind in TASKS if kind != "detector")]


@pytest.fixture(params=KINDS)
def any_page(pages: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return pages[request.param]


@pytest.fixture
def page(pages: dict[str, Path]) -> Path:
    return pages["detector"]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_loads_in_silence_and_alone(browser: Browser, any_page: Path, size: tuple[int, int]) -> None:
    browser.visit(any_page, size)
    asked = {event["params"]["request"]["url"] for event in browser.told("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {any_page.as_uri()}
    assert not browser.told("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


@pytest.mark.parametrize("size", [PHONE, (320, 640), DESK], ids=["phone", "small phone", "desk"])
def test_nothing_is_wider_than_the_window(browser: Browser, any_page: Path, size: tuple[int, int]) -> None:
    browser.visit(any_page, size)
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    assert browser.run("document.body.scrollWidth") <= size[0]


@pytest.mark.parametrize(("size", "shown"), [(PHONE, "narrow"), (DESK, "wide")], ids=["phone", "desk"])
def test_charts_fit_the_window(browser: Browser, any_page: Path, size: tuple[int, int], shown: str) -> None:
    browser.visit(any_page, size)
    visible = browser.run(
        "[...document.querySelectorAll('svg.chart')].filter((each) => each.getBoundingClientRect().width > 0)"
        ".map((each) => each.classList[1])"
    )
    assert len(visible) >= 2
    assert set(visible) == {shown}
    letters = browser.run(
        "[...document.querySelectorAll('svg.chart text')].map((each) => each.getBoundingClientRect().height)"
        ".filter((height) => height > 0)"
    )
    assert min(letters) >= 10  # pixels


def test_key_texts_are_on_the_page(browser: Browser, page: Path) -> None:
    browser.visit(page, DESK)
    text = browser.run("document.body.innerText")
    for words in (
        "of 540 rows stand out",
        "The strangest rows, and why",
        "normal here",
        "Is a deep model worth it here?",
    ):
        assert words in text
    for words in (
        "What it cannot see",
        "reads nothing of the columns set aside: id, kind",
        "<script>alert(1)</script>",
    ):
        assert words in text


def test_labels_of_charts_do_not_touch(browser: Browser, any_page: Path) -> None:
    """Ticks of one axis stand apart, at both sizes."""
    for size in (PHONE, DESK):
        browser.visit(any_page, size)
        assert not browser.run(
            """[...document.querySelectorAll('svg.chart')].flatMap((chart) => {
              const boxes = [...chart.querySelectorAll('.tick')].map((each) => each.getBoundingClientRect())
                .filter((box) => box.width > 0);
              return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
                a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom));
            }).length"""
        )


def test_a_click_sorts_a_table(browser: Browser, page: Path) -> None:
    browser.visit(page, DESK)
    column = "[...document.querySelectorAll('#columns tbody tr')].map((row) => row.cells[0].textContent)"
    before = browser.run(column)
    browser.run("document.querySelector('#columns th button').click()")
    falling = browser.run(column)
    browser.run("document.querySelector('#columns th button').click()")
    assert browser.run(column) == falling[::-1]
    assert falling != before
    assert sorted(falling) == sorted(before)


def test_figures_are_sorted_as_figures(browser: Browser, page: Path) -> None:
    browser.visit(page, DESK)
    browser.run("document.querySelectorAll('#blame th button')[3].click()")
    nats = browser.run("[...document.querySelectorAll('#blame tbody tr')].map((row) => row.cells[3].textContent)")
    shown = [float(text.replace(",", "")) for text in nats]
    assert shown == sorted(shown, reverse=True)


def test_a_spot_on_the_map_opens_its_row(browser: Browser, page: Path) -> None:
    browser.visit(page, DESK)
    row = browser.run("document.querySelectorAll('details.row')[9].id")
    assert not browser.run(f"document.getElementById('{row}').open")
    browser.run(f"location.hash = '{row}'; new Promise((done) => setTimeout(done, 50))")
    assert browser.run(f"dispatchEvent(new HashChangeEvent('hashchange')); document.getElementById('{row}').open")
    assert browser.run(f"document.querySelector('svg.wide a[href=\"#{row}\"]') !== null")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(browser: Browser, any_page: Path, scheme: str) -> None:
    """The contrast of the main and the soft text is at least 4.5 (WCAG 2.2, AA), in light and in dark."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.visit(any_page, DESK)
    paper = luminance(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    elements = ("h1", ".lead", ".note", "th", ".score b", "figcaption")
    for element in filter(lambda each: browser.run(f"document.querySelector('{each}') !== null"), elements):
        ink = luminance(browser.run(f"getComputedStyle(document.querySelector('{element}')).color"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """The relative luminance of rgb(r, g, b)."""
    parts = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_prints_with_every_row_open(browser: Browser, page: Path) -> None:
    browser.visit(page, DESK)
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = browser.run(
        "[...document.querySelectorAll('details .reasons')].filter((each) => !each.offsetHeight).length"
    )
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert hidden == 0
    assert luminance(paper) == pytest.approx(1)
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")


def test_reads_the_same_without_script(browser: Browser, any_page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.visit(any_page, PHONE)
    assert browser.run("document.querySelectorAll('th button').length") == 0
    assert "Is a deep model worth it here?" in browser.run("document.body.innerText")

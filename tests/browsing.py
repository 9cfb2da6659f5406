"""The review pages in headless Chromium: what the tests of them share."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from conftest import Command
from make_records import Rows
from make_results import Made, make_results

HURRY = "addEventListener('DOMContentLoaded', () => { if (typeof Pace !== 'undefined') Pace.least_ms = 0; });"
PATIENCE_MS = 60_000  # on a machine that does other work too
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page on which tests may decide faster than people can look."""
    for opened in _opened(browser):
        opened.context.add_init_script(HURRY)
        yield opened


@pytest.fixture
def unhurried(browser: Browser) -> Iterator[Page]:
    """Yield a page as people have it."""
    yield from _opened(browser)


def _opened(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: problems.extend(_foreign(request.url)))
    yield opened
    context.close()
    assert problems == []


def _foreign(address: str) -> list[str]:
    return [] if address.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")) else [f"asked for {address}"]


def pages_of(secondlook: Command, folder: Path, objects: Rows, **other: Any) -> Made:
    options = {"random_fraction": 0.0, "near_duplicate_bits": None, **other.pop("options", {})}
    made = make_results(folder, objects, **other)
    result = secondlook("review", made.results, "--options", json.dumps(options))
    assert result.code == 0, result.err
    return made


def open_page(page: Page, made: Made, name: str = "batch-001") -> None:
    """Open a page as `ann`."""
    page.goto(f"file://{made.results}/review/{name}.html")
    begun(page)
    if not page.input_value("#reviewer"):
        page.fill("#reviewer", "ann")
        page.press("#reviewer", "Enter")


def begun(page: Page) -> None:
    """Wait until a page that was loaded shows itself, which is when the browser's store may be asked."""
    page.wait_for_selector("body:not([aria-busy])")


def whole(page: Page) -> None:
    """Wait until a wall has all its cells, which come in parts where its size changes, and the names of the others."""
    page.evaluate("""async () => {
        const frame = () => new Promise(requestAnimationFrame), grid = document.getElementById("grid");
        const isListed = () => document.getElementById("wall-class").options.length;
        const isWhole = () => grid.getAttribute("aria-busy") === "false" && grid.querySelector(".cell") && isListed();
        for (let frames = 0; frames < 3; frames = isWhole() ? frames + 1 : 0) await frame();
    }""")


def counts(page: Page, text: str) -> None:
    """Wait until the page counts so many decisions: after a reload a busy browser may know of them late."""
    page.wait_for_function("(text) => document.getElementById('count').textContent === text", arg=text)


def downloaded(page: Page) -> Rows:
    with page.expect_download() as waiting:
        page.click("#download")
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def labels(page: Page) -> dict[str, str]:
    return {row["instance_id"]: row["label"] for row in downloaded(page)}


def open_page_at(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#reviewer", "ann")
    page.press("#reviewer", "Enter")


HOSTILE = [
    "</script><script>window.broken=1</script>",
    '"><img src=x onerror="window.broken=1">',
    "停止, 'stop' & {{ 7*7 }}",
]
OBJECTS: Rows = [
    {"given": "stop", "label": "yield", "p": 0.6},
    {"given": "stop", "label": "stop", "p": 0.85},
    {"given": "turn", "label": "yield", "p": 0.8},
    {"given": "yield", "label": "yield", "p": 0.95},
]

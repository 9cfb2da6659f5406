"""Takes the screenshots of the docs from a finished demo: `python docs/screenshots.py [FOLDER]`.

With FOLDER every view is taken there in 1280x800 and 2560x1440, light and dark, to be looked at; without it only those
of the docs, next to this file.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "demo_signs"
SIZES = ((1280, 800), (2560, 1440))
OF_DOCS = {"wall": "light", "single": "dark", "desk": "light"}  # with which colours the docs show them, at 1280x800
REPORT_SIZE = (952, 1200)
SETTLED_MS = 3000


@contextmanager
def desk() -> Iterator[str]:
    """Serve the demo, with decisions in a folder that goes away, and yield the address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "secondlook", "review", str(RESULTS), "--serve", "--port", "0"]
        command += ["--options", json.dumps({"decisions": folder})]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
            line = next(line for line in process.stderr or () if "http://" in line)
            try:
                yield re.findall(r"http://\S+", line)[0]
            finally:
                process.send_signal(signal.SIGINT)


def wall(page: Page, address: str) -> None:
    """Show a wall with marked crops, one of them with a class."""
    page.goto(f"{address}review.html#wall")
    page.wait_for_selector(".cell")
    page.wait_for_timeout(SETTLED_MS)
    page.click('.cell[data-index="3"]')
    page.keyboard.press("4")
    for index in (9, 14):
        page.click(f'.cell[data-index="{index}"]')
    page.wait_for_timeout(SETTLED_MS)  # until the message about the last mark is gone


def single(page: Page, address: str) -> None:
    """Show an object whose given label is contradicted."""
    page.goto(f"{address}review.html#single")
    page.wait_for_selector("#alike-rows img")
    while page.inner_text("#given") == page.inner_text("#proposal"):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(SETTLED_MS)


def index(page: Page, address: str) -> None:
    """Show the desk."""
    page.goto(address)
    page.wait_for_selector("#walls a")


VIEWS = {"wall": wall, "single": single, "desk": index}


def take(browser: Browser, address: str, size: tuple[int, int], colours: str, files: dict[str, Path]) -> None:
    """Write the views to `files` by name."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=colours)  # type: ignore[arg-type]
    context.add_init_script("localStorage.setItem('secondlook:reviewer', 'ann')")
    for name, path in files.items():
        page = context.new_page()
        VIEWS[name](page, address)
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=path)
        page.close()
    context.close()


def take_report(browser: Browser, path: Path) -> None:
    """Write the top of the report."""
    page = browser.new_page(viewport={"width": REPORT_SIZE[0], "height": REPORT_SIZE[1]}, color_scheme="light")
    page.goto((RESULTS / "report" / "report.html").as_uri())
    page.screenshot(path=path)
    page.close()


def shrink(path: Path) -> None:
    """Write a screenshot anew with 256 colours, in about half of the bytes."""
    image = Image.open(path).convert("RGB")
    image.quantize(palette=image.quantize(), dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def main() -> None:
    """Take the screenshots."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with desk() as address, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size in SIZES if folder else SIZES[:1]:
            for colours in ("light", "dark"):
                if folder:
                    files = {name: folder / f"{name}_{size[0]}_{colours}.png" for name in VIEWS}
                else:
                    files = {name: HERE / f"review_{name}.png" for name, own in OF_DOCS.items() if own == colours}
                take(browser, address, size, colours, files)
        if not folder:
            take_report(browser, HERE / "report.png")
            for path in (HERE / "report.png", *(HERE / f"review_{name}.png" for name in OF_DOCS)):
                shrink(path)


if __name__ == "__main__":
    main()

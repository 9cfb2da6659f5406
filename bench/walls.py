"""How long a person takes to find and correct the errors of the demo on walls, and one by one.

The person works at the desk (`secondlook review --serve`) in a browser, and is simulated: a single look takes 1.5 s; on
a wall each crop takes 0.25 s and each marked one 1 s more. Wrong proposals pass unseen: 2 % in single looks, 5 % on a
wall. On walls the person looks at the most doubtful objects first, then at as many of the random sample as the
guarantee needs, then at the rest; one by one the page mixes them. An error is a given label that was made wrong; it is
found once it has its true label.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import requests
from playwright.sync_api import Page, ViewportSize, sync_playwright

import common
from common import ROOT, run, skip

SINGLE_S, SCAN_S, MARK_S = 1.5, 0.25, 1.0
PASSES = {"single": 0.02, "wall": 0.05}  # shares of wrong proposals that the person lets pass
ENOUGH = 0.9  # of the errors
QUARTER = 0.25
FRONT = 200  # objects: the most doubtful ones, before the random sample
WINDOW: ViewportSize = {"width": 1280, "height": 800}
SHOWN_MS, SETTLED_MS = 60_000, 300
NO_WAIT = "Pace.least_ms = 0;"  # a look is counted in person.spend and takes no time here
CELLS = '[...document.querySelectorAll(".cell")].map((cell) => [cell.dataset.id, cell.dataset.proposal])'


@dataclass
class Person:
    """What a person knows by looking, how long they have worked, and what they have found."""

    view: str
    truth: Mapping[str, str]
    errors: frozenset[str]
    seconds: float = 0.0
    looked: int = 0
    marked: int = 0
    passed: int = 0
    found: int = 0
    enough_s: float | None = None
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def label(self, name: str, proposal: str) -> str:
        """Return what the person says of an object whose proposal they are shown."""
        label, self.looked = self.truth[name], self.looked + 1
        if label != proposal and self.chance.random() < PASSES[self.view]:
            label, self.passed = proposal, self.passed + 1
        self.marked += label != proposal
        self.found += name in self.errors and label == self.truth[name]
        return label

    def spend(self, seconds: float) -> None:
        """Let time pass, and note when enough is found."""
        self.seconds += seconds
        if self.enough_s is None and self.found >= ENOUGH * len(self.errors):
            self.enough_s = self.seconds


def main() -> None:
    """Run the demo, let both persons work on it, and print their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, help="of the demo; by default as many as it has")
    parser.add_argument("--results", type=Path, help="of a demo that ran; by default it runs first")
    args = common.arguments(parser, scenes=8)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        skip("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        results = (args.results or demo(Path(folder), args.scenes)).resolve()
        persons = [worked(Path(folder), results, view, chromium) for view in ("single", "wall")]
    for one in persons:
        reached = "never" if one.enough_s is None else f"after {one.enough_s:.0f} s"
        print(
            f"{one.view:6s}  {ENOUGH:.0%} of {len(one.errors)} errors {reached}; in all {one.seconds:.0f} s, "
            f"{one.looked} looks, {one.marked} classes chosen, {one.found} errors corrected, {one.passed} wrong "
            "proposals passed over"
        )
    single, wall = (one.enough_s or one.seconds for one in persons)
    print(
        f"result: wall_time {wall / single:.3f} of the time of single looks for {ENOUGH:.0%} of the errors, at most "
        f"{QUARTER}"
    )


def demo(folder: Path, scenes: int | None) -> Path:
    """Run the demo in a project of its own and return its results."""
    secondlook = [sys.executable, "-m", "secondlook"]
    run([*secondlook, "init", folder / "project"])
    small = [] if scenes is None else ["--", "--configfile", ROOT / "tests" / "mini.yaml"]
    run([*secondlook, "run", "demo", *small], cwd=folder / "project")
    return folder / "project" / "results" / "demo_signs"


def worked(folder: Path, results: Path, view: str, chromium: str) -> Person:
    """Let a person decide on every object of the queue, and return them."""
    rows = pq.read_table(
        results / "ingest" / "instances.parquet", columns=["instance_id", "given", "truth"]
    ).to_pylist()
    queued = set(
        pq.read_table(results / "review" / "queue.parquet", columns=["instance_id"])["instance_id"].to_pylist()
    )
    truth = {row["instance_id"]: row["truth"] for row in rows}
    errors = frozenset(row["instance_id"] for row in rows if row["given"] != row["truth"]) & queued
    person = Person(view, truth, frozenset(errors))
    with served(results, folder / view) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=WINDOW)
        page.add_init_script(f"localStorage.setItem('secondlook:reviewer', '{view}')")
        page.add_init_script(f"addEventListener('DOMContentLoaded', () => {{ {NO_WAIT} }});")
        if view == "single":
            page.goto(f"{address}review.html#single")
            look_one_by_one(page, person)
        else:
            needed = requests.get(f"{address}state?reviewer=", timeout=60).json()["guarantee"]["needs"]["random"]
            for part, most in (("wall", FRONT), ("random", needed), ("wall", len(truth))):
                page.goto(f"{address}review.html#{part}")
                page.reload()  # a change of the part alone loads nothing
                look_at_walls(page, person, most)
    return person


@contextmanager
def served(results: Path, decisions: Path) -> Iterator[str]:
    """Serve the desk and yield its address."""
    options = json.dumps({"decisions": str(decisions), "batch_size": FRONT})
    command = [sys.executable, "-m", "secondlook", "review", str(results), "--serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--options", options], stderr=subprocess.PIPE, text=True, cwd=results.parents[1]
    ) as process:
        line = next(line for line in process.stderr or () if "http://" in line)
        try:
            yield re.findall(r"http://\S+", line)[0]
        finally:
            process.send_signal(signal.SIGINT)


def look_one_by_one(page: Page, person: Person) -> None:
    """Decide on one object after the other until none is left."""
    classes = page.evaluate("JSON.parse(document.getElementById('data').textContent).classes")
    before = ""
    while name := next_single(page, before):
        proposal = page.inner_text("#proposal")
        label = person.label(name, proposal)
        person.spend(SINGLE_S)
        if label == proposal:
            page.keyboard.press("Enter")
        else:
            page.click(f'#classes button[data-class="{classes.index(label)}"]')
        before = name


def next_single(page: Page, before: str) -> str:
    """Return the id of the next object in the single view, empty once nothing is left."""
    shown = page.wait_for_function(
        """before => {
          const isOver = document.getElementById("message").textContent === Words.nothingLeft;
          const name = document.getElementById("main").dataset.id;
          return isOver ? [""] : name && name !== before ? [name] : null;
        }""",
        arg=before,
        timeout=SHOWN_MS,
    )
    return str(shown.json_value()[0])


def look_at_walls(page: Page, person: Person, most: int) -> None:
    """Mark what is wrong on each screen, give it its class, and accept the rest; stop after `most` objects."""
    stop = person.looked + most
    classes = page.evaluate("JSON.parse(document.getElementById('data').textContent).classes")
    before: list[list[str]] = []
    while person.looked < stop and (cells := next_screen(page, before)):
        for name, proposal in cells:
            label = person.label(name, proposal)
            person.spend(SCAN_S)
            if label != proposal:
                page.click(f'.cell[data-id="{name}"]')
                page.click(f'#wall-classes button[data-class="{classes.index(label)}"]')
                person.spend(MARK_S)
        page.keyboard.press("Enter")
        before = cells


def next_screen(page: Page, before: list[list[str]]) -> list[list[str]]:
    """Return ids and proposals on the next screen, in order; none once no wall is left."""
    is_new = "(cells, before) => cells.length ? cells[0][0] !== before : !document.getElementById('no-wall').hidden"
    shown = page.wait_for_function(
        f"before => (({is_new})({CELLS}, before) ? {CELLS} : null)",
        arg=before[0][0] if before else "",
        timeout=SHOWN_MS,
    )
    cells: list[list[str]] = shown.json_value()
    page.wait_for_timeout(SETTLED_MS)  # crops that do not fit go back to the next screen
    return cells if cells == page.evaluate(CELLS) or not cells else next_screen(page, before)


if __name__ == "__main__":
    main()

"""The desk in headless Chromium with a real server: several people, kills, a full disk, and what counts down."""

import csv
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from test_review import Served

from browsing import CHROMIUM, HURRY, begun, whole
from conftest import Command
from make_records import Rows
from make_results import Made, make_results
from secondlook.stages.review.desk.desk import CLAIMS

pytest_plugins = ["browsing"]
LABELS = ["stop", "yield", "turn"]
OBJECTS: Rows = [{"given": "stop", "label": LABELS[number % 3], "p": 0.5 + number / 200} for number in range(60)]


class Office:
    """A server of a results folder that can be killed and started again at its address."""

    def __init__(self, made: Made, decisions: Path) -> None:
        self.made, self.decisions = made, decisions
        self.served = Served(made, decisions)
        self.address = self.served.address

    def kill(self) -> None:
        self.served.process.kill()
        self.served.process.communicate()

    def restart(self) -> None:
        self.served = Served(self.made, self.decisions)
        assert self.served.address == self.address, "open pages go on"

    def rows(self) -> Rows:
        """Return every saved row."""
        found: Rows = []
        for path in sorted((self.decisions / "results").glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                found += list(csv.DictReader(file))
        return found


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    running = Office(make_results(tmp_path, OBJECTS), tmp_path / "decisions")
    yield running
    running.kill()


def sit_down(page: Page, office: Office, view: str, name: str = "ann") -> None:
    """Open a view of the desk as somebody."""
    page.add_init_script(HURRY)
    page.add_init_script(f"localStorage.setItem('secondlook:reviewer', '{name}')")
    page.add_init_script("localStorage.setItem('secondlook:settings', '{\"size\": 160}')")  # few at a time
    page.goto(f"{office.address}review.html#{view}")
    if view in {"wall", "random"}:
        whole(page)
    else:
        page.wait_for_selector("#main[data-id]")


def shown(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(".cell", "cells => cells.map((cell) => cell.dataset.id)")
    return found


def said(page: Page, text: str) -> None:
    """Wait until the page says how saving goes."""
    page.wait_for_function("(text) => document.getElementById('saved').textContent.startsWith(text)", arg=text)


def all_saved(page: Page) -> None:
    page.wait_for_function("!Outbox.count() && document.getElementById('saved').textContent === 'saved'")


def next_screen(page: Page) -> None:
    before = shown(page)[0]
    page.keyboard.press("Enter")
    page.wait_for_function("(before) => document.querySelector('.cell')?.dataset.id !== before", arg=before)
    whole(page)


def test_the_desk_asks_for_a_name_and_begins(office: Office, page: Page) -> None:
    page.goto(office.address + "review.html#wall")
    page.wait_for_selector("#need-name", state="visible")
    assert page.evaluate("document.activeElement.id") == "reviewer"
    page.keyboard.type("ann")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cell")
    assert page.inner_text("#asked").startswith("Are these all: ")


def test_a_screen_of_the_wall_is_saved_as_rows(office: Office, page: Page) -> None:
    sit_down(page, office, "wall")
    first = shown(page)
    page.keyboard.press("Space")
    page.keyboard.press("x")
    next_screen(page)
    all_saved(page)
    rows = {row["instance_id"]: row for row in office.rows()}
    assert list(rows) == first
    assert {row["view"] for row in rows.values()} == {"wall"}
    assert {row["sample"] for row in rows.values()} == {"queue"}
    assert [row["label"] for row in rows.values()].count("") == 1
    page.keyboard.press("u")
    page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id === id", arg=first[0])
    all_saved(page)
    assert Counter(row["note"] for row in office.rows()) == {"": len(first), "undone": len(first)}


def test_undo_works_after_a_reload_at_the_desk(office: Office, page: Page) -> None:
    page.set_viewport_size({"width": 700, "height": 600})
    sit_down(page, office, "wall")
    first = shown(page)
    page.keyboard.press("Space")
    page.keyboard.press("x")
    next_screen(page)
    second = shown(page)
    next_screen(page)
    all_saved(page)
    page.goto(office.address)
    page.goto(office.address + "review.html#single")
    page.wait_for_selector("#main[data-id]")
    for screen, left in ((second, len(first)), (first, 0)):
        page.keyboard.press("u")
        page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id === id", arg=screen[0])
        assert shown(page)[: len(screen)] == screen  # a short one is filled up
        all_saved(page)
        undone = {row["instance_id"] for row in office.rows() if row["note"] == "undone"}
        assert len(first) + len(second) - len(undone) == left
    assert page.get_attribute("#cell-0", "aria-label").endswith("cannot tell")
    page.keyboard.press("u")
    page.wait_for_function("document.getElementById('message').textContent === 'There is nothing to undo.'")
    next_screen(page)
    page.keyboard.press("u")
    page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id === id", arg=first[0])


def test_what_somebody_undoes_stays_theirs(office: Office, browser: Browser, page: Page) -> None:
    page.set_viewport_size({"width": 700, "height": 600})
    sit_down(page, office, "wall")
    first = shown(page)
    next_screen(page)
    page.keyboard.press("u")
    page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id === id", arg=first[0])
    all_saved(page)
    other = browser.new_context()
    bob = other.new_page()
    sit_down(bob, office, "wall", "bob")
    assert not set(shown(bob)) & set(first)
    other.close()


def test_the_bar_counts_what_all_have_decided(office: Office, page: Page) -> None:
    sit_down(page, office, "single")
    page.wait_for_selector("#desk", state="visible")
    assert page.inner_text("#decided-all") == "0 of 60 decided"
    assert "to people as it stands" in page.inner_text("#to-people")
    assert page.inner_text("#countdown")
    for _ in range(15):
        before = page.get_attribute("#main", "data-id")
        page.keyboard.press("Enter")
        page.wait_for_function("(id) => document.getElementById('main').dataset.id !== id", arg=before)
    page.wait_for_function("document.getElementById('decided-all').textContent === '15 of 60 decided'")
    assert "ann 15" in page.inner_text("#people")
    assert page.inner_text("#count") == "15 today"
    assert len(office.rows()) == len({row["instance_id"] for row in office.rows()}) == 15


def test_the_index_becomes_the_desk(office: Office, page: Page) -> None:
    sit_down(page, office, "single")
    page.goto(office.address)
    page.wait_for_selector("#live", state="visible")
    page.wait_for_selector("#walls a")
    assert page.inner_text("#decided-all") == "0 of 60 decided"
    assert "ann" in page.inner_text("#people")
    name = page.inner_text("#walls a:first-child b")
    page.click("#walls a:first-child")
    page.wait_for_selector(".cell")
    assert page.inner_text("#asked") == f"Are these all: {name}?"


def test_on_disk_the_index_says_nothing_of_a_desk(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = make_results(tmp_path, OBJECTS)
    assert secondlook("review", made.results).code == 0
    page.goto(f"file://{made.results}/review/index.html")
    begun(page)
    assert not page.is_visible("#live")


def test_who_is_contradicted_sees_the_object_again(office: Office, page: Page) -> None:
    sit_down(page, office, "single")
    first = page.get_attribute("#main", "data-id")
    page.keyboard.press("Enter")
    all_saved(page)
    (own,) = office.rows()
    label = next(name for name in ("stop", "yield", "turn") if name != own["label"])
    later = {**own, "reviewer": "bob", "label": label, "decided_at": "2026-01-02T00:00:00Z"}
    assert office.served.post(later) == 200
    office.served.state()  # merged
    for _ in range(40):
        before = page.get_attribute("#main", "data-id")
        if before == first:
            break
        page.keyboard.press("Enter")
        page.wait_for_function("(id) => document.getElementById('main').dataset.id !== id", arg=before)
    assert before == first
    page.wait_for_function("document.getElementById('reason').textContent.endsWith('people differ')")


VIEWS: list[Any] = [pytest.param("wall", id="wall"), pytest.param("random", id="random wall")]


@pytest.mark.parametrize("view", VIEWS)
def test_two_people_never_see_the_same_objects(office: Office, browser: Browser, page: Page, view: str) -> None:
    page.set_viewport_size({"width": 700, "height": 600})
    sit_down(page, office, view)
    other = browser.new_context(viewport={"width": 700, "height": 600})
    bob = other.new_page()
    sit_down(bob, office, view, "bob")
    assert shown(page)
    assert not set(shown(page)) & set(shown(bob))
    bob.wait_for_function("document.getElementById('people').textContent.includes('ann')")
    left = set(shown(bob))
    bob.goto("about:blank")
    journal = office.decisions / "results" / CLAIMS
    while '"do": "release", "person": "bob"' not in journal.read_text(encoding="utf-8"):
        page.wait_for_timeout(50)  # a browser that ends at once does not tell that its page was left
    other.close()
    while not left <= {*shown(page), *(row["instance_id"] for row in office.rows())}:  # free for others
        next_screen(page)


def test_two_tabs_of_one_person_show_other_objects(office: Office, page: Page) -> None:
    page.set_viewport_size({"width": 700, "height": 600})
    sit_down(page, office, "wall")
    first, copied = shown(page), page.evaluate("JSON.stringify(Object.entries(sessionStorage))")
    other = page.context.new_page()
    other.set_viewport_size({"width": 700, "height": 600})
    duplicate = (
        f"if (!window.name) for (const [key, text] of {copied}) sessionStorage.setItem(key, text); window.name = 'two'"
    )
    other.add_init_script(duplicate)  # as a browser does where a tab is duplicated
    sit_down(other, office, "wall")
    second = shown(other)
    assert first
    assert not set(first) & set(second)
    other.reload()
    whole(other)
    assert shown(other) == second, "a page that is loaded again is the same tab"
    other.close()
    answer = office.served.claim("bob", count=200)
    assert not set(first) & {card["id"] for card in answer}, "what the first tab shows is still its own"
    assert page.evaluate("sessionStorage.length") == 0, "nothing that a duplicate of this tab could copy"


def test_the_random_wall_and_the_single_view_have_one_order_at_the_desk(office: Office, page: Page) -> None:
    sit_down(page, office, "random")
    on_wall = shown(page)
    page.evaluate("location.hash = 'single-random'")
    page.wait_for_selector("#main[data-id]")
    one_by_one = []
    for _ in on_wall[:25]:
        page.wait_for_function("(seen) => !seen.includes(document.getElementById('main').dataset.id)", arg=one_by_one)
        one_by_one.append(page.get_attribute("#main", "data-id"))
        page.keyboard.press("Enter")
    assert one_by_one == on_wall[:25]


def test_nothing_is_lost_when_the_server_is_killed(office: Office, page: Page) -> None:
    page.set_viewport_size({"width": 900, "height": 560})
    sit_down(page, office, "wall")
    first = shown(page)
    office.kill()
    page.keyboard.press("Enter")
    said(page, f"not saved ({len(first)}): the server does not answer")
    office.restart()
    all_saved(page)
    assert [row["instance_id"] for row in office.rows()] == first
    page.wait_for_function(
        "(id) => ![undefined, id].includes(document.querySelector('.cell')?.dataset.id)", arg=first[0]
    )
    next_screen(page)
    all_saved(page)
    assert len({row["instance_id"] for row in office.rows()}) == len(office.rows()) > len(first)


@pytest.mark.slow
def test_waiting_decisions_are_sent_once_the_server_is_back(office: Office, page: Page) -> None:
    sit_down(page, office, "wall")
    office.kill()
    page.keyboard.press("Enter")
    said(page, "not saved")
    page.wait_for_timeout(8000)  # by now it is tried again only after seconds
    office.restart()
    page.wait_for_function("!document.getElementById('offline').textContent")
    page.wait_for_function("!Outbox.count()", timeout=4000)  # not by the next trial


def slow(page: Page, address: str, ms: int) -> None:
    """Have the page send its requests to an address late."""
    page.evaluate(
        """([address, ms]) => { const send = window.fetch; window.fetch = async (where, options) => {
        if (where === address) await new Promise((go) => setTimeout(go, ms));
        return send(where, options); }; }""",
        [address, ms],
    )


def rename(page: Page, name: str) -> None:
    page.fill("#reviewer", name)
    page.press("#reviewer", "Enter")


def held_by(office: Office, name: str) -> set[str]:
    """Return what the journal of claims says that somebody holds."""
    held: set[str] = set()
    for line in (office.decisions / "results" / CLAIMS).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("person") == name:
            held = held | {*entry["names"]} if entry["do"] == "claim" else held - {*entry.get("names", ())}
    return held


def test_who_takes_another_name_gives_back_what_the_old_name_held(office: Office, page: Page) -> None:
    sit_down(page, office, "random")
    first = shown(page)
    next_screen(page)
    all_saved(page)
    page.wait_for_timeout(300)  # the next screen is claimed ahead
    held = shown(page)
    slow(page, "release", 1000)
    with page.expect_response("**/claim") as claim:
        rename(page, "eve")
    assert [card["id"] for card in claim.value.json()["cards"]][: len(held)] == held
    page.wait_for_function("document.getElementById('count').textContent === '0 today'")
    whole(page)
    assert shown(page) == held, "nobody holds what was on the screen of ann"
    assert not set(first) & set(held)
    assert held_by(office, "ann") == set()


@pytest.mark.parametrize("view", ["single", "wall", "random"])
def test_what_was_on_its_way_when_the_name_changed_is_given_back(office: Office, page: Page, view: str) -> None:
    sit_down(page, office, "single-random")
    slow(page, "claim", 1000)
    page.evaluate("(hash) => { location.hash = hash; }", view)
    rename(page, "eve")
    page.wait_for_selector("#main[data-id]:not([data-id='']):visible, .cell")
    page.wait_for_function("document.getElementById('people').textContent.includes('eve')")
    assert held_by(office, "eve")
    assert held_by(office, "ann") == set()


def test_what_could_not_be_given_back_is_given_back_later(office: Office, page: Page) -> None:
    sit_down(page, office, "random")
    held = shown(page)
    office.kill()
    rename(page, "eve")
    page.wait_for_function("document.getElementById('offline').textContent")
    office.restart()
    page.wait_for_function("document.getElementById('count').textContent === '0 today'")
    page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id === id", arg=held[0])
    whole(page)
    assert shown(page)[: len(held)] == held
    assert not held_by(office, "ann") & set(held)


@pytest.mark.parametrize("pause_ms", [0, 100])
def test_nobody_else_gets_what_is_on_the_screen_after_many_views(office: Office, page: Page, pause_ms: int) -> None:
    sit_down(page, office, "single-random")
    slow(page, "release", 400)
    for view in ("single", "single-random", "wall", "single"):
        page.evaluate("(hash) => { location.hash = hash; }", view)
        page.wait_for_timeout(pause_ms)
    page.wait_for_selector("#main[data-id]:not([data-id='']):visible")
    page.wait_for_timeout(2500)  # all that was given back is known
    seen = page.get_attribute("#main", "data-id")
    assert seen in held_by(office, "ann")
    assert seen not in {card["id"] for card in office.served.claim("bob", count=200)}
    assert page.evaluate("[location.hash, document.body.dataset.view]") == ["#single", "single"]


def test_a_closed_tab_sends_what_it_had_not_saved_when_it_comes_back(office: Office, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    sit_down(page, office, "wall")
    first = shown(page)
    office.kill()
    page.keyboard.press("Enter")
    said(page, f"not saved ({len(first)})")
    page.close(run_before_unload=False)
    office.restart()
    again = context.new_page()
    sit_down(again, office, "single")
    all_saved(again)
    context.close()
    assert [row["instance_id"] for row in office.rows()] == first


def test_whoever_closes_a_page_with_unsaved_decisions_is_warned(office: Office, page: Page) -> None:
    sit_down(page, office, "wall")
    office.kill()
    page.keyboard.press("Enter")
    said(page, "not saved")
    kinds: list[str] = []

    def warned(dialog: Any) -> None:
        kinds.append(dialog.type)
        dialog.accept()

    page.on("dialog", warned)
    with page.context.expect_event("dialog"):
        page.close(run_before_unload=True)
    assert kinds == ["beforeunload"]


def test_a_refused_row_does_not_hold_up_others(office: Office, page: Page) -> None:
    sit_down(page, office, "single")
    unknown = {"instance_id": "nobody knows it", "reviewer": "ann", "label": "", "note": "", "decided_at": "2026"}
    page.evaluate("(row) => Outbox.put([row])", unknown)
    said(page, "1 decision was refused by the server")
    page.keyboard.press("Enter")
    page.wait_for_function("!Outbox.count()")
    assert len(office.rows()) == 1
    with page.expect_download() as waiting:
        page.click("#download")
    assert "nobody knows it" in Path(waiting.value.path()).read_text(encoding="utf-8")


class Person(threading.Thread):
    """Somebody who works on walls in a browser of their own until nothing is left."""

    def __init__(self, address: str, name: str, most: int) -> None:
        super().__init__()
        self.address, self.reviewer, self.most = address, name, most
        self.decided: set[str] = set()
        self.seated = threading.Event()
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
                self._work(browser.new_context(viewport={"width": 800, "height": 600}))
        except BaseException as error:
            self.problem = error

    def _work(self, context: BrowserContext) -> None:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(f"localStorage.setItem('secondlook:reviewer', '{self.reviewer}')")
        page.goto(self.address + "review.html#wall")
        self.seated.set()
        while len(self.decided) < self.most:
            page.wait_for_selector(".cell")
            page.keyboard.press("Enter")
            page.wait_for_timeout(150)
            self.decided = set(page.evaluate("Decisions.ids()"))
        page.wait_for_function("!Outbox.count()")


@pytest.mark.slow
def test_four_people_at_once_while_the_server_is_killed_ten_times(
    secondlook: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    objects: Rows = [{"given": "stop", "label": LABELS[number % 3], "p": 0.5 + number / 9000} for number in range(4000)]
    made = make_results(tmp_path, objects)
    office = Office(made, tmp_path / "decisions")
    request.addfinalizer(office.kill)
    people = [Person(office.address, name, 500) for name in ("ann", "bob", "eve", "joe")]
    for person in people:
        person.start()
    assert all(person.seated.wait(60) for person in people)
    for kill in range(10):  # spread over the work
        while sum(len(person.decided) for person in people) < 150 * kill and any(map(Person.is_alive, people)):
            time.sleep(0.05)
        office.kill()
        time.sleep(0.3)
        office.restart()
    for person in people:
        person.join(300)
    assert [person.problem for person in people] == [None] * 4
    decided = Counter(name for person in people for name in person.decided)
    assert len(decided) >= 2000
    assert set(decided.values()) == {1}, "nobody decided what another one did"
    assert Counter(row["instance_id"] for row in office.rows()) == decided, "none lost, none twice"
    _same_consensus(secondlook, tmp_path, made, office)


def _same_consensus(secondlook: Command, tmp_path: Path, made: Made, office: Office) -> None:
    """Merge the files of the desk, and the same decisions in one CSV; both give the same bytes."""
    rows, one = office.rows(), tmp_path / "one.csv"
    with one.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["instance_id"]))
    votes = [made.results / "label" / name for name in ("sure", "bare")]
    instances = ["--instances", made.results / "ingest" / "instances.parquet"]
    found = []
    for number, files in enumerate((sorted((office.decisions / "results").glob("*.csv")), [one])):
        reviewed, consensus = tmp_path / str(number) / "reviewed.parquet", tmp_path / str(number) / "consensus.parquet"
        told = [part for path in files for part in ("--apply", path)]
        steps = (
            ["review", *told, *instances, "--out", reviewed],
            [
                "consensus",
                *(part for path in votes for part in ("--votes", path)),
                *instances,
                "--reviewed",
                reviewed,
                "--method",
                "majority",
                "--out",
                consensus,
            ],
        )
        for step in steps:
            result = secondlook(*step)
            assert result.code == 0, result.err
        found.append((reviewed.read_bytes(), consensus.read_bytes()))
    assert found[0] == found[1]

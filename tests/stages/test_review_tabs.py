"""Several tabs of one review page, from disk: they decide together and delete nothing of each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from test_review_wall import STOPS, asked, press, shown

from browsing import HURRY, begun, counts, labels, open_page, pages_of, whole
from conftest import Command
from make_results import Made

pytest_plugins = ["browsing"]


@contextmanager
def second_tab(page: Page, made: Made, view: str) -> Iterator[Page]:
    """Open the page of `page` once more in the same browser."""
    opened = page.context.new_page()
    opened.add_init_script(HURRY)
    opened.goto(f"file://{made.results}/review/batch-001.html#{view}")
    if view.startswith("wall"):
        whole(opened)
    else:
        opened.wait_for_selector("#main[data-id]")
    yield opened
    opened.close()


def stored(page: Page, text: str) -> None:
    """Wait until the browser shows this tab what another one has stored."""
    page.wait_for_function("(text) => Object.values(localStorage).some((one) => one.includes(text))", arg=text)


def test_two_tabs_keep_the_decisions_of_both(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, [*STOPS, *({"given": "turn", "label": "turn", "p": 0.9} for _ in range(4))])
    open_page(page, made)
    with second_tab(page, made, "wall=turn") as wall:
        press(page, "2", "2", "2", "2", "2")
        counts(wall, "5 of 16")
        press(wall, "Enter")
        counts(page, "9 of 16")
        expected = {**dict.fromkeys(made.ids[:5], "yield"), **dict.fromkeys(made.ids[12:], "turn")}
        assert labels(page) == labels(wall) == expected
        page.reload()
        counts(page, "9 of 16")
        assert labels(page) == expected
        press(page, "u")
        counts(wall, "5 of 16")


DEAF = "addEventListener('storage', (event) => event.stopImmediatePropagation(), true);"


def test_a_tab_that_has_heard_nothing_deletes_nothing(secondlook: Command, tmp_path: Path, page: Page) -> None:
    page.context.add_init_script(DEAF)
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    with second_tab(page, made, "single") as other:
        press(page, "2", "2", "2")
        stored(other, "o0002")
        press(other, "3")  # the first one again: who speaks last decides
        assert labels(other) == {"o0000": "turn", "o0001": "yield", "o0002": "yield"}
        stored(page, "turn")
        press(page, "u")  # the last decision of this person on this page
        assert labels(page) == {"o0001": "yield", "o0002": "yield"}


def test_a_wall_drops_what_another_tab_has_decided(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    with second_tab(page, made, "wall") as wall:
        press(wall, "ArrowRight", "Space")
        press(page, "2")
        wall.wait_for_function("document.querySelectorAll('.cell').length === 11")
        assert shown(wall) == made.ids[1:]
        assert wall.eval_on_selector_all(".cell.marked", "cells => cells.map((cell) => cell.dataset.id)") == ["o0001"]


def test_what_cannot_be_stored_is_kept_until_it_can(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    page.evaluate("window.put = Store.put; Store.put = () => false;")
    press(page, "2")
    assert page.inner_text("#saved").startswith("This browser cannot store decisions")
    with second_tab(page, made, "single") as other:
        press(other, "ArrowRight", "3")
        counts(page, "2 of 12")
        page.evaluate("Store.put = window.put;")
        press(page, "ArrowRight", "x")
        counts(other, "3 of 12")
        assert labels(page) == labels(other) == {"o0000": "yield", "o0001": "turn", "o0002": ""}


# A busy browser shows a tab late what another one has stored. `late` holds the messages and the texts back until `let`.
LATE = """
const texts = new Map(), held = [], text = Storage.prototype.getItem;
let late = false;
window.late = () => {
  late = true;
  for (const key of Object.keys(localStorage)) texts.set(key, text.call(localStorage, key));
};
window.let = () => {
  late = false;
  for (const one of held.splice(0)) dispatchEvent(new StorageEvent("storage", one));
};
Storage.prototype.getItem = function (key) {
  return late && texts.has(key) ? texts.get(key) : text.call(this, key);
};
addEventListener("storage", (event) => {
  if (!late) return;
  held.push({ key: event.key, newValue: event.newValue });
  event.stopImmediatePropagation();
}, true);
"""


def test_tabs_that_hear_of_each_other_late_lose_nothing(secondlook: Command, tmp_path: Path, page: Page) -> None:
    page.context.add_init_script(LATE)
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    press(page, "2")
    with second_tab(page, made, "single") as other:
        counts(other, "1 of 12")
        for tab in (page, other):
            tab.evaluate("late()")
        press(page, "u", "ArrowRight", "ArrowRight", "x")  # unaware of the other, which has kept what is undone here
        press(other, "3")
        for tab in (page, other):
            tab.evaluate("window.let()")
            counts(tab, "2 of 12")
        assert labels(page) == labels(other) == {"o0001": "turn", "o0002": ""}
        other.reload()
        counts(other, "2 of 12")
        assert labels(other) == {"o0001": "turn", "o0002": ""}


CLOCKS: list[Any] = [
    pytest.param("const now = Date.now; Date.now = () => now() - 3600000", "2u", "23u", id="set back an hour"),
    pytest.param("const at = Date.now(); Date.now = () => at", "2", "u23u", id="that tells no milliseconds"),
]


@pytest.mark.parametrize(("clock", "before", "after"), CLOCKS)
def test_what_was_said_last_stands_whatever_the_clock_says(
    secondlook: Command, tmp_path: Path, page: Page, clock: str, before: str, after: str
) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    press(page, *before)
    page.evaluate(clock)
    press(page, *after)
    page.reload()
    counts(page, "1 of 12")
    assert labels(page) == {"o0000": "yield"}
    page.evaluate(clock)
    with second_tab(page, made, "single") as other:
        press(page, "u")
        counts(other, "0 of 12")
        press(other, "3")
        counts(page, "1 of 12")
        assert labels(page) == labels(other) == {"o0001": "turn"}


EDITS: list[Any] = [
    pytest.param("delete kept.order", "3 of 12", id="no order"),
    pytest.param("kept.order = kept.order.slice(1)", "3 of 12", id="a decision that is missing in the order"),
    pytest.param("delete kept.gone", "3 of 12", id="of an earlier version"),
    pytest.param("kept.said.o0001 = null", "2 of 12", id="no decision"),
    pytest.param("kept.order.push('nobody')", "3 of 12", id="an unknown object in the order"),
]


@pytest.mark.parametrize(("edit", "count"), EDITS)
def test_what_a_browser_kept_is_read_as_far_as_it_goes(
    secondlook: Command, tmp_path: Path, page: Page, edit: str, count: str
) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    press(page, "2", "2", "2")
    page.evaluate(f"""() => {{
        const key = Object.keys(localStorage).find((one) => localStorage.getItem(one).includes("o0001"));
        const kept = JSON.parse(localStorage.getItem(key));
        {edit};
        localStorage.setItem(key, JSON.stringify(kept)); }}""")
    page.reload()
    counts(page, count)
    for left in range(int(count.split(maxsplit=1)[0]) - 1, -1, -1):
        press(page, "u")
        counts(page, f"{left} of 12")
    assert labels(page) == {}


def test_a_tab_that_cannot_store_says_so_until_all_is_stored(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    page.evaluate("window.put = Store.put; Store.put = () => false;")
    press(page, "2")
    with second_tab(page, made, "single") as other:
        press(other, "ArrowRight", "3")
        counts(page, "2 of 12")
        assert page.inner_text("#saved").startswith("This browser cannot store decisions")
        page.evaluate("Store.put = window.put;")
        press(other, "3")
        counts(other, "3 of 12")
        assert page.inner_text("#saved") == ""
    page.evaluate("Store.put = () => false;")
    press(page, "u")
    with page.context.expect_event("dialog") as warned:
        page.on("dialog", lambda dialog: dialog.accept())
        page.close(run_before_unload=True)
    assert warned.value.type == "beforeunload"


def test_a_finished_wall_shows_what_another_tab_undoes(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    with second_tab(page, made, "wall") as wall:
        press(wall, "Enter")
        asked(wall, "No object is left for a wall of this kind.")
        counts(page, "12 of 12")
        press(page, "u")
        counts(wall, "0 of 12")
        wall.wait_for_selector(".cell")
        asked(wall, "Are these all: stop?")


def test_a_tab_learns_the_name_from_another(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    page.goto(f"file://{made.results}/review/batch-001.html")
    with second_tab(page, made, "single") as other:
        press(other, "2")
        assert labels(other) == {}
        open_page(page, made)
        other.wait_for_function("document.getElementById('reviewer').value === 'ann'")
        press(other, "2")
        assert labels(other) == {"o0000": "yield"}


# The browser knows a page from disk when the test says so; `early` is where the page asked for the store before that.
UNKNOWN = """
const query = LockManager.prototype.query, { get } = Object.getOwnPropertyDescriptor(window, "localStorage");
let isKnown = false;
window.early = [];
LockManager.prototype.query = async function () {
  const answer = await query.call(this);
  await new Promise((resolve) => { window.know = resolve; });
  isKnown = true;
  return answer;
};
Object.defineProperty(window, "localStorage", { get() {
  if (!isKnown) early.push(new Error().stack);
  return get.call(window);
} });
"""
THEME = "document.documentElement.dataset.theme"


def held(page: Page) -> None:
    """Wait until the page waits for the browser."""
    page.wait_for_function("typeof know === 'function'")  # a function itself would be called


@pytest.mark.parametrize("name", ["index", "batch-001"])
def test_a_page_waits_with_the_store_until_the_browser_knows_it(
    secondlook: Command, tmp_path: Path, page: Page, name: str
) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    page.context.add_init_script(UNKNOWN)
    page.goto(f"file://{made.results}/review/{name}.html")
    held(page)
    assert page.get_attribute("body", "aria-busy") == "true"
    page.evaluate("know()")
    begun(page)
    assert page.evaluate("early") == []
    page.fill("#reviewer", "ann")
    page.click("#theme")
    theme = page.evaluate(THEME)
    page.reload()
    held(page)
    assert page.evaluate(THEME) == theme, "before the page is drawn"
    page.evaluate("know()")
    begun(page)
    assert page.input_value("#reviewer") == "ann"
    assert page.evaluate("early") == []
    assert page.evaluate(THEME) == theme


NO_ANSWERS: list[Any] = [
    pytest.param("delete Navigator.prototype.locks", id="no locks"),
    pytest.param("LockManager.prototype.query = () => Promise.reject(new Error('refused'))", id="refused"),
]


@pytest.mark.parametrize("script", NO_ANSWERS)
def test_a_browser_that_answers_nothing_about_locks_decides_too(
    secondlook: Command, tmp_path: Path, page: Page, script: str
) -> None:
    page.context.add_init_script(script)
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    press(page, "2")
    page.reload()
    counts(page, "1 of 12")


BLOCKED: list[Any] = [
    pytest.param(
        "<style>", """<meta http-equiv="Content-Security-Policy" content="script-src 'none'"><style>""", id="by policy"
    ),
    pytest.param('"use strict";', '"use strict"; broken(', id="by an error"),
    pytest.param("await navigator.locks.query()", "await new Promise(() => {})", id="by a browser that never answers"),
]


@pytest.mark.parametrize(("part", "instead"), BLOCKED)
def test_a_page_whose_scripts_do_not_begin_shows_itself(
    secondlook: Command, tmp_path: Path, browser: Browser, part: str, instead: str
) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    index = made.results / "review" / "index.html"
    text = index.read_text(encoding="utf-8")
    assert part in text
    index.write_text(text.replace(part, instead, 1), encoding="utf-8")
    page = browser.new_page()  # without the check for errors
    page.goto(index.as_uri())
    page.wait_for_selector("text=batch-001", state="visible")
    assert page.get_attribute("body", "aria-busy") == "true"
    page.close()

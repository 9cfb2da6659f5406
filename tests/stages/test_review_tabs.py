"""Several tabs of one review page, from disk: they decide together and delete nothing of each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page
from test_review_wall import STOPS, press, shown

from browsing import HURRY, labels, open_page, pages_of
from conftest import Command
from make_results import Made

pytest_plugins = ["browsing"]


@contextmanager
def second_tab(page: Page, made: Made, view: str) -> Iterator[Page]:
    """Open the page of `page` once more in the same browser."""
    opened = page.context.new_page()
    opened.add_init_script(HURRY)
    opened.goto(f"file://{made.results}/review/batch-001.html#{view}")
    yield opened
    opened.close()


def counts(page: Page, text: str) -> None:
    page.wait_for_function("(text) => document.getElementById('count').textContent === text", arg=text)


def test_two_tabs_keep_the_decisions_of_both(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, [*STOPS, *({"given": "turn", "label": "turn", "p": 0.9} for _ in range(4))])
    open_page(page, made)
    with second_tab(page, made, "wall=turn") as wall:
        wall.wait_for_selector(".cell")
        press(page, "2", "2", "2", "2", "2")
        counts(wall, "5 of 16")
        press(wall, "Enter")
        counts(page, "9 of 16")
        expected = {**dict.fromkeys(made.ids[:5], "yield"), **dict.fromkeys(made.ids[12:], "turn")}
        assert labels(page) == labels(wall) == expected
        page.reload()
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
        press(other, "3")  # the first one again: who speaks last decides
        assert labels(other) == {"o0000": "turn", "o0001": "yield", "o0002": "yield"}
        press(page, "u")  # the last decision of this person on this page
        assert labels(page) == {"o0001": "yield", "o0002": "yield"}


def test_a_wall_drops_what_another_tab_has_decided(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    with second_tab(page, made, "wall") as wall:
        wall.wait_for_selector(".cell")
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
        other.wait_for_selector("#main[data-id]")
        press(other, "ArrowRight", "3")
        page.evaluate("Store.put = window.put;")
        press(page, "ArrowRight", "x")
        assert labels(page) == labels(other) == {"o0000": "yield", "o0001": "turn", "o0002": ""}

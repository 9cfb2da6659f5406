"""Held and doubled keys decide nothing that nobody has seen, on the wall, in the single view and in a visit."""

from pathlib import Path

import pytest
from playwright.sync_api import Page
from test_review_wall import STOPS, open_wall, press, shown

from browsing import OBJECTS, labels, open_page, pages_of
from conftest import Command

pytest_plugins = ["browsing"]
SEEN_MS = 300  # longer than the least time for a look
MINUTES_MS = 600_000  # that no machine is slow enough to pass between two keys
TOO_SOON = "Too soon: this has only just come up. Look, then decide."
MARKED = "You marked this proposal as wrong: choose a class, or X."


def hold(page: Page, key: str, times: int) -> None:
    """Press a key and keep it down: all but the first are repeats."""
    for _ in range(times):
        page.keyboard.down(key)
    page.keyboard.up(key)


def look_at_least(page: Page, least_ms: float) -> float:
    """Set the least time of a look, and return what it was."""
    usual: float = page.evaluate("(least_ms) => [Pace.least_ms, Pace.least_ms = least_ms][0]", least_ms)
    return usual


@pytest.mark.parametrize("key", ["Enter", "2", "x"])
def test_a_held_key_decides_one_object(secondlook: Command, tmp_path: Path, page: Page, key: str) -> None:
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    hold(page, key, 15)
    assert len(labels(page)) == 1


def test_a_held_undo_takes_one_decision_back(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    press(page, "Enter", "Enter", "Enter")
    hold(page, "u", 5)
    assert page.inner_text("#count") == "2 of 4"


def test_held_arrows_move(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    hold(page, "ArrowRight", 4)
    assert page.get_attribute("#grid", "aria-activedescendant") == "cell-4"


def test_a_held_enter_accepts_one_screen(secondlook: Command, tmp_path: Path, page: Page) -> None:
    page.set_viewport_size({"width": 1000, "height": 420})
    open_wall(page, pages_of(secondlook, tmp_path, [*STOPS] * 10))
    page.wait_for_timeout(SEEN_MS)
    count = len(shown(page))
    for _ in range(20):
        page.keyboard.down("Enter")
        page.wait_for_timeout(30)
    page.keyboard.up("Enter")
    assert 0 < count < 120
    assert page.inner_text("#count") == f"{count} of 120"


def test_a_doubled_enter_accepts_one_screen(secondlook: Command, tmp_path: Path, unhurried: Page) -> None:
    unhurried.set_viewport_size({"width": 1000, "height": 420})
    open_wall(unhurried, pages_of(secondlook, tmp_path, [*STOPS] * 10))
    unhurried.wait_for_timeout(SEEN_MS)
    first = shown(unhurried)
    unhurried.keyboard.press("Enter")
    usual_ms = look_at_least(unhurried, MINUTES_MS)
    unhurried.wait_for_function("(id) => document.querySelector('.cell').dataset.id !== id", arg=first[0])
    unhurried.keyboard.press("Enter")
    assert unhurried.inner_text("#message") == TOO_SOON
    assert unhurried.inner_text("#count") == f"{len(first)} of 120"
    look_at_least(unhurried, usual_ms)
    unhurried.wait_for_timeout(SEEN_MS)
    unhurried.keyboard.press("Enter")
    unhurried.wait_for_function("(text) => document.getElementById('count').textContent !== text", arg="0 of 120")
    assert int(unhurried.inner_text("#count").split()[0]) > len(first), "whoever has looked goes on"


def test_a_doubled_key_decides_one_object(secondlook: Command, tmp_path: Path, unhurried: Page) -> None:
    open_page(unhurried, pages_of(secondlook, tmp_path, OBJECTS))
    unhurried.wait_for_timeout(SEEN_MS)
    press(unhurried, "Enter")
    assert 200 <= look_at_least(unhurried, MINUTES_MS) < SEEN_MS
    press(unhurried, "Enter")
    assert unhurried.inner_text("#message") == TOO_SOON
    assert unhurried.inner_text("#count") == "1 of 4"
    press(unhurried, "u", "2")
    assert labels(unhurried) == {"o0000": "yield"}, "what a person goes back to may be decided at once"


def test_what_was_marked_wrong_is_not_accepted_in_the_visit(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    press(page, "Space", "ArrowRight", "Space", "ArrowRight", "Space")
    hold(page, "Enter", 20)
    page.wait_for_selector("#crop")
    press(page, "Enter", "Enter")
    assert page.inner_text("#count") == "9 of 12"
    assert page.inner_text("#message") == page.inner_text("#marked-wrong") == MARKED
    assert page.is_disabled("#accept")
    press(page, "1", "2")  # right after all, said with its own key
    assert {name: label for name, label in labels(page).items() if name < "o0002"} == {
        "o0000": "stop",
        "o0001": "yield",
    }


def test_what_was_not_marked_may_be_accepted_in_a_visit(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    press(page, "Space", "ArrowRight", "s")
    assert page.is_enabled("#accept")
    assert page.inner_text("#marked-wrong") == ""
    press(page, "Enter")
    assert labels(page) == {"o0001": "stop"}

"""Undo in the review pages: screens come back on their wall, in their order and with their marks."""

from pathlib import Path

from playwright.sync_api import Page
from test_review_wall import HALF, MIXED, STOPS, asked, marks, open_wall, press, shown

from browsing import counts, labels, open_page, pages_of
from conftest import Command

pytest_plugins = ["browsing"]


def wall_shows(page: Page, ids: list[str]) -> None:
    page.wait_for_function(
        "(ids) => document.body.dataset.view === 'wall' && "
        "[...document.querySelectorAll('.cell')].map((cell) => cell.dataset.id).join() === ids.join()",
        arg=ids,
    )


def test_the_marks_of_a_screen_outlive_a_visit_and_its_undo(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    order = shown(page)
    press(page, "Space", "ArrowRight", "Space", "2", "ArrowRight", "ArrowRight", "Space", "ArrowRight", "s", "Enter")
    wall_shows(page, [*order[:4], *order[5:]])
    press(page, "u")
    wall_shows(page, order)
    assert marks(page) == ["✗ yield", "✗ yield", "✗ ?"]
    assert page.get_attribute("#grid", "aria-activedescendant") == "cell-4", "the cursor is on what came back"
    assert labels(page) == {}


def test_undo_in_the_visit_takes_the_screen_back_to_its_wall(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, MIXED, options=HALF)
    open_wall(page, made, "random")
    order = shown(page)
    press(page, "ArrowRight", "Space", "ArrowRight", "Space", "2", "ArrowRight", "Space", "Enter")
    page.wait_for_selector("#crop")
    assert len(labels(page)) == len(order) - 1
    press(page, "u")
    wall_shows(page, order)
    proposals = page.eval_on_selector_all(".cell", "all => all.map((one) => one.dataset.proposal)")
    taken = [proposal != "yield" for proposal in proposals[1:3]].count(True)
    assert marks(page) == [*["✗ yield"] * taken, "✗ ?"]
    assert labels(page) == {}


def test_objects_of_a_visit_are_undone_one_by_one_and_then_their_screen(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    made = pages_of(secondlook, tmp_path, [*STOPS, {"given": "turn", "label": "turn", "p": 0.9}])
    open_wall(page, made)
    order = shown(page)
    press(page, "Space", "ArrowRight", "ArrowRight", "Space", "Enter")
    page.wait_for_selector("#crop")
    press(page, "2", "3")
    asked(page, "Are these all: turn?")
    press(page, "u")
    page.wait_for_selector("#crop")
    assert page.get_attribute("#main", "data-id") == order[2]
    press(page, "u")
    assert page.get_attribute("#main", "data-id") == order[0]
    assert len(labels(page)) == 10
    press(page, "u")
    wall_shows(page, order)
    assert page.inner_text("#asked") == "Are these all: stop?"
    assert marks(page) == ["✗ ?", "✗ ?"]
    assert labels(page) == {}
    press(page, "2", "Enter")
    asked(page, "Are these all: turn?")
    assert shown(page) == ["o0012"], "what waited is not lost"


def test_a_screen_is_undone_on_its_wall_from_the_single_view(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, [*STOPS, {"given": "turn", "label": "turn", "p": 0.9}]))
    order = shown(page)
    press(page, "Space", "2", "Enter")
    asked(page, "Are these all: turn?")
    page.click("nav.tabs a >> text=One by one")
    page.wait_for_selector("#crop")
    press(page, "u")
    wall_shows(page, order)
    assert page.inner_text("nav.tabs a[aria-current]") == "Wall"
    assert page.inner_text("#asked") == "Are these all: stop?"
    assert marks(page) == ["✗ yield"]


def test_a_screen_is_undone_after_a_reload(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_wall(page, made)
    order = shown(page)
    press(page, "ArrowRight", "Space", "3", "Enter")
    asked(page, "No object is left for a wall of this kind.")
    open_page(page, made)
    page.reload()
    counts(page, "12 of 12")
    press(page, "u")
    wall_shows(page, order)
    assert marks(page) == ["✗ turn"]


def test_a_decision_of_the_single_view_is_undone_from_the_wall(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    press(page, "2")
    page.click("nav.tabs a >> text=Wall >> nth=0")
    wall_shows(page, made.ids[1:])
    press(page, "Space", "u")
    page.wait_for_selector("#crop")
    assert page.get_attribute("#main", "data-id") == "o0000"
    press(page, "3")
    wall_shows(page, made.ids[1:])
    assert marks(page) == ["✗ ?"], "the screen has waited with its marks"
    assert labels(page) == {"o0000": "turn"}

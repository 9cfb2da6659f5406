"""Where the parts of the review pages stand in headless Chromium: nothing moves, covers another part or is cut."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from test_review_wall import STOPS, open_wall, press

from browsing import open_page, pages_of
from conftest import Command
from make_records import Rows

pytest_plugins = ["browsing"]
PLACES = """[...document.querySelectorAll(".bar, .ask, .cell, .cell > i, .tools, #accept-rest-button")].map((one) => {
  const { x, y, width, height } = one.getBoundingClientRect(); return [x, y, width, height].join(); })"""
SAY_MORE = """() => {
  Dom.write("left", "about 1,234 min left");
  Dom.write("count", "1,176 of 1,200");
  Dom.write("saved", Words.unsent(176, Words.silent));
  document.getElementById("saved").classList.add("problem"); }"""
OVER = """(names) => {
  const boxes = names.map((name) => [name, document.querySelector(name).getBoundingClientRect()]);
  const shared = (one, other) => [Math.min(one.right, other.right) - Math.max(one.left, other.left),
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top)];
  return boxes.flatMap(([name, one], at) => boxes.slice(at + 1)
    .filter(([, other]) => Math.min(...shared(one, other)) > 1).map(([more]) => `${name} ${more}`)); }"""
COVERED = """(names) => [...document.querySelectorAll(names)].filter((one) => {
  one.scrollIntoView({ block: "nearest" });
  const at = one.getBoundingClientRect();
  return !one.contains(document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2));
}).map((one) => one.id || one.textContent)"""
FITS = "document.documentElement.scrollWidth <= innerWidth"
PARTS = [".bar", "#filters", ".object", ".beside", ".panel", "#strip"]
SIZES = [(700, 800), (900, 700), (960, 540), (1100, 700), (1280, 800), (2560, 1440)]


def sized(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})


@pytest.mark.parametrize("wide", [900, 1280])
@pytest.mark.parametrize("wall", ["wall", "random"])
def test_nothing_moves_when_people_mark_or_the_page_says_more(
    secondlook: Command, tmp_path: Path, page: Page, wall: str, wide: int
) -> None:
    made = pages_of(secondlook, tmp_path, [*STOPS] * 8, options={"random_fraction": 0.5})
    sized(page, (wide, 800))
    open_wall(page, made, wall)
    before = page.evaluate(PLACES)
    assert len(before) >= 40
    press(page, "Space", "ArrowDown", "Shift+ArrowRight")
    page.evaluate(SAY_MORE)
    page.wait_for_timeout(200)
    assert page.evaluate(PLACES) == before
    press(page, "2", "ArrowRight", "x")
    page.wait_for_timeout(200)
    assert page.evaluate(PLACES) == before
    assert page.evaluate(FITS)


@pytest.mark.parametrize("size", SIZES)
def test_no_part_of_the_single_view_covers_another(
    secondlook: Command, tmp_path: Path, page: Page, size: tuple[int, int]
) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    sized(page, size)
    open_page(page, made)
    page.wait_for_selector("#votes .vote")
    assert page.evaluate(OVER, PARTS) == []
    assert page.evaluate(COVERED, "#crop, #classes button, #accept, #unsure") == []
    assert page.evaluate(FITS)
    crop: dict[str, Any] | None = page.locator("#crop").bounding_box()
    assert crop
    assert min(crop["width"], crop["height"]) >= 150


def test_the_strip_of_a_track_says_what_it_leaves_out(secondlook: Command, tmp_path: Path, page: Page) -> None:
    """Frames 1 to 40 of a track are i0.jpg, i1.jpg ...; the strip numbers those that it shows."""
    objects: Rows = [{"p": 0.5 + number / 100, "track": "t", "image_id": f"i{number:02d}"} for number in range(40)]
    made = pages_of(secondlook, tmp_path, objects, options={"copy_decisions": False})
    open_page(page, made)
    page.wait_for_selector("#frames li")
    assert page.inner_text("#track-of") == "24 of 40 frames"
    numbers = [int(text) for text in page.locator("#frames small").all_inner_texts()]
    assert len(numbers) == 24
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 40)
    assert page.get_attribute("#frames .here", "title") == "frame 1: stop"


FEW: list[Any] = [
    pytest.param((2560, 1440), 11, 380, id="eleven on a large window"),
    pytest.param((1280, 800), 1, 380, id="one"),
    pytest.param((960, 500), 1, 100, id="no larger than the window is high"),
]


@pytest.mark.parametrize(("size", "count", "wide"), FEW)
def test_few_crops_fill_the_window(
    secondlook: Command, tmp_path: Path, page: Page, size: tuple[int, int], count: int, wide: int
) -> None:
    sized(page, size)
    open_wall(page, pages_of(secondlook, tmp_path, STOPS[:count]))
    cells = page.locator(".cell")
    assert cells.count() == count
    boxes: list[Any] = [cell.bounding_box() for cell in cells.all()]
    assert boxes[0]["width"] >= wide
    grid: Any = page.locator("#grid").bounding_box()
    assert max(box["y"] + box["height"] for box in boxes) <= grid["y"] + grid["height"] + 1


NAMES = [
    f"{kind}--kind-{number}-of-a-sign--g{kinds}"
    for kind in ("warning", "rule")
    for number in range(20)
    for kinds in (1, 2)
]
MANY: Rows = [{"given": NAMES[0], "label": NAMES[1], "p": 0.6 + number / 99} for number in range(12)]


def test_a_search_finds_all_words_in_any_order_and_moves_no_crop(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, MANY, classes=NAMES))
    before = page.evaluate(PLACES)
    press(page, "Space", "/")
    page.keyboard.type("g2 kind-1")
    page.wait_for_timeout(200)
    assert page.evaluate(PLACES) == before
    found = page.locator("#wall-classes button")
    names = [one.get_attribute("title") for one in found.all()]
    assert names == [name for name in NAMES if "g2" in name and "kind-1" in name]
    assert page.evaluate(COVERED, "#wall-classes button") == []
    assert all(one.inner_text().split("\n")[-1].endswith("of-a-sign--g2") for one in found.all()), "the end is shown"
    press(page, "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter")
    assert page.inner_text("#cell-0 .mark") == f"✗ {names[1]}"
    page.wait_for_timeout(200)
    assert page.evaluate(PLACES) == before


def test_long_names_and_a_tree_leave_all_buttons_on_the_panel(secondlook: Command, tmp_path: Path, page: Page) -> None:
    long = [*NAMES, "Z" * 300, "Y" * 300]
    made = pages_of(secondlook, tmp_path, [{"given": long[-2], "label": long[-1], "p": 0.6}], classes=long)
    open_page(page, made)
    page.wait_for_selector("#votes .vote")
    panel: Any = page.locator(".panel").bounding_box()
    for name in ("#classes .branch >> nth=0", "#classes .branch >> nth=1", "#accept", "#unsure", "#undo"):
        box: Any = page.locator(name).bounding_box()
        assert box["y"] + box["height"] <= panel["y"] + panel["height"], name
        assert box["x"] + box["width"] <= panel["x"] + panel["width"], name

"""The wall of the review page in headless Chromium: many objects on one screen, by keyboard and by mouse, from disk."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from browsing import HOSTILE, downloaded, labels, open_page, pages_of, whole
from conftest import Command
from make_records import Rows
from make_results import Made
from secondlook.io import records

pytest_plugins = ["browsing"]
STOPS: Rows = [{"given": "stop", "label": "stop", "p": 0.6 + number / 50} for number in range(12)]


def open_wall(page: Page, made: Made, wall: str = "wall", name: str = "batch-001") -> None:
    """Open a wall of a page as `ann`."""
    open_page(page, made, name)
    page.evaluate("(hash) => { location.hash = hash; }", wall)
    whole(page)


def shown(page: Page) -> list[str]:
    """Return the ids of the objects on the screen, in their order."""
    found: list[str] = page.eval_on_selector_all(".cell", "cells => cells.map((cell) => cell.dataset.id)")
    return found


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def asked(page: Page, text: str) -> None:
    """Wait until the wall asks for something."""
    page.wait_for_function("(text) => document.getElementById('asked').textContent === text", arg=text)


def next_screen(page: Page) -> None:
    """Accept a screen, and wait for the next one."""
    before = shown(page)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(before) => document.querySelector('.cell')?.dataset.id !== before || document.body.dataset.view === 'single'",
        arg=before[0],
    )


def smaller_screens(page: Page, wide: int = 420) -> None:
    """Let few crops fit, so that there are several screens."""
    page.set_viewport_size({"width": 1000, "height": wide})
    page.evaluate("localStorage.setItem('secondlook:settings', JSON.stringify({size: 220}))")


def test_marked_objects_get_a_class_and_the_rest_is_accepted(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_wall(page, made)
    assert page.inner_text("#asked") == "Are these all: stop?"
    order = shown(page)
    assert order == made.ids, "the most doubtful first"
    press(page, "Space", "ArrowRight", "ArrowRight", "Space", "2")  # the first and the third are yield signs
    assert page.inner_text("#cell-0 .mark") == page.inner_text("#cell-2 .mark") == "✗ yield"
    press(page, "ArrowRight", "x")  # nobody can tell what the fourth is
    assert page.get_attribute("#cell-3", "aria-label") == "stop, cannot tell"
    assert page.inner_text("#accept-rest") == "Accept the other 9"
    press(page, "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert page.inner_text("#count") == "12 of 12"
    expected = dict.fromkeys(order, "stop") | {order[0]: "yield", order[2]: "yield", order[3]: ""}
    assert labels(page) == expected
    rows = downloaded(page)
    assert {row["view"] for row in rows} == {"wall"}
    assert len({row["seconds"] for row in rows}) == 1, "each took its share of the screen"


def test_the_time_of_a_screen_is_shared_by_its_objects(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    page.wait_for_timeout(600)
    press(page, "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert 0.05 <= float(downloaded(page)[0]["seconds"]) < 0.5


MARKS: list[Any] = [
    pytest.param(["ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"], {1, 2, 3}, id="a range to the right"),
    pytest.param(["End", "Shift+ArrowLeft"], {10, 11}, id="a range to the left"),
    pytest.param(["Space", "ArrowRight", "Space", "ArrowLeft", "Space"], {1}, id="a mark is taken away"),
    pytest.param(["Space", "End", "Space", "Escape"], set(), id="all marks are taken away"),
    pytest.param(["Shift+End"], set(range(12)), id="to the end"),
    pytest.param(["Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft"], {0, 1}, id="a range that shrinks"),
    pytest.param(["End", "Shift+ArrowLeft", "Shift+ArrowRight"], {11}, id="a range that shrinks to its beginning"),
    pytest.param(
        ["ArrowRight", "Space", "ArrowLeft", "Shift+ArrowRight", "Shift+ArrowLeft"],
        {0, 1},
        id="a range that shrinks leaves what was marked before",
    ),
    pytest.param(["Shift+ArrowRight", "2", "Shift+ArrowLeft"], {0, 1}, id="a range with a class does not shrink"),
    pytest.param(["2"], set(), id="no class for what nobody has pointed at"),
    pytest.param(["Space", "1"], set(), id="the proposed class takes the mark away"),
    pytest.param(["ArrowRight", "2"], {1}, id="a class for the cell that was pointed at"),
]


@pytest.mark.parametrize(("keys", "marked"), MARKS)
def test_marks_by_keyboard(secondlook: Command, tmp_path: Path, page: Page, keys: list[str], marked: set[int]) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    press(page, *keys)
    cells = page.query_selector_all(".cell")
    assert {index for index, cell in enumerate(cells) if cell.get_attribute("aria-selected") == "true"} == marked
    assert {index for index, cell in enumerate(cells) if "✗" in cell.inner_text()} == marked, "not by colour alone"


def test_marks_by_mouse(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    page.click("#cell-1")
    page.click("#cell-4", modifiers=["Shift"])
    page.click("#cell-2")
    page.click("#wall-classes button >> text=turn")
    marks = page.eval_on_selector_all(".cell", "cells => cells.map((cell) => cell.innerText.trim())")
    assert [index for index, text in enumerate(marks) if text == "✗ turn"] == [1, 3, 4]
    page.dblclick("#cell-7")
    assert page.is_visible("#crop")
    page.keyboard.press("Escape")
    assert len(page.query_selector_all(".cell.marked")) == 3, "the screen has waited with its marks"


def test_a_range_by_mouse_shrinks(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    page.click("#cell-3")
    page.click("#cell-9", modifiers=["Shift"])
    page.click("#cell-5", modifiers=["Shift"])
    assert page.eval_on_selector_all(".marked", "cells => cells.map((cell) => cell.id)") == [
        "cell-3",
        "cell-4",
        "cell-5",
    ]


def marks(page: Page) -> list[str]:
    """Return the words on the marked cells, in their order."""
    found: list[str] = page.eval_on_selector_all(".mark", "all => all.map((one) => one.textContent)")
    return found


def test_another_class_replaces_the_last_one_on_all_that_got_it(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    press(page, "3")
    assert page.inner_text("#message") == "Mark what is wrong first, then choose its class."
    press(page, "Space", "ArrowRight", "Space", "ArrowRight", "Space", "2")
    assert page.inner_text("#message") == "3 objects: yield."
    assert marks(page) == ["✗ yield"] * 3
    press(page, "1")  # the proposed class: these are right after all
    assert marks(page) == []
    press(page, "3")
    assert marks(page) == ["✗ turn"] * 3
    press(page, "ArrowRight", "ArrowLeft", "x")
    assert marks(page) == ["✗ turn", "✗ turn", "? cannot tell"], "whoever has moved means one cell"


def test_marks_stay_when_people_look_elsewhere(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, [*STOPS] * 5))
    count = len(shown(page))
    press(page, "Space", "2", "End", "Space")
    page.fill("#size", "320")
    page.wait_for_function("(count) => document.querySelectorAll('.cell').length < count", arg=count)
    assert marks(page) == ["✗ yield"]
    page.fill("#size", "104")
    page.wait_for_function("document.querySelectorAll('.mark').length === 2")
    page.click("nav.tabs a >> text=One by one")
    page.wait_for_selector("#crop")
    page.click("nav.tabs a >> text=Wall >> nth=0")
    page.wait_for_selector(".cell")
    assert marks(page) == ["✗ yield", "✗ ?"]


def test_arrows_move_by_rows(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, STOPS))
    columns = page.evaluate("getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length")
    press(page, "ArrowDown")
    assert page.get_attribute("#grid", "aria-activedescendant") == f"cell-{columns}"
    press(page, "ArrowUp", "ArrowUp")
    assert page.get_attribute("#grid", "aria-activedescendant") == "cell-0"


def test_marked_objects_without_a_class_are_decided_one_by_one(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, [*STOPS, {"given": "turn", "label": "turn", "p": 0.9}])
    open_wall(page, made)
    press(page, "Space", "ArrowRight", "Space", "Enter")
    page.wait_for_selector("#crop")
    assert page.is_visible("#visit")
    press(page, "2", "3")
    asked(page, "Are these all: turn?")
    rows = {row["instance_id"]: (row["label"], row["view"]) for row in downloaded(page)}
    assert rows["o0000"] == ("yield", "single")
    assert rows["o0001"] == ("turn", "single")
    assert rows["o0002"] == ("stop", "wall")
    assert shown(page) == ["o0012"], "the wall goes on with the next class"


def test_whole_screens_are_undone_one_after_the_other(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    open_page(page, made)
    smaller_screens(page)
    page.reload()
    page.evaluate("location.hash = 'wall'")
    page.wait_for_selector(".cell")
    first = shown(page)
    assert 1 < len(first) < 12
    press(page, "Space", "3")
    next_screen(page)
    second = shown(page)
    assert not set(first) & set(second)
    next_screen(page)
    assert len(downloaded(page)) == len(first) + len(second)
    press(page, "u")
    page.wait_for_function("(id) => document.querySelector('.cell').dataset.id === id", arg=second[0])
    assert set(labels(page)) == set(first)
    press(page, "u")
    page.wait_for_function("(id) => document.querySelector('.cell').dataset.id === id", arg=first[0])
    assert downloaded(page) == []
    assert page.inner_text("#cell-0 .mark") == "✗ turn", "marks come back"
    next_screen(page)
    next_screen(page)
    assert set(labels(page)) == {*first, *second}
    assert labels(page)[first[0]] == "turn"


def test_a_screen_is_not_decided_without_a_name(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    page.goto(f"file://{made.results}/review/batch-001.html#wall")
    page.wait_for_selector(".cell")
    page.keyboard.press("Enter")
    assert page.inner_text("#need-name") == "Type your name first: each decision bears it."
    assert (page.evaluate("document.activeElement.id"), page.inner_text("#count")) == ("reviewer", "0 of 12")
    page.keyboard.type("bob")
    press(page, "Enter", "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert {row["reviewer"] for row in downloaded(page)} == {"bob"}


MIXED: Rows = [
    {"given": "stop", "label": label, "p": 0.5 + number / 60}
    for number, label in enumerate(["stop", "yield", "turn"] * 8)
]
HALF = {"random_fraction": 0.5, "batch_size": 24, "audit_fraction": 0.0}


def samples(made: Made) -> dict[str, str]:
    """Return why each object is in the queue, in its order."""
    rows = records.read(made.results / "review" / "queue.parquet", records.QUEUE).to_pylist()
    return {row["instance_id"]: row["sample"] for row in sorted(rows, key=lambda row: row["rank"])}


def test_the_random_sample_is_on_no_sorted_wall(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, MIXED, options=HALF)
    open_wall(page, made)
    on_walls = []
    while screen := shown(page):
        on_walls += screen
        page.keyboard.press("Enter")
        page.wait_for_function("(id) => document.querySelector('.cell')?.dataset.id !== id", arg=screen[0])
    drawn = {name for name, sample in samples(made).items() if sample == "random"}
    assert len(drawn) == 12
    assert not drawn & set(on_walls)
    assert {*drawn, *on_walls} == set(made.ids)


def test_the_random_wall_and_the_single_view_show_the_sample_in_one_order(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    made = pages_of(secondlook, tmp_path, MIXED, options=HALF)
    open_wall(page, made, "random")
    assert page.inner_text("#asked") == "Are these proposals right?"
    on_wall, captions = shown(page), page.eval_on_selector_all(".caption", "all => all.map((one) => one.textContent)")
    assert len(captions) == len(on_wall)
    assert len(set(captions)) > 1, "classes are mixed"
    page.evaluate("location.hash = 'single-random'")
    one_by_one = []
    for _ in on_wall:
        one_by_one.append(page.get_attribute("#main", "data-id"))
        page.keyboard.press("Enter")
    assert one_by_one == on_wall == [name for name, sample in samples(made).items() if sample == "random"]
    assert page.inner_text("#count") == "12 of 24"


def test_known_wrong_proposals_look_like_the_sample_on_the_random_wall(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    made = pages_of(secondlook, tmp_path, MIXED, options=HALF)
    path = made.results / "review" / "batch-001.html"
    text = path.read_text(encoding="utf-8")
    one = next(name for name, sample in samples(made).items() if sample == "random")
    card = next(found for found in re.findall(r"\{[^{}]*\}", text) if f'"id":"{one}"' in found)
    path.write_text(text.replace(card, card.replace('"sample":"random"', '"sample":"audit"')), encoding="utf-8")
    open_wall(page, made, "random")
    assert shown(page)[0] == one
    cells = page.eval_on_selector_all(
        ".cell", "all => all.map((one) => [...one.attributes].map((it) => it.name).join())"
    )
    assert len(set(cells)) == 1
    seen = "[...document.body.children].filter((one) => one.tagName !== 'SCRIPT').map((one) => one.outerHTML).join()"
    assert "audit" not in page.evaluate(seen)
    page.keyboard.press("Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert {row["sample"] for row in downloaded(page)} == {"random", "audit"}


def test_an_object_without_a_proposal_is_decided_one_by_one(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, MIXED, options=HALF)
    path = made.results / "review" / "batch-001.html"
    text = path.read_text(encoding="utf-8")
    names = [name for name, sample in samples(made).items() if sample == "random"]
    for card in re.findall(r"\{[^{}]*\}", text):
        if f'"id":"{names[1]}"' in card:
            text = text.replace(card, re.sub(r'"proposal":"\w+"', '"proposal":null', card))
    path.write_text(text, encoding="utf-8")
    open_wall(page, made, "random")
    assert names[1] not in shown(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#crop")
    assert page.get_attribute("#main", "data-id") == names[1]
    page.keyboard.press("1")
    asked(page, "No object is left for a wall of this kind.")
    assert set(labels(page)) == set(names), "nothing of the sample was passed over"


def test_a_stack_says_how_many_it_stands_for(secondlook: Command, tmp_path: Path, page: Page) -> None:
    objects: Rows = [*({"p": 0.6 + number / 50, "track": "t"} for number in range(4)), {"p": 0.9}]
    open_wall(page, pages_of(secondlook, tmp_path, objects))
    assert page.inner_text("#cell-0 .stack") == "×4"  # noqa: RUF001 - the page says so
    press(page, "t")
    assert page.inner_text("#cell-0 .stack") == "1 of 4"
    press(page, "t", "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert {row["instance_id"]: row["also"] for row in downloaded(page)} == {"o0000": "o0001 o0002 o0003", "o0004": ""}


def test_sliders_change_how_many_crops_fit_and_what_is_around_them(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    open_wall(page, pages_of(secondlook, tmp_path, [*STOPS] * 20))
    many = len(shown(page))
    page.fill("#size", "200")
    page.wait_for_function("(many) => document.querySelectorAll('.cell').length < many", arg=many)
    few = shown(page)
    scale = "parseFloat(document.querySelector('.cell > i').style.backgroundSize)"
    near = page.evaluate(scale)
    page.fill("#margin", "0.5")
    page.wait_for_function(f"(near) => {scale} < near", arg=near)
    page.fill("#size", "64")
    page.wait_for_function("(few) => document.querySelectorAll('.cell').length > few", arg=len(few))
    assert shown(page)[: len(few)] == few, "the order stays"


def test_a_class_is_found_by_name_for_all_marked_objects(secondlook: Command, tmp_path: Path, page: Page) -> None:
    classes = [f"class {number}" for number in range(365)]
    objects: Rows = [{"given": None, "label": "class 7", "p": 0.6 + number / 90} for number in range(3)]
    open_wall(page, pages_of(secondlook, tmp_path, objects, classes=classes))
    press(page, "Space", "ArrowRight", "Space", "/")
    page.keyboard.type("class 36")
    press(page, "Enter")
    assert page.evaluate("document.activeElement.id") == "grid", "keys act on the wall again"
    press(page, "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert sorted(labels(page).values()) == ["class 36", "class 36", "class 7"]


def test_hostile_names_are_text_on_a_wall(secondlook: Command, tmp_path: Path, page: Page) -> None:
    path = tmp_path / "images" / '<b onmouseover="window.broken=1">&amp; a.jpg'
    objects: Rows = [{"given": HOSTILE[1], "label": HOSTILE[0], "p": 0.6, "image_path": str(path)}]
    open_wall(page, pages_of(secondlook, tmp_path, objects, classes=HOSTILE))
    assert page.inner_text("#asked") == f"Are these all: {HOSTILE[0]}?"
    assert path.name in page.inner_text("#about")
    press(page, "Space", "2", "Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert labels(page) == {"o0000": HOSTILE[1]}
    assert page.evaluate("window.broken") is None


def test_a_wall_whose_thumbnails_are_missing_can_still_be_used(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, STOPS)
    (made.results / "review" / "batch-001" / "thumbnails-000.js").unlink()
    open_wall(page, made)
    assert len(page.query_selector_all(".cell > .without")) == 12
    page.keyboard.press("Enter")
    asked(page, "No object is left for a wall of this kind.")
    assert len(labels(page)) == 12


WINDOWS: list[Any] = [(1280, 800), (2560, 1440), (420, 800)]


@pytest.mark.parametrize("wall", ["wall", "random"])
@pytest.mark.parametrize(("width", "height"), WINDOWS)
def test_no_part_of_a_wall_lies_outside_the_window(
    secondlook: Command, tmp_path: Path, page: Page, width: int, height: int, wall: str
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_wall(page, pages_of(secondlook, tmp_path, MIXED, options=HALF), wall)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bottom = "getBoundingClientRect().bottom"
    fits = f"(cell) => cell.{bottom} <= document.getElementById('grid').{bottom} + 1"
    crops = f"[...document.querySelectorAll('.cell')].every({fits})"
    page.wait_for_function(crops)  # none is cut off


@pytest.mark.slow
def test_a_wall_of_five_thousand_objects_stays_light(secondlook: Command, tmp_path: Path, page: Page) -> None:
    objects: Rows = [{"image_id": f"i{number % 50}", "p": 0.5 + number / 12000} for number in range(5000)]
    made = pages_of(secondlook, tmp_path, objects, options={"batch_size": 5000})
    started = time.monotonic()
    open_wall(page, made)
    opened_s = time.monotonic() - started
    count = len(shown(page))
    screens_ms = page.evaluate(
        """async () => { const times = []; for (let screen = 0; screen < 10; screen++) {
        const first = document.querySelector('.cell').dataset.id, start = performance.now();
        document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
        while (document.querySelector('.cell').dataset.id === first) await new Promise((go) => setTimeout(go, 1));
        document.body.offsetHeight; times.push(performance.now() - start);
        await new Promise((go) => setTimeout(go, 200)); }
        return times.sort((a, b) => a - b); }"""
    )
    print(f"5000 objects: opens in {opened_s:.2f} s, a screen of {count} in {screens_ms[5]:.0f} ms")
    assert page.inner_text("#count") == f"{10 * count} of 5000"
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    assert json.loads(page.evaluate("localStorage.getItem(Object.keys(localStorage).find((key) => key.length > 30))"))

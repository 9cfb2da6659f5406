"""The single view of the review page in headless Chromium, by keyboard, from disk and from the server."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from test_review import Served
from test_review_queue import make_rehearsal

from browsing import HOSTILE, OBJECTS, begun, counts, downloaded, labels, open_page, open_page_at, pages_of
from conftest import Command
from make_records import Rows
from make_results import make_results

pytest_plugins = ["browsing"]


def test_the_whole_work_by_keyboard(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, OBJECTS)
    open_page(page, made)
    assert page.inner_text("#given") == "stop"
    assert page.inner_text("#proposal") == "yield"
    assert page.inner_text("#reason") == "1. contradicts the given label"
    page.keyboard.press("Enter")  # o0000: accept yield
    page.keyboard.press("3")  # o0001 or next by benefit: turn
    page.keyboard.press("x")  # cannot tell
    assert page.inner_text("#count") == "3 of 4"
    first = labels(page)
    assert sorted(first.values()) == ["", "turn", "yield"]
    assert first["o0000"] == "yield"
    page.keyboard.press("u")
    assert page.inner_text("#count") == "2 of 4"
    page.keyboard.press("u")
    assert labels(page) == {"o0000": "yield"}
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#decided") == "You chose yield."
    page.keyboard.press("1")  # another word on the same object
    assert labels(page) == {"o0000": "stop"}
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    assert labels(page) == {"o0000": "stop"}, "keys do nothing behind the help"


def test_decisions_survive_a_closed_tab_and_come_back_as_reviews(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    made = pages_of(secondlook, tmp_path, OBJECTS)
    open_page(page, made)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    context = page.context
    page.close()
    again = context.new_page()
    open_page(again, made)
    assert again.inner_text("#count") == "2 of 4"
    assert again.inner_text("#reason").startswith("3."), "it goes on at the first open object"
    rows = downloaded(again)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "decisions.csv").write_text(text.getvalue(), encoding="utf-8")
    out, instances = tmp_path / "reviewed.parquet", made.results / "ingest" / "instances.parquet"
    result = secondlook("review", "--apply", tmp_path / "decisions.csv", "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    assert "2 decisions by 1 people, 0 objects on which they disagree, 0 rows that match no object" in result.err
    again.goto(f"file://{made.results}/review/index.html")
    begun(again)
    assert "2 done" in again.inner_text("table")


def test_a_decision_shows_and_names_what_else_it_decides(secondlook: Command, tmp_path: Path, page: Page) -> None:
    objects: Rows = [{"p": 0.5 + number / 100, "track": "t"} for number in range(16)]
    made = pages_of(secondlook, tmp_path, [*objects, {"p": 0.9}], options={"copy_decisions": True})
    open_page(page, made)
    assert page.inner_text("#also p") == "also decides 15 near-duplicates or objects of its track"
    page.wait_for_selector("#also img")
    assert len(page.query_selector_all("#also img")) == 12
    assert page.inner_text("#also span") == "+ 3"
    page.keyboard.press("2")
    assert not page.is_visible("#also"), "the next one has none"
    page.keyboard.press("2")
    rows = {row["instance_id"]: row["also"] for row in downloaded(page)}
    assert rows == {"o0000": " ".join(made.ids[1:16]), "o0016": ""}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    assert [row["also"] for row in downloaded(page)] == ["", ""], "who cannot tell decides nothing else"


def test_a_person_may_decide_only_the_object_that_is_shown(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = pages_of(secondlook, tmp_path, [{"p": 0.5, "track": "t"}, {"p": 0.6, "track": "t"}, {"p": 0.9}])
    open_page(page, made)
    assert page.inner_text("#also p") == "also decides 1 near-duplicate or object of its track"
    page.keyboard.press("t")
    assert page.inner_text("#also p") == "1 near-duplicate or object of its track: not decided by this"
    page.keyboard.press("2")
    assert {row["instance_id"]: row["also"] for row in downloaded(page)} == {"o0000": ""}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("t")
    page.keyboard.press("2")
    assert {row["instance_id"]: row["also"] for row in downloaded(page)} == {"o0000": "o0001"}


def test_a_decision_decides_nothing_that_its_page_did_not_show(secondlook: Command, tmp_path: Path, page: Page) -> None:
    """The same objects are on a page that is written again, with the option on."""
    off = {"copy_decisions": False}
    made = pages_of(secondlook, tmp_path, [{"p": 0.5, "track": "t"}, {"p": 0.6, "track": "t"}], options=off)
    open_page(page, made)
    page.keyboard.press("2")
    options = json.dumps({"random_fraction": 0.0, "near_duplicate_bits": None, "copy_decisions": True})
    assert secondlook("review", made.results, "--options", options).code == 0
    page.reload()
    counts(page, "1 of 1")
    assert page.inner_text("#also p") == "also decides 1 near-duplicate or object of its track"
    assert [row["also"] for row in downloaded(page)] == [""]
    page.keyboard.press("2")
    assert [row["also"] for row in downloaded(page)] == ["o0001"]


def test_a_known_wrong_proposal_is_decided_like_any_other(secondlook: Command, tmp_path: Path, page: Page) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "truth": "stop"}] * 20)
    make_rehearsal(made)
    options = {"random_fraction": 0.5, "audit_fraction": 0.2, "audit_after": 0}
    assert secondlook("review", made.results, "--options", json.dumps(options)).code == 0
    open_page(page, made)
    for _ in range(20):
        page.keyboard.press("Enter")
    rows = downloaded(page)
    known = [row for row in rows if row["sample"] == "audit"]
    assert [(row["proposal"], row["label"], row["probability"]) for row in known] == [("yield", "yield", "")] * 2
    assert "audit" not in page.inner_text("body")
    assert "audit" not in page.evaluate(
        "[...document.body.children].map((one) => one.tagName === 'SCRIPT' ? '' : one.outerHTML).join()"
    )


FILTERS: list[Any] = [
    pytest.param({"conflict": "yes"}, {"o0000", "o0002"}, id="contradicted"),
    pytest.param({"conflict": "no"}, {"o0001", "o0003"}, id="confirmed"),
    pytest.param({"class": "2"}, {"o0002"}, id="class, given or proposed"),
    pytest.param({"confidence": "0.9,1.1"}, {"o0003"}, id="sure"),
    pytest.param({"confidence": "0.5,0.9", "conflict": "yes"}, {"o0000", "o0002"}, id="two at once"),
    pytest.param({"class": "2", "conflict": "no"}, set(), id="nothing matches"),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_filters(secondlook: Command, tmp_path: Path, page: Page, filters: dict[str, str], expected: set[str]) -> None:
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    for name, value in filters.items():
        page.select_option(f"#filter-{name}", value)
    assert page.is_visible("#empty") == (not expected)
    for _ in range(len(OBJECTS)):
        page.keyboard.press("Enter")
    assert set(labels(page)) == expected


def test_hostile_names_are_text(secondlook: Command, tmp_path: Path, page: Page) -> None:
    path = tmp_path / "images" / '<b onmouseover="window.broken=1">&amp; a.jpg'
    objects = [{"given": HOSTILE[1], "label": HOSTILE[0], "p": 0.6, "image_path": str(path)}]
    open_page(page, pages_of(secondlook, tmp_path, objects, classes=HOSTILE))
    assert page.inner_text("#proposal") == HOSTILE[0]
    assert page.inner_text("#given") == HOSTILE[1]
    assert path.name in page.inner_text("#path")
    shown = page.eval_on_selector_all(
        "#classes button",
        "all => all.map((one) => [...one.querySelectorAll('span')].map((part) => part.textContent).join(''))",
    )
    assert shown == HOSTILE
    page.keyboard.press("2")
    assert labels(page) == {"o0000": HOSTILE[1]}
    assert page.evaluate("window.broken") is None
    assert downloaded(page)[0]["image_path"] == str(path)


def test_many_classes_are_found_by_name(secondlook: Command, tmp_path: Path, page: Page) -> None:
    classes = [f"class {number}" for number in range(365)]
    open_page(page, pages_of(secondlook, tmp_path, [{"given": None, "label": "class 200", "p": 0.6}], classes=classes))
    first = page.inner_text("#classes button >> nth=0").split()
    assert first == ["1", "class", "200"], "what is likely stands first, and has the first key"
    assert len(page.query_selector_all("#classes button")) <= 60
    page.keyboard.press("/")
    page.keyboard.type("class 36")
    assert page.inner_text("#classes button >> nth=0").endswith("class 36")
    page.keyboard.press("Enter")
    assert labels(page) == {"o0000": "class 36"}


@pytest.mark.slow
def test_two_thousand_objects_stay_fluid(secondlook: Command, tmp_path: Path, page: Page) -> None:
    objects = [{"image_id": f"i{number % 200}", "p": 0.5 + number / 5000} for number in range(2000)]
    made = pages_of(secondlook, tmp_path, objects, options={"batch_size": 2000})
    megabytes = (made.results / "review" / "batch-001.html").stat().st_size / 2**20
    started = time.monotonic()
    open_page(page, made)
    opened_s = time.monotonic() - started
    step_ms = page.evaluate(
        """() => { const times = []; for (let step = 0; step < 300; step++) { const start = performance.now();
        const key = step % 3 ? "Enter" : "ArrowRight";
        document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        document.body.offsetHeight; times.push(performance.now() - start); }
        return times.sort((a, b) => a - b); }"""
    )
    steps = f"{step_ms[150]:.1f} ms a step, 99 of 100 under {step_ms[297]:.1f} ms"
    print(f"2000 objects, {megabytes:.1f} MiB: opens in {opened_s:.2f} s, {steps}")
    assert page.inner_text("#count") == "200 of 2000"
    assert page.evaluate("document.querySelectorAll('*').length") < 400, "only what is looked at is in the page"


def test_the_server_saves_each_decision_while_the_page_is_open(tmp_path: Path, page: Page) -> None:
    made = make_results(tmp_path, OBJECTS)
    served = Served(made, tmp_path / "decisions")
    try:
        open_page_at(page, served.address + "batch-001.html")
        page.keyboard.press("Enter")
        page.wait_for_function("document.getElementById('saved').textContent === 'saved'")
        kept = tmp_path / "decisions" / "results" / "ann.csv"
        assert len(list(csv.DictReader(kept.open(encoding="utf-8")))) == 1
        page.keyboard.press("2")
        page.keyboard.press("u")
        page.keyboard.press("u")
        deadline = time.monotonic() + 60
        while len(rows := list(csv.DictReader(kept.open(encoding="utf-8")))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [row["note"] for row in rows] == ["", "", "undone", "undone"]
        served.process.kill()
        page.keyboard.press("Enter")
        page.wait_for_function("document.getElementById('saved').textContent.startsWith('not saved')")
        assert len(labels(page)) == 1, "what the server did not take can be downloaded"
    finally:
        served.process.kill()
        served.process.communicate()


def test_what_could_not_be_saved_is_sent_again_until_it_is(tmp_path: Path, page: Page) -> None:
    served = Served(make_results(tmp_path, OBJECTS), tmp_path / "decisions")
    kept = tmp_path / "decisions" / "results" / "ann.csv"
    try:
        kept.mkdir()  # a folder where the file should be
        page.goto(served.address)
        page.click("text=batch-001")
        page.fill("#reviewer", "ann")
        page.press("#reviewer", "Enter")
        for number in (1, 2):
            page.keyboard.press("Enter")
            said = f"not saved ({number}): the disk is full or cannot be written"
            page.wait_for_function(f"document.getElementById('saved').textContent === '{said}'")
        kept.rmdir()
        page.wait_for_function("document.getElementById('saved').textContent === 'saved'")
        assert len(list(csv.DictReader(kept.open(encoding="utf-8")))) == 2
    finally:
        served.process.kill()
        served.process.communicate()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080), (420, 800)])
def test_nothing_lies_outside_the_window(
    secondlook: Command, tmp_path: Path, page: Page, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.is_visible("#accept")


def test_a_decision_without_a_name_is_not_taken_and_the_field_says_so(
    secondlook: Command, tmp_path: Path, page: Page
) -> None:
    made = pages_of(secondlook, tmp_path, OBJECTS)
    page.goto(f"file://{made.results}/review/batch-001.html")
    begun(page)
    assert not page.is_visible("#need-name"), "nothing is wrong yet"
    page.keyboard.press("Enter")
    assert page.inner_text("#count") == "0 of 4"
    assert page.inner_text("#need-name") == "Type your name first: each decision bears it."
    assert page.get_attribute("#reviewer", "aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "reviewer"
    page.keyboard.type("bob")
    page.keyboard.press("Enter")
    assert not page.is_visible("#need-name")
    page.keyboard.press("Enter")
    assert page.inner_text("#count") == "1 of 4"
    assert downloaded(page)[0]["reviewer"] == "bob"
    page.reload()
    begun(page)
    assert page.input_value("#reviewer") == "bob", "it is asked once"


def test_a_row_says_in_which_view_and_how_long(secondlook: Command, tmp_path: Path, page: Page) -> None:
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    page.wait_for_timeout(2000)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    rows = downloaded(page)
    assert {row["view"] for row in rows} == {"single"}
    second, first = sorted(float(row["seconds"]) for row in rows)
    assert first >= 2 > second, "from when it was shown"


def until_drawn(page: Page, canvas: str) -> None:
    """Wait until a canvas shows more than 100 colours, as an image of noise does that is enlarged smoothly."""
    page.wait_for_function(
        """(id) => { const canvas = document.getElementById(id), pixels = new Set(new Uint32Array(
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer));
        return pixels.size > 100; }""",
        arg=canvas,
    )


def test_the_object_is_drawn_from_its_image_with_adjustable_context(tmp_path: Path, page: Page) -> None:
    served = Served(make_results(tmp_path, OBJECTS), tmp_path / "decisions")
    try:  # from the server, because a canvas with an image from disk may not be read
        open_page_at(page, served.address + "batch-001.html")
        page.wait_for_selector(".vote")
        for canvas in ("crop", "whole"):
            until_drawn(page, canvas)
        before = page.input_value("#context")
        for _ in range(4):
            page.keyboard.press("]")
        assert float(page.input_value("#context")) > float(before)
        page.keyboard.press("[")
        page.mouse.move(300, 300)
        page.mouse.wheel(0, -400)
        page.mouse.down()
        page.mouse.move(340, 320)
        page.mouse.up()
        until_drawn(page, "crop")
    finally:
        served.process.kill()
        served.process.communicate()


def test_a_dense_screen_gets_a_dense_canvas(secondlook: Command, tmp_path: Path, browser: Browser) -> None:
    made = pages_of(secondlook, tmp_path, OBJECTS)
    context = browser.new_context(viewport={"width": 1280, "height": 800}, device_scale_factor=2)
    page = context.new_page()
    page.goto(f"file://{made.results}/review/batch-001.html")
    begun(page)
    width, shown = page.evaluate("[document.getElementById('crop').width, document.getElementById('crop').clientWidth]")
    context.close()
    assert width == 2 * shown


def test_the_frames_of_a_track_say_where_labelers_differ(secondlook: Command, tmp_path: Path, page: Page) -> None:
    objects: Rows = [{"p": 0.5, "track": "t"}, {"p": 0.6, "track": "t", "label": "yield", "given": "yield"}]
    open_page(page, pages_of(secondlook, tmp_path, objects))
    page.wait_for_selector("#frames li")
    frames = page.query_selector_all("#frames li")
    assert [frame.get_attribute("aria-current") for frame in frames].count("true") == 1
    marks = {frame.inner_text().strip() for frame in frames}
    assert marks == {"1\nstop", "2\n≠ yield"}, "by a symbol, not by colour alone"


def test_classes_with_levels_form_a_tree(secondlook: Command, tmp_path: Path, page: Page) -> None:
    classes = [f"{group}--{kind}--g{number}" for group in ("road", "sign") for kind in "abc" for number in range(9)]
    open_page(page, pages_of(secondlook, tmp_path, [{"given": None, "label": classes[0], "p": 0.6}], classes=classes))
    page.click("#classes .branch >> text=sign")
    page.click("#classes .branch >> text=b")
    page.click("#classes button >> text=g4")
    assert labels(page) == {"o0000": "sign--b--g4"}


def test_classes_that_were_used_last_come_first_in_a_search(secondlook: Command, tmp_path: Path, page: Page) -> None:
    classes = [f"class {number}" for number in range(365)]
    objects: Rows = [{"given": None, "label": "class 200", "p": 0.6}, {"given": None, "label": "class 7", "p": 0.6}]
    open_page(page, pages_of(secondlook, tmp_path, objects, classes=classes))
    for typed in ("class 311", "class 3"):
        page.keyboard.press("/")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
    assert sorted(labels(page).values()) == ["class 311", "class 311"]


SCHEMES: list[Any] = [
    pytest.param("light", ["rgb(243, 245, 248)", "rgb(18, 23, 30)"], id="light"),
    pytest.param("dark", ["rgb(18, 23, 30)", "rgb(243, 245, 248)"], id="dark"),
]


@pytest.mark.parametrize(("scheme", "grounds"), SCHEMES)
def test_colours_follow_the_system_until_a_person_chooses(
    secondlook: Command, tmp_path: Path, page: Page, scheme: Any, grounds: list[str]
) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page, pages_of(secondlook, tmp_path, OBJECTS))
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == grounds[0]
    page.click("#theme")
    assert page.evaluate(ground) == grounds[1]
    page.reload()
    begun(page)
    assert page.evaluate(ground) == grounds[1], "it is kept"

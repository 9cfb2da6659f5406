"""The files beside the review pages: thumbnails, looks and images, cut out of the images themselves."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_review_queue import make_rehearsal, page_of, write_pages

from conftest import Command
from make_records import noise, write_crops, write_embeddings
from make_results import CLASSES, Made, make_results
from secondlook.io import records
from secondlook.stages.review.thumbnails import Thumbnails

WIDTH, HEIGHT = 1280, 720


def parts(made: Made, kind: str, batch: str = "batch-001") -> dict[str, Any]:
    """Return what the part files of a page hold, by object."""
    found: dict[str, Any] = {}
    for path in sorted((made.results / "review" / batch).glob(f"{kind}-*.js")):
        taken = re.fullmatch(rf'Parts\.take\("{kind}", (.*)\);\n', path.read_text(encoding="utf-8"), re.DOTALL)
        assert taken, path
        found |= json.loads(taken[1])
    return found


def pixels(address: str) -> Any:
    content = base64.b64decode(address.partition(",")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def on_a_street(folder: Path, *objects: dict[str, Any]) -> Made:
    """Make results whose objects lie on one grey image with a red box at (600, 300) of 40x20 px."""
    image = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    image[300:320, 600:640] = (0, 0, 255)
    path = folder / "street.png"
    cv2.imwrite(str(path), image)
    about = {"image_id": "i", "image_path": str(path), "size": (WIDTH, HEIGHT), "p": 0.6}
    return make_results(folder, [{**about, **own} for own in objects], images=False)


BOXES: list[Any] = [
    pytest.param((600, 300, 40, 20), [580, 290, 80, 40], [520, 260, 200, 100], id="half a side more on each side"),
    pytest.param((0, 0, 40, 20), [0, 0, 60, 30], [0, 0, 120, 60], id="at a corner of the image"),
    pytest.param((1240, 700, 40, 20), [1220, 690, 60, 30], [1160, 660, 120, 60], id="at the other corner"),
    pytest.param((600.4, 300.6, 1, 1), [599, 300, 3, 3], [598, 298, 6, 6], id="a box of one px"),
]


@pytest.mark.parametrize(("box", "near", "wide"), BOXES)
def test_pieces_have_the_size_that_they_have_in_the_image(
    secondlook: Command, tmp_path: Path, box: Any, near: list[int], wide: list[int]
) -> None:
    made = on_a_street(tmp_path, {"box": box})
    write_pages(secondlook, made)
    thumbnail, context = parts(made, "thumbnails")["o0000"], parts(made, "looks")["o0000"]["context"]
    assert (thumbnail["region"], context["region"]) == (near, wide)
    for piece in (thumbnail, context):
        assert list(pixels(piece["src"]).shape[1::-1]) == piece["region"][2:], "the browser enlarges, and smoothly"


def test_a_thumbnail_shows_the_object_in_its_middle(secondlook: Command, tmp_path: Path) -> None:
    made = on_a_street(tmp_path, {"box": (600, 300, 40, 20)})
    write_pages(secondlook, made)
    shown = pixels(parts(made, "thumbnails")["o0000"]["src"]).astype(int)
    red = shown[..., 2] - shown[..., 1] > 100
    assert np.argwhere(red).mean(axis=0) == pytest.approx((19.5, 39.5), abs=0.5)


def test_a_large_object_is_shrunk_and_needs_no_context(secondlook: Command, tmp_path: Path) -> None:
    made = on_a_street(tmp_path, {"box": (0, 0, WIDTH, HEIGHT)})
    write_pages(secondlook, made)
    assert max(pixels(parts(made, "thumbnails")["o0000"]["src"]).shape) == 256
    look = parts(made, "looks")["o0000"]
    assert look["context"] is None, "the whole image shows as much"
    assert max(cv2.imread(str(made.results / "review" / look["image"])).shape) == 640


def test_an_image_that_cannot_be_read_leaves_the_stored_crop(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "box": (3, 4, 10, 12)}], images=False)
    write_pages(secondlook, made)
    look = parts(made, "looks")["o0000"]
    assert (look["context"], look["image"]) == (None, None)
    assert [vote["labeler"] for vote in look["votes"]] == ["bare", "sure"]
    thumbnail = parts(made, "thumbnails")["o0000"]
    assert thumbnail["region"] == [3, 4, 10, 12]
    assert pixels(thumbnail["src"]).shape == (20, 20, 3)


def test_neither_image_nor_crop_is_said_with_null(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}], images=False)
    write_crops(made.results / "crop" / "00000.parquet", [], CLASSES)
    write_pages(secondlook, made)
    assert parts(made, "thumbnails") == {"o0000": None}


def test_every_box_of_the_image_is_named(secondlook: Command, tmp_path: Path) -> None:
    made = on_a_street(tmp_path, {"label": "yield", "action": "review"}, {"given": "turn", "box": (5, 5, 9, 9)})
    write_pages(secondlook, made)
    boxes = parts(made, "looks")["o0000"]["boxes"]
    assert [(box["id"], box["label"]) for box in boxes] == [("o0000", "yield"), ("o0001", "stop")]
    assert boxes[1]["box"] == [5, 5, 9, 9]


def test_a_known_wrong_proposal_is_not_told_by_boxes_and_frames(secondlook: Command, tmp_path: Path) -> None:
    made = on_a_street(tmp_path, *[{"label": "stop", "truth": "stop", "track": "t", "p": 0.9}] * 20)
    make_rehearsal(made)
    write_pages(secondlook, made, random_fraction=0.5, audit_fraction=0.2, audit_after=0)
    audits = [card for card in page_of(made) if card["sample"] == "audit"]
    assert audits
    for card in audits:
        look = parts(made, "looks")[card["id"]]
        (own,) = [box for box in look["boxes"] if box["id"] == card["id"]]
        assert own["label"] == card["proposal"] != "stop"
        assert {frame["proposal"] for frame in look["track"]} == {card["proposal"]}
        assert not any(frame["differs"] for frame in look["track"])


def test_what_the_classes_look_like_is_nearest_first(secondlook: Command, tmp_path: Path) -> None:
    made = on_a_street(tmp_path, {"given": "stop", "label": "yield"})
    like = {f"r{number}": "yield" if number < 6 else "stop" for number in range(8)}
    crops = [{"instance_id": name, "pixels": noise(7), "reference_label": label} for name, label in like.items()]
    write_crops(made.results / "crop" / "reference.parquet", crops, CLASSES)
    write_pages(secondlook, made)
    alike = parts(made, "looks")["o0000"]["alike"]
    assert [(row["label"], row["role"], len(row["crops"])) for row in alike] == [
        ("yield", "proposal", 4),
        ("stop", "given", 2),
    ]
    nearest = {name: (np.cos(number), np.sin(number)) for number, name in enumerate(like)}
    embedded = made.results / "embed" / "dino"
    write_embeddings(embedded / "reference.parquet", nearest, like, CLASSES)
    write_embeddings(embedded / "00000.parquet", {"o0000": nearest["r3"]}, {}, CLASSES)
    marked = [{**row, "pixels": noise(3)} if row["instance_id"] == "r3" else row for row in crops]
    write_crops(made.results / "crop" / "reference.parquet", marked, CLASSES)
    write_pages(secondlook, made)
    first = pixels(parts(made, "looks")["o0000"]["alike"][0]["crops"][0]).astype(int)
    assert np.abs(first - noise(3)[..., ::-1]).mean() < 30, "the crop that has the vector of the object"


FRAMES = 40


def test_the_frames_of_a_track_come_in_their_order(secondlook: Command, tmp_path: Path) -> None:
    objects = [
        {"image_path": str(tmp_path / f"frame {number}.png"), "track": "t", "label": "turn" if number == 17 else "stop"}
        for number in range(FRAMES)
    ]
    made = make_results(tmp_path, [{**row, "p": 0.6 + number / 1000} for number, row in enumerate(objects)])
    write_pages(secondlook, made)
    track = parts(made, "looks")[page_of(made)[-1]["id"]]["track"]
    numbers = [made.ids.index(frame["id"]) for frame in track]
    assert numbers == sorted(numbers), "frame 9 before frame 10"
    assert len(track) == 24
    assert [made.ids.index(frame["id"]) for frame in track if frame["proposal"] == "turn"] == [17], "kept: it differs"
    assert sum(frame["here"] for frame in track) == 1


STACKS: list[Any] = [
    pytest.param(False, 5, False, id="nothing is decided with it"),
    pytest.param("tracks", 3, True, id="the objects of its track"),
    pytest.param(True, 5, True, id="its near-duplicates, too"),
]


@pytest.mark.parametrize(("how", "also", "copies"), STACKS)
def test_a_decision_decides_what_the_option_says(
    secondlook: Command, tmp_path: Path, how: Any, also: int, copies: bool
) -> None:
    objects = [{"p": 0.5 + number / 100, "track": "t", "crop": 1} for number in range(4)]
    alike = [{"p": 0.7 + number / 100, "crop": 1} for number in range(2)]
    made = make_results(tmp_path, [*objects, *alike])
    write_pages(secondlook, made, copy_decisions=how, near_duplicate_bits=10)
    (card,) = page_of(made)
    assert (card["stack"], len(card["also"]), card["copies"]) == (5, also, copies)
    rows = records.read_columns(made.results / "review" / "alike.parquet", records.ALIKE, ["instance_id", "kind"])
    assert [row["kind"] for row in rows] == ["track"] * 3 + ["near_duplicate"] * 2


def test_thumbnails_are_found_by_object(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 7)
    write_pages(secondlook, made, batch_size=3)
    kept = Thumbnails(made.results / "review" / "thumbnails.arrow")
    found = dict(kept.of(["o0005", "gone", "o0000"]))
    assert list(found) == ["o0005", "o0000"]
    assert found["o0005"].as_json() == parts(made, "thumbnails", "batch-002")["o0005"]


def test_no_file_is_large(secondlook: Command, tmp_path: Path) -> None:
    image = tmp_path / "large.png"
    cv2.imwrite(str(image), noise(0, 1600, 1200))
    about = {"image_id": "i", "image_path": str(image), "size": (1600, 1200), "p": 0.6, "box": (400, 300, 300, 300)}
    made = make_results(tmp_path, [about] * 120, images=False)
    write_pages(secondlook, made)
    sizes = {path.name: path.stat().st_size for path in (made.results / "review").rglob("*.[hj]*") if path.is_file()}
    assert max(sizes.values()) < 10 * 2**20, "noise does not shrink; files of real images have a tenth"
    assert sizes["batch-001.html"] < 3 * 2**20

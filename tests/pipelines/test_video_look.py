"""`secondlook video look`: images, folders and clips with the objects of a detector drawn over them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import Command, write_image
from secondlook.config.video import DetectorOptions
from secondlook.io import tensorfile
from secondlook.pipelines.video import detector, overlay, plates
from secondlook.pipelines.video import labels as records
from secondlook.pipelines.video.labels import Found, Frame, encode

TINY = {
    "backbone": "small", "start": "scratch", "channels": 16, "min_px": 64, "max_px": 128,
    "anchors_px": [8, 16, 24, 32, 48], "proposals": 30, "detections": 5,
}  # fmt: skip
OPTIONS = ("--options", json.dumps(TINY), "--score", "0.1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights, which sees objects everywhere."""
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    tensorfile.write(folder / "weights.safetensors", detector.build(DetectorOptions(**TINY)).state_dict())
    return folder


def film(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    for number in range(frames):
        video.write(np.full((size[1], size[0], 3), 40 * number, np.uint8))
    video.release()
    return path


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Images, a folder with folders, two videos, and files that are neither."""
    for name in ("one.png", "many/b.jpg", "many/a 1.png", "many/deep/er/7.jpg"):
        write_image(tmp_path / name, width=80, height=60)
    (tmp_path / "many/notes.txt").write_text("notes", encoding="utf-8")
    film(tmp_path / "many/street.avi", 3)
    film(tmp_path / "road.avi", 2)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    write_image(tmp_path / "cut.jpg", width=80, height=60)
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return tmp_path


SOURCES = [
    pytest.param(["one.png"], {"images": [0]}, "", id="an image"),
    pytest.param(["one.png", "broken.jpg"], {"images": [0]}, "broken.jpg", id="an image that cannot be read"),
    pytest.param(["one.png", "cut.jpg"], {"images": [0]}, "cut off", id="a cut image"),
    pytest.param(
        ["many"], {"many": [0, 1], "deep_er": [7], "street": [0, 1, 2]}, "", id="a folder, every file at any depth"
    ),
    pytest.param(["road.avi"], {"road": [0, 1]}, "", id="a clip, every frame"),
    pytest.param(["road.avi", "one.png", "many/deep"], {"images": [0], "road": [0, 1], "er": [7]}, "", id="all kinds"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "frames", "rejected"), SOURCES)
def test_what_is_looked_at(
    secondlook: Command, world: Path, weights: Path, names: list[str], frames: dict[str, Any], rejected: str
) -> None:
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", *(world / name for name in names), *given)
    assert done.code == 0, done.err
    clips = records.read(world / "out/boxes.json")
    assert {one.clip: [frame.number for frame in one.frames] for one in clips} == frames
    assert rejected in (world / "out/rejects.csv").read_text(encoding="utf-8")
    page = (world / "out/look.html").read_text(encoding="utf-8")
    shown = re.findall(r'img src="([^"]+)"', page)
    assert len(shown) == sum(map(len, frames.values())) == len(list((world / "out/overlays").rglob("*.jpg")))
    for address, (clip, place) in zip(
        shown, [(one, at) for one in clips for at in range(len(one.frames))], strict=True
    ):
        drawn = cv2.imread(str(world / "out" / address.replace("%20", " ")))
        assert drawn.shape[:2] == (clip.frames[place].height, clip.frames[place].width)
    objects = [one for clip in clips for row in clip.found for one in row]
    assert objects, "the random detector sees something"
    assert all(one.score is not None and one.score > 0.1 and one.round == "final" for one in objects)


@pytest.mark.parametrize(
    ("names", "code", "why"),
    [
        pytest.param(["many/notes.txt"], 2, "is no image, no video and no folder", id="a text"),
        pytest.param(["none"], 2, "is no image, no video and no folder", id="nothing"),
        pytest.param(["broken.jpg"], 1, "none of the images can be read or taken", id="only broken ones"),
    ],
)
def test_what_cannot_be_looked_at(
    secondlook: Command, world: Path, weights: Path, names: list[str], code: int, why: str
) -> None:
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", *(world / name for name in names), *given)
    assert (done.code, why in done.err) == (code, True), done.err


def test_looking_again_does_not_look_at_the_overlays(secondlook: Command, world: Path, weights: Path) -> None:
    given = ("--weights", weights, "--out", world / "many/out", *OPTIONS)
    before = []
    for _ in range(2):
        assert secondlook("video", "look", world / "many", *given).code == 0
        before.append((world / "many/out/boxes.json").read_bytes())
    assert before[0] == before[1]


def thin(path: Path, width: int, height: int) -> Path:
    """An image that is white and far wider than high, or far higher than wide."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (255, 255, 255)).save(path)
    return path


THIN = [
    pytest.param(3000, 3, False, id="3 px at 128 / 3000 are 0.128 px"),
    pytest.param(3, 3000, False, id="as narrow"),
    pytest.param(257, 2, False, id="just below 1 px"),
    pytest.param(256, 2, True, id="just 1 px"),
    pytest.param(128, 1, True, id="1 px as it is"),
]


@pytest.mark.parametrize(("width", "height", "taken"), THIN)
def test_an_image_that_is_too_thin_is_rejected_and_the_others_are_shown(
    secondlook: Command, world: Path, weights: Path, width: int, height: int, taken: bool
) -> None:
    thin(world / "deep/thin.png", width, height)
    write_image(world / "deep/whole.png", width=80, height=60)
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", world / "deep", world / "one.png", *given)
    assert done.code == 0, done.err
    names = [Path(frame.path).name for one in records.read(world / "out/boxes.json") for frame in one.frames]
    assert names == ["one.png", *(["thin.png"] if taken else []), "whole.png"]
    rejects = (world / "out/rejects.csv").read_text(encoding="utf-8").splitlines()[1:]
    page = (world / "out/look.html").read_text(encoding="utf-8")
    assert ("out/rejects.csv" in done.err, "rejects.csv" in page) == (not taken, not taken)
    assert f"images, {int(not taken)} rejected; see" in done.err
    if not taken:
        (row,) = rejects
        assert all(part in row for part in ("deep/thin.png", "too_thin", f"{width} x {height} px", "128 px"))
        assert "1 images, frames or clips are rejected" in page


def test_only_thin_images_end_the_look_with_their_reasons(secondlook: Command, world: Path, weights: Path) -> None:
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", thin(world / "thin.png", 3000, 1), *given)
    assert (done.code, "none of the images can be read or taken" in done.err) == (1, True), done.err
    assert "too_thin" in (world / "out/rejects.csv").read_text(encoding="utf-8")


def test_thin_frames_of_a_video_leave_no_files(secondlook: Command, world: Path, weights: Path) -> None:
    film(world / "thin.avi", 2, (400, 2))
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", world / "thin.avi", world / "road.avi", *given)
    assert (done.code, "2 rejected" in done.err) == (0, True), done.err
    assert {path.parent.name for path in (world / "out").rglob("*.jpg")} == {"road"}


def test_predict_and_train_leave_thin_frames_out(secondlook: Command, world: Path, weights: Path) -> None:
    thin(world / "clip/1.png", 3000, 2)
    write_image(world / "clip/2.png", width=80, height=60)
    every = ("--options", json.dumps({"stride": 1}))
    assert secondlook("video", "frames", world / "clip", "--out", world / "frames.json", *every).code == 0
    given = ("--weights", weights, "--out", world / "found.json", *OPTIONS)
    done = secondlook("video", "predict", world / "frames.json", *given)
    assert (done.code, "1 frames are rejected" in done.err) == (0, True), done.err
    (clip,) = records.read(world / "found.json")
    assert [frame.number for frame in clip.frames] == [2]
    assert "too_thin" in (world / "found.rejects.csv").read_text(encoding="utf-8")

    (both,) = records.read(world / "frames.json")
    mask = np.zeros((60, 80), np.bool_)
    mask[10:40, 10:50] = True
    whole = Found((10, 10, 40, 30), encode(mask))
    records.write(world / "labels.json", [records.ClipLabels("clip", both.frames, [[], [whole]])], {})
    training = {"round": {"epochs": 1, "frames_per_epoch": 4, "batch_size": 2}, "network": TINY}
    told = ("--out", world / "round", "--options", json.dumps(training))
    trained = secondlook("video", "train", world / "labels.json", *told)
    assert (trained.code, "1 frames are left out" in trained.err) == (0, True), trained.err

    thin(world / "clip/1.png", 80, 60)
    assert secondlook("video", "frames", world / "clip", "--out", world / "frames.json", *every).code == 0
    assert secondlook("video", "predict", world / "frames.json", *given).code == 0
    assert not (world / "found.rejects.csv").exists(), "that of the earlier run"


APART = [
    pytest.param(["train/images", "val/images"], {"images", "images_2"}, id="two folders of one name"),
    pytest.param(["d"], {"a_b", "a_b_2"}, id="a/b and a_b"),
    pytest.param(["one.png", "val/images"], {"images", "images_2"}, id="single images are `images` themselves"),
    pytest.param(["val/images", "val/images"], {"images"}, id="one folder twice"),
]


@pytest.mark.parametrize(("names", "clips"), APART)
def test_clips_of_one_name_are_kept_apart(
    secondlook: Command, world: Path, weights: Path, names: list[str], clips: set[str]
) -> None:
    for folder in ("train/images", "val/images", "d/a/b", "d/a_b"):
        write_image(world / folder / "1.jpg")
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", *(world / name for name in names), *given)
    assert done.code == 0, done.err
    found = records.read(world / "out/boxes.json")
    assert {one.clip for one in found} == clips
    assert len({frame.path for one in found for frame in one.frames}) == len(clips)
    assert len(list((world / "out/overlays").rglob("*.jpg"))) == len(clips)


@pytest.mark.parametrize("ending", ["bmp", "gif", "tif", "webp", "jp2", "ppm"])
def test_images_of_every_kind_are_looked_at(secondlook: Command, world: Path, weights: Path, ending: str) -> None:
    from PIL import Image

    (world / "kinds").mkdir()
    Image.new("RGB", (80, 60), (90, 120, 30)).save(world / f"kinds/1.{ending}")
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    done = secondlook("video", "look", world / "kinds", world / f"kinds/1.{ending}", *given)
    assert done.code == 0, done.err
    assert [len(one.frames) for one in records.read(world / "out/boxes.json")] == [1, 1]


def test_overlays_and_frames_of_an_earlier_run_go(secondlook: Command, world: Path, weights: Path) -> None:
    given, out = ("--weights", weights, "--out", world / "out", *OPTIONS), world / "out"
    assert secondlook("video", "look", world / "many", world / "road.avi", *given).code == 0
    (out / "overlays/own.jpg").write_bytes(b"of somebody else")
    assert secondlook("video", "look", world / "one.png", *given).code == 0
    left = {path.relative_to(out).as_posix() for path in out.rglob("*.jpg")}
    assert left == {"overlays/own.jpg", "overlays/images/000000_one.jpg"}
    assert not list((out / "frames").rglob("*"))


@pytest.mark.parametrize(
    ("score", "written"), [pytest.param(0.87, True, id="a score"), pytest.param(None, False, id="no score, no text")]
)
def test_masks_boxes_and_scores_are_drawn(score: float | None, written: bool) -> None:
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[60:100, 40:90] = True
    grey = np.full((120, 160, 3), 100, np.uint8)
    drawn = overlay.draw(grey, Frame(0, "a.jpg", 160, 120), [Found((38, 58, 54, 44), encode(mask), score)])
    colour = np.array(overlay.colour_of(0))
    assert np.abs(drawn[80, 60] - (0.55 * 100 + 0.45 * colour)).max() <= 1, "inside the mask"
    assert (drawn[70, 38] == colour).all(), "the box"
    assert (drawn[110, 150] == 100).all(), "elsewhere"
    assert ((drawn[40:57, 38:60] == 0).all(axis=2).any(), (grey == 100).all()) == (written, True)


ABOVE, BELOW = (40, 50, 60, 60), (40, 80, 60, 90)
BOX, IMAGE = (40, 60, 90, 80), (200, 120)  # plates here have 20 x 10 px
PLATES = [
    pytest.param([BOX], [ABOVE], id="above its box"),
    pytest.param([(40, 0, 90, 20)], [(40, 0, 60, 10)], id="inside where there is no space above"),
    pytest.param([(190, 60, 200, 80)], [(180, 50, 200, 60)], id="moved into the image"),
    pytest.param([BOX, BOX], [ABOVE, (70, 50, 90, 60)], id="above on the right"),
    pytest.param([BOX] * 3, [ABOVE, (70, 50, 90, 60), BELOW], id="below"),
    pytest.param([BOX, (50, 62, 74, 80)], [ABOVE, (50, 80, 70, 90)], id="two boxes"),
    pytest.param([(0, 0, 200, 120)] * 2, [(0, 0, 20, 10), (180, 0, 200, 10)], id="inside a box of the whole image"),
]


@pytest.mark.parametrize(("boxes", "expected"), PLATES)
def test_a_plate_is_at_the_first_free_place_of_its_box(boxes: list[Any], expected: list[Any]) -> None:
    assert plates.placed(boxes, [(20, 10)] * len(boxes), IMAGE) == expected


def test_plates_of_twelve_boxes_in_one_place_are_all_seen() -> None:
    found = plates.placed([BOX] * 12, [(20, 10)] * 12, IMAGE)
    covered = np.zeros(IMAGE[::-1], dtype=np.int64)
    for left, top, right, bottom in found:
        covered[top:bottom, left:right] += 1
    assert (covered.max(), covered.sum()) == (1, 12 * 20 * 10)
    most = plates.placed([(0, 0, 30, 15)] * 9, [(20, 10)] * 9, (30, 15))
    assert all(0 <= left < right <= 30 and 0 <= top < bottom <= 15 for left, top, right, bottom in most)


def test_no_score_hides_another() -> None:
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[60:100, 40:90] = True
    objects = [Found((40, 60, 50, 40), encode(mask), score) for score in (0.5, 0.9, 0.7)]
    grey = np.full((120, 160, 3), 100, np.uint8)
    drawn = overlay.draw(grey, Frame(0, "a.jpg", 160, 120), objects)
    outside = np.ones((120, 160), dtype=np.bool_)
    outside[60:102, 40:92] = False  # what is drawn of the boxes
    for place in range(3):
        assert ((drawn == overlay.colour_of(place)).all(axis=2) & outside).any(), (
            "the edge of each plate has its colour"
        )


def test_the_page_shows_every_overlay_in_a_browser(
    secondlook: Command, world: Path, weights: Path, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    given = ("--weights", weights, "--out", world / "out", *OPTIONS)
    assert secondlook("video", "look", world / "many", *given).code == 0
    page = world / "out/look.html"
    script = "<script>onload=()=>document.title=[...document.images].map(i=>i.naturalWidth).join()</script>"
    loaded = page.read_text(encoding="utf-8").replace(' loading="lazy"', "").replace("</body>", f"{script}</body>")
    page.write_text(loaded, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    assert sorted(title[1].split(",")) == ["64"] * 3 + ["80"] * 3

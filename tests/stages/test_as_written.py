"""Class names as written, boxes as drawn, pixels as shown: what a reader must not change in silence."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from conftest import Command, box, coco, coco_image, ingest
from hand_written import IMAGE, lay_out, read
from make_records import read_rows
from secondlook.pixels import images

ODD_NAMES = ["no", "020", "1_000", "12:30", "null", "~", "1.0", "yes"]
SPELLINGS: list[Any] = [
    pytest.param(["A", "a"], 2, "", id="single letters in two cases"),
    pytest.param(["grade A", "grade A-"], 2, "", id="a sign at the end"),
    pytest.param(["C", "C++"], 2, "", id="signs behind a letter"),
    pytest.param(["car", "Car"], 1, "differ only in spelling and are one class", id="a word in two cases"),
    pytest.param(["stop sign", "Stop-Sign"], 1, "differ only in spelling", id="a hyphen between words"),
]


@pytest.mark.parametrize(("names", "count", "words"), SPELLINGS)
def test_labels_are_one_class_only_where_it_is_said(
    secondlook: Command, tmp_path: Path, names: list[str], count: int, words: str
) -> None:
    entry = coco_image(tmp_path, 1)
    document = coco([entry], [box(1, category=1), box(2, category=2)], names)
    done = read(secondlook, lay_out(tmp_path, {"a.json": document}) / "a.json")

    assert sorted(row["given_raw"] for row in done.rows.values()) == sorted(names)
    assert len({row["given"] for row in done.rows.values()}) == count
    assert words in done.result.err


@pytest.mark.parametrize("names", [["A", "a"], ["car", "Car"], ["grade A", "grade A-"]], ids=" and ".join)
def test_a_task_may_list_classes_that_only_their_spelling_tells_apart(
    secondlook: Command, tmp_path: Path, names: list[str]
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1, category=1), box(2, category=2)], names)
    lay_out(tmp_path, {"a.json": document})
    task = {"dataset": {"path": str(tmp_path / "a.json"), "images": str(tmp_path / "images")}, "classes": names}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump({**task, "labelers": ["near"]}), encoding="utf-8")

    done = secondlook("ingest", "--task", tmp_path / "task.yaml", "--out", tmp_path / "i.parquet")

    assert done.code == 0, done.err
    assert sorted(row["given"] for row in read_rows(tmp_path / "i.parquet")) == sorted(names)


@pytest.mark.parametrize(
    "select", [{"labels": ["{}"]}, {"categories": ["{}"]}, {"skip": [{"label": "{other}"}]}], ids=str
)
@pytest.mark.parametrize("names", [["A", "a"], ["car", "Car"], ["grade A", "grade A-"]], ids=" and ".join)
def test_a_selection_takes_labels_as_they_are_written(
    secondlook: Command, tmp_path: Path, names: list[str], select: dict[str, Any]
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1, category=1), box(2, category=2)], names)
    chosen = yaml.safe_load(yaml.safe_dump(select).replace("{}", names[0]).replace("{other}", names[1]))
    done = ingest(secondlook, tmp_path, document, classes=names, select=chosen)
    assert done.result.code == 0, done.result.err
    assert {key: row["given"] for key, row in done.rows.items()} == {"1": names[0]}
    assert [(row["source_id"], row["reason"]) for row in done.refused] == [("2", "not_selected")]


@pytest.mark.parametrize("as_list", [True, False])
def test_names_in_yaml_stay_as_they_are_written(secondlook: Command, tmp_path: Path, as_list: bool) -> None:
    listed = ", ".join(name if as_list else f"{number}: {name}" for number, name in enumerate(ODD_NAMES))
    names = f"names: [{listed}]" if as_list else f"names: {{{listed}}}"
    lines = "".join(f"{number} 0.5 0.5 0.1 0.1\n" for number in range(len(ODD_NAMES)))
    root = lay_out(tmp_path / "data", {"data.yaml": names, "images/a.jpg": IMAGE, "labels/a.txt": lines})

    done = read(secondlook, root)

    assert [done.rows[f"labels/a.txt:{1 + place}"]["given_raw"] for place in range(len(ODD_NAMES))] == ODD_NAMES


NAMES_FILES: list[Any] = [
    pytest.param({"ds1/data.yaml": "names: [car, bus]", "ds2/data.yaml": "names: [bus, car]"}, ["car", "bus"],
                 id="two datasets below one folder"),
    pytest.param({"coco8.yaml": "path: x\nnames:\n  0: car\n"}, ["car", "car"], id="another name of the file"),
    pytest.param({"obj.names": "car\n"}, ["car", "car"], id="darknet's list"),
    pytest.param({"ds1/_darknet.labels": "car\n", "ds2/_darknet.labels": "bus\n"}, ["car", "bus"], id="Roboflow's"),
    pytest.param({"data.yaml": "names: names.txt", "names.txt": "car\n"}, ["car", "car"], id="a list elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "labels"), NAMES_FILES)
def test_each_label_file_has_the_names_of_its_dataset(
    secondlook: Command, tmp_path: Path, files: dict[str, str], labels: list[str]
) -> None:
    sets = {f"ds{number}/{part}": content for number in (1, 2)
            for part, content in {"images/a.jpg": IMAGE, "labels/a.txt": "0 0.5 0.5 0.5 0.5"}.items()}  # fmt: skip

    done = read(secondlook, lay_out(tmp_path / "data", {**files, **sets}))

    assert [done.rows[f"ds{number}/labels/a.txt:1"]["given_raw"] for number in (1, 2)] == labels


def test_two_lists_of_names_that_differ_are_one_sentence(secondlook: Command, tmp_path: Path) -> None:
    files = {"data.yaml": "names: [car]", "classes.txt": "bus\n", "a.jpg": IMAGE, "a.txt": "0 0.5 0.5 0.5 0.5"}
    done = read(secondlook, lay_out(tmp_path / "data", files))
    assert "data.yaml and classes.txt name different classes" in done.result.err


CATEGORIES: list[Any] = [
    pytest.param([{"id": 1, "name": 5}], {"1": "5"}, {}, id="a name that is a number"),
    pytest.param([{"id": 1.0, "name": "car"}], {"1": "car"}, {}, id="an id of pandas"),
    pytest.param([{"id": "1", "name": "car"}], {"1": "car"}, {}, id="an id that is text"),
    pytest.param([{"id": 1, "name": None}], {}, {"1": "unknown_class"}, id="no name"),
    pytest.param([{"id": 1, "name": "car"}, {"id": 1, "name": "bus"}], {}, {"1": "unknown_class"}, id="two names"),
    pytest.param([{"id": 1, "name": "car"}, {"id": 1, "name": "car"}], {"1": "car"}, {}, id="the same name twice"),
]


@pytest.mark.parametrize(("categories", "labels", "reasons"), CATEGORIES)
def test_categories_are_named_or_refused(
    secondlook: Command, tmp_path: Path, categories: list[Any], labels: dict[str, str], reasons: dict[str, str]
) -> None:
    document = {**coco([coco_image(tmp_path, 1)], [box(1)], []), "categories": categories}
    done = read(secondlook, lay_out(tmp_path, {"a.json": document}) / "a.json")

    assert ({number: row["given_raw"] for number, row in done.rows.items()}, done.reasons) == (labels, reasons)


ENTRIES: list[Any] = [
    pytest.param({"bbox": [5, 6, 10, 12, 90]}, "has 5 numbers", id="five numbers"),
    pytest.param({"bbox": None}, "no bbox and no segmentation", id="no box"),
    pytest.param({"segmentation": [[5, 6, 15, 6, 15, 18, 7]]}, "7 numbers, which are no pairs", id="odd polygon"),
    pytest.param({"segmentation": [[5, 6, 15, None, 15, 18]]}, "null among its numbers", id="null in a polygon"),
    pytest.param({"image_id": 9}, "no image with id 9", id="no such image"),
    pytest.param({"image_id": "x"}, "no image with id 'x'", id="no such image, text"),
    pytest.param({"attributes": {"rotation": "x"}}, "`rotation` is 'x'", id="a turn that is none"),
]


@pytest.mark.parametrize(("entry", "words"), ENTRIES)
def test_a_refusal_says_what_is_in_the_file(
    secondlook: Command, tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    document = coco([coco_image(tmp_path, 1)], [{**box(1), **entry}], ["stop"])
    done = read(secondlook, lay_out(tmp_path, {"a.json": document}) / "a.json")
    assert words in done.refused[0]["detail"]


BOXES: list[Any] = [
    pytest.param([[0.1, 0.2, 0.5, 0.5]] * 3, "look like fractions", id="all in fractions"),
    pytest.param([[10, 10, 50, 46], [40, 20, 60, 40], [30, 30, 60, 44]], "look like corners", id="all are corners"),
    pytest.param([[-9, 6, 20, 12], [5, 6, 10, 12]], "border of their image: 1", id="one is clipped"),
]


@pytest.mark.parametrize(("boxes", "words"), BOXES)
def test_what_most_boxes_show_is_said(
    secondlook: Command, tmp_path: Path, boxes: list[list[float]], words: str
) -> None:
    annotations = [box(number, bbox=bbox) for number, bbox in enumerate(boxes)]
    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], annotations, ["stop"]))
    assert words in done.result.err
    assert len(done.rows) == len(boxes)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_header_and_pixels_are_turned_alike(tmp_path: Path, kind: str, turn: int) -> None:
    upright = np.full((48, 64, 3), 30, np.uint8)
    upright[:16, :40] = (220, 40, 40)
    undo = {6: 8, 8: 6}.get(turn, turn)  # the turn that undoes it
    stored = Image.fromarray(images._turned(upright, undo))
    path = tmp_path / f"a.{kind.lower()}"
    exif = Image.Exif()
    exif[0x0112] = turn
    how: dict[str, Any] = {"tiffinfo": {0x0112: turn}} if kind == "TIFF" else {"exif": exif.tobytes(), "quality": 95}
    stored.save(path, kind, **how)

    shown = images.read_rgb(path)

    assert images.read_header(path) == images.Header(64, 48)
    assert np.abs(shown.astype(int) - upright).mean() < 10


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_of_many_bits_fill_the_range_of_eight(tmp_path: Path, bits: int, ending: str, channels: int) -> None:
    samples = np.zeros((48, 64, channels), np.uint16)
    samples[:, 32:, 0] = 2**bits - 1  # blue where there are three channels: OpenCV writes BGR
    assert cv2.imwrite(str(tmp_path / f"a.{ending}"), samples)

    shown = images.read_rgb(tmp_path / f"a.{ending}")

    assert shown[0, 40].tolist() == ([255] * 3 if channels == 1 else [0, 0, 255])
    assert shown[0, 10].tolist() == [0, 0, 0]


def test_every_entry_is_a_row(secondlook: Command, tmp_path: Path) -> None:
    """As many rows as entries, whatever is wrong with an image."""
    names = ["a.jpg", "b.avif", "c.gif", "d.jfif", "e.jpg"]
    root = lay_out(tmp_path / "data", {"cat/a.jpg": IMAGE, **{f"cat/{name}": b"no image" for name in names[1:]}})

    done = read(secondlook, root)

    assert len(read_rows(done.out)) + len(done.refused) == len(names)

"""Readers: what each dataset format means, on small files written by hand from its documentation, and on real ones."""

import contextlib
import itertools
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import Command, Ingested, coco
from hand_written import (
    BOX2D,
    CAR,
    IMAGE,
    TRIANGLE,
    fiftyone_sample,
    lay_out,
    read,
    region,
    vistas,
    voc_file,
    voc_object,
    zip_up,
)
from make_records import read_rows
from secondlook.base.errors import DataError
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, Format
from secondlook.io import archives, packed, records
from secondlook.pixels import images
from secondlook.stages.ingest import Places, formats, ingest_path, write
from secondlook.stages.ingest.source import AboutImage, Background

Found = dict[str, tuple[str, str | None, tuple[float, ...]]]


def found(done: Ingested) -> Found:
    """Return image name, label and box of each object by its source id."""
    return {
        number: (row["image_path"], row["given_raw"], tuple(round(row[side], 3) for side in "xywh"))
        for number, row in done.rows.items()
    }


def check(done: Ingested, root: Path, kind: str, expected: Found, reasons: Mapping[str, str]) -> None:
    """Compare what was read; image names are relative to `root`."""
    assert done.refused is not None
    assert f"is read as {kind}" in done.result.err, done.result.err
    here = {number: (str(Path(image).relative_to(root)), *rest) for number, (image, *rest) in found(done).items()}
    assert (here, done.reasons) == (expected, reasons)


MAPILLARY = [
    pytest.param([CAR], {"0": ("object--vehicle--car", (10, 5, 11, 21))}, {}, id="right and bottom px are included"),
    pytest.param(
        [{"label": "a", "polygon": [[10.9, 5.9], [20.2, 5.1], [20.99, 25.5]]}],
        {"0": ("a", (10, 5, 11, 21))}, {}, id="fractions are cut, not rounded",
    ),
    pytest.param(
        [{"label": "a", "polygon": [[40, 30], [64, 30], [64, 48]]}], {"0": ("a", (40, 30, 24, 18))}, {},
        id="points on the far edge: clipped to the image",
    ),
    pytest.param([{"label": "a", "polygon": [[3, 4]]}], {"0": ("a", (3, 4, 1, 1))}, {}, id="one point is one px"),
    pytest.param([CAR, {"label": "b", "polygon": []}], {"0": ("object--vehicle--car", (10, 5, 11, 21))},
                 {"1": "malformed"}, id="no points"),
    pytest.param([{"polygon": TRIANGLE}, CAR], {"1": ("object--vehicle--car", (10, 5, 11, 21))},
                 {"0": "malformed"}, id="no label"),
    pytest.param([{"label": "a", "polygon": [["1", 2]]}, CAR], {"1": ("object--vehicle--car", (10, 5, 11, 21))},
                 {"0": "malformed"}, id="a point of text"),
    pytest.param([{"label": "a", "polygon": [[float("nan"), 2]] * 3}, CAR],
                 {"1": ("object--vehicle--car", (10, 5, 11, 21))}, {"0": "bad_coordinates"}, id="NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "expected", "reasons"), MAPILLARY)
def test_mapillary(
    secondlook: Command, tmp_path: Path, objects: list[Any], expected: Any, reasons: dict[str, str]
) -> None:
    root = lay_out(
        tmp_path / "vistas",
        {
            "validation/v2.0/polygons/x.json": vistas(*objects),
            "validation/images/x.jpg": IMAGE,
            "config_v2.0.json": {},
        },
    )

    done = read(secondlook, root)

    rows = {f"validation/x:{place}": ("validation/images/x.jpg", *rest) for place, rest in expected.items()}
    check(done, root, "mapillary", rows, {f"validation/x:{place}": reason for place, reason in reasons.items()})


def test_mapillary_takes_whole_labels_of_every_split_and_keeps_the_polygon(secondlook: Command, tmp_path: Path) -> None:
    ego = {"label": "void--ego-vehicle", "polygon": TRIANGLE}
    files = {f"{split}/images/{name}.jpg": IMAGE for split in ("training", "validation") for name in "ab"}
    files |= {
        f"{split}/v2.0/polygons/{name}.json": vistas(ego, CAR) for split in ("training", "validation") for name in "ab"
    }
    root = lay_out(
        tmp_path / "vistas", {**files, "validation/v2.0/polygons/c.json": "{", "validation/v2.0/polygons/d.json": {}}
    )

    done = read(
        secondlook, root, classes={"car": ["object--vehicle--car"]}, select={"labels": ["object--vehicle--car"]}
    )
    one = read(secondlook, root / "validation", classes=["object--vehicle--car"], unknown_labels="keep_unlabelled")

    assert set(done.rows) == {f"{split}/{name}:1" for split in ("training", "validation") for name in "ab"}
    mask = done.rows["training/a:1"]["segmentation"]
    drawn = coco_mask.frPyObjects([[10, 5, 20, 5, 20, 25]], 48, 64)[0]
    assert coco_mask.iou([mask], [drawn], [0])[0, 0] == 1.0
    assert Counter(row["reason"] for row in done.refused) == {"not_selected": 4, "malformed": 2}
    assert len(one.rows) == 4
    assert {row["image_path"] for row in one.rows.values()} == {f"{root}/validation/images/{n}.jpg" for n in "ab"}


BDD = [
    pytest.param([{"category": "motor", "box2d": BOX2D}], {"0": ("motor", (5.5, 6, 10, 12))}, {}, id="old name"),
    pytest.param([{"category": "motorcycle", "box2d": BOX2D}], {"0": ("motorcycle", (5.5, 6, 10, 12))}, {}, id="new"),
    pytest.param(None, {}, {}, id="labels null"),
    pytest.param([], {}, {}, id="no labels"),
    pytest.param([{"category": "car", "box2d": None, "poly2d": None}], {}, {"0": "bad_coordinates"}, id="no shape"),
    pytest.param([{"category": "car", "box2d": {"x1": 1}}], {}, {"0": "malformed"}, id="half a box"),
    pytest.param([{"category": "car", "box2d": {**BOX2D, "x2": 5.5}}], {}, {"0": "empty_box"}, id="no width"),
    pytest.param(["car"], {}, {"0": "malformed"}, id="a label that is text"),
    pytest.param(
        [{"category": "area/drivable", "poly2d": [{"vertices": TRIANGLE, "types": "LLL", "closed": False}]}],
        {"0": ("area/drivable", (10, 5, 10, 20))}, {}, id="an area; BDD's tools write closed false for areas too",
    ),
    pytest.param(
        [{"category": "single white", "attributes": {"laneStyle": "solid"},
          "poly2d": [{"vertices": TRIANGLE, "closed": False}]}],
        {}, {"0": "no_box"}, id="a lane mark is no object",
    ),
    pytest.param([{"category": None, "box2d": BOX2D}], {"0": (None, (5.5, 6, 10, 12))}, {}, id="no category"),
    pytest.param(
        [{"category": "sky", "rle": {"size": [48, 64], "counts": coco_mask.encode(
            np.asfortranarray(np.pad(np.ones((4, 6), np.uint8), ((8, 36), (10, 48)))))["counts"].decode()}}],
        {"0": ("sky", (10, 8, 6, 4))}, {}, id="a mask",
    ),
]  # fmt: skip


@pytest.mark.parametrize("wrapped", [False, True], ids=["list", "frames"])
@pytest.mark.parametrize(("labels", "expected", "reasons"), BDD)
def test_bdd100k(
    secondlook: Command, tmp_path: Path, labels: Any, expected: Any, reasons: dict[str, str], wrapped: bool
) -> None:
    frames = [
        {"name": "x.jpg", "labels": labels, "attributes": {"weather": "clear"}, "timestamp": 10000},
        {"name": "y.jpg", "labels": [{"id": 7, "category": "rider", "box2d": BOX2D, "attributes": {"occluded": True}}]},
        {"name": "z.jpg"},
    ]
    files = {
        "det_val.json": {"frames": frames} if wrapped else frames,
        "images/x.jpg": IMAGE,
        "images/y.jpg": IMAGE,
    }
    root = lay_out(tmp_path / "bdd", files)

    done = read(secondlook, root / "det_val.json")

    rows = {f"x.jpg:{place}": ("x.jpg", *rest) for place, rest in expected.items()}
    rows["y.jpg:0"] = ("y.jpg", "rider", (5.5, 6, 10, 12))
    check(done, root / "images", "bdd100k", rows, {f"x.jpg:{place}": reason for place, reason in reasons.items()})
    assert dict(done.rows["y.jpg:0"]["attributes"]) == {"occluded": "True", "id": "7"}


def test_bdd100k_frames_that_are_none_cost_themselves_only(secondlook: Command, tmp_path: Path) -> None:
    sound = {"name": "x.jpg", "labels": [{"category": "car", "box2d": BOX2D}]}
    document = json.dumps([sound, sound, {"labels": []}, 5, {"name": "\ud800.jpg", "labels": sound["labels"]}])
    root = lay_out(tmp_path / "bdd", {"x.jpg": IMAGE, "det.json": document.encode()})

    done = read(secondlook, root / "det.json")

    assert list(done.rows) == ["x.jpg:0"]
    assert done.reasons == {
        "x.jpg": "duplicate_id",
        "frame 2": "malformed",
        "frame 3": "malformed",
        "\\ud800.jpg:0": "missing_image",
    }


OBJECTS365 = [
    pytest.param("patch8/objects365_v1_00420917.jpg", "patch8/objects365_v1_00420917.jpg", id="converted v1"),
    pytest.param("images/v2/patch16/objects365_v2_00908726.jpg", "patch16/objects365_v2_00908726.jpg", id="v2 itself"),
    pytest.param("images/v1/patch0/objects365_v1_00000001.jpg", "patch0/objects365_v1_00000001.jpg", id="v1 inside v2"),
    pytest.param("obj365_train_000000420917.jpg", "obj365_train_000000420917.jpg", id="v1 itself: no patch folder"),
]


@pytest.mark.parametrize(("stated", "on_disk"), OBJECTS365)
def test_objects365(secondlook: Command, tmp_path: Path, stated: str, on_disk: str) -> None:
    entry = {"id": 420917, "file_name": stated, "width": 64, "height": 48}
    annotation = {"id": 9, "image_id": 420917, "category_id": 2, "bbox": [5, 6, 10, 12], "iscrowd": 0, "isfake": 0}
    root = lay_out(
        tmp_path / "o365", {f"train/{on_disk}": IMAGE, "a.json": coco([entry], [annotation], ["car", "suv"])}
    )

    done = read(secondlook, root / "a.json", "--images", root / "train", "--format", "objects365")

    check(done, root / "train", "objects365", {"9": (on_disk, "suv", (5, 6, 10, 12))}, {})
    assert formats.detect(Dataset(path=str(root / "a.json"))) == ("objects365" if "patch" in stated else "coco")


STOP = ("stop", (5, 6, 10, 12))
CHALLENGE = "<source><database>The VOC2007 Database</database></source>"
LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'
VOC = [
    pytest.param(voc_file(voc_object()), {"0": STOP}, {}, id="as it stands"),
    pytest.param(voc_file(voc_object(), filename="other.jpg"), {"0": STOP}, {}, id="stated name is old: same stem"),
    pytest.param(voc_file(voc_object(), filename="C:\\data\\a.jpg"), {"0": STOP}, {}, id="path of another machine"),
    pytest.param(voc_file(voc_object(), size=(0, 0)), {"0": STOP}, {}, id="size unknown"),
    pytest.param(voc_file(voc_object(), size=(9, 9)), {}, {"0": "size_mismatch"}, id="size of another image"),
    pytest.param(voc_file(CHALLENGE, voc_object()), {"0": ("stop", (4, 5, 11, 13))}, {}, id="VOC2007 counts from 1"),
    pytest.param(
        voc_file(voc_object(box="<xmin>5.5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>18.25</ymax>")),
        {"0": ("stop", (5.5, 6, 9.5, 12.25))}, {}, id="fractions",
    ),
    pytest.param(voc_file(voc_object(box="<xmin>5</xmin>")), {}, {"0": "bad_coordinates"}, id="half a box"),
    pytest.param(voc_file(voc_object(box="<xmin>?</xmin>")), {}, {"0": "bad_coordinates"}, id="no number"),
    pytest.param(voc_file(), {}, {}, id="no objects"),
    pytest.param("<annotation>", {}, {"": "malformed"}, id="cut off"),
    *(
        pytest.param(f"<?xml version='1.0' encoding='{name}'?>{voc_file(voc_object())}", {}, {"": "malformed"}, id=name)
        for name in ("bogus", "hex", "utf-7", "idna", "x" * 300)
    ),
    pytest.param(voc_file(voc_object("&c;"), head=LAUGHS), {}, {"": "malformed"}, id="entities are refused"),
    pytest.param("<a>" * 5000 + "</a>" * 5000, {}, {"": "malformed"}, id="nested without end"),
    pytest.param(
        voc_file("<object><name>stop</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>18</ymax></bndbox>"
                 "<part><name>top</name><bndbox><xmin>1</xmin></bndbox></part></object>"),
        {"0": STOP}, {}, id="parts of an object are none",
    ),
]  # fmt: skip


@pytest.mark.parametrize("apart", [False, True], ids=["beside the image", "Annotations and JPEGImages"])
@pytest.mark.parametrize(("xml", "expected", "reasons"), VOC)
def test_voc(
    secondlook: Command, tmp_path: Path, xml: str, expected: Any, reasons: dict[str, str], apart: bool
) -> None:
    xmls, images = ("Annotations/", "JPEGImages/") if apart else ("", "")
    second = voc_file(voc_object("yield"), filename="b.png")
    files = {f"{xmls}a.xml": xml, f"{images}a.jpg": IMAGE, f"{xmls}b.xml": second, f"{images}b.png": IMAGE}
    root = lay_out(tmp_path / "voc", files)

    done = read(secondlook, root)

    rows = {f"{xmls}a.xml:{place}": (f"{images}a.jpg", *rest) for place, rest in expected.items()}
    rows[f"{xmls}b.xml:0"] = (f"{images}b.png", "yield", (5, 6, 10, 12))
    refused = {f"{xmls}a.xml{place and ':' + place}": reason for place, reason in reasons.items()}
    check(done, root, "voc", rows, refused)
    assert dict(done.rows[f"{xmls}b.xml:0"]["attributes"]) == {"difficult": "0"}


@pytest.mark.parametrize("top", ["", "Annotations"], ids=["the folder of the export", "its annotations"])
def test_voc_files_in_folders_are_about_images_in_the_same_folders(
    secondlook: Command, tmp_path: Path, top: str
) -> None:
    first, second = (voc_file(voc_object(name), filename="1.jpg") for name in ("stop", "yield"))
    xmls = lay_out(tmp_path / "voc", {"Annotations/1.xml": first, "Annotations/sub/1.xml": second})
    images = lay_out(tmp_path / "pictures", {"1.jpg": IMAGE, "sub/1.jpg": IMAGE})
    done = read(secondlook, xmls / top, "--images", images)
    assert {(row["image_path"], row["given"]) for row in done.rows.values()} == {
        (str(images / "1.jpg"), "stop"),
        (str(images / "sub/1.jpg"), "yield"),
    }


def test_two_voc_files_about_one_image_are_one_too_many(secondlook: Command, tmp_path: Path) -> None:
    xml = voc_file(voc_object(), filename="1.jpg")
    root = lay_out(tmp_path / "voc", {"a/1.xml": xml, "b/1.xml": xml, "1.jpg": IMAGE, "c.xml": "", "d.xml": ""})
    done = read(secondlook, root, "--options", "{max_reject_fraction: 1}")
    assert [row["source_id"] for row in done.rows.values()] == ["a/1.xml:0"]
    assert done.reasons["b/1.xml"] == "duplicate_id"


YOLO = [
    pytest.param("1 0.5 0.5 0.25 0.5", {1: ("yield", (24, 12, 16, 24))}, {}, id="box"),
    pytest.param("0 0 0 0.5 0 0.5 0.5", {1: ("stop", (0, 0, 32, 24))}, {}, id="polygon"),
    pytest.param("0 0 0 0.5 0 0.5 0.5 0 0.5", {1: ("stop", (0, 0, 32, 24))}, {}, id="four points"),
    pytest.param("\n\n1 0.5 0.5 0.25 0.5\r\n", {3: ("yield", (24, 12, 16, 24))}, {}, id="empty lines count as lines"),
    pytest.param("", {}, {}, id="no objects"),
    pytest.param("2 0.5 0.5 0.25 0.5", {}, {1: "unknown_class"}, id="a number without a name"),
    pytest.param("0.5 0.5 0.5 0.25 0.5", {}, {1: "unknown_class"}, id="half a number"),
    pytest.param("stop 0.5 0.5 0.25 0.5", {}, {1: "malformed"}, id="a word"),
    pytest.param("1 0.5 0.5 0.25", {}, {1: "malformed"}, id="four columns"),
    pytest.param("1 0.5 0.5 0.25 0.5 0.9", {}, {1: "malformed"}, id="a confidence: predictions are no labels"),
    pytest.param("1 0.5 0.5 0 0.5", {}, {1: "empty_box"}, id="no width"),
    pytest.param("1 nan 0.5 0.1 0.5", {}, {1: "bad_coordinates"}, id="NaN"),
    pytest.param("1 0.9 0.5 0.4 0.5", {1: ("yield", (44.8, 12, 19.2, 24))}, {}, id="over the edge: clipped"),
    pytest.param("1 50 50 25 50", {}, {1: "bad_coordinates"}, id="px instead of fractions"),
]


@pytest.mark.parametrize("names", [["stop", "yield"], {0: "stop", 1: "yield"}], ids=["names list", "names mapping"])
@pytest.mark.parametrize(("lines", "expected", "reasons"), YOLO)
def test_yolo(
    secondlook: Command, tmp_path: Path, lines: str, expected: Any, reasons: dict[int, str], names: Any
) -> None:
    files = {
        "data.yaml": yaml.safe_dump({"train": "../train/images", "val": "../valid/images", "nc": 2, "names": names}),
        "train/images/a.jpg": IMAGE,
        "train/labels/a.txt": lines.encode(),
        "valid/images/b.png": IMAGE,
        "valid/labels/b.txt": "0 0.5 0.5 1 1",
        "valid/images/without_objects.jpg": IMAGE,
        "valid/labels/gone.txt": "0 0.5 0.5 1 1",
    }
    root = lay_out(tmp_path / "yolo", files)

    done = read(secondlook, root)

    rows = {f"train/labels/a.txt:{line}": ("train/images/a.jpg", *rest) for line, rest in expected.items()}
    rows["valid/labels/b.txt:1"] = ("valid/images/b.png", "stop", (0, 0, 64, 48))
    refused = {f"train/labels/a.txt:{line}": reason for line, reason in reasons.items()}
    check(done, root, "yolo", rows, {**refused, "valid/labels/gone.txt:1": "missing_image"})


@pytest.mark.parametrize(
    ("files", "path", "labels"),
    [
        pytest.param({"images/train/a.jpg": IMAGE, "labels/train/a.txt": "7 .5 .5 1 1"}, "", {"7"}, id="no names"),
        pytest.param({"a.jpg": IMAGE, "a.txt": "0 .5 .5 1 1", "data.yaml": "names: [x]"}, "", {"x"}, id="one folder"),
        pytest.param(
            {"images/a.jpg": IMAGE, "labels/a.txt": "0 .5 .5 1 1", "my.yaml": "names: [x]"}, "my.yaml", {"x"},
            id="by its names file",
        ),
        pytest.param(
            {"labels/images/images/a.jpg": IMAGE, "labels/images/labels/a.txt": "0 .5 .5 1 1"}, "", {"0"},
            id="only the last of equal folders is swapped",
        ),
    ],
)  # fmt: skip
def test_yolo_layouts(secondlook: Command, tmp_path: Path, files: Any, path: str, labels: set[str]) -> None:
    done = read(secondlook, lay_out(tmp_path / "yolo", files) / path, "--format", "yolo")

    assert {row["given_raw"] for row in done.rows.values()} == labels
    assert {(row["w"], row["h"]) for row in done.rows.values()} == {(64, 48)}


NO_NAMES = [
    *("names: 3", "names: [a", "path: here", "- 1"),
    *("names: []", "names: {}", "names: ['', '']"),
    *("names: [[a, b]]", "names: {0: {a: b}}", "names: {0.5: a}"),
    *("names: &a [*a]", "other: &a [stop]\nnames: *a", "names: [a, !!int 3]", f"names: {'[' * 5000}{']' * 5000}"),
    f"names: [{'stop, ' * 200_000}]",
]


@pytest.mark.parametrize("text", NO_NAMES, ids=lambda text: text[:40])
def test_yolo_names_that_are_none_are_one_sentence(secondlook: Command, tmp_path: Path, text: str) -> None:
    root = lay_out(tmp_path / "yolo", {"data.yaml": text, "images/a.jpg": IMAGE, "labels/a.txt": "0 .5 .5 1 1"})

    done = read(secondlook, root)

    assert done.result.code == 1
    assert len(done.result.err.splitlines()) == 1
    assert str(root / "data.yaml") in done.result.err


def roboflow_split(name: str) -> dict[str, Any]:
    categories = [{"id": 0, "name": "signs", "supercategory": "none"}, {"id": 1, "name": "stop"}]
    entry = {"id": 0, "file_name": f"{name}_jpg.rf.0a1b.jpg", "width": 64, "height": 48, "extra": {"name": name}}
    annotation = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [5, 6, 10, 12], "segmentation": [], "iscrowd": 0}
    return {"categories": categories, "images": [entry], "annotations": [annotation]}


ROBOFLOW: list[Any] = [
    pytest.param(
        "roboflow",
        {
            **{f"{split}/_annotations.coco.json": roboflow_split(split) for split in ("train", "valid")},
            **{f"{split}/{split}_jpg.rf.0a1b.jpg": IMAGE for split in ("train", "valid")},
            "README.roboflow.txt": "signs",
        },
        {f"{split}/0": (f"{split}/{split}_jpg.rf.0a1b.jpg", *STOP) for split in ("train", "valid")},
        id="COCO: ids start again in each split",
    ),
    pytest.param(
        "roboflow",
        {
            "data.yaml": "names: ['stop']\nnc: 1\ntrain: ../train/images\n",
            "train/images/a_jpg.rf.1.jpg": IMAGE,
            "train/labels/a_jpg.rf.1.txt": "0 0.15625 0.25 0.15625 0.25",
            "README.roboflow.txt": "signs",
            "README.dataset.txt": "signs",
        },
        {"train/labels/a_jpg.rf.1.txt:1": ("train/images/a_jpg.rf.1.jpg", *STOP)},
        id="YOLO",
    ),
    pytest.param(
        "roboflow",
        {
            "train/a_jpg.rf.1.jpg": IMAGE,
            "train/a_jpg.rf.1.xml": voc_file(voc_object(), filename="a_jpg.rf.1.jpg"),
            "README.roboflow.txt": "signs",
        },
        {"train/a_jpg.rf.1.xml:0": ("train/a_jpg.rf.1.jpg", *STOP)},
        id="VOC",
    ),
    pytest.param(
        "folders",
        {"stop/a.jpg": IMAGE, "__MACOSX/stop/._a.jpg": b"junk"},
        {"stop/a.jpg": ("stop/a.jpg", "stop", (0, 0, 64, 48))},
        id="class folders",
    ),
]


@pytest.mark.parametrize(("kind", "files", "expected"), ROBOFLOW)
def test_zips_are_read_in_place_and_cropped(
    secondlook: Command, tmp_path: Path, kind: str, files: Any, expected: Found
) -> None:
    packed = zip_up(lay_out(tmp_path / "export", files))
    before = sorted(tmp_path.rglob("*"))

    done = read(secondlook, packed)

    check(done, packed, kind, expected, {})
    written = {path for path in tmp_path.rglob("*") if path not in before}
    assert written - {records.images_beside(done.out)} == {done.out, done.rejects, done.reference}
    crops = tmp_path / "crops.parquet"
    assert secondlook("crop", done.out, "--out", crops, "--options", "{encoding: png, upscale_px: 0}").code == 0
    [row, *_], [crop, *_] = read_rows(done.out), read_rows(crops)
    whole = images.read_rgb(Path(row["image_path"]))
    cut = images.crop(whole, (row["x"], row["y"], row["w"], row["h"]))
    assert np.array_equal(images.decode_rgb(crop["image"]), cut)


def test_an_unpacked_roboflow_export_is_read_alike(secondlook: Command, tmp_path: Path) -> None:
    kind, files, expected = ROBOFLOW[0].values
    root = lay_out(tmp_path / "export", files)

    check(read(secondlook, root), root, kind, expected, {})


def test_images_in_a_zip_are_turned_and_cut_ones_are_found_as_on_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    noise.save(folder / "turned.jpg", exif=exif)
    encoded = cv2.imencode(".png", np.zeros((300, 300, 3), np.uint8))[1].tobytes()
    (folder / "cut.png").write_bytes(encoded[: len(encoded) // 2])
    (folder / "text.jpg").write_text("no image")
    on_disk = images.read_rgb(folder / "turned.jpg")

    packed = zip_up(folder)

    assert images.read_header(packed / "turned.jpg") == images.Header(48, 64)
    assert np.array_equal(images.read_rgb(packed / "turned.jpg"), on_disk)
    for name in ("cut.png", "text.jpg", "none.jpg", "../turned.jpg"):
        with pytest.raises(images.UnreadableImageError):
            images.read_header(packed / name)
    with pytest.raises(images.UnreadableImageError):
        images.read_rgb(packed / "none.jpg")


def test_a_damaged_member_is_one_reject_and_a_damaged_zip_one_sentence(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "export", {"stop/a.jpg": IMAGE, "stop/b.jpg": IMAGE})
    packed = tmp_path / "stored.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in ("stop/a.jpg", "stop/b.jpg"):
            archive.write(root / name, name)
    content = bytearray(packed.read_bytes())
    content[200] ^= 0xFF
    packed.write_bytes(content)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(packed.read_bytes()[:100])

    done, broken = read(secondlook, packed), read(secondlook, cut)

    assert (list(done.rows), done.reasons) == (["stop/b.jpg"], {"stop/a.jpg": "unreadable_image"})
    assert broken.result.code == 1
    assert broken.result.err.count("\n") == 1
    assert str(cut) in broken.result.err


def test_a_member_that_unpacks_to_a_hundred_times_as_much_is_not_read(tmp_path: Path) -> None:
    bomb = zip_up(lay_out(tmp_path / "bomb", {"a.png": bytes(20_000_000)}))

    with pytest.raises(OSError, match="unpacks to 20000000 bytes; unpack the zip"):
        packed.read_bytes(bomb / "a.png")


def test_a_member_that_unpacks_to_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zip_up(lay_out(tmp_path / "bomb", {"a.png": bytes(100_000)}))
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 99_999)

    with pytest.raises(OSError, match="unpacks to 100000 bytes"):
        packed.read_bytes(bomb / "a.png")


def detections(*labels: Any) -> dict[str, Any]:
    return {"_cls": "Detections", "detections": list(labels)}


DETECTION = {"_id": {"$oid": "7"}, "_cls": "Detection", "label": "stop", "bounding_box": [0.25, 0.5, 0.5, 0.25]}
BARE = {"bounding_box": [0.25, 0.5, 0.5, 0.25]}
QUARTER = ("stop", (16, 24, 32, 12))
FIFTYONE = [
    pytest.param(fiftyone_sample(detections(DETECTION)), {"0": QUARTER}, {}, id="detections"),
    pytest.param(fiftyone_sample(DETECTION), {"0": QUARTER}, {}, id="one detection"),
    pytest.param(fiftyone_sample(None), {}, {}, id="no labels"),
    pytest.param(fiftyone_sample(detections(), predictions=detections(DETECTION)), {}, {}, id="other fields"),
    pytest.param(
        fiftyone_sample({"_cls": "Classification", "label": "stop"}), {"0": ("stop", (0, 0, 64, 48))}, {},
        id="classification: the whole image",
    ),
    pytest.param(
        fiftyone_sample({"_cls": "Polylines", "polylines": [
            {"_cls": "Polyline", "label": "stop", "closed": True, "points": [[[0.25, 0.5], [0.75, 0.5], [0.75, 0.75]]]},
            {"_cls": "Polyline", "label": "line", "closed": False, "points": [[[0.25, 0.5], [0.75, 0.5]]]}]}),
        {"0": QUARTER}, {"1": "no_box"}, id="polylines: closed ones",
    ),
    pytest.param(fiftyone_sample(detections({**DETECTION, "bounding_box": [0.1]})), {}, {"0": "bad_coordinates"},
                 id="half a box"),
    pytest.param(fiftyone_sample(detections({**DETECTION, "label": 3})), {}, {"0": "malformed"}, id="no text"),
    pytest.param(fiftyone_sample(detections(5)), {}, {"0": "malformed"}, id="a label that is a number"),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "expected", "reasons"), FIFTYONE)
def test_fiftyone_dataset(
    secondlook: Command, tmp_path: Path, sample: Any, expected: Any, reasons: dict[str, str]
) -> None:
    other = fiftyone_sample(
        detections({**DETECTION, "occluded": True, "mask": {"$binary": "x"}}), filepath="data/b.jpg"
    )
    samples = {"samples": [sample, other, {"filepath": 3}]}
    root = lay_out(
        tmp_path / "fo", {"metadata.json": {}, "samples.json": samples, "data/a.jpg": IMAGE, "data/b.jpg": IMAGE}
    )

    done = read(secondlook, root)

    rows = {f"data/a.jpg:{place}": ("data/a.jpg", *rest) for place, rest in expected.items()}
    rows["data/b.jpg:0"] = ("data/b.jpg", *QUARTER)
    refused = {f"data/a.jpg:{place}": reason for place, reason in reasons.items()}
    check(done, root, "fiftyone", rows, {**refused, "sample 2": "malformed"})
    assert dict(done.rows["data/b.jpg:0"]["attributes"]) == {"occluded": "True"}


@pytest.mark.parametrize(
    ("document", "expected", "reasons"),
    [
        pytest.param(
            {"classes": ["yield", "stop"], "labels": {"a": [{**BARE, "label": 1}], "b": None}},
            {"a:0": ("a.jpg", *QUARTER)}, {}, id="detections by number",
        ),
        pytest.param(
            {"classes": None, "labels": {"a": [{**BARE, "label": "stop"}], "b": []}},
            {"a:0": ("a.jpg", *QUARTER)}, {}, id="detections by name",
        ),
        pytest.param(
            {"classes": ["yield", "stop"], "labels": {"a": 1, "b": 9}},
            {"a:0": ("a.jpg", "stop", (0, 0, 64, 48))}, {"b:0": "unknown_class"}, id="classes by number",
        ),
        pytest.param(
            {"labels": {"a": "stop", "c": "stop"}},
            {"a:0": ("a.jpg", "stop", (0, 0, 64, 48))}, {"c:0": "missing_image"}, id="classes by name",
        ),
    ],
)  # fmt: skip
def test_fiftyone_labels(secondlook: Command, tmp_path: Path, document: Any, expected: Found, reasons: Any) -> None:
    root = lay_out(tmp_path / "fo", {"labels.json": document, "data/a.jpg": IMAGE, "data/b.png": IMAGE})

    check(read(secondlook, root), root / "data", "fiftyone", expected, reasons)


def test_fiftyone_asks_which_field_holds_the_labels(secondlook: Command, tmp_path: Path) -> None:
    sample = {"filepath": "data/a.jpg", "first": detections(DETECTION), "second": detections()}
    root = lay_out(tmp_path / "fo", {"samples.json": {"samples": [sample]}, "data/a.jpg": IMAGE})

    done = read(secondlook, root)

    assert done.result.code == 1
    assert "first, second; name one with `label_from`" in done.result.err
    assert list(read(secondlook, root, "--label-from", "first").rows) == ["data/a.jpg:0"]


RECTANGLE = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["stop"]}


def brush(x: int, y: int, w: int, h: int) -> list[int]:
    """Return the run lengths of a painted rectangle, as Label Studio packs them."""
    painted = np.zeros((48, 64, 4), np.uint8)
    painted[y : y + h, x : x + w] = 255
    values = painted.ravel()
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), values.size]
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for start, end in itertools.pairwise(edges):
        if end - start < 9:  # a block of single values
            bits += "0" + "00" + f"{end - start - 1:03b}" + "".join(f"{value:08b}" for value in values[start:end])
        else:
            bits += "1" + "11" + f"{end - start - 1:016b}" + f"{values[start]:08b}"
    return [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]


LABELSTUDIO = [
    pytest.param([region("rectanglelabels", RECTANGLE)], {"0": QUARTER}, {}, id="percent"),
    pytest.param(
        [region("polygonlabels", {"points": [[25, 50], [75, 50], [75, 75]], "polygonlabels": ["stop"]})],
        {"0": QUARTER}, {}, id="polygon",
    ),
    pytest.param(
        [region("rectanglelabels", {**RECTANGLE, "x": 50, "y": 25, "width": 25, "height": 50, "rotation": 90})],
        {"0": ("stop", (8, 12, 24, 16))}, {}, id="turned clockwise about its top left corner, in px",
    ),
    pytest.param(
        [region("rectangle", {**RECTANGLE, "rectanglelabels": None}), region("labels", {"labels": ["stop"]})],
        {"0": QUARTER}, {}, id="shape and label apart",
    ),
    pytest.param(
        [region("brushlabels", {"format": "rle", "rle": [1], "brushlabels": ["stop"]})], {}, {"0": "malformed"},
        id="brush that cannot be read",
    ),
    pytest.param(
        [region("brushlabels", {"format": "rle", "rle": brush(16, 24, 32, 12), "brushlabels": ["stop"]})],
        {"0": QUARTER}, {}, id="brush",
    ),
    pytest.param(
        [region("ellipselabels", {"x": 50, "y": 62.5, "radiusX": 25, "radiusY": 12.5, "ellipselabels": ["stop"]})],
        {"0": QUARTER}, {}, id="ellipse",
    ),
    pytest.param(
        [region("ellipselabels", {"x": 50, "y": 62.5, "radiusX": 9.375, "radiusY": 33.3333333333, "rotation": 90,
                                  "ellipselabels": ["stop"]})],
        {"0": QUARTER}, {}, id="ellipse, turned",
    ),
    pytest.param(
        [region("rectanglelabels", RECTANGLE), region("rectanglelabels", {**RECTANGLE, "x": 0, "y": 0}),
         region("choices", {"choices": ["far"]}), region("keypointlabels", {"x": 1, "y": 1})],
        {"0": QUARTER, "1": ("stop", (0, 0, 32, 12))}, {"2": "no_box"}, id="two rectangles and a point with one id",
    ),
    pytest.param(
        [{"type": "choices", "value": {"choices": ["day"]}}], {}, {"0": "no_box"},
        id="a choice for an image of a project with boxes",
    ),
    pytest.param([region("rectanglelabels", {"x": 1})], {}, {"0": "bad_coordinates"}, id="half a box"),
    pytest.param([region("polygonlabels", {"points": "x"})], {}, {"0": "malformed"}, id="polygon of text"),
    pytest.param(
        [region("rectanglelabels", RECTANGLE, original_width=99)], {}, {"0": "size_mismatch"}, id="another image",
    ),
    pytest.param(
        [region("rectanglelabels", RECTANGLE, original_width=None)], {"0": QUARTER}, {}, id="size unknown",
    ),
    pytest.param([], {}, {}, id="no objects"),
    pytest.param([5], {}, {"0": "no_box"}, id="a result that is none"),
]  # fmt: skip


@pytest.mark.parametrize(("results", "expected", "reasons"), LABELSTUDIO)
def test_labelstudio(
    secondlook: Command, tmp_path: Path, results: list[Any], expected: Any, reasons: dict[str, str]
) -> None:
    unread = {"result": [region("rectanglelabels", {**RECTANGLE, "rectanglelabels": ["never"]})]}
    cancelled = {**unread, "was_cancelled": True}
    tasks = [
        {"id": 5, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": [cancelled, {"result": results}, unread]},
        {"id": 6, "data": {"image": "/data/local-files/?d=deep/b%20c.jpg"}, "annotations": [
            unread, {"ground_truth": True, "result": [
                region("rectanglelabels", RECTANGLE),
                region("choices", {"choices": ["far"]}, from_name="distance")]}]},
        {"id": 7, "data": {"image": "https://host/x/d.jpg?key=1"}, "annotations": [], "predictions": [unread]},
        {"id": 8, "image": "d.jpg", "label": []},
    ]  # fmt: skip
    root = lay_out(tmp_path / "ls", {"export.json": tasks, "images/a.jpg": IMAGE, "images/deep/b c.jpg": IMAGE})

    done = read(secondlook, root / "export.json")

    rows = {f"5:{place}": ("a.jpg", *rest) for place, rest in expected.items()}
    rows["6:0"] = ("deep/b c.jpg", *QUARTER)
    refused = {f"5:{place}": reason for place, reason in reasons.items()}
    others = dict.fromkeys(["5:0 of annotation 0", "5:0 of annotation 2", "6:0 of annotation 0"], "not_selected")
    check(done, root / "images", "labelstudio", rows, {**refused, **others, "task 8": "malformed"})
    assert dict(done.rows["6:0"]["attributes"]) == {"distance": "far"}


def choice(control: str, *choices: str) -> dict[str, Any]:
    return {"id": control, "type": "choices", "from_name": control, "to_name": "image", "value": {"choices": choices}}


IMAGE_CHOICES = [
    pytest.param([choice("kind", "cat")], None, "cat", None, id="one control: as class folders"),
    pytest.param([choice("kind", "cat", "dog")], None, "cat", None, id="several choices: the first, all of them noted"),
    pytest.param([choice("kind", "cat"), choice("light", "day")], "light", "day", "not of `light`", id="named control"),
    pytest.param([choice("kind", "cat"), choice("light", "day")], None, None, "of kind, light; name", id="none named"),
]


@pytest.mark.parametrize(("results", "label_from", "label", "detail"), IMAGE_CHOICES)
def test_choices_for_images_are_labels_where_nothing_is_drawn(
    secondlook: Command, tmp_path: Path, results: list[Any], label_from: str | None, label: str | None, detail: str
) -> None:
    tasks = [{"id": 5, "data": {"image": "/data/local-files/?d=a.jpg"}, "annotations": [{"result": results}]}]
    root = lay_out(tmp_path / "ls", {"x.json": tasks, "images/a.jpg": IMAGE})

    done = read(secondlook, root / "x.json", *(["--label-from", label_from] if label_from else []))

    assert [row["given_raw"] for row in done.rows.values()] == ([label] if label else [])
    assert [(row["x"], row["y"], row["w"], row["h"]) for row in done.rows.values()] == [(0, 0, 64, 48)] * len(done.rows)
    if len(results[0]["value"]["choices"]) > 1:
        assert [dict(row["attributes"]) for row in done.rows.values()] == [{"labels": "cat, dog"}]
    assert detail is None or detail in " ".join(row["detail"] for row in done.refused)


YOLO_LABEL = "0 0.5 0.5 0.25 0.5\n"
KITTI_LABEL = "Car 0.00 0 -1.58 10 10 30 22 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59\n"
WITHOUT_LABELS = [
    pytest.param({"labels/train/a.txt": YOLO_LABEL}, "images/train/a.jpg", {"images/train/b.jpg": True}, id="beside"),
    pytest.param({"labels/a.txt": YOLO_LABEL}, "images/a.jpg", {"images/empty/b.jpg": True}, id="a folder below"),
    pytest.param({"labels/train/a.txt": YOLO_LABEL}, "images/train/a.jpg",
                 {"images/test/b.jpg": False, "extra/c.jpg": False}, id="a part without labels, a folder beside"),
    pytest.param({"labels/a.txt": YOLO_LABEL}, "images/a.jpg", {"images/.b.jpg": False}, id="a hidden file"),
    pytest.param({"a.txt": YOLO_LABEL}, "a.jpg", {"b.jpg": True, "plots/c.jpg": False}, id="labels beside images"),
    pytest.param({"labels/a.txt": YOLO_LABEL, "labels/b.txt": ""}, "images/a.jpg", {"images/b.jpg": True}, id="empty"),
    pytest.param({"training/label_2/1.txt": KITTI_LABEL}, "training/image_2/1.png",
                 {"training/image_2/2.png": True, "testing/image_2/1.png": False}, id="KITTI"),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "labelled", "images"), WITHOUT_LABELS)
def test_every_image_without_a_label_file_is_background_or_counted(
    secondlook: Command, tmp_path: Path, labels: dict[str, str], labelled: str, images: dict[str, bool]
) -> None:
    root = lay_out(tmp_path / "set", {**labels, labelled: IMAGE, **dict.fromkeys(images, IMAGE)})

    done = read(secondlook, root)

    beside = records.background_beside(done.out)
    background = {row["image_path"] for row in read_rows(beside)} if beside.exists() else set()
    assert background == {f"{root}/{name}" for name, bare in images.items() if bare}
    left = [name for name, bare in images.items() if not bare]
    counted = f"{len(left)} image{'s' if len(left) > 1 else ''} without label files"
    assert (counted in done.result.err) == bool(left), done.result.err


POSE_LINES = [
    pytest.param("0 0.5 0.5 0.25 0.5 0.4 0.4 2 0.6 0.60 0", {"keypoints": "0.4 0.4 2 0.6 0.60 0"}, id="as written"),
    pytest.param("0 0.5 0.5 0.25 0.5", {}, id="a box alone"),
]


@pytest.mark.parametrize(("line", "attributes"), POSE_LINES)
def test_key_points_of_yolo_are_an_attribute(
    secondlook: Command, tmp_path: Path, line: str, attributes: dict[str, str]
) -> None:
    files = {"data.yaml": "names: [x]\nkpt_shape: [2, 3]\n", "images/a.jpg": IMAGE, "labels/a.txt": line}
    root = lay_out(tmp_path / "pose", files)

    done = read(secondlook, root)

    assert [dict(row["attributes"]) for row in done.rows.values()] == [attributes]
    assert [(row["x"], row["y"], row["w"], row["h"]) for row in done.rows.values()] == [(24, 12, 16, 24)]


def test_our_own_parquet_comes_back_whole(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5.25, 6, 10, 12]}
    annotation |= {"segmentation": [[5, 6, 15, 6, 15, 18]], "attributes": {"far": True}}
    document = coco(
        [{"id": 1, "file_name": "a.jpg"}], [annotation, {**annotation, "id": 2, "category_id": None}], ["stop"]
    )
    lay_out(tmp_path, {"images/a.jpg": IMAGE, "a.json": document, "other/images/a.jpg": IMAGE})
    monkeypatch.chdir(tmp_path)
    first = read(secondlook, Path("a.json"))

    second = read(secondlook, first.out)

    assert "is read as parquet" in second.result.err
    ids = {"instance_id", "image_id", "group"}
    without_ids = [{k: v for k, v in row.items() if k not in ids} for row in first.rows.values()]
    assert [{k: v for k, v in row.items() if k not in ids} for row in second.rows.values()] == without_ids
    moved = read(secondlook, first.out, "--images", tmp_path / "other")
    assert {row["image_path"] for row in moved.rows.values()} == {f"{tmp_path}/other/images/a.jpg"}
    rejects = read(secondlook, first.rejects)
    assert rejects.result.code == 1
    assert "reject rows" in rejects.result.err


def test_images_are_not_opened_where_the_stated_sizes_are_trusted(secondlook: Command, tmp_path: Path) -> None:
    sized = [{"id": 1, "file_name": "gone.jpg", "width": 64, "height": 48}, {"id": 2, "file_name": "unknown.jpg"}]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "bbox": box}
        for number, image, box in ((1, 1, [60, 6, 10, 12]), (2, 2, [5, 6, 10, 12]), (3, 1, [64, 0, 9, 9]))
    ]
    root = lay_out(tmp_path / "data", {"a.json": coco(sized, annotations, ["stop"])})

    trusting = read(secondlook, root / "a.json", classes=["stop"], dataset={"check_images": False})

    assert {number: row["w"] for number, row in trusting.rows.items()} == {"1": 4}
    assert trusting.reasons == {"2": "missing_image", "3": "box_outside"}
    assert secondlook("crop", trusting.out, "--out", tmp_path / "crops.parquet").code == 1
    checking = read(secondlook, root / "a.json", classes=["stop"])
    assert set(checking.reasons.values()) == {"missing_image"}


def test_rows_are_packed_as_they_come_and_none_is_lost(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondlook.stages.ingest.sink.ROWS_PER_TABLE", 7)
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": [1, 1, number % 3, 9]} for number in range(100)
    ]
    root = lay_out(
        tmp_path / "data", {"a.jpg": IMAGE, "a.json": coco([{"id": 1, "file_name": "a.jpg"}], annotations, ["x"])}
    )

    done = read(secondlook, root / "a.json")

    assert sorted(map(int, done.rows)) == [number for number in range(100) if number % 3]
    assert sorted(map(int, done.reasons)) == [number for number in range(100) if number % 3 == 0]
    assert "66 objects in 1 images, 0 reference objects, 34 refused, rejects: empty_box 34" in done.result.err


REPEATED = [
    pytest.param([3, "3"], ["3"], id="a number, then its text"),
    pytest.param(["03", 3], [], id="03 is not 3"),
    pytest.param([0, 8, 7, 8], ["8"], id="bits of two bytes"),
    pytest.param([-1, -1, 1], ["-1"], id="below zero"),
    pytest.param([2**40, 1, 2**40], [str(2**40)], id="too large for a bit"),
    pytest.param(["a", "b", "a", "a"], ["a", "a"], id="texts"),
]


@pytest.mark.parametrize(("ids", "refused"), REPEATED)
def test_an_id_used_before_is_refused(
    secondlook: Command, tmp_path: Path, ids: list[int | str], refused: list[str]
) -> None:
    annotations = [{"id": one, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 9]} for one in ids]
    root = lay_out(
        tmp_path / "data", {"a.jpg": IMAGE, "a.json": coco([{"id": 1, "file_name": "a.jpg"}], annotations, ["x"])}
    )

    done = read(secondlook, root / "a.json")

    assert len(done.rows) == len(ids) - len(refused)
    assert sorted(done.reasons) == sorted(set(refused))
    assert set(done.reasons.values()) <= {"duplicate_id"}


ODD_NUMBERS = [
    pytest.param([1, 1, 9, 1, 9, 9], None, id="whole numbers"),
    pytest.param([1, 1.5, 9, 1, 9, 9.5], None, id="both kinds"),
    pytest.param([1, 1, 9, True, 9, 9], "malformed", id="true among numbers"),
    pytest.param([1, False, 9, 1, 9, 9], "malformed", id="false among numbers"),
    pytest.param([1, "1", 9, 1, 9, 9], "malformed", id="a text"),
    pytest.param([1, 1, 9, None, 9, 9], "malformed", id="null"),
    pytest.param([1, 1, 9, 2**63, 9, 9], "malformed", id="beyond 64 bits"),
    pytest.param([1, 1, 9, 1, 9, 2e5], "bad_coordinates", id="far to the right"),
    pytest.param([-2e5, 1, 9, 1, 9, 9], "bad_coordinates", id="far to the left"),
    pytest.param([float("nan"), 1, 9, 1, 9, 9], "bad_coordinates", id="NaN first"),
    pytest.param([1, 1, 9, float("nan"), 9, 9], "bad_coordinates", id="NaN inside"),
    pytest.param([1, 1, 9, float("-inf"), 9, 9], "bad_coordinates", id="infinite"),
]


@pytest.mark.parametrize(("polygon", "reason"), ODD_NUMBERS)
def test_numbers_of_a_polygon(secondlook: Command, tmp_path: Path, polygon: list[Any], reason: str | None) -> None:
    boxes = [{"id": 1, "bbox": [1, 1, 5, 9]}, {"id": 2, "bbox": [1, 1, 5, 9], "segmentation": [polygon]}]
    annotations = [{**box, "image_id": 1, "category_id": 1} for box in boxes]
    root = lay_out(
        tmp_path / "data", {"a.jpg": IMAGE, "a.json": coco([{"id": 1, "file_name": "a.jpg"}], annotations, ["x"])}
    )

    done = read(secondlook, root / "a.json")

    assert done.reasons == ({"2": reason} if reason else {})
    assert sorted(done.rows) == (["1"] if reason else ["1", "2"])


def test_a_dataset_is_opened_once(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files, _ = ROBOFLOW[0].values
    root = lay_out(tmp_path / "export", files)
    opened: list[Path] = []
    read_bytes = packed.read_bytes
    monkeypatch.setattr(packed, "read_bytes", lambda path: [opened.append(path), read_bytes(path)][1])

    assert read(secondlook, root).result.code == 0

    assert Counter(path.parent.name for path in opened) == {"train": 1, "valid": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("annotations/instances.json", None, id="COCO with a folder of images"),
        pytest.param("labels.json", None, id="FiftyOne's COCO export"),
        pytest.param("stop/camera.json", "folders", id="another JSON file"),
    ],
)
def test_the_folder_of_a_coco_file_is_not_taken_for_class_folders(
    secondlook: Command, tmp_path: Path, name: str, kind: str | None
) -> None:
    document = {"focal": 1} if kind else coco([], [], ["stop"])
    root = lay_out(tmp_path / "data", {"stop/a.jpg": IMAGE, name: document})

    done = read(secondlook, root)

    if kind:
        assert f"is read as {kind}" in done.result.err
    else:
        assert done.result.code == 1
        assert f"{root / name} looks like one; give that file" in done.result.err


ODD: list[Any] = [None, 5, -1, 1e300, "x", "\ud800", [], {}, [[]], [None], {"a": 1}, True, [1, 2, 3, 4], 10**400]
SOUND = {
    "bdd100k": [{"name": "x.jpg", "size": {"width": 64, "height": 48}, "labels": [
        {"id": 1, "category": "car", "box2d": BOX2D, "attributes": {"far": True}, "poly2d": [{"vertices": TRIANGLE}]},
        {"category": "sky", "rle": {"size": [48, 64], "counts": "T"}}]}],
    "labelstudio": [{"id": 5, "data": {"image": "x.jpg"}, "annotations": [{"result": [
        region("rectanglelabels", {**RECTANGLE, "rotation": 30}), region("choices", {"choices": ["far"]}),
        region("polygonlabels", {"points": TRIANGLE, "polygonlabels": ["stop"]}, id="s")]}]}],
    "fiftyone": {"samples": [fiftyone_sample(detections({**DETECTION, "attributes": {"far": {"value": 1}}})),
        fiftyone_sample({"_cls": "Polylines", "polylines": [
            {"label": "stop", "closed": True, "points": [[[0.1, 0.2], [0.5, 0.2], [0.5, 0.6]]]}]})]},
    "coco": coco([{"id": 1, "file_name": "x.jpg", "width": 64, "height": 48}],
                 [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 6, 10, 12], "attributes": {"far": True},
                   "segmentation": [[5, 6, 15, 6, 15, 18]]}], ["stop"]),
    "mapillary": vistas(CAR),
}  # fmt: skip


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [path, *(place for key in keys for place in _places(node[key], (*path, key)))]


def _replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = json.loads(json.dumps(document))
    node = copy
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_an_odd_value_anywhere_is_a_reject_or_one_sentence(tmp_path: Path, kind: str) -> None:
    name = {"fiftyone": "samples.json", "mapillary": "v2.0/polygons/x.json"}.get(kind, "x.json")
    root = lay_out(tmp_path / "data", {"x.jpg": IMAGE, "images/x.jpg": IMAGE, "data/a.jpg": IMAGE})
    spec = Dataset(path=str(root if kind == "mapillary" else root / name), format=kind)  # type: ignore[arg-type]
    options = IngestOptions(max_reject_fraction=1)
    for number, (place, odd) in enumerate(itertools.product(_places(SOUND[kind]), ODD)):
        dataset = spec.model_copy(update={"check_images": number % 3 > 0})
        lay_out(root, {name: json.dumps(_replaced(SOUND[kind], place, odd)).encode()})
        with contextlib.suppress(DataError):
            result = ingest_path(dataset, options)
            write(result, options, Places("x", root / "i.parquet", root / "r.parquet", None))


PIECES = [b"nan", b"-1", b"1e309", b"9" * 400, b"\xff", b"\0", b"<", b"&", b"\n", b"]]>", b"<!--", b"{", b"*a", b""]
TEXTS = {
    "voc": ("a.xml", voc_file(voc_object()).encode()),
    "yolo": ("labels/a.txt", b"1 0.5 0.5 0.25 0.5\n0 0 0 0.5 0 0.5 0.5\n"),
    "names": ("data.yaml", b"names:\n  0: stop\n  1: yield\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TEXTS)
def test_a_broken_piece_of_text_anywhere_is_a_reject_or_one_sentence(tmp_path: Path, kind: str) -> None:
    dice = np.random.default_rng(0)
    files = {
        "a.jpg": IMAGE,
        "images/a.jpg": IMAGE,
        "data.yaml": b"names: [stop, yield]",
        "labels/a.txt": b"0 0 0 1 1",
    }
    root = lay_out(tmp_path / "data", files)
    dataset = Dataset(path=str(root), format="voc" if kind == "voc" else "yolo")
    options = IngestOptions(max_reject_fraction=1)
    name, text = TEXTS[kind]
    for _ in range(200):
        start, length = int(dice.integers(len(text))), int(dice.integers(4))
        piece = PIECES[int(dice.integers(len(PIECES)))]
        lay_out(root, {name: text[:start] + piece + text[start + length :]})
        with contextlib.suppress(DataError):
            write(ingest_path(dataset, options), options, Places("x", root / "i.parquet", root / "r.parquet", None))


def test_links_are_followed_and_circles_are_left(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {"a/1.jpg": IMAGE})
    (root / "a" / "circle").symlink_to(root)
    lay_out(tmp_path / "elsewhere", {"2.jpg": IMAGE})
    (root / "b").symlink_to(tmp_path / "elsewhere")

    assert packed.list_files(root) == ["a/1.jpg", "b/2.jpg"]


# --- images outside their folder -----------------------------------------------------------------------------------

BOXED = {"category_id": 1, "bbox": [5, 6, 10, 12]}
LEADING_OUT: list[Any] = [
    pytest.param("../../outside.jpg", "bad_name", id="up and away"),
    pytest.param("deep/../../../outside.jpg", "bad_name", id="up from a folder"),
    pytest.param("none/../../../outside.jpg", "bad_name", id="up from a folder that is not there"),
    pytest.param("{root}/outside.jpg", "bad_name", id="an absolute path"),
    pytest.param("{root}/data/images-2/x.jpg", "elsewhere", id="a folder whose name begins alike"),
    pytest.param("{root}/data/images-2/y.jpg", "bad_name", id="such a folder, and no such file inside"),
    pytest.param("..\\..\\outside.jpg", "bad_name", id="up on Windows"),
    pytest.param("C:\\images\\x.jpg", "elsewhere", id="a drive"),
    pytest.param("C:/images/x.jpg", "elsewhere", id="a drive with slashes"),
    pytest.param("\\\\host\\share\\x.jpg", "elsewhere", id="another machine"),
    pytest.param("C:\\images\\none.jpg", "bad_name", id="a drive, and no such file inside"),
    pytest.param("link.jpg", "bad_name", id="a link that leaves the folder"),
    pytest.param("links/outside.jpg", "bad_name", id="a folder that is such a link"),
    pytest.param("packed.zip/x.jpg", "bad_name", id="a zip that is such a link"),
    pytest.param("none/../none.jpg", "missing_image", id="no file, inside"),
    pytest.param("deep\\x.jpg", None, id="back slashes, inside"),
    pytest.param("deep/../x.jpg", None, id="up, but not out"),
    pytest.param("{root}/data/images/deep/x.jpg", None, id="an absolute path that stays inside"),
    pytest.param("inner.jpg", None, id="a link that stays inside"),
    pytest.param("a..b.jpg", None, id="dots that are no parent"),
    pytest.param("deep/c:d.jpg", None, id="a colon"),
]


def with_ways_out(root: Path) -> Path:
    """Lay out images, some of them behind links, and return their folder, which is reached by a link itself."""
    names = ("x.jpg", "deep/x.jpg", "a..b.jpg", "deep/c:d.jpg")
    lay_out(
        root, {"outside.jpg": IMAGE, "data/images-2/x.jpg": IMAGE, "data/images-2/y.jpg": IMAGE, "zipped/x.jpg": IMAGE}
    )
    packed, folder = zip_up(root / "zipped"), lay_out(root / "data/images", dict.fromkeys(names, IMAGE))
    links = {"link.jpg": root / "outside.jpg", "links": root, "packed.zip": packed, "inner.jpg": Path("deep/x.jpg")}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (root / "pictures").symlink_to(folder)
    return root / "pictures"


@pytest.mark.parametrize("check_images", [True, False])
@pytest.mark.parametrize(("name", "reason"), LEADING_OUT)
def test_images_outside_their_folder_are_refused(
    secondlook: Command, tmp_path: Path, name: str, reason: str | None, *, check_images: bool
) -> None:
    folder = with_ways_out(tmp_path)
    entry = {"id": 1, "file_name": name.format(root=tmp_path), "width": 64, "height": 48}
    (tmp_path / "a.json").write_text(json.dumps(coco([entry], [{**BOXED, "id": 1, "image_id": 1}], ["stop"])))
    dataset = {"images": str(folder), "check_images": check_images}

    done = read(secondlook, tmp_path / "a.json", dataset=dataset, classes=["stop"])

    if reason == "elsewhere":  # an address of another machine, whose last part is that of one file here
        reason = None
        assert [Path(row["image_path"]).parent for row in done.rows.values()] == [folder]
    if reason == "missing_image" and not check_images:
        reason = None
    assert done.reasons == ({} if reason is None else {"1": reason})
    if reason == "bad_name":
        assert "`images_outside: true`" in done.result.err
        assert "`images_outside: true`" in done.refused[0]["detail"]


ABSOLUTE: list[Any] = [
    pytest.param("{root}/first/images/x.jpg", "images/x.jpg", id="the place from which the dataset was copied"),
    pytest.param("{root}/copy/photos/y.jpg", "photos/y.jpg", id="beside the folder of images"),
    pytest.param("/gone/images/x.jpg", "images/x.jpg", id="another machine"),
    pytest.param("/gone/z.jpg", "ambiguous_image", id="two files that only their endings tell apart"),
    pytest.param("{root}/first/other.jpg", "bad_name", id="no file here is called so"),
]


@pytest.mark.parametrize(("name", "expected"), ABSOLUTE)
def test_an_absolute_path_means_the_one_file_of_the_dataset_that_ends_alike(
    secondlook: Command, tmp_path: Path, name: str, expected: str
) -> None:
    lay_out(tmp_path / "first", {"images/x.jpg": IMAGE, "other.jpg": IMAGE})
    entry = {"id": 1, "file_name": name.format(root=tmp_path)}
    document = coco([entry], [{**BOXED, "id": 1, "image_id": 1}], ["stop"])
    images = ("images/x.jpg", "photos/y.jpg", "images/z.JPG", "images/z.Jpg")
    root = lay_out(tmp_path / "copy", {"a.json": document, **dict.fromkeys(images, IMAGE)})

    done = read(secondlook, root / "a.json")

    found = [str(Path(row["image_path"]).relative_to(root)) for row in done.rows.values()]
    assert [*found, *done.reasons.values()] == [expected]


@pytest.mark.parametrize("name", ["../../outside.jpg", "{root}/outside.jpg", "link.jpg", "links/outside.jpg"])
def test_a_key_of_the_task_allows_images_outside(secondlook: Command, tmp_path: Path, name: str) -> None:
    folder = with_ways_out(tmp_path)
    entry = {"id": 1, "file_name": name.format(root=tmp_path)}
    (tmp_path / "a.json").write_text(json.dumps(coco([entry], [{**BOXED, "id": 1, "image_id": 1}], ["stop"])))
    dataset = {"images": str(folder), "images_outside": True}

    by_task = read(secondlook, tmp_path / "a.json", dataset=dataset, classes=["stop"])
    by_hand = read(secondlook, tmp_path / "a.json", "--images", folder, "--images-outside")

    assert (list(by_task.rows), list(by_hand.rows)) == (["1"], ["1"])


def outside_of(kind: str, root: Path) -> tuple[Path, dict[str, str]]:
    """Lay out a dataset of two images, one of them outside; return what `ingest` reads, and where images lie."""
    lay_out(root, {"outside.jpg": IMAGE})
    box = {"result": [region("rectanglelabels", RECTANGLE)]}
    addresses = ("/data/local-files/?d=x.jpg", "/data/local-files/?d=..%2Foutside.jpg")
    tasks = [{"id": place, "data": {"image": one}, "annotations": [box]} for place, one in enumerate(addresses)]
    frames = [{"name": name, "labels": [{"category": "car", "box2d": BOX2D}]} for name in ("x.jpg", "../outside.jpg")]
    samples = [{**fiftyone_sample(detections(DETECTION)), "filepath": name} for name in ("x.jpg", "..\\outside.jpg")]
    yolo = {"data.yaml": b"names: [stop]", "images/x.jpg": IMAGE}
    files: dict[str, dict[str, Any]] = {
        "labelstudio": {"a.json": tasks, "x.jpg": IMAGE},
        "bdd100k": {"a.json": frames, "x.jpg": IMAGE},
        "fiftyone": {"samples.json": {"samples": samples}, "x.jpg": IMAGE},
        "yolo": {**yolo, "labels/x.txt": "0 0.5 0.5 0.5 0.5", "labels/link.txt": "0 0.5 0.5 0.5 0.5"},
        "voc": {"x.xml": voc_file(voc_object()), "x.jpg": IMAGE, "link.xml": voc_file(voc_object())},
        "folders": {"stop/x.jpg": IMAGE},
    }
    data = lay_out(root / "data", files[kind])
    place = {"yolo": "images/link.jpg", "voc": "link.jpg", "folders": "stop/link.jpg"}.get(kind)
    if place is not None:
        (data / place).symlink_to(root / "outside.jpg")
    return (data / "a.json" if kind in {"labelstudio", "bdd100k"} else data), {"images": str(data)}


@pytest.mark.parametrize("kind", ["labelstudio", "bdd100k", "fiftyone", "yolo", "voc", "folders"])
def test_no_format_reads_an_image_outside(secondlook: Command, tmp_path: Path, kind: str) -> None:
    path, images_of = outside_of(kind, tmp_path / kind)
    arguments = ["--format", kind, *([] if kind == "folders" else ["--images", images_of["images"]])]

    done = read(secondlook, path, *arguments)

    assert done.result.code == 0, done.result.err
    assert len(done.rows) == 1
    assert list(done.reasons.values()) == ["bad_name"]


def test_images_of_a_parquet_file_lie_anywhere_unless_their_folder_is_given(
    secondlook: Command, tmp_path: Path
) -> None:
    folder = with_ways_out(tmp_path)
    images = [{"id": number, "file_name": name} for number, name in enumerate(["x.jpg", "../../outside.jpg"])]
    annotations = [{**BOXED, "id": number, "image_id": number} for number in (0, 1)]
    (tmp_path / "a.json").write_text(json.dumps(coco(images, annotations, ["stop"])))
    written = read(secondlook, tmp_path / "a.json", "--images", folder, "--images-outside").out
    ours = written.rename(tmp_path / "ours.parquet")

    for arguments, accepted, refused in [([], ["0", "1"], {}), (["--images", folder], ["0"], {"1": "bad_name"})]:
        done = read(secondlook, ours, *arguments)
        assert (sorted(done.rows), done.reasons) == (accepted, refused)


def test_a_zip_member_that_leads_out_is_refused(secondlook: Command, tmp_path: Path) -> None:
    lay_out(tmp_path, {"stop/x.png": IMAGE})
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed:
        for name in ("stop/x.png", "stop/../../x.png"):
            packed.writestr(name, (tmp_path / "stop/x.png").read_bytes())

    done = read(secondlook, tmp_path / "data.zip", "--format", "folders")

    assert done.reasons == {"stop/../../x.png": "bad_name"}
    assert list(done.rows) == ["stop/x.png"]


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ([], {"1": "bad_name", "2": "bad_name"}),
        (["--images-outside"], {"2": "missing_image"}),
    ],
)
def test_names_in_an_annotation_of_a_zip_find_members_and_no_file_beside_it(
    secondlook: Command, tmp_path: Path, options: list[str], reasons: dict[str, str]
) -> None:
    lay_out(tmp_path, {"x.png": IMAGE, "beside.png": IMAGE})
    names = ("x.png", "../member.png", "../beside.png")
    entries = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    boxes = [{"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9]} for number in range(3)]
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed_files:
        for name in names[:2]:
            packed_files.writestr(name, (tmp_path / "x.png").read_bytes())
        packed_files.writestr("coco.json", json.dumps(coco(entries, boxes, ["stop"])))

    refused = tmp_path / "rejects.parquet"
    outs = ("--out", tmp_path / "instances.parquet", "--rejects", refused, "--options", "{max_reject_fraction: 1}")
    done = secondlook("ingest", tmp_path / "data.zip/coco.json", *options, *outs)

    assert done.code == 0, done.err
    assert {row["source_id"]: row["reason"] for row in read_rows(refused)} == reasons


def test_an_export_with_names_that_lead_out_is_not_ours(secondlook: Command, tmp_path: Path) -> None:
    """The images of an export are links, which may lead anywhere; its names never do."""
    path, _ = outside_of("fiftyone", tmp_path / "x")
    (path / "secondlook.json").write_text("{}")

    assert list(read(secondlook, path).reasons.values()) == ["bad_name"]


def test_threads_share_one_zip(secondlook: Command, tmp_path: Path) -> None:
    packed = zip_up(lay_out(tmp_path / "export", {f"stop/{number}.png": IMAGE for number in range(60)}))
    done = read(secondlook, packed)
    outs = [tmp_path / name for name in ("one.parquet", "four.parquet")]

    for out, threads in zip(outs, (1, 4), strict=True):
        assert secondlook("crop", done.out, "--out", out, "--threads", threads).code == 0

    assert len(read_rows(outs[0])) == 60
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_every_format_that_a_task_may_name_has_a_reader() -> None:
    assert tuple(formats.READERS) == get_args(Format)


@pytest.mark.parametrize("kind", [name for name in formats.READERS if name not in {"coco", "objects365", "parquet"}])
def test_a_folder_that_holds_nothing_of_a_format_is_one_sentence(
    secondlook: Command, tmp_path: Path, kind: str
) -> None:
    root = lay_out(tmp_path / "data", {"notes.md": "nothing", "empty.json": "{}"})
    path = root / "empty.json" if kind in {"bdd100k", "labelstudio"} else root

    done = read(secondlook, path, "--format", kind)

    assert done.result.code == 1
    assert done.result.err.count("\n") == 1
    assert str(root) in done.result.err


def _real_counts(root: Path) -> Counter[str]:
    names = (line.split()[0] for path in sorted(root.rglob("*.txt")) for line in path.read_text().splitlines())
    return Counter(names)


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "path", "images", "objects", "label"),
    [
        pytest.param("voc", "road_signs_voc", None, 339, "speedlimit", id="road_signs_voc"),
        pytest.param("voc", "road_signs_voc_rgba_png", None, 13, "trafficlight", id="RGBA PNG"),
        pytest.param("yolo", "coco128/object_detection", "coco128/images", 184, "0", id="boxes without names"),
        pytest.param("yolo", "coco128/instance_segmentation", "coco128/images", 183, "13", id="polygons"),
        pytest.param("roboflow", "roboflow_coco", None, 143, "yaya-gecidi", id="roboflow_coco"),
        pytest.param("folders", "sign_crops_grey28", None, 3699, "round", id="class folders"),
    ],
)
def test_real_folders(
    secondlook: Command, shared_data: Path, tmp_path: Path, kind: str, path: str, images: str | None, objects: int,
    label: str,
) -> None:  # fmt: skip
    out, rejects = tmp_path / "out.parquet", tmp_path / "rejects.parquet"
    arguments = ["--images", shared_data / images] if images else []
    places = ["--out", out, "--rejects", rejects, "--options", "{max_reject_fraction: 1}"]

    result = secondlook("ingest", shared_data / path, *arguments, *places)

    assert result.code == 0, result.err
    assert f"is read as {kind}" in result.err
    rows = read_rows(out)
    assert len(rows) == objects
    assert label in {row["given_raw"] for row in rows}
    assert {row["reason"] for row in read_rows(rejects)} <= {"missing_image"}  # half of roboflow_coco is not here
    if kind == "yolo":
        assert Counter(row["given_raw"] for row in rows) == _real_counts(shared_data / path)


@pytest.mark.real
def test_a_real_roboflow_zip_gives_the_objects_of_its_folder(
    secondlook: Command, shared_data: Path, tmp_path: Path
) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "export"), "zip", shared_data / "roboflow_coco"))

    rows = read(secondlook, packed).rows
    out = tmp_path / "folder.parquet"
    arguments = ["--out", out, "--options", "{max_reject_fraction: 1}"]
    assert secondlook("ingest", shared_data / "roboflow_coco", *arguments).code == 0

    shape = ("source_id", "width", "x", "y", "w", "h", "given_raw", "segmentation")
    assert {row["source_id"]: [row[key] for key in shape] for row in read_rows(out)} == {
        number: [row[key] for key in shape] for number, row in rows.items()
    }


@pytest.mark.real
@pytest.mark.parametrize(
    ("path", "labels"),
    [
        pytest.param("label/testcases/example_annotation.json", {"car": 4}, id="polygons"),
        pytest.param("label/testcases/example_ignore_annotation.json", None, id="boxes"),
        pytest.param("label/testcases/panseg_bdd100k/panseg_bdd100k.json", None, id="panoptic polygons"),
        pytest.param("eval/testcases/rle/seg/gt/0.json", None, id="masks"),
    ],
)
def test_real_bdd100k_files_have_the_keys_we_read(shared_data: Path, path: str, labels: dict[str, int] | None) -> None:
    file = shared_data / "formats" / "bdd100k" / "tests" / path
    dataset = Dataset(path=str(file))

    found = formats.READERS[formats.detect(dataset)](dataset).entries
    entries = [entry for entry in found if not isinstance(entry, (AboutImage, Background))]

    document = json.loads(file.read_text())
    frames = document["frames"] if isinstance(document, dict) else document
    expected = Counter(label["category"] for frame in frames for label in frame["labels"] or [])
    assert Counter(getattr(entry, "label", "refused") for entry in entries) == (labels or expected)

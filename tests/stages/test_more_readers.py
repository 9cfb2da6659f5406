"""Readers of CVAT's own XML, labelme, KITTI, VisDrone and tables: a row per trap, and fuzzed files of all of them."""

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Command
from hand_written import IMAGE, lay_out, read
from secondlook.base.errors import DataError
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset
from secondlook.stages.ingest import Ingested, ingest_path, visdrone


def cvat_image(*shapes: str) -> str:
    inner = "".join(shapes)
    return f'<annotations><image id="0" name="a.jpg" width="64" height="48">{inner}</image></annotations>'


def cvat_box(more: str = "", inner: str = "", **corners: object) -> str:
    sides = {"xtl": 10, "ytl": 10, "xbr": 30, "ybr": 22, **corners}
    return f'<box label="car" {" ".join(f"{key}={str(value)!r}" for key, value in sides.items())} {more}>{inner}</box>'


def cvat_track(*shapes: str) -> str:
    inner = "".join(shapes)
    return f'<annotations><track id="3" label="car">{inner}</track></annotations>'


def at(frame: int, left: float, more: str = "") -> str:
    return f'<box frame="{frame}" xtl="{left}" ytl="10" xbr="{left + 20}" ybr="22" {more}/>'


KITTI = "Car 0.00 0 -1.58 10 10 30 22 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59"
VISDRONE = "10,10,20,12,1,4,0,0"
BOX = (10, 10, 20, 12)
LABELME: dict[str, Any] = {
    "version": "5.0",
    "flags": {},
    "shapes": [
        {
            "label": "car",
            "points": [[30, 22], [10, 10]],
            "shape_type": "rectangle",
            "group_id": 7,
            "flags": {"far": True},
        },
        {"label": "bus", "points": [[10, 10], [30, 10], [30, 22]], "shape_type": "polygon"},
        {"label": "lane", "points": [[1, 1], [9, 9]], "shape_type": "line"},
        {"label": "ball", "points": [[20, 20], [25, 20]], "shape_type": "circle"},
    ],
    "imagePath": "a.jpg",
    "imageWidth": 64,
    "imageHeight": 48,
}
CSV = "filename,width,height,class,xmin,ymin,xmax,ymax"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
TABLE: list[Any] = [
    pytest.param({"a.xml": cvat_image(cvat_box())}, "a.xml", [("a.jpg", "car", BOX)], [], id="CVAT: a box"),
    pytest.param({"a.xml": cvat_image(cvat_box('rotation="90"', xtl=12, ytl=20, xbr=52, ybr=28))}, "a.xml",
                 [("a.jpg", "car", (28, 4, 8, 40))], [], id="CVAT: a box turned about its middle"),
    pytest.param({"a.xml": cvat_image('<polygon label="x" points="10,10;30,10;30,22"/>')}, "a.xml",
                 [("a.jpg", "x", BOX)], [], id="CVAT: a polygon"),
    pytest.param({"a.xml": cvat_image('<polyline label="x" points="1,1;2,2"/>', cvat_box())}, "a.xml",
                 [("a.jpg", "car", BOX)], ["not_selected"], id="CVAT: a line is no object"),
    pytest.param({"a.xml": cvat_image(cvat_box(xbr="?"), cvat_box())}, "a.xml",
                 [("a.jpg", "car", BOX)], ["bad_coordinates"], id="CVAT: no number"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(2, 30), at(3, 30, 'outside="1"'))}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", (10 + 10 * frame, 10, 20, 12)) for frame in range(3)], [],
                 id="CVAT: a track between key frames, until it is outside"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(1, 10, 'outside="1"'), at(2, 20))}, "a.xml",
                 [("frame_000000.jpg", "car", BOX), ("frame_000002.jpg", "car", (20, 10, 20, 12))], [],
                 id="CVAT: a track that is hidden for a while"),
    pytest.param({"a.json": LABELME}, "", [("a.jpg", "car", BOX), ("a.jpg", "bus", BOX),
                 ("a.jpg", "ball", (15, 15, 10, 10))], ["not_selected"], id="labelme: shapes"),
    pytest.param({"a.json": {**LABELME, "imagePath": "..\\old\\gone.jpg"}}, "",
                 [("a.jpg", name, None) for name in ("car", "bus", "ball")], ["not_selected"], id="labelme: renamed"),
    pytest.param({"a.json": {**LABELME, "imagePath": "b.jpg"}}, "", [], ["ambiguous_image"], id="labelme: two images"),
    pytest.param({"label_2/1.txt": f"{KITTI}\nDontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n",
                  "image_2/1.png": IMAGE}, "", [("image_2/1.png", "Car", BOX)], ["not_selected"], id="KITTI"),
    pytest.param({"label_2/1.txt": f"{KITTI}\n{KITTI} 0.9\nCar 1 2\n", "image_2/1.png": IMAGE}, "",
                 [("image_2/1.png", "Car", BOX)] * 2, ["malformed"], id="KITTI: scores, and a line that is cut off"),
    pytest.param({"annotations/1.txt": f"{VISDRONE}\n1,1,9,9,0,0,0,0\n1,1,9,9,1,12,0,0\n", "images/1.jpg": IMAGE}, "",
                 [("images/1.jpg", "car", BOX)], ["not_selected", "unknown_class"], id="VisDrone"),
    pytest.param({"x.csv": f"{CSV}\na.jpg,64,48,car,10,10,30,22\na.jpg,64,48,,1,1,2,2\na.jpg,64,48,car,10,?,30,22\n"},
                 "x.csv", [("a.jpg", "car", BOX)], ["bad_coordinates", "malformed"], id="TensorFlow's table"),
    pytest.param({"x.csv": f"{OPEN_IMAGES}\na,xclick,/m/0k4j,1,0.15625,0.46875,0.25,0.5\n",
                  "class-descriptions-boxable.csv": "/m/0k4j,Car\n"}, "x.csv",
                 [("a.jpg", "Car", (10, 12, 20, 12))], [], id="Open Images, in fractions, with its names"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "path", "expected", "reasons"), TABLE)
def test_what_is_read(
    secondlook: Command, tmp_path: Path, files: dict[str, Any], path: str, expected: list[Any], reasons: list[str]
) -> None:
    frames = {f"frame_00000{frame}.jpg": IMAGE for frame in range(4)} if "<track" in str(files) else {}
    root = lay_out(tmp_path / "data", {"a.jpg": IMAGE, "b.jpg": IMAGE, **frames, **files})

    done = read(secondlook, root / path)

    assert done.result.code == (0 if expected else 1), done.result.err
    rows = [(str(Path(row["image_path"]).relative_to(root)), row["given_raw"], row) for row in done.rows.values()]
    rows.sort(key=lambda row: row[2]["source_id"])
    assert [(image, label) for image, label, _ in rows] == [(image, label) for image, label, _ in expected]
    for (_, _, row), (_, _, box) in zip(rows, expected, strict=True):
        assert box is None or [row[side] for side in "xywh"] == pytest.approx(box, abs=1e-3)
    assert sorted(row["reason"] for row in done.refused) == reasons


def test_tracks_and_attributes_of_cvat_are_kept(secondlook: Command, tmp_path: Path) -> None:
    inner = '<attribute name="colour">red</attribute>'
    shape = '<box frame="0" xtl="10" ytl="10" xbr="30" ybr="22" occluded="1">' + inner + "</box>"
    root = lay_out(tmp_path / "data", {"a.xml": cvat_track(shape), "frame_000000.jpg": IMAGE})

    [row] = read(secondlook, root / "a.xml").rows.values()

    assert dict(row["attributes"]) == {"colour": "red", "occluded": "1", "track_id": "3"}
    assert row["track"] is not None


def _coco(boxes: list[tuple[str, list[float]]]) -> str:
    annotations = [
        {"id": number, "image_id": 1 + number % 2, "category_id": 1 + (label == "bus"), "bbox": box}
        for number, (label, box) in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


BOXES = [("car", [1.0, 2.0, 9.0, 8.0]), ("bus", [20.0, 20.0, 9.0, 8.0]), ("car", [30.0, 2.0, 9.0, 8.0])]
# a sound file of each format: objects lie on a.jpg and b.jpg, and their labels say on which
SOUND: dict[str, tuple[str, str]] = {
    "coco": ("x.json", _coco(BOXES)),
    "cvat": ("x.xml", "<annotations>" + "".join(
        f'<image id="{number}" name="{name}.jpg" width="64" height="48">'
        + "".join(f'<box label="{name}-car" xtl="{x}" ytl="2" xbr="{x + 9}" ybr="9"/>' for x in (1, 20)) + "</image>"
        for number, name in enumerate("ab")) + "</annotations>"),
    "csv": ("x.csv", CSV + "\n" + "".join(
        f"{name}.jpg,64,48,{name}-car,{x},2,{x + 9},9\n" for name in "ab" for x in (1, 20))),
    "labelme": ("a.json", json.dumps(LABELME)),
    "kitti": ("a.txt", KITTI + "\n" + KITTI.replace("Car", "Van") + "\n"),
    "visdrone": ("a.txt", VISDRONE + "\n" + "30,10,9,9,1,6,0,0\n"),
    "yolo": ("a.txt", "0 0.5 0.5 0.25 0.5\n1 0.2 0.2 0.1 0.1\n"),
}  # fmt: skip
LABELS = {"car", "bus", "a-car", "b-car", "ball", "Car", "Van", "lane", *visdrone.CATEGORIES}


def _mutated(text: str, dice: random.Random) -> str:
    """Drop, repeat, swap or retype a piece of a text."""
    pieces = text.splitlines(keepends=True) if text.count("\n") > 1 else text.split(",")
    glue = "" if text.count("\n") > 1 else ","
    first, second = dice.randrange(len(pieces)), dice.randrange(len(pieces))
    match dice.randrange(5):
        case 0:
            del pieces[first]
        case 1:
            pieces.insert(first, pieces[second])
        case 2:
            pieces[first], pieces[second] = pieces[second], pieces[first]
        case 3:
            start = dice.randrange(max(1, len(pieces[first])))
            junk = dice.choice(["null", '"x"', "-1", "1e400", "nan", "[]", "{}", "<a/>", "\u00e9", ""])
            pieces[first] = pieces[first][:start] + junk + pieces[first][start + dice.randrange(4) :]
        case _:
            pieces[first] = pieces[first].replace("a.jpg", "c.jpg").replace("label", "name")
    return glue.join(pieces)


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_mutated_file_is_read_refused_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    name, text = SOUND[kind]
    root = tmp_path_factory.getbasetemp() / f"fuzz-{kind}"
    if not root.exists():
        lay_out(
            root, {"a.jpg": IMAGE, "b.jpg": IMAGE, **({"data.yaml": "names: [car, bus]"} if kind == "yolo" else {})}
        )
    dice = random.Random(seed)
    for _ in range(dice.randrange(1, 4)):
        text = _mutated(text, dice)
    (root / name).write_text(text, encoding="utf-8")
    path = root if kind in {"labelme", "kitti", "visdrone", "yolo"} else root / name
    with contextlib.suppress(DataError):
        _check(ingest_path(Dataset(path=str(path), format=kind), IngestOptions(max_reject_fraction=1)), text)  # type: ignore[arg-type]


def _check(result: Ingested, text: str) -> None:
    for row in result.instances.table().to_pylist():
        label, image = row["given_raw"], Path(row["image_path"]).stem
        assert label in LABELS or label is None or label in text.encode("utf-8", "replace").decode() or "\\" in label
        assert label is None or not label.endswith("-car") or label[0] == image or f"{image}.jpg" in text
        assert row["w"] > 0
        assert row["h"] > 0
        assert row["x"] >= 0
        assert row["x"] + row["w"] <= 64.001

"""Readers of CVAT's own XML, labelme, KITTI, VisDrone and tables: a row per trap."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import Command
from hand_written import IMAGE, lay_out, read


def cvat_image(*shapes: str) -> str:
    inner = "".join(shapes)
    return f'<annotations><image id="0" name="a.jpg" width="64" height="48">{inner}</image></annotations>'


def cvat_box(more: str = "", inner: str = "", **corners: object) -> str:
    sides = {"xtl": 10, "ytl": 10, "xbr": 30, "ybr": 22, **corners}
    return f'<box label="car" {" ".join(f"{key}={str(value)!r}" for key, value in sides.items())} {more}>{inner}</box>'


def cvat_track(*shapes: str, meta: str = "") -> str:
    inner = "".join(shapes)
    return f'<annotations>{meta}<track id="3" label="car">{inner}</track></annotations>'


def at(frame: int, left: float, more: str = "") -> str:
    return f'<box frame="{frame}" xtl="{left}" ytl="10" xbr="{left + 20}" ybr="22" {more}/>'


def outline(frame: int, points: str = "10,10;30,10;30,22") -> str:
    return f'<polygon frame="{frame}" points="{points}"/>'


MASK_AT = 'left="10" top="10" width="3" height="2"'
RADII = 'cy="16" rx="10" ry="6"'
ELLIPSE = '<ellipse label="e" cx="20" cy="16" rx="10" ry="6" {}/>'
CUBOID_CORNERS = {"tl": (10, 12), "bl": (10, 22), "tr": (20, 12), "br": (20, 22)}
CUBOID = (
    "<cuboid label='c' "
    + " ".join(
        f'x{corner}{face}="{x + 10 * (face - 1)}" y{corner}{face}="{y - 2 * (face - 1)}"'
        for face in (1, 2)
        for corner, (x, y) in CUBOID_CORNERS.items()
    )
    + "/>"
)
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


def labelme_mask(packed: str = "", left: int = 10) -> dict[str, Any]:
    with io.BytesIO() as file:
        Image.fromarray(np.array([[0, 1, 1], [0, 1, 1]], bool)).save(file, format="PNG")
        drawn = base64.b64encode(file.getvalue()).decode()
    return {"label": "m", "points": [[left, 10], [left + 2, 11]], "shape_type": "mask", "mask": packed or drawn}


CSV = "filename,width,height,class,xmin,ymin,xmax,ymax"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
TABLE: list[Any] = [
    pytest.param({"a.xml": cvat_image(cvat_box())}, "a.xml", [("a.jpg", "car", BOX)], [], id="CVAT: a box"),
    pytest.param({"a.xml": cvat_image(cvat_box('rotation="90"', xtl=12, ytl=20, xbr=52, ybr=28))}, "a.xml",
                 [("a.jpg", "car", (28, 4, 8, 40))], [], id="CVAT: a box turned about its middle"),
    pytest.param({"a.xml": cvat_image('<polygon label="x" points="10,10;30,10;30,22"/>')}, "a.xml",
                 [("a.jpg", "x", BOX)], [], id="CVAT: a polygon"),
    pytest.param({"a.xml": cvat_image('<polyline label="x" points="1,1;2,2"/>', cvat_box())}, "a.xml",
                 [("a.jpg", "car", BOX)], ["no_box"], id="CVAT: a line has no box"),
    pytest.param({"a.xml": cvat_image(f'<mask label="x" rle="1, 2, 1, 2" {MASK_AT}/>', CUBOID)}, "a.xml",
                 [("a.jpg", "x", (11, 10, 2, 2)), ("a.jpg", "c", BOX)], [], id="CVAT: a mask, a cuboid"),
    pytest.param({"a.xml": cvat_image(ELLIPSE.format(""), ELLIPSE.format('rotation="90"'))}, "a.xml",
                 [("a.jpg", "e", BOX), ("a.jpg", "e", (14, 6, 12, 20))], [], id="CVAT: ellipses, one turned"),
    pytest.param({"a.xml": cvat_image(*(f'<mask label="x" rle="{rle}" {MASK_AT}/>' for rle in ("1, 2", "", "1,-1,6")),
                                      f'<mask label="x" rle="6" {MASK_AT}/>', '<ellipse label="e" cx="9" cy="9"/>',
                                      f'<mask label="x" rle="0,6" {MASK_AT.replace("10", "63")}/>')}, "a.xml",
                 [], ["bad_coordinates", "box_outside", "empty_box", *["malformed"] * 3], id="CVAT: broken masks"),
    pytest.param({"a.xml": cvat_image(cvat_box(xbr="?"), cvat_box())}, "a.xml",
                 [("a.jpg", "car", BOX)], ["bad_coordinates"], id="CVAT: no number"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(2, 30), at(3, 30, 'outside="1"'))}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", (10 + 10 * frame, 10, 20, 12)) for frame in range(3)], [],
                 id="CVAT: a track between key frames, until it is outside"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(1, 10, 'outside="1"'), at(2, 20))}, "a.xml",
                 [(f"frame_00000{k}.jpg", "car", (20 if k else 10, 10, 20, 12)) for k in (0, 2, 3)], [],
                 id="CVAT: a track that is hidden for a while, and has no end"),
    pytest.param({"a.xml": cvat_track(at(0, 10), meta="<meta><job><stop_frame>2</stop_frame></job></meta>")}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", BOX) for frame in range(3)], [], id="CVAT: a video that ends"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(999999999, 10)), "x/frame_000001.jpg": IMAGE}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", BOX) for frame in (0, 2, 3)], ["ambiguous_image", "missing_image"],
                 id="CVAT: a frame far away, and one with two images"),
    pytest.param({"a.xml": cvat_track(at(1, 10), at(3, 10), at(3, 20), '<box xtl="1"/>')}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", BOX) for frame in (1, 2, 3)], ["duplicate_id", "malformed"],
                 id="CVAT: two shapes in one frame, one in none"),
    pytest.param({"a.xml": cvat_track(at(0, 10), at(2, 10).replace('xtl="10"', 'xtl="?"'), at(3, 10))}, "a.xml",
                 [(f"frame_00000{frame}.jpg", "car", BOX) for frame in (0, 3)], ["bad_coordinates"],
                 id="CVAT: a broken key frame costs no other"),
    pytest.param({"a.xml": cvat_track(outline(0), outline(2), outline(3, "9,9;30,10;30,22;9,22"))}, "a.xml",
                 [(f"frame_00000{k}.jpg", "car", BOX) for k in range(3)] + [("frame_000003.jpg", "car", None)], [],
                 id="CVAT: a polygon that stays"),
    pytest.param({"a.xml": cvat_track(outline(0), outline(2, "9,9;30,10;30,22;9,22"), outline(3))}, "a.xml",
                 [(f"frame_00000{k}.jpg", "car", BOX if k != 2 else None) for k in (0, 2, 3)], ["no_box"],
                 id="CVAT: a polygon that changes is not read between key frames"),
    pytest.param({"a.xml": cvat_track(*(f'<ellipse frame="{k}" cx="{20 + k}" {RADII}/>' for k in (0, 3)))}, "a.xml",
                 [(f"frame_00000{k}.jpg", "car", (10 + k, 10, 20, 12)) for k in range(4)], [],
                 id="CVAT: an ellipse between key frames"),
    pytest.param({"a.json": LABELME}, "", [("a.jpg", "car", BOX), ("a.jpg", "bus", BOX),
                 ("a.jpg", "ball", (15, 15, 10, 10))], ["no_box"], id="labelme: shapes"),
    pytest.param({"a.json": {**LABELME, "shapes": [labelme_mask(), labelme_mask("?"), labelme_mask(left=63)]}}, "",
                 [("a.jpg", "m", (11, 10, 2, 2))], ["box_outside", "malformed"], id="labelme: masks"),
    pytest.param({"a.json": {**LABELME, "imagePath": "..\\old\\gone.jpg"}}, "",
                 [("a.jpg", name, None) for name in ("car", "bus", "ball")], ["no_box"], id="labelme: renamed"),
    pytest.param({"a.json": {**LABELME, "imagePath": "b.jpg"}}, "", [], ["ambiguous_image"], id="labelme: two images"),
    pytest.param({"a.json": {**LABELME, "shapes": [{**LABELME["shapes"][0], "shape_type": [1]}]}}, "",
                 [], ["malformed"], id="labelme: a shape type that is no text"),
    pytest.param({"a.json": {**LABELME, "shapes": [{**LABELME["shapes"][0], "group_id": [1]}]}}, "",
                 [("a.jpg", "car", BOX)], [], id="labelme: a group that is a list"),
    pytest.param({"label_2/1.txt": f"{KITTI}\nDontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n",
                  "image_2/1.png": IMAGE}, "", [("image_2/1.png", "Car", BOX)], ["not_selected"], id="KITTI"),
    pytest.param({"label_2/1.txt": f"{KITTI}\n{KITTI} 0.9\nCar 1 2\n", "image_2/1.png": IMAGE}, "",
                 [("image_2/1.png", "Car", BOX)] * 2, ["malformed"], id="KITTI: scores, and a line that is cut off"),
    pytest.param({"label_2/1.txt": f"{KITTI}\n", "label_2/2.txt": "0 0.5 0.5 1 1\n", "image_2/1.png": IMAGE}, "",
                 [("image_2/1.png", "Car", BOX)], ["malformed"], id="KITTI: a file of another format among the labels"),
    pytest.param({"annotations/1.txt": f"{VISDRONE}\n", "annotations/2.txt": "car\n", "images/1.jpg": IMAGE}, "",
                 [("images/1.jpg", "car", BOX)], ["malformed"], id="VisDrone: a file of no numbers among the labels"),
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


def test_the_mask_of_cvat_goes_along_the_rows(secondlook: Command, tmp_path: Path) -> None:
    drawn = f'<mask label="x" rle="1, 2, 1, 2" {MASK_AT}/>'
    root = lay_out(tmp_path / "data", {"a.xml": cvat_image(drawn), "a.jpg": IMAGE})

    [row] = read(secondlook, root / "a.xml").rows.values()

    expected = np.zeros((48, 64), np.uint8)
    expected[10:12, 10:13] = [[0, 1, 1], [0, 1, 1]]
    assert (coco_mask.decode(row["segmentation"]) == expected).all()


def test_shapes_without_a_box_are_refused_by_name_and_do_not_stop_the_command(
    secondlook: Command, tmp_path: Path
) -> None:
    lines = ['<polyline label="x" points="1,1;2,2"/>'] * 2 + ['<points label="x" points="1,1"/>']
    root = lay_out(tmp_path / "data", {"a.xml": cvat_image(*lines, cvat_box()), "a.jpg": IMAGE})

    result = secondlook("ingest", root / "a.xml", "--out", root / "out.parquet")

    assert result.code == 0, result.err
    assert "3 refused, rejects: no_box 3" in result.err
    assert "because no box can be read from it: `points` of CVAT (1), `polyline` of CVAT (2)" in result.err


def test_tracks_and_attributes_of_cvat_are_kept(secondlook: Command, tmp_path: Path) -> None:
    inner = '<attribute name="colour">red</attribute>'
    shape = '<box frame="0" xtl="10" ytl="10" xbr="30" ybr="22" occluded="1">' + inner + "</box>"
    root = lay_out(tmp_path / "data", {"a.xml": cvat_track(shape), "frame_000000.jpg": IMAGE})

    [row] = read(secondlook, root / "a.xml").rows.values()

    assert dict(row["attributes"]) == {"colour": "red", "occluded": "1", "track_id": "3"}
    assert row["track"] is not None

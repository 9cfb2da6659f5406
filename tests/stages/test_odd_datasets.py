"""Odd but real datasets: what is read of them, and which words say what is wrong and how to go on."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import Command, coco
from hand_written import IMAGE, lay_out, read, region, voc_file
from make_datasets import POINTS

LISTED = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
OBJECT = {"id": 1, "image_id": 1, "category_id": 1}
ONE = coco([LISTED], [{**OBJECT, "bbox": [10, 10, 20, 12]}], ["car"])
CSV = "filename,width,height,class,xmin,ymin,xmax,ymax"
YOLO = {"images/a.jpg": IMAGE, "data.yaml": "names: [person]\n"}
BOX = "0 .5 .5 .25 .5\n"
RECTANGLE = {"x": 10, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["car"]}
TURNED = {**region("rectanglelabels", RECTANGLE), "id": "t", "image_rotation": 90}
TASKS = [
    {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [TURNED, region("rectanglelabels", RECTANGLE)]}]}
]
ROBND = "<object><type>robndbox</type><name>ship</name><robndbox>{}</robndbox></object>"
SHIP = "<cx>32</cx><cy>24</cy><w>20</w><h>10</h>"
CVAT = (
    '<annotations><image id="0" name="a.jpg" width="64" height="48">'
    '<box label="car" xtl="1" ytl="2" xbr="30" ybr="20" rotation="45"/></image></annotations>'
)
VOC = voc_file(ROBND.format(f"{SHIP}<angle>0</angle>"))
LABELME = {"version": "5.0", "imagePath": "a.jpg", "shapes": [
    {"label": "car", "points": [[30, 22], [10, 10]], "shape_type": "rectangle"}]}  # fmt: skip
GREY = cv2.imencode(".png", np.zeros((48, 64), np.uint16))[1].tobytes()
CORNERS = coco([LISTED], [{**OBJECT, "bbox": [30, 20, 60, 40]}], ["car"])

SAID: list[Any] = [
    pytest.param({"annotations/train.json": ONE, "annotations/val.json": ONE, "a.jpg": IMAGE}, "", {},
                 ["annotations/train.json, ", "annotations/val.json look like datasets; give one of these files"], [],
                 id="a folder with two COCO files names both"),
    pytest.param({"inner/set.zip": b"PK"}, "", {}, ["holds the archive inner/set.zip; give ", "/inner/set.zip"], [],
                 id="an archive in a folder"),
    pytest.param({"images.zip": b"PK", "labels.zip": b"PK"}, "", {},
                 ["holds the archives images.zip, labels.zip; give one of them, as ",
                  "/images.zip, or unpack those that belong together into one folder and give that"], [],
                 id="several archives"),
    pytest.param({f"{part}.{ending}": b"PK" for part in "abc" for ending in ("zip", "rar")}, "", {},
                 ["holds the archives a.rar, a.zip, b.rar, b.zip and 2 more; unpack those that"], [],
                 id="archives of which some are not read"),
    pytest.param({"set.7z": b"7z"}, "", {}, ["holds the archive set.7z; unpack it"], [], id="an archive not read"),
    pytest.param({"x.csv": "image,label\na.jpg,cat\n", "a.jpg": IMAGE}, "x.csv", {},
                 ["its columns (image,label) are not those of a table of boxes", "class folders"], [],
                 id="a table of labels of whole images"),
    pytest.param({"x.csv": f"{CSV.replace(',', ';')}\na.jpg;64;48;car;10;10;30;22\n", "a.jpg": IMAGE}, "x.csv", {},
                 ["save it with commas between the cells"], [], id="a table with semicolons"),
    pytest.param({**YOLO, "data.yaml": "names: {0: a, 1: b, 0: c}\n", "labels/a.txt": "0 .5 .5 .2 .2\n"}, "", {},
                 ["data.yaml: cannot be read (the number 0 is listed twice; keep one)"], [],
                 id="two names for one number"),
    pytest.param({**YOLO, "labels/a.txt": "0 .5 .5 .25 .5\n", "labels/b.txt": "0 .5 .5 .2 a.jpg\n"}, "",
                 {"labels/a.txt:1": (24, 12, 16, 24)}, [], ["`0 .5 .5 .2 a.jpg` is not a line of numbers"],
                 id="a broken label that ends like a list of images, and whose image is not there"),
    pytest.param({**YOLO, "labels/a.txt": "0 .5 .5 .2 .2 .5 .5 2 .6 .6 1\n"}, "", {},
                 [], ["bad_coordinates: as a polygon, the 11 columns reach far beyond the image", "`kpt_shape`"],
                 id="a pose without kpt_shape"),
    pytest.param({**YOLO, "labels/a.txt": "0 .5 .5 .2 .2 .5 .5 2\n"}, "", {},
                 [], ["malformed: the line has 8 columns", "`kpt_shape`"], id="one key point without kpt_shape"),
    pytest.param({"x.json": TASKS, "a.jpg": IMAGE}, "x.json", {"1:0": (6.4, 12, 32, 24), "1:1": (6.4, 12, 32, 24)},
                 [], [], id="a view that was turned in Label Studio: the coordinates are of the image as it is"),
    pytest.param({"a.xml": voc_file(ROBND.format(f"{SHIP}<angle>1.5707963267948966</angle>"), ROBND.format(SHIP)),
                  "a.jpg": IMAGE}, "", {"a.xml:0": (27, 14, 10, 20)}, [], ["`robndbox/angle` is None, not a number"],
                 id="turned boxes of roLabelImg, in radians about their middle"),
    pytest.param({"x.json": CORNERS, "a.jpg": IMAGE}, "x.json", {"1": (30, 20, 34, 28)},
                 ["look like corners where x, y, width, height are due"], [], id="corners in COCO"),
    pytest.param({**YOLO, "labels/a.txt": BOX, "labels/20230101-a.txt": BOX}, "", {"labels/a.txt:1": (24, 12, 16, 24)},
                 [], ["missing_image: no such file; similar are images/a.jpg"], id="a date before a name is no hash"),
    pytest.param({**YOLO, "labels/0badcafe-a.txt": BOX, "labels/1badcafe-a.txt": BOX}, "", {},
                 [], ["`images/0badcafe-a.jpg` and `images/1badcafe-a.jpg` both lead to images/a.jpg"],
                 id="label files with two hashes and one image"),
    pytest.param({"x.json": [{**TASKS[0], "data": {"image": "/data/upload/1/0badcafe-20230101-a.jpg"}}],
                  "20230101-a.jpg": IMAGE}, "x.json", {"1:0": (6.4, 12, 32, 24), "1:1": (6.4, 12, 32, 24)}, [], [],
                 id="an upload of a file with a date before its name"),
    pytest.param({"x.json": [{**TASKS[0], "data": {"image": "/data/upload/1/20230101-a.jpg"}}], "a.jpg": IMAGE},
                 "x.json", {"1:0": (6.4, 12, 32, 24), "1:1": (6.4, 12, 32, 24)}, [], [],
                 id="a hash of an upload with digits only"),
    pytest.param({"p/1.jpg": IMAGE, "p/1.txt": "dog 10 20 30 40", "q/1.jpg": IMAGE}, "", {},
                 ["its format was not recognised (2 .jpg, 1 .txt, in p/, q/)"], [],
                 id="a text with the name of an image"),
    pytest.param({"p/1.jpg": IMAGE, "p/1.xml": "<Frame/>", "q/1.jpg": IMAGE}, "", {},
                 ["its format was not recognised (2 .jpg, 1 .xml, in p/, q/)"], [],
                 id="an XML with the name of an image"),
    pytest.param({"p/1.png": IMAGE, "p/1_mask.png": IMAGE, "q/1.png": IMAGE}, "", {},
                 ["fits several formats: folders", "images with masks (`1_mask` lies beside the image `1`"], [],
                 id="masks beside images"),
    *[pytest.param({f"{one}/{number:04}.jpg": IMAGE for one in folders for number in range(3)}, "", {},
                   ["fits several formats: folders (", f"images of one scene in several folders ({shown}"], [],
                   id=f"no classes: {', '.join(folders)}")
      for folders, shown in [
          (["rgb", "gt"], "`gt`, `rgb` hold images of the same names"),
          (["p/q/left", "p/q/right"], "`left`, `right` hold images of the same names"),
          (["train/colorImage", "train/thermal_8"], "`colorImage`, `thermal_8` hold images of the same names"),
          (["paris/left", "paris/right", "rome/left", "rome/right"], "`left`, `right` hold images"),
          (["camera_02/data", "camera_03/data"], "`camera_02`, `camera_03` are called like videos or cameras"),
          (["video0", "video1", "video2"], "`video0`, `video1`, `video2` are called like videos or cameras"),
      ]],
    pytest.param({"image_2/1.png": IMAGE, "image_3/1.png": IMAGE}, "", {},
                 ["looks like images of one scene in several folders", "which is not read; with `--format folders`"],
                 [], id="two cameras of KITTI"),
    pytest.param({"aa/1.jpg": IMAGE, "bb/1.png": IMAGE}, "", {}, ["hold images of the same names, but other endings"],
                 [], id="two kinds of files"),
    pytest.param({"aa/1.png": IMAGE, "bb/1.png": GREY}, "", {}, ["but coloured and grey or numbered pixels"], [],
                 id="two kinds of pixels"),
    *[pytest.param({"cat/1.jpg": IMAGE, "dog/2.jpg": IMAGE, name: text}, "", {}, ["its format was not recognised"], [],
                   id=f"beside class folders: {name}")
      for name, text in {
          "bbox.txt": "1.jpg\n",
          "boxes.lst": "1 60.0 27.0 325.0 304.0\n2 10.0 20.0 30.0 40.0\n",
          "meta/wider.txt": "cat/1.jpg\n1\n44 33 12 14 0 0 0\ndog/2.jpg\n2\n36 98 26 33 0 0 0\n7 2 7 8 2 0 0\n",
          "list.txt": "cat/1.jpg 10,20,30,40,0\n",
          "sizes.csv": "id,xmin,ymin,xmax,ymax\n1,2,3,4,5\n",
          "cars_annos.mat": "x",
      }.items()],
    *[pytest.param({f"{prefix}{name}": content for name, content in files.items()}, "",
                   {f"{prefix}{next(iter(files))}:0": box}, [], [], id=f"{prefix}{next(iter(files))}")
      for prefix in ("", "p/", "p/q/")
      for files, box in [
          ({"Annotations/x/a.xml": VOC, "JPEGImages/x/a.jpg": IMAGE}, (22, 19, 20, 10)),
          ({"xml/x/y/a.xml": VOC, "images/x/y/a.jpg": IMAGE}, (22, 19, 20, 10)),
          ({"json/a.json": LABELME, "images/a.jpg": IMAGE}, (10, 10, 20, 12)),
          ({"json/x/a.json": LABELME, "images/x/a.jpg": IMAGE}, (10, 10, 20, 12)),
      ]],
    pytest.param({"json/a.json": LABELME, "images/a.jpg": IMAGE, "JPEGImages/a.jpg": IMAGE}, "", {}, [],
                 ["ambiguous_image: json/a.json may describe images/a.jpg or JPEGImages/a.jpg"],
                 id="labelme with two images that may be meant"),
    pytest.param({"p/annotations.xml": CVAT, "p/images/a.jpg": IMAGE}, "", {},
                 ["p/annotations.xml looks like one; give that file (cvat)"], [],
                 id="CVAT in a folder, and no class `p`"),
    pytest.param({"JPEGImages/a.jpg": IMAGE, "SegmentationClass/a.png": IMAGE,
                  "Annotations/a.xml": voc_file(ROBND.format(f"{SHIP}<angle>0</angle>"))}, "",
                 {"Annotations/a.xml:0": (22, 19, 20, 10)}, [], [], id="Pascal VOC with its masks"),
    pytest.param({**YOLO, "labels/a.txt": BOX, "notes.json": {"categories": [{"id": 0, "name": "person"}]}}, "",
                 {"labels/a.txt:1": (24, 12, 16, 24)}, [], [], id="a list of categories alone is not COCO"),
]  # fmt: skip


CLASSES: list[Any] = [
    pytest.param([f"{name}/{number}.jpg" for name in names for number in range(3)], counted, id=", ".join(names))
    for names, counted in [
        (["cat", "dog"], 2),
        (["class1", "class2", "grade 3"], 3),
        (["0", "1", "2"], 3),
        (["train2017/cat", "train2017/dog", "val2017/cat", "val2017/dog"], 2),
        (["walk/video1", "walk/video2", "run/video1", "run/video2"], 2),
    ]
]


@pytest.mark.parametrize(("names", "count"), CLASSES)
@pytest.mark.parametrize("beside", ["", "cat/1.jpg\ndog/1.jpg 1\n", "Cats, 2019.\n100 images of 64 x 48 px\n"])
def test_equal_numbering_and_lists_of_images_leave_class_folders_what_they_are(
    secondlook: Command, tmp_path: Path, names: list[str], count: int, beside: str
) -> None:
    done = read(secondlook, lay_out(tmp_path / "data", {**dict.fromkeys(names, IMAGE), "notes.txt": beside}))

    assert "is read as folders" in done.result.err
    assert (len(done.rows), len({row["given"] for row in done.rows.values()})) == (len(names), count)


@pytest.mark.parametrize(("files", "path", "boxes", "words", "refusals"), SAID)
def test_what_is_read_and_said(
    secondlook: Command,
    tmp_path: Path,
    files: dict[str, Any],
    path: str,
    boxes: dict[str, tuple[float, ...]],
    words: list[str],
    refusals: list[str],
) -> None:
    root = lay_out(tmp_path / "data", files)

    done = read(secondlook, root / path)

    assert done.result.code == (0 if boxes else 1)
    found = {row["source_id"]: tuple(row[side] for side in "xywh") for row in done.rows.values()} if boxes else {}
    assert found == {name: pytest.approx(box, abs=1e-3) for name, box in boxes.items()}
    assert all(word in done.result.err for word in words), done.result.err
    details = [f"{row['reason']}: {row['detail']}" for row in done.refused] if refusals else []
    assert all(any(word in detail for detail in details) for word in refusals), details


def test_a_box_that_was_turned_out_of_its_image_is_not_taken_for_corners(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {"x.xml": CVAT, "a.jpg": IMAGE})

    done = read(secondlook, root / "x.xml")

    assert "boxes clipped at the border of their image: 1" in done.result.err
    assert "corners" not in done.result.err


def test_key_points_of_coco_are_attributes(secondlook: Command, tmp_path: Path) -> None:
    document = json.loads(json.dumps(ONE))
    document["annotations"][0].update(POINTS)
    root = lay_out(tmp_path / "data", {"x.json": document, "a.jpg": IMAGE})

    [row] = read(secondlook, root / "x.json").rows.values()

    assert dict(row["attributes"]) == {"keypoints": "[6, 7, 2, 8.5, 9, 1]", "num_keypoints": "2"}

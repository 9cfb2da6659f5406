"""Odd but real datasets: what is read of them, and which words say what is wrong and how to go on."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import Command, coco
from hand_written import BOX2D, IMAGE, lay_out, read, region, voc_file
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

TEXT = json.dumps(ONE)
DOUBLED = TEXT[:-1] + ', "annotations": []}'
BOX_TWICE = TEXT.replace('"category_id": 1,', '"category_id": 1, "bbox": [1, 1, 2, 2],')
FRACTIONS = coco(
    [LISTED], [{**OBJECT, "bbox": [10, 10, 20, 12], "segmentation": [[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]]}], ["car"]
)
PATH_OF_MASK = coco([LISTED], [{**OBJECT, "bbox": [10, 10, 20, 12], "segmentation": "masks/1.png"}], ["car"])
PANOPTIC = {
    "images": [LISTED],
    "categories": [{"id": 1, "name": "car"}],
    "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}],
}
MANY = [{**LISTED, "id": number, "file_name": f"{'a' * 60}/{number}.jpg"} for number in range(2000)]
LONG_PANOPTIC = {**PANOPTIC, "images": [*MANY, {**LISTED, "id": 5000}]}
PART = "<bndbox><xmin>10</xmin><ymin>10</ymin><xmax>30</xmax><ymax>22</ymax></bndbox>"
CAR = f"<object><name>car</name>{PART}</object>"
LABELME = (
    "<annotation><filename>a.jpg</filename><object><name>car</name><deleted>{}</deleted><polygon><username>x</username>"
    "<pt><x>10</x><y>10</y></pt><pt><x>30</x><y>10</y></pt><pt><x>30</x><y>22</y></pt></polygon></object></annotation>"
)
DETRAC = '<sequence name="MVI"><frame num="1"><target_list><target id="1"/></target_list></frame></sequence>'
FOLDERS = {"p/1.jpg": IMAGE, "q/1.jpg": IMAGE}
TRACKED = "0 .5 .5 .25 .5 .93 {}\n"
KITTI = "{} 0.00 0 -1.57 10 10 30 22 1 1 1 1 1 1 1\n"
TABLE = "filename,width,height,class,xmin,ymin,xmax,ymax{}\na.jpg,{},48,car,10,10,30,22{}\n"
OPEN_IMAGES = "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/0k4j,.1,.4,.2,.45\n"
FIFTYONE = {"classes": ["bus", "car"], "labels": {"a": [{"label": 1, "bounding_box": [0.5, 0.5, 0.25, 0.25]}]}}

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


NEVER_SILENT: list[Any] = [
    pytest.param({"x.json": DOUBLED, "a.jpg": IMAGE}, "x.json", {},
                 ["x.json: has the key `annotations` twice"], [], id="COCO: two lists of annotations"),
    pytest.param({"x.json": DOUBLED.replace("10", "NaN", 1), "a.jpg": IMAGE}, "x.json", {},
                 ["x.json: has the key `annotations` twice"], [], id="the same in a file that is read item by item"),
    pytest.param({"x.json": BOX_TWICE, "a.jpg": IMAGE}, "x.json", {},
                 ["has the key `bbox` twice, beside `id`: 1; keep one"], [], id="COCO: two boxes in one object"),
    pytest.param({"x.json": json.dumps({**ONE, "info": {"images": 1, "annotations": 1}}), "a.jpg": IMAGE}, "x.json",
                 {"1": (10, 10, 20, 12)}, [], [], id="COCO: the same key elsewhere in the file is no second list"),
    pytest.param({"x.json": FRACTIONS, "a.jpg": IMAGE}, "x.json", {"1": (10, 10, 20, 12)},
                 ["WARNING: 1 polygons or masks cover nothing of the box of their object"], [],
                 id="COCO: polygon in fractions, box in px"),
    pytest.param({"x.json": PATH_OF_MASK, "a.jpg": IMAGE}, "x.json", {}, [],
                 ['malformed: the segmentation cannot be read ("masks/1.png" is neither polygons nor run lengths)'],
                 id="COCO: the path of a mask for a segmentation"),
    pytest.param({"x.json": PANOPTIC, "a.jpg": IMAGE}, "x.json", {},
                 ["looks like panoptic COCO (`x.json` has annotations with `segments_info`)"], [], id="panoptic COCO"),
    pytest.param({"x.json": LONG_PANOPTIC, "a.jpg": IMAGE}, "x.json", {},
                 [], ["malformed: it is one of panoptic COCO (`segments_info`), which is not read"],
                 id="panoptic COCO whose annotations come late in the file"),
    pytest.param({"a.xml": voc_file(f"<object><name>car</name>{PART}{PART}</object>", CAR), "a.jpg": IMAGE}, "",
                 {"a.xml:1": (10, 10, 20, 12)}, [], ["malformed: `bndbox/xmin` is there 2 times, where one is due"],
                 id="VOC: two boxes in one object"),
    pytest.param({"a.xml": voc_file(CAR.replace("<name>", "<name>bus</name><name>"), CAR), "a.jpg": IMAGE}, "",
                 {"a.xml:1": (10, 10, 20, 12)}, [], ["malformed: `name` is there 2 times"], id="VOC: two names"),
    pytest.param({"a.xml": voc_file(f"<objects>{CAR}</objects>"), "a.jpg": IMAGE,
                  "b.xml": voc_file(CAR, filename="b.jpg"),
                  "b.jpg": IMAGE}, "", {"b.xml:0": (10, 10, 20, 12)}, ["1 refused, rejects: malformed 1"],
                 ["malformed: `<object>` is in `<objects>`, as in FAIR1M"], id="FAIR1M: objects in <objects>"),
    pytest.param({"a.xml": voc_file(CAR.replace("object>", "Object>")), "a.jpg": IMAGE}, "", {}, [],
                 ["malformed: `<Object>` is in `<Object>`"], id="VOC: capitals"),
    pytest.param({"a.xml": LABELME.format(0), "a.jpg": IMAGE}, "", {"a.xml:0": (10, 10, 20, 12)}, [], [],
                 id="LabelMe's own XML: a polygon of <pt>"),
    pytest.param({"a.xml": LABELME.format(1), "a.jpg": IMAGE}, "", {}, [],
                 ["not_selected: `deleted` is 1: the object was deleted"], id="LabelMe's own XML: deleted"),
    pytest.param({"a.xml": voc_file(CAR), "a.jpg": IMAGE}, "a.xml", {}, ["give the folder that holds all such"], [],
                 id="VOC: one of its files"),
    pytest.param({**FOLDERS, "MVI.xml": DETRAC}, "", {}, ["looks like UA-DETRAC (`MVI.xml` is an XML file"], [],
                 id="UA-DETRAC is no class folders"),
    pytest.param({**FOLDERS, "x.xml": '<set><taggedRectangle x="1"/></set>'}, "", {}, ["format was not recognised"], [],
                 id="an unknown XML with something drawn is no class folders"),
    pytest.param({**YOLO, "data.yaml": "names: [a]\nnames: [b]\n", "labels/a.txt": BOX}, "", {},
                 ["data.yaml: cannot be read (the key `names` is listed twice; keep one)"], [], id="YOLO: names twice"),
    pytest.param({**YOLO, "labels/a.txt": BOX, "images/a.txt": "0 .1 .1 .1 .1\n"}, "",
                 {"labels/a.txt:1": (24, 12, 16, 24)}, [], ["duplicate_id: labels/a.txt describes the same image"],
                 id="YOLO: a second label file beside the image"),
    pytest.param({**YOLO, "labels/a.txt": BOX, "labels/a.jpg.txt": "0 .1 .1 .1 .1\n"}, "",
                 {"labels/a.txt:1": (24, 12, 16, 24)}, [], ["duplicate_id: labels/a.txt describes the same image"],
                 id="YOLO: a second label file with the ending of the image"),
    pytest.param({"image_2/a.jpg": IMAGE, "label_2/a.txt": KITTI.format("Car"),
                  "labels/a.txt": KITTI.format("Van")}, "", {"label_2/a.txt:1": (10, 10, 20, 12)},
                 [], ["duplicate_id: label_2/a.txt describes the same image"],
                 id="KITTI: a second label file"),
    pytest.param({**YOLO, "labels/a.txt": TRACKED.format(0) + BOX, "images/b.jpg": IMAGE,
                  "labels/b.txt": TRACKED.format(7)}, "", {"labels/a.txt:2": (24, 12, 16, 24)}, [],
                 ["malformed: the 7 columns may be a polygon of three points, or a box, a confidence and the"],
                 id="YOLO: boxes with a confidence and a track"),
    pytest.param({**YOLO, "labels/a.txt": "0 .25 .5 .5 .5 .5 1\n0 .25 .5 .5 .5 .5 .75\n"}, "",
                 {"labels/a.txt:1": (16, 24, 16, 24), "labels/a.txt:2": (16, 24, 16, 12)}, [], [],
                 id="YOLO: a triangle that touches the border among others"),
    pytest.param({**YOLO, "data.yaml": "names: [person]\nkpt_shape: [1, 2]\n", "labels/a.txt": "0 .5 .5 .25 .5 .5 1\n"},
                 "", {"labels/a.txt:1": (24, 12, 16, 24)}, [], [], id="YOLO: a key point at the border is no track"),
    pytest.param({**YOLO, "labels/A.TXT": BOX, "images/A.jpg": IMAGE}, "", {"labels/A.TXT:1": (24, 12, 16, 24)}, [], [],
                 id="YOLO: a label file with the ending .TXT"),
    pytest.param({"image_2/a.jpg": IMAGE, "label_2/a.txt": KITTI.format("Traffic Light") + KITTI.format("Car")}, "",
                 {"label_2/a.txt:2": (10, 10, 20, 12)}, [],
                 ["malformed: `Light` is in column 2, where a number is due"],
                 id="KITTI: a type of two words"),
    pytest.param({"image_02/0000/0.png": IMAGE, "image_02/0001/0.png": IMAGE,
                  "label_02/0000.txt": "0 1 " + KITTI.format("Car")}, "", {}, ["looks like KITTI tracking"], [],
                 id="KITTI tracking"),
    pytest.param({"labels.json": FIFTYONE, "data/a.jpg": IMAGE, "data/a.png": IMAGE}, "", {"a:0": (32, 24, 16, 12)},
                 ["`a` may mean a.jpg or a.png; a.jpg is taken"], [], id="FiftyOne: a key that two images have"),
    pytest.param({"labels.json": FIFTYONE, "data/a.bmp": IMAGE, "data/a.png": IMAGE}, "", {}, [],
                 ["ambiguous_image: `a` may mean a.bmp or a.png"], id="FiftyOne: a key that two images have, no JPEG"),
    pytest.param({"labels.json": json.dumps(FIFTYONE).replace('"label": 1', '"label": true'), "data/a.jpg": IMAGE},
                 "", {}, [], ["malformed: the label is not an object with a text"],
                 id="FiftyOne: true is no number of a class"),
    pytest.param({"labels.json": {**FIFTYONE, "classes": ["bus", None]}, "data/a.jpg": IMAGE}, "", {}, [],
                 ["unknown_class: the file lists no class 1"], id="FiftyOne: null is no name of a class"),
    pytest.param({"labels.json": json.dumps(FIFTYONE).replace('"a":', '"a": [], "a":'), "data/a.jpg": IMAGE}, "", {},
                 ["has the key `a` twice"], [], id="FiftyOne: an image twice"),
    pytest.param({"x.csv": TABLE.format("", "640.0", ""), "a.jpg": IMAGE}, "x.csv", {}, [],
                 ["size_mismatch: the annotations say 640x48 px, the image has 64x48"],
                 id="a table of sizes with fractions"),
    pytest.param({"x.csv": TABLE.format(",class", "64.0", ",bus"), "a.jpg": IMAGE}, "x.csv", {},
                 ["x.csv: has two columns `class`; rename or remove one"], [], id="a table with one column twice"),
    pytest.param({"x.csv": OPEN_IMAGES, "a.jpg": IMAGE}, "x.csv", {"x.csv:2": (6.4, 9.6, 19.2, 12)},
                 ["no class-descriptions*.csv lies beside it, so labels are codes such as /m/0k4j"], [],
                 id="Open Images without its names"),
    pytest.param({"x.csv": OPEN_IMAGES, "a.jpg": IMAGE, "class-descriptions.csv": "/m/0k4j,Car\n",
                  "class-descriptions-boxable.csv": "/m/0k4j,Auto\n"}, "x.csv", {},
                 ["its tables class-descriptions*.csv differ: `/m/0k4j` is `Auto` in one and `Car` in another"], [],
                 id="Open Images with names that differ"),
    pytest.param({"x.json": [*TASKS, {"id": 2, "data": {"image": "b.jpg"}, "annotations": [], "drafts": [{"id": 1}]}],
                  "a.jpg": IMAGE, "b.jpg": IMAGE}, "x.json", {"1:0": (6.4, 12, 32, 24), "1:1": (6.4, 12, 32, 24)},
                 ["1 tasks have drafts only, which are not read; submit them"], [], id="Label Studio: a draft"),
    pytest.param({"x.json": [{**TASKS[0], "data": {"pages": ["a.jpg", "b.jpg"]}}], "a.jpg": IMAGE}, "x.json", {}, [],
                 ["malformed: `pages` of the task is a list, which is not read"], id="Label Studio: a list of images"),
    pytest.param({"a.json.gz": b"x"}, "a.json.gz", {}, ["a.json.gz: is compressed; unpack it"], [],
                 id="a packed file"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "path", "boxes", "words", "refusals"), [*SAID, *NEVER_SILENT])
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


BESIDE = coco([LISTED], [{**OBJECT, "bbox": [12, 20, 40, 8], "rotation": 90, "track_id": 7, "occluded": True,
                          "ignore": 1, "isfake": 0, "points": [1, 2], "vector": [0.5] * 99}], ["car"])  # fmt: skip


def test_keys_beside_a_box_of_coco_are_attributes(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {"x.json": BESIDE, "a.jpg": IMAGE})

    done = read(secondlook, root / "x.json")

    [row] = done.rows.values()
    kept = {"rotation": "90", "track_id": "7", "occluded": "True", "ignore": "1", "points": "[1, 2]"}
    assert kept.items() <= dict(row["attributes"]).items()
    assert not {"isfake", "vector"} & dict(row["attributes"]).keys()
    assert [row[side] for side in "xywh"] == pytest.approx([28, 4, 8, 40])
    assert "too long for an attribute are left out: vector (1)" in done.result.err


EMPTY: list[Any] = [
    pytest.param({"x.json": coco([LISTED], [{**OBJECT, "bbox": [10, 10, 20, 12]}], [""])}, "x.json", id="COCO"),
    pytest.param({"x.xml": CVAT.replace("car", "")}, "x.xml", id="CVAT"),
    pytest.param({"x.json": [{"name": "a.jpg", "labels": [{"category": "", "box2d": BOX2D}]}]}, "x.json", id="BDD100K"),
    pytest.param({"a.json": {"version": "5", "imagePath": "a.jpg", "shapes": [
        {"label": " ", "shape_type": "rectangle", "points": [[10, 10], [30, 22]]}]}}, "", id="labelme"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "path"), EMPTY)
def test_an_empty_name_is_no_class(secondlook: Command, tmp_path: Path, files: dict[str, Any], path: str) -> None:
    done = read(secondlook, lay_out(tmp_path / "data", {**files, "a.jpg": IMAGE}) / path)

    [row] = done.rows.values()
    assert row["given_raw"] is None
    assert "category" not in dict(row["attributes"])
    assert "without a label: 1" in done.result.err


@pytest.mark.parametrize("more", [{}, {"class-descriptions.csv": "LabelName,DisplayName\n/m/0k4j,Car\n"}])
def test_codes_of_open_images_have_the_names_of_all_tables(
    secondlook: Command, tmp_path: Path, more: dict[str, Any]
) -> None:
    files = {"x.csv": OPEN_IMAGES, "a.jpg": IMAGE, "class-descriptions-boxable.csv": "/m/0k4j,Car\n", **more}

    done = read(secondlook, lay_out(tmp_path / "data", files) / "x.csv")

    assert [row["given_raw"] for row in done.rows.values()] == ["Car"]

"""Which format a path is taken for: only one that there is evidence of, and a sentence everywhere else."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, coco
from hand_written import BOX2D, CAR, IMAGE, fiftyone_sample, lay_out, read, region, vistas, voc_file, voc_object

LABELME = {"version": "5.0", "flags": {}, "shapes": [], "imagePath": "a.jpg", "imageData": None}
KITTI = "Car 0.00 0 -1.58 10 10 30 22 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59\n"
DOTA = "imagesource:GoogleEarth\ngsd:0.5\n10.0 10.0 30.0 10.0 30.0 22.0 10.0 22.0 ship 0\n"
CVAT = '<annotations><version>1.1</version><image id="0" name="a.jpg" width="64" height="48"></image></annotations>'
TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,car,10,10,30,22\n"
ONE = coco([{"id": 1, "file_name": "a.jpg"}], [], ["car"])
YOLO_LINE = "0 0.5 0.5 0.25 0.5\n"

SEEN: list[Any] = [
    pytest.param({"images/a.jpg": IMAGE, "labels/a.txt": YOLO_LINE}, "", "yolo", id="YOLO without names"),
    pytest.param({"a.jpg": IMAGE, "a.txt": YOLO_LINE, "classes.txt": "car\n"}, "", "yolo", id="labelImg, flat"),
    pytest.param({"obj.names": "car\n", "obj_train_data/a.txt": YOLO_LINE}, "", "yolo", id="CVAT YOLO 1.1"),
    pytest.param({"a.xml": voc_file(voc_object()), "a.jpg": IMAGE}, "", "voc", id="VOC"),
    pytest.param({"train/cat/1.jpg": IMAGE, "val/dog/2.jpg": IMAGE}, "", "folders", id="splits of class folders"),
    pytest.param({"pets/cat/1.jpg": IMAGE, "pets/dog/2.jpg": IMAGE}, "", "folders", id="a top folder"),
    pytest.param({"cat/1.jpg": IMAGE, ".cache/x/2.jpg": IMAGE}, "", "folders", id="a hidden folder"),
    pytest.param({"cat/1.jpg": IMAGE, "cat/settings.xml": "<prefs/>"}, "", "folders", id="a stray XML file"),
    pytest.param({"cat/1.jpg": IMAGE, "loose.jpg": IMAGE}, "", "folders", id="an image beside the class folders"),
    pytest.param({"v2.0/polygons/a.json": vistas(CAR), "images/a.jpg": IMAGE}, "", "mapillary", id="Vistas"),
    pytest.param({"a.json": {"config": {}, **ONE}}, "a.json", "coco", id="COCO that begins with another key"),
    pytest.param({"a.json": {"info": {"x": [{"y": 1}]}, "licenses": [], **ONE}}, "a.json", "coco", id="info first"),
    pytest.param({"a.json": [{"name": "a.jpg", "labels": [{"box2d": BOX2D}]}]}, "a.json", "bdd100k", id="BDD100K"),
    pytest.param({"samples.json": {"samples": [fiftyone_sample(None)]}}, "", "fiftyone", id="FiftyOne"),
    pytest.param(
        {"a.json": [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [region("x", {})]}]}]},
        "a.json", "labelstudio", id="Label Studio",
    ),
    pytest.param({"a.json": LABELME, "a.jpg": IMAGE}, "", "labelme", id="labelme"),
    pytest.param({"label_2/1.txt": KITTI, "image_2/1.png": IMAGE}, "", "kitti", id="KITTI"),
    pytest.param({"annotations/1.txt": "1,2,9,9,1,4,0,0\n", "images/1.jpg": IMAGE}, "", "visdrone", id="VisDrone"),
    pytest.param({"annotations.xml": CVAT}, "annotations.xml", "cvat", id="CVAT for images"),
    pytest.param({"train.csv": TENSORFLOW}, "train.csv", "csv", id="a table of TensorFlow's"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "path", "kind"), SEEN)
def test_a_format_is_recognised_by_what_lies_there(
    secondlook: Command, tmp_path: Path, files: dict[str, Any], path: str, kind: str
) -> None:
    root = lay_out(tmp_path / "data", files)

    said = secondlook("formats", root / path)

    assert said.code == 0
    assert [line.partition(":")[0] for line in said.out.splitlines()[1:]] == [kind]


PERSON = {"classTitle": "person", "points": {"exterior": [[1, 2]], "interior": []}}
NOT_READ: list[Any] = [
    pytest.param({"train/_a.json": [{"image": "a.jpg", "annotations": []}], "train/a.jpg": IMAGE}, "CreateML",
                 id="CreateML"),
    pytest.param({"labelTxt/a.txt": DOTA, "images/a.png": IMAGE}, "DOTA", id="DOTA"),
    pytest.param({"ds/ann/a.json": {"description": "", "tags": [], "size": {"width": 9}, "objects": [PERSON]},
                  "ds/img/a.jpg": IMAGE}, "Supervisely", id="Supervisely"),
    pytest.param({"a.json": [{"id": 1, "image": "a.jpg", "label": [], "annotator": 1}], "x/a.jpg": IMAGE}, "JSON-MIN",
                 id="Label Studio JSON-MIN"),
    pytest.param({"a.json": [{"image": "a.jpg", "id": 1, "label": [{"x": 1, "rectanglelabels": ["car"]}]}],
                  "x/a.jpg": IMAGE}, "JSON-MIN", id="Label Studio JSON-MIN without its annotators"),
    pytest.param({"a.json": [{"image": "/data/upload/1/a.jpg", "id": 1, "choice": "cat"}], "x/a.jpg": IMAGE},
                 "JSON-MIN", id="Label Studio JSON-MIN with choices"),
    pytest.param({"a.json": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]},
                 "predictions only", id="COCO results"),
    pytest.param({"images/a.jpg": IMAGE, "masks/a.png": IMAGE}, "masks", id="images with masks"),
    pytest.param({"a.jsonl": '{"a": 1}\n{"a": 2}\n'}, "JSON lines", id="JSON lines"),
    pytest.param({"seq/gt/gt.txt": "1,1,5,6,10,12,1,1,1\n", "seq/img1/1.jpg": IMAGE}, "MOT", id="MOT Challenge"),
    pytest.param({"x/train.csv": TENSORFLOW, "x/a.jpg": IMAGE}, "x/train.csv looks like one; give that file",
                 id="a table in a folder"),
    pytest.param({"x/y/z.json": ONE, "x/y/a.jpg": IMAGE}, "z.json looks like one; give that file",
                 id="a COCO file three folders deep"),
    pytest.param({"x/rows.parquet": b"PAR1", "x/images/a.jpg": IMAGE}, "was not recognised",
                 id="a folder with a table and its images is no class"),
    pytest.param({"images/a.jpg": IMAGE}, "was not recognised", id="images alone are no class `images`"),
    pytest.param({"cat/a.jpg": IMAGE, "labels.csv": "id,breed\na.jpg,cat\n"}, "was not recognised",
                 id="class folders with a table of labels beside them"),
    pytest.param({"train/1.jpg": IMAGE, "val/2.jpg": IMAGE}, "was not recognised", id="splits without classes"),
    pytest.param({"a.jpg": IMAGE, "a.txt": YOLO_LINE, "a.xml": voc_file(voc_object())}, "fits several formats",
                 id="two formats beside each other"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "words"), NOT_READ)
def test_what_is_no_dataset_of_a_known_format_is_one_sentence(
    secondlook: Command, tmp_path: Path, files: dict[str, Any], words: str
) -> None:
    done = read(secondlook, lay_out(tmp_path / "data", files))

    assert done.result.code == 1
    assert done.result.err.count("\n") == 1
    assert words in done.result.err


def test_the_list_of_objects_of_an_export_is_named(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {"objects.csv": "image,label_file,line,label,action\na.jpg,a.txt,1,car,keep\n"})

    done = read(secondlook, root / "objects.csv")

    assert done.result.code == 1
    assert (
        "beside a YOLO export (it has the columns of an export), which is not read; give its folder" in done.result.err
    )


def test_what_ingest_wrote_beside_class_folders_is_no_dataset(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {"cat/a.jpg": IMAGE, "dog/b.jpg": IMAGE, "i.parquet": b"PAR1"})

    assert sorted(read(secondlook, root).rows) == ["cat/a.jpg", "dog/b.jpg"]


def test_two_formats_are_both_named_and_format_decides(secondlook: Command, tmp_path: Path) -> None:
    files = {"a.jpg": IMAGE, "a.txt": YOLO_LINE, "a.xml": voc_file(voc_object())}
    root = lay_out(tmp_path / "data", files)

    assert "voc (`a.xml` is an XML file with `<annotation>`) and yolo (`a.txt`" in read(secondlook, root).result.err
    assert list(read(secondlook, root, "--format", "voc").rows) == ["a.xml:0"]
    assert list(read(secondlook, root, "--format", "yolo").rows) == ["a.txt:1"]


def test_files_beside_class_folders_are_counted(secondlook: Command, tmp_path: Path) -> None:
    names = ("train/cat/1.jpg", "train/dog/2.gif", "val/cat/3.jfif", "loose.jpg")
    root = lay_out(tmp_path / "data", {**dict.fromkeys(names[:1], IMAGE), "loose.jpg": IMAGE, "cat/notes.md": "x"})
    for name in names[1:3]:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes((root / names[0]).read_bytes())

    done = read(secondlook, root, "--format", "folders")

    assert {row["given"] for row in done.rows.values()} == {"cat", "dog"}
    assert len(done.rows) == 3
    assert "not read: 1 .jpg, 1 .md" in done.result.err


def test_a_head_is_all_that_is_read_of_a_large_file(secondlook: Command, tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number:09}.jpg"} for number in range(5_000)]
    text = json.dumps({"images": images, "annotations": [], "categories": []})
    root = lay_out(tmp_path / "data", {"a.json": text[: len(text) // 2]})  # cut off: no reader could open it

    assert "coco: `a.json` has the lists of COCO" in secondlook("formats", root / "a.json").out

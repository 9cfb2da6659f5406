"""Class folders: which folders are the classes, where none are, and what is said of single files and of folders."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, coco
from hand_written import IMAGE, lay_out, read, voc_file, voc_object

ONE = coco(
    [{"id": 1, "file_name": "a.jpg"}], [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 6, 9, 9]}], ["car"]
)
VOC = voc_file(voc_object())
LABELME = {"version": "5.0", "imagePath": "a.jpg", "shapes": [
    {"label": "car", "points": [[30, 22], [10, 10]], "shape_type": "rectangle"}]}  # fmt: skip
KITTI = "Car 0.00 0 -1.57 5 6 15 18 1.5 1.6 4.0 1.0 1.7 20.0 -1.6\n"
VISDRONE = "5,6,10,12,1,4,0,0\n"
YOLO = "0 .5 .5 .25 .5\n"
BOTH = ["cat", "dog"]
DETRAC = (
    '<sequence name="MVI_1"><frame num="1"><target_list><target id="1">'
    '<box left="5" top="6" width="9" height="9"/></target></target_list></frame></sequence>'
)


def below(tops: list[str], names: list[str] = BOTH) -> list[str]:
    """Return an image in each folder below each top, each with a name of its own."""
    return [f"{top}/{name}/{number}{place}.jpg" for number, top in enumerate(tops) for place, name in enumerate(names)]


CLASSES: list[Any] = [
    pytest.param(names, classes, id=names[0].rpartition("/")[0])
    for names, classes in [
        (below(["pets/images"]), BOTH),
        (below(["pets/photos/images"]), BOTH),
        (below(["pets/data/train", "pets/data/val"]), BOTH),
        (["stop/images/1.jpg", "stop/images/2.jpg"], ["stop"]),
        ([*below(["pets"]), "pets/cover.jpg"], BOTH),
        (["cat/1.jpg", "cat/2.jpg", "cat/others/3.jpg"], ["cat"]),
        (below(["training_set", "test_set"]), BOTH),
        (below(["training_set/training_set", "test_set/test_set"]), BOTH),
        (below(["seg_train/seg_train", "seg_test/seg_test"]), BOTH),
        (below(["train_images", "val_images", "test_images"]), BOTH),
        (below(["TrainSet", "ValSet"]), BOTH),
        (below(["imgs_train", "imgs_valid"]), BOTH),
        (below(["train2017", "val2017"]), BOTH),
        (below(["faces-training", "faces-testing"]), BOTH),
        (below(["traindata", "testdata"]), BOTH),
        (below(["PublicTest", "PrivateTest", "Training"]), BOTH),
        ([*below(["labeled"]), "unlabeled/9.jpg"], BOTH),
        (below(["fold1", "fold2", "fold_3"]), BOTH),
        (below(["gallery", "query", "train"]), BOTH),
        (below(["train/images", "test/images"]), BOTH),
        (below(BOTH, ["train", "test"]), BOTH),
        (below(BOTH, ["images", "photos_2"]), BOTH),
        (below(BOTH, ["video1", "video2"]), BOTH),
        (below(["walk"], ["session_1"]) + below(["run"], ["session_1", "session_2"]), ["run", "walk"]),
        (["animal/cat/1.jpg", "animal/dog/2.jpg", "plant/rose/3.jpg"], ["animal", "plant"]),
        (["blood_test/1.jpg", "urine_test/2.jpg"], ["blood_test", "urine_test"]),
        (["fold/1.jpg", "tear/2.jpg"], ["fold", "tear"]),
        (["train/1.jpg", "train/2.jpg", "bus/3.jpg"], None),
        (["bounding_box_train/1.jpg", "bounding_box_test/2.jpg", "query/3.jpg"], None),
        (["query/1.jpg", "gallery/2.jpg"], None),
        (["train_images/1.jpg", "test_images/2.jpg"], None),
        (["ch4_training_images/1.jpg", "ch4_test_images/2.jpg"], None),
        (["cars_train/1.jpg", "cars_train/2.jpg"], None),
        (["imagesTr/1.jpg", "imagesTs/2.jpg"], None),
        (["traindata/1.jpg", "testdata/2.jpg"], None),
        (["fold1/1.jpg", "fold2/2.jpg"], None),
        (["trainA/1.jpg", "trainB/2.jpg", "testA/3.jpg"], None),
        (["images_train/1.jpg", "extra/2.jpg"], None),
        (["batch_1/1.jpg", "batch_2/2.jpg"], None),
        (below(["amazon/images", "dslr/images"], ["bike", "mug"]), None),
        (below(["amazon/images", "dslr/images"], ["bike"]), None),
        (below(["photo", "sketch", "cartoon"]), None),
        (below(["siteA/train", "siteB/train"]), None),
        (below(BOTH, ["indoor", "outdoor"]), None),
    ]
]


@pytest.mark.parametrize(("names", "classes"), CLASSES)
@pytest.mark.parametrize("top", ["", "set/", "sets/2024/"])
def test_which_folders_are_the_classes(
    secondlook: Command, tmp_path: Path, names: list[str], classes: list[str] | None, top: str
) -> None:
    root = lay_out(tmp_path / "data", {f"{top}{name}": IMAGE for name in names})

    done = read(secondlook, root)

    if classes is None:
        assert done.result.code == 1
        assert done.result.err.count("\n") == 1
        assert "folders" in done.result.err.partition("--format")[2]
        assert len(read(secondlook, root, "--format", "folders").rows) == len(names)
    else:
        assert "is read as folders" in done.result.err
        assert sorted({row["given"] for row in done.rows.values()}) == classes


def test_both_readings_are_named(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", dict.fromkeys(below(["amazon/images", "dslr/images"], ["bike", "mug"]), IMAGE))

    said = read(secondlook, root).result.err

    assert "images lie in the class folders amazon, dslr" in said
    assert "bike, mug lie below amazon, dslr" in said
    lower = read(secondlook, root / "amazon")
    assert sorted(row["given"] for row in lower.rows.values()) == ["bike", "mug"]


def test_classes_called_like_masks_are_read_when_asked(secondlook: Command, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", {f"{name}/1.jpg": IMAGE for name in ("mask", "no_mask")})

    assert "or name `--format folders` where the folders are classes" in read(secondlook, root).result.err
    asked = read(secondlook, root, "--format", "folders")
    assert sorted(row["given"] for row in asked.rows.values()) == ["mask", "no_mask"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("train/cat/Label/1.txt", "cat 10 10 30 22\n", "it has lines of boxes"),
        ("faces.txt", "cat/1.jpg\n1\n10 10 20 12 0 0\n", "it has lines of boxes"),
        ("list.txt", "a\nb\nc\nd\ncat/1.jpg 10,10,30,22,0\ne\n", "it has lines of boxes"),
        ("cat/groundtruth.txt", "10,10,20,12\n11,10,20,12\n", "it has lines of boxes"),
        ("cat/boxes.tsv", "10\t10\t20\t12\n", "it is called so"),
        ("loose_bb.csv", "NAME_ID,X,Y,W,H\n1/2,10,10,20,12\n", "it has their columns"),
        ("x.xml", '<Tagset><Rect xmin="1" ymin="2"/></Tagset>', "it has their elements"),
        ("train.yaml", "- boxes:\n  - {label: Red, x_min: 1.5}\n  path: ./1.png\n", "it has their keys"),
        ("instances.json.gz", gzip.compress(b"{}", mtime=0), "it is compressed: unpack it"),
        ("x.json", '{"cat/2.jpg": [[10, 10, 30, 22]]}', "it has their keys"),
        ("meta/rows.csv.xz", b"\xfd7zXZ", "it is compressed: unpack it"),
    ],
)
def test_folders_beside_annotations_are_no_classes_unless_asked(
    secondlook: Command, tmp_path: Path, name: str, text: str | bytes, why: str
) -> None:
    root = lay_out(tmp_path / "data", {**dict.fromkeys(("train/cat/2.jpg", "train/dog/3.jpg"), IMAGE), name: text})

    said = read(secondlook, root).result

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert f"`{name}` may hold annotations ({why}); write them as COCO" in said.err
    assert f"no known format; `{name}` may hold annotations" in secondlook("formats", root).out
    asked = read(secondlook, root, "--format", "folders")
    assert sorted(row["given"] for row in asked.rows.values()) == BOTH


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.txt", "cat/2.jpg 0\ndog/3.jpg 1\n"),
        ("sizes.txt", "cat/2.jpg 64 48\ndog/3.jpg 64 48\n"),
        ("pairs.txt", "10 300\nAnn 1 4\nBea 1 Cid 2\n"),
        ("config.yaml", "epochs: 3\nclasses: [cat, dog]\n"),
        ("settings.xml", "<prefs><left>3</left></prefs>"),
        ("x.json", '{"cat": 0, "dog": 1}'),
        ("x.json", '{"cat/2.jpg": "cat", "dog/3.jpg": "dog"}'),
        ("labels.txt", "cat\ndog\n"),
        ("counts.csv", "class,count,mean,min,max\ncat,1,2,3,4\n"),
        ("labels.npy.gz", gzip.compress(b"x", mtime=0)),
    ],
)
def test_lists_and_notes_leave_class_folders_what_they_are(
    secondlook: Command, tmp_path: Path, name: str, text: str | bytes
) -> None:
    root = lay_out(tmp_path / "data", {**dict.fromkeys(("cat/2.jpg", "dog/3.jpg"), IMAGE), name: text})

    assert sorted(row["given"] for row in read(secondlook, root).rows.values()) == BOTH


FOLDER = "give the folder that holds all such files and their images"
GIVEN: list[Any] = [
    pytest.param({"x/a.json": ONE, "b.json": ONE}, "", "coco", ["is a folder", "/b.json, ", "/x/a.json."], id="COCO"),
    pytest.param({"a.json": ONE}, "", "objects365", ["is a folder", "; give ", "/a.json."], id="Objects365"),
    pytest.param({"a.json": ONE}, "", "cvat", ["is a folder", "it holds no .xml file"], id="CVAT, none there"),
    pytest.param({"x.csv": "a,b\n"}, "", "csv", ["is a folder", "; give ", "/x.csv."], id="a table"),
    pytest.param({"x.parquet": b"PAR1"}, "", "parquet", ["is a folder", "/x.parquet."], id="Parquet"),
    *[pytest.param({f"{letter}.json": ONE for letter in "abcdef"}, "", name, ["/d.json and 2 more."], id=name)
      for name in ("bdd100k", "labelstudio")],
    pytest.param({"Annotations/a.xml": VOC, "a.jpg": IMAGE}, "Annotations/a.xml", "",
                 ["one file of a dataset of voc (", FOLDER], id="one file of Pascal VOC"),
    pytest.param({"labels/a.txt": YOLO, "images/a.jpg": IMAGE}, "labels/a.txt", "",
                 ["one file of a dataset of yolo (", FOLDER], id="one file of YOLO"),
    pytest.param({"label_2/a.txt": KITTI, "image_2/a.png": IMAGE}, "label_2/a.txt", "", [FOLDER], id="one of KITTI"),
    pytest.param({"annotations/a.txt": VISDRONE, "images/a.jpg": IMAGE}, "annotations/a.txt", "", [FOLDER],
                 id="one of VisDrone"),
    pytest.param({"a.json": LABELME, "a.jpg": IMAGE}, "a.json", "", [FOLDER], id="one of labelme"),
    *[pytest.param({"a.xml": VOC, "a.jpg": IMAGE}, "a.xml", name, ["is one file, but", FOLDER], id=f"one as {name}")
      for name in ("voc", "yolo", "labelme", "kitti", "visdrone", "folders", "mapillary", "roboflow")],
    *[pytest.param({name: b"\x1f\x8b"}, name, asked, [f"{name}: is compressed; unpack it"], id=f"{name} {asked}")
      for name in ("a.json.gz", "d.tar.gz", "d.tgz", "x.csv.xz", "d.7z") for asked in ("", "coco", "yolo")],
]  # fmt: skip


@pytest.mark.parametrize(("files", "path", "asked", "words"), GIVEN)
def test_what_to_give_instead_is_said(
    secondlook: Command, tmp_path: Path, files: dict[str, Any], path: str, asked: str, words: list[str]
) -> None:
    root = lay_out(tmp_path / "data", files)

    said = read(secondlook, root / path, *(["--format", asked] if asked else [])).result

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert all(word in said.err for word in words), said.err


@pytest.mark.parametrize("stated", ["data/coco.names", "other/place/coco.names", "coco.names"])
def test_the_names_list_of_darknet_is_the_one_that_its_data_file_states(
    secondlook: Command, tmp_path: Path, stated: str
) -> None:
    files = {"data/obj.data": f"classes= 2\ntrain  = data/train.txt\nnames = {stated}\n",
             "data/coco.names": "car\nbus\n", "data/obj/a.jpg": IMAGE,
             "data/obj/a.txt": "1 .5 .5 .25 .5\n", "data/train.txt": "data/obj/a.jpg\n",
             "notes.names": "no class\n"}  # fmt: skip
    root = lay_out(tmp_path / "data", files)

    assert [row["given"] for row in read(secondlook, root).rows.values()] == ["bus"]

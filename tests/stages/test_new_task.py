"""`secondlook new-task`: its drafts are task files that `check` accepts, of all objects that it counted."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from checkouts import ROOT
from conftest import Command, box, coco, coco_image, write_image, write_json
from hand_written import IMAGE, lay_out
from make_datasets import DATASETS
from secondlook.base.taxonomy import normalise
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, Task, load_task
from secondlook.models import hub
from secondlook.stages.ingest.draft import draft
from secondlook.workflow.config_files import ConfigFiles

SMALL = ["small_probe", "small_neighbours", "small_prototype"]
LARGE = ["dinov2_probe", "dinov2_neighbours", "dinov2_prototype"]
KITTI = "Car 0.00 0 -1.58 10 10 30 22 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59\n"
LABELME = {"shapes": [{"label": "car", "points": [[30, 22], [10, 10]], "shape_type": "rectangle"}]}
CVAT = '<annotations><image id="0" name="a.jpg" width="64" height="48">{}</image></annotations>'
CVAT_BOX = '<box label="car" xtl="10" ytl="10" xbr="30" ybr="22"/>'
CSV = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,car,10,10,30,22\n"
WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "cvat": ({"a.xml": CVAT.format(CVAT_BOX), "a.jpg": IMAGE}, "a.xml"),
    "labelme": ({"a.json": {**LABELME, "version": "5.0", "imagePath": "a.jpg"}, "a.jpg": IMAGE}, ""),
    "kitti": ({"label_2/1.txt": KITTI, "image_2/1.png": IMAGE}, ""),
    "visdrone": ({"annotations/1.txt": "10,10,20,12,1,4,0,0\n", "images/1.jpg": IMAGE}, ""),
    "csv": ({"x.csv": CSV, "a.jpg": IMAGE}, "x.csv"),
}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, for which the Hub answers."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(hub, "answers", lambda: True)


def by_hand(name: str) -> Callable[[Path], dict[str, Any]]:
    files, path = WRITTEN[name]
    return lambda folder: {"path": lay_out(folder / "set", files) / path}


def options_of(dataset: dict[str, Any]) -> list[object]:
    return [part for key in ("images", "format") if key in dataset for part in (f"--{key}", dataset[key])]


def config_with(task: Path) -> Path:
    """Write a config with one task and the models of the shipped one."""
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    content = {key: shipped[key] for key in ("encoders", "classifiers", "vlms", "labelers")}
    path = task.parent / "config.yaml"
    path.write_text(yaml.safe_dump({**content, "tasks": [str(task)]}), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [*DATASETS.values(), *map(by_hand, WRITTEN)], ids=[*DATASETS, *WRITTEN])
def test_a_draft_of_every_format_is_accepted_and_takes_every_object(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Callable[[Path], dict[str, Any]]
) -> None:
    dataset, out = write(tmp_path), tmp_path / "tasks" / "draft.yaml"
    monkeypatch.chdir(tmp_path)

    result = secondlook("new-task", dataset["path"], *options_of(dataset), "--out", out)

    assert result.code == 0, result.err
    accepts_and_reads(secondlook, out)


ALLOWED = ("with the cache of this machine (HF_HOME).", "so there is nothing to decide; add another class.")


def accepts_and_reads(secondlook: Command, out: Path) -> Task:
    """Let `check` and `ingest` have a draft, and compare its counts with the rows."""
    checked = secondlook("check", "--config", config_with(out))
    assert "valid" in checked.out, checked.err
    others = [line for line in checked.err.splitlines() if not line.endswith(ALLOWED)]
    assert others == [], "only weights are missing, or another class"
    done = secondlook("ingest", "--task", out, "--out", "i.parquet", "--reference", "r.parquet")
    assert done.code == 0, done.err
    text, given = out.read_text(encoding="utf-8"), pq.read_table("i.parquet")["given"].to_pylist()
    counted = dict(re.findall(r'^  "(.+)": \[.*\]   # (\d+) object', text, re.MULTILINE))
    task = load_task(out)
    assert {yaml.safe_load(f'"{name}"'): int(count) for name, count in counted.items()} == {
        name: given.count(name) for name in task.classes
    }
    assert f": {len(given)} object" in text
    return task


def signs(folder: Path) -> Path:
    once = ["- Stop-Signs", "yields", "mass", "no entry!", "no-entry", '"x": [#é']
    kinds = ["- Stop signs"] * 5 + ["- yield"] * 3 + once
    annotations = [box(number, attributes={"kind": kind, "occluded": False}) for number, kind in enumerate(kinds)]
    document = coco([coco_image(folder, 1)], [*annotations, box(99, category=2)], ["Sign", "Bus", "Tram"])
    return write_json(folder / "signs.json", document)


def test_classes_are_as_written_and_merged_only_where_words_are_spelled_in_several_ways(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, out = signs(tmp_path), tmp_path / "draft.yaml"
    monkeypatch.chdir(tmp_path)

    result = secondlook("new-task", source, "--out", out, "--images", tmp_path / "images", "--label-from", "kind")

    assert result.code == 0, result.err
    task = accepts_and_reads(secondlook, out)
    assert task.classes == {
        "Stop signs": ["Stop-Signs"],
        "yield": [],
        "yields": [],
        "mass": [],
        "no entry!": [],
        "no-entry": [],
        '"x": [#é': [],
    }
    assert task.dataset.label_from == "kind"
    text = out.read_text(encoding="utf-8")
    for expected in (
        "alone tell them apart: `- Stop signs` 5, `- Stop-Signs` 1",
        '"yield": []   # 3 objects; fewer than the 5 folds',
        '"yields": []   # 1 object; fewer than the 5 folds, so not every fold has one; if it means the same as `yield`',
        "# Read as coco: 15 objects (1 without a label) in 1 image.",
    ):
        assert expected in text


ALIKE: list[Any] = [
    pytest.param(["A", "a", "grade A", "grade A-", "grade a"], 5, id="letter case and signs"),
    pytest.param(["no-entry", "no entry!", "no  entry", "no entry!?"], 3, id="signs and spaces"),
    pytest.param(["- - x", "- x", "x", "X", "X_", "xy", "xy-"], 5, id="hyphens at the ends"),
    pytest.param(["-", "_", "?", "", " ", "+", "++"], 5, id="signs alone, and nothing"),
    pytest.param(["caf\u00e9 A", "cafe\u0301 A", "cafe a", "cafe A"], 3, id="NFC and NFD"),
    pytest.param(["1", "01", "1.0", "1_0", "1 0", "-1", "m\u00b2 A", "m2 a"], 7, id="numbers"),
    pytest.param(["no", "null", "~", "yes", "true", "Car", "car"], 6, id="words of YAML, and a word in two cases"),
]


@pytest.mark.parametrize(("labels", "count"), ALIKE)
def test_a_draft_keeps_classes_as_written_and_every_object(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: list[str], count: int
) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = [box(number, category=number + 1) for number in range(len(labels))]
    source = write_json(tmp_path / "x.json", coco([coco_image(tmp_path, 1)], annotations, labels))

    result = secondlook("new-task", source, "--images", tmp_path / "images", "--out", tmp_path / "draft.yaml")

    assert result.code == 0, result.err
    task = accepts_and_reads(secondlook, tmp_path / "draft.yaml")
    assert len(task.classes) == count
    rows = pq.read_table("i.parquet", columns=["given_raw", "given"]).to_pylist()
    assert sorted(row["given_raw"] or "" for row in rows) == sorted(label if label.strip() else "" for label in labels)
    assert all(row["given"] == row["given_raw"] for row in rows if row["given_raw"] in task.classes)
    assert {row["given_raw"] for row in rows if row["given"] is None} <= {None}


def test_a_label_that_may_mean_two_classes_is_refused_with_both(secondlook: Command, tmp_path: Path) -> None:
    meant = {"grade A": "grade A", "grade a": "grade a", "Grade  A": "grade A", "GRADE-a": "grade a", "grade -A": None}
    annotations = [box(number, category=number + 1) for number in range(len(meant))]
    source = write_json(tmp_path / "x.json", coco([coco_image(tmp_path, 1)], annotations, list(meant)))
    dataset = {"path": str(source), "images": str(tmp_path / "images")}
    task = write_json(tmp_path / "task.yaml", {"dataset": dataset, "classes": ["grade A", "grade a"]})

    result = secondlook("ingest", "--task", task, "--out", tmp_path / "i.parquet", "--rejects", tmp_path / "r.parquet",
                        "--options", "{max_reject_fraction: 1}")  # fmt: skip

    assert result.code == 0, result.err
    rows = pq.read_table(tmp_path / "i.parquet").to_pylist()
    assert {row["given_raw"]: row["given"] for row in rows} == {label: name for label, name in meant.items() if name}
    [refused] = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert (refused["reason"], refused["detail"]) == (
        "unknown_class",
        "`grade -A` may mean `grade A` or `grade a`; make it an alias of the right one",
    )


def test_a_draft_from_categories_points_at_the_attributes(secondlook: Command, tmp_path: Path) -> None:
    result = secondlook("new-task", signs(tmp_path))

    drafted = yaml.safe_load(result.out)
    assert drafted["classes"] == {"Sign": [], "Bus": []}
    assert "label_from" not in drafted["dataset"]
    assert "when the class is in an attribute; this dataset has kind (8 values)" in result.out
    assert "# Categories of the dataset without an object: Tram" in result.out


CLIPS = [f"clip{clip}_{frame:04}.jpg" for clip in range(6) for frame in (10, 15, 20)]
FOLDERS = [f"drive_{drive}/{frame}.jpg" for drive in range(6) for frame in ("x", "y")]
GROUPS = [
    pytest.param(["a.jpg", "b.jpg"], None, None, "No tracks, and neither", id="nothing to see"),
    pytest.param(FOLDERS, None, "folder", "6 folders look like sequences, such as drive_0 with 2 images (x.jpg, y.jpg)",
                 id="folders"),
    pytest.param(FOLDERS[:4], None, None, "5 folds need 5 groups or more: with this line, also set `folds` below to 2",
                 id="fewer folders than folds are a hint only"),
    pytest.param([f"{part}/{number}.jpg" for part in ("train", "val2017", "Sign") for number in (1, 2)], None, None,
                 "No tracks", id="parts of a dataset and classes are no sequences"),
    pytest.param(CLIPS, None, r"regex:([^/]*[^/\d])(\d+)(?:_[a-z]+\.rf\.\w+)?\.[^./]+$",
                 "6 beginnings of names with a running number look like sequences, such as clip0_ with 3 images",
                 id="names"),
    pytest.param([f"200{year}_{number}.jpg" for year in range(6) for number in (3, 8, 19, 42, 44)], None, None,
                 "No tracks", id="numbers that do not run"),
    pytest.param(["a.jpg", "b.jpg"], [7, 7], "auto", "1 track of two or more objects (`track_id`): each is a group",
                 id="tracks"),
    pytest.param(["a.jpg", "a.jpg"], [7, 7], "image", "of which 1 have two boxes in one image", id="no tracks"),
]  # fmt: skip


def test_a_draft_from_choices_in_label_studio_has_them_as_classes(secondlook: Command, tmp_path: Path) -> None:
    choices = {"a.jpg": "ripe", "b.jpg": "no", "c.jpg": "ripe"}
    tasks = [{"id": place, "data": {"image": f"/data/upload/1/0123abcd-{name}"}, "annotations": [{"result": [
        {"id": "x", "type": "choices", "from_name": "state", "to_name": "image", "value": {"choices": [choice]}}]}]}
        for place, (name, choice) in enumerate(choices.items())]  # fmt: skip
    root = lay_out(tmp_path / "set", {"x.json": tasks, **{f"images/{name}": IMAGE for name in choices}})

    result = secondlook("new-task", root / "x.json", "--out", tmp_path / "task.yaml")

    assert result.code == 0, result.err
    assert list(load_task(tmp_path / "task.yaml").classes) == ["ripe", "no"]
    assert "valid" in secondlook("check", "--config", config_with(tmp_path / "task.yaml")).out
    read = secondlook("ingest", "--task", tmp_path / "task.yaml", "--out", tmp_path / "i.parquet",
                      "--rejects", tmp_path / "r.parquet", "--reference", tmp_path / "f.parquet")  # fmt: skip
    assert "3 objects in 3 images, 0 reference objects, 0 refused" in read.err


@pytest.mark.parametrize(("names", "tracks", "group_by", "why"), GROUPS)
def test_groups_follow_what_is_seen_and_a_comment_says_what(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: list[str], tracks: Any, group_by: Any,
    why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path / "images", dict.fromkeys(names, IMAGE))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
    images = [{"id": number, "file_name": name, "width": 64, "height": 48} for name, number in numbers.items()]
    attributes = [{} if tracks is None else {"track_id": tracks[place]} for place in range(len(names))]
    boxes = [
        {**box(place, attributes=attributes[place]), "image_id": numbers[name]} for place, name in enumerate(names)
    ]
    source, out = write_json(tmp_path / "x.json", coco(images, boxes, ["Sign"])), tmp_path / "draft.yaml"

    result = secondlook("new-task", source, "--images", "images", "--out", out)

    assert result.code == 0, result.err
    assert yaml.safe_load(out.read_text())["dataset"].get("group_by") == group_by
    assert why in out.read_text()
    accepts_and_reads(secondlook, out)
    groups = set(pq.read_table("i.parquet")["group"].to_pylist())
    assert len(groups) == {None: len(numbers), "image": len(numbers), "auto": 1}.get(group_by, 6)


@pytest.mark.parametrize(
    ("answer", "labelers"),
    [
        pytest.param("echo 'GPU 0: NVIDIA A100 (UUID: GPU-1)'", LARGE, id="a GPU"),
        pytest.param("echo 'No devices were found'", SMALL, id="a driver without a GPU"),
        pytest.param("echo 'GPU 0'; exit 9", SMALL, id="a driver that fails"),
    ],
)
def test_labelers_are_such_as_run_here(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, labelers: list[str]
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    drafted = yaml.safe_load(secondlook("new-task", signs(tmp_path)).out)

    assert drafted["labelers"] == labelers
    assert set(labelers) <= set(ConfigFiles((ROOT / "config.yaml",)).checked().labelers)


def test_images_that_are_not_there_are_counted(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in (1, 2, 3)]
    boxes = [{**box(number), "image_id": number} for number in (1, 2, 3)]
    source = write_json(tmp_path / "x.json", coco(images, boxes, ["a"]))
    (gone,) = (path for path in tmp_path.rglob(images[1]["file_name"]))
    gone.unlink()

    result = secondlook("new-task", source)

    assert result.code == 0, result.err
    for expected in (
        "# Read as coco: 2 objects in 2 images.",
        "# Rejected entries: missing_image 1.",
        "# 1 more image with objects: not there, such as (no such file)",
        "# 33.3 % of the entries were rejected: `ingest` stops above 5 %",
        '"a": []   # 2 objects',
    ):
        assert expected in result.out


LIVE = "x\nrehearsal: {wrong_fraction: 1.0}\n#"
ODD = st.text(max_size=12) | st.sampled_from([LIVE, "a: b", "# c", '"', "'", "*a", "no", "\x85a: b", "\u2028", "😀"])


@pytest.mark.slow
@given(st.lists(ODD.filter(normalise), min_size=2, max_size=4, unique_by=normalise), ODD.filter(bool))
@example(["stop", LIVE], LIVE)
@example(["C", "C!", "c++", "-c"], "a")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_nothing_in_the_data_becomes_a_key_of_the_draft(tmp_path: Path, names: list[str], attribute: str) -> None:
    annotations = [box(number, attributes={attribute: name}) for number, name in enumerate(names)]
    source = write_json(tmp_path / f"{LIVE}.json", coco([coco_image(tmp_path, 1)], annotations, ["a"]))
    images = str(tmp_path / "images")

    for label_from, labels in ((attribute, names), (None, ["a"])):
        named = {"path": str(source), "images": images, "label_from": label_from}
        content = yaml.safe_load(draft(Dataset(**named), IngestOptions()))

        assert list(content) == ["title", "dataset", "classes", "unknown_labels", "reference", "labelers"]
        dataset = {"format": "coco", **named, "objects": len(annotations)}
        assert content["dataset"] == {key: value for key, value in dataset.items() if value is not None}
        taxonomy = Task(**content).taxonomy()
        assert {taxonomy.resolve(label) for label in labels} == set(content["classes"])


def test_the_draft_of_the_shared_case_rehearses_nothing(secondlook: Command, tmp_path: Path) -> None:
    case = ROOT.parent / "shared/cases/faults/new_task/inj.json"
    if not case.is_file():
        pytest.skip(f"the case is not here ({case})")
    document = {**json.loads(case.read_text(encoding="utf-8")), "images": [coco_image(tmp_path, 1, "ok.jpg")]}

    result = secondlook("new-task", write_json(tmp_path / "inj.json", document), "--images", tmp_path / "images")

    assert "rehearsal" not in yaml.safe_load(result.out)
    assert r'this dataset has "x\nrehearsal: {wrong_fraction: 1.0}\n#" (2 values)' in result.out


def test_a_draft_never_overwrites(secondlook: Command, tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    out.write_text("mine")

    result = secondlook("new-task", signs(tmp_path), "--out", out)

    assert (result.code, out.read_text()) == (2, "mine")
    assert result.err == f"secondlook: {out}: already exists; give another --out or remove it.\n"


KINDS = [box(number, attributes={"kind": kind}) for number, kind in enumerate("ab")]


@pytest.mark.parametrize(
    ("annotations", "images", "arguments", "message"),
    [
        pytest.param([], True, [], "holds no object that can be read.", id="no annotations"),
        pytest.param([box(1, bbox=[5, 6, -1, 12])], True, [], "holds no object that can be read (rejected: ",
                     id="no good box"),
        pytest.param(KINDS, True, ["--label-from", "knd"], "has the attribute `knd`; its text attributes with several "
                     "values are: kind.", id="another attribute"),
        pytest.param(KINDS, False, [], "none of the images with objects is there, 1 in all; the first is ",
                     id="no images"),
        pytest.param(KINDS, True, ["--format", "yolo"], "", id="another format"),
    ],
)  # fmt: skip
def test_nothing_to_draft_from_is_one_sentence(
    secondlook: Command, tmp_path: Path, annotations: Any, images: bool, arguments: list[str], message: str
) -> None:
    folder = tmp_path / "set"
    image = coco_image(folder if images else tmp_path, 1)

    result = secondlook("new-task", write_json(folder / "a.json", coco([image], annotations, ["a"])), *arguments)

    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert sum(not line.startswith("ingest: ") for line in result.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["look", "new-task", "ingest"])
def test_folders_that_label_the_same_images_are_named_with_the_way_to_take_one(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "coco128"
    write_image(folder / "images/train2017/1.jpg")
    for kind in ("object_detection", "instance_segmentation"):
        label = folder / kind / "labels/train2017/1.txt"
        label.parent.mkdir(parents=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.2 0.2\n")
    out = ["--out", tmp_path / "out.parquet"] if command == "ingest" else []
    result = secondlook(command, folder, *out)
    assert result.code == 1
    one = f"give one, {folder / 'instance_segmentation'} or {folder / 'object_detection'}, with --images {folder}."
    assert result.err.rstrip().endswith(f"; several of its folders label the same images: {one}")

    done = secondlook("new-task", folder / "object_detection", "--images", folder)
    assert done.code == 0, done.err
    assert "2 objects in 1 image" in done.out


def test_names_of_one_file_that_are_no_folders_are_no_choice(secondlook: Command, tmp_path: Path) -> None:
    write_image(tmp_path / "images/1.jpg")
    images = [{"id": n, "file_name": f"{part}/1.jpg", "width": 64, "height": 48} for n, part in enumerate("ab")]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9]} for n in range(2)]
    path = write_json(tmp_path / "set.json", coco(images, boxes, ["car"]))
    result = secondlook("new-task", path, "--images", tmp_path / "images")
    assert "both lead to 1.jpg" in result.err
    assert "label the same images" not in result.err


@pytest.mark.parametrize("offline", [True, False], ids=["forbidden", "no answer"])
def test_without_the_hub_labelers_need_no_weights(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(hub, "is_offline", lambda: offline)
    monkeypatch.setattr(hub, "answers", lambda: False)
    out = tmp_path / "task.yaml"
    done = secondlook("new-task", lay_out(tmp_path / "set", WRITTEN["cvat"][0]) / "a.xml", "--out", out)
    assert done.code == 0, done.err
    assert yaml.safe_load(out.read_text())["labelers"] == ["hog_probe", "hog_neighbours"]
    assert "secondlook run task" in done.err

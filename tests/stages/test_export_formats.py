"""Export to other tools: what goes out comes back through the format's own reader and through `secondlook ingest`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import supervision
import yaml
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from conftest import ROOT, Command, Result, box, coco, coco_image, ingest
from hf_readback import load, objects_of
from make_records import read_rows, write, write_decisions, write_votes
from secondlook.config.exports import ExportFormat
from secondlook.io import records, tabular
from secondlook.jobs.code_digest import code_of
from secondlook.stages.export import coco as coco_export
from secondlook.stages.export import corrected
from secondlook.workflow.exports import Exports
from secondlook.workflow.run import Run

CLASSES = ["stop", "yield, or give way", 'say "no"', "停\nhere"]
FILES = {"coco": "annotations.json", "parquet": "objects.parquet"}
FOLDERS = ("cvat", "labelstudio", "yolo", "voc", "fiftyone", "hf_dataset")
FORMATS = (*FILES, *FOLDERS)
INGESTED = tuple(kind for kind in FORMATS if kind != "hf_dataset")  # `datasets` reads that one back
OF_VOTES = ("votes_json", "votes_txt")  # no shapes, so nothing to read back
WITHOUT_LABEL = {"coco": "unlabelled", "cvat": "unlabelled", "voc": "unlabelled", "yolo": "left out"}
POLYGON = [[5.25, 6, 15, 6.5, 15, 18.75]]


@dataclass(frozen=True)
class Thing:
    """An object of the little world: how it is given, what was decided, and the label that has to stand."""

    image: str
    box: tuple[float, float, float, float]
    given: str | None
    action: str
    proposal: str
    stands: str | None
    mask: bool = False


THINGS = {
    "1": Thing("a.jpg", (5.25, 6, 10.1, 12.7), "stop", "keep", "stop", "stop", mask=True),
    "2": Thing("a.jpg", (0, 0, 64, 48), "stop", "relabel", "yield, or give way", "yield, or give way"),
    "3": Thing("sub dir/a.jpg", (1.1, 2.2, 3.3, 4.4), 'say "no"', "review", "stop", 'say "no"'),
    "4": Thing("sub dir/a.jpg", (7, 8, 9, 10), None, "review", "stop", None),
    "10": Thing("Straße 停.png", (63.5, 47.25, 0.5, 0.75), None, "relabel", "停\nhere", "停\nhere", mask=True),
    "9": Thing("Straße 停.png", (10, 11, 12, 13), "tree & <bush>", "review", "stop", "tree & <bush>"),
}
QUEUE = ["10", "3", "4", "2"]


@dataclass
class World:
    """A dataset of three images after the consensus, in a folder of its own."""

    secondlook: Command
    folder: Path
    ids: Mapping[str, str]
    instances: Path
    votes: list[Path] = field(default_factory=list)

    @property
    def images(self) -> Path:
        """The folder of the images."""
        return self.folder / "images"

    def place(self, kind: str, name: str = "out") -> Path:
        """Return where a format goes."""
        return self.folder / name / kind / FILES.get(kind, "")

    def export(self, kind: str, *arguments: object, name: str = "out") -> tuple[Result, Path]:
        """Run `secondlook export`."""
        out = self.place(kind, name)
        votes = [part for path in self.votes for part in ("--votes", path)]
        given = ["--instances", self.instances, "--consensus", self.folder / "consensus.parquet", *votes]
        return self.secondlook("export", "--format", kind, *given, "--out", out, *arguments), out

    def exported(self, kind: str, *arguments: object) -> Path:
        """Export and return the place."""
        result, out = self.export(kind, *arguments)
        assert result.code == 0, result.err
        return out

    def queue(self, order: list[str], audits: int = 0) -> Path:
        """Write a queue and return its path; so many at its end are known wrong proposals."""
        samples = ["random", *["queue"] * (len(order) - 1 - audits), *["audit"] * audits]
        rows = [
            {"instance_id": self.ids[number], "rank": rank, "benefit": 0.5, "reason": "doubtful", "sample": sample}
            | ({"probability": 0.25} if sample == "random" else {})
            for rank, (number, sample) in enumerate(zip(order, samples[: len(order)], strict=True))
        ]
        table = records.to_table([{**row, "group": row["instance_id"]} for row in rows], records.QUEUE)
        write(self.folder / "queue.parquet", table, records.QUEUE, CLASSES, {"stage": "review"})
        return self.folder / "queue.parquet"


def make_world(secondlook: Command, folder: Path, things: Mapping[str, Thing]) -> World:
    """Ingest a COCO file of `things` and write decisions on them."""
    images = list(dict.fromkeys(thing.image for thing in things.values()))
    names = [*CLASSES, *sorted({thing.given for thing in things.values() if thing.given} - set(CLASSES))]
    annotations = [
        {
            "id": int(number),
            "image_id": images.index(thing.image),
            "category_id": names.index(thing.given) + 1 if thing.given else None,
            "bbox": thing.box,
            "attributes": {"occluded": True, "kind": ["a", "b"], "nothing": None, "note": "= 1 + 1"},
            **({"segmentation": POLYGON, "iscrowd": 0} if thing.mask else {}),
        }
        for number, thing in things.items()
    ]
    listed = [coco_image(folder, number, name) for number, name in enumerate(images)]
    task = {"classes": CLASSES, "unknown_labels": "keep_unlabelled", "dataset": {"images": str(folder / "images")}}
    done = ingest(secondlook, folder, coco(listed, annotations, names), **task)
    assert done.result.code == 0, done.result.err
    ids = {number: row["instance_id"] for number, row in done.rows.items()}
    decide(folder, things, done.rows)
    return World(secondlook, folder, ids, done.out)


def decide(folder: Path, things: Mapping[str, Thing], rows: Mapping[str, dict[str, Any]]) -> None:
    """Write decisions with a posterior of 0.7 for the proposal, 0.1 for every other class."""
    decisions = [
        {
            "instance_id": rows[number]["instance_id"],
            "given": rows[number]["given"],
            "label": thing.proposal,
            "posterior": [0.7 if name == thing.proposal else 0.1 for name in CLASSES],
            "confidence": 0.7,
            "action": thing.action,
        }
        for number, thing in things.items()
    ]
    made_by = {"stage": "consensus", "options": {"method": "noise_channel"}}
    write_decisions(folder / "consensus.parquet", decisions, CLASSES, made_by)


@pytest.fixture
def world(secondlook: Command, tmp_path: Path) -> World:
    """The little world with the votes of two labelers."""
    made = make_world(secondlook, tmp_path, THINGS)
    for name in ("vlm.a", "tree"):
        answers = {made.ids[number]: thing.proposal if name == "tree" else None for number, thing in THINGS.items()}
        made.votes.append(write_votes(tmp_path / "label" / name / "00000.parquet", name, answers, CLASSES))
    return made


def back(world: World, kind: str, out: Path) -> dict[tuple[str, float, float, float, float], dict[str, Any]]:
    """Ingest an export, or load it with `datasets`, and return its rows by image name and box."""
    if kind == "hf_dataset":
        items = objects_of(load(out, world.folder / "cache"))
        return {(item["row"]["file_name"], *item["bbox"]): {**item, "given_raw": item["label"]} for item in items}
    path, images = out, world.images
    if kind == "cvat":
        path = out / "annotations.json"
    elif kind == "voc":
        path = out / "Annotations"
    elif kind == "labelstudio":
        path = accepted(out / "tasks.json")
    arguments = ["--images", images] if kind in ("coco", "cvat", "voc", "labelstudio") else []
    again = world.folder / "again.parquet"
    result = world.secondlook("ingest", path, *arguments, "--out", again, "--options", "{max_reject_fraction: 0}")
    assert result.code == 0, result.err
    whole = [(Path(os.path.realpath(row["image_path"])), row) for row in read_rows(again)]
    return {
        (path.relative_to(images.resolve()).as_posix(), row["x"], row["y"], row["w"], row["h"]): row
        for path, row in whole
    }


def accepted(tasks: Path) -> Path:
    """Return a file in which a person submitted every prediction unchanged, as Label Studio exports it."""
    content = json.loads(tasks.read_text(encoding="utf-8"))
    for task in content:
        [prediction] = task.pop("predictions")
        task["annotations"] = [{"result": prediction["result"], "was_cancelled": False}]
    target = tasks.parent.parent / "accepted.json"
    target.write_text(json.dumps(content), encoding="utf-8")
    return target


def keys(things: Mapping[str, Thing]) -> dict[tuple[str, float, float, float, float], str]:
    """Return the number of each thing by image name and box, as float32 px."""
    return {(thing.image, *(float(np.float32(side)) for side in thing.box)): number for number, thing in things.items()}


def expected_labels(kind: str, things: Mapping[str, Thing] = THINGS) -> dict[str, str | None]:
    """Return the label of each object that a format holds."""
    bare = WITHOUT_LABEL.get(kind)
    return {number: thing.stands or bare for number, thing in things.items() if thing.stands or bare != "left out"}


@pytest.mark.parametrize("kind", FORMATS)
def test_ingest_reads_the_same_boxes_and_labels_back(world: World, kind: str) -> None:
    found = back(world, kind, world.exported(kind))

    numbers = {keys(THINGS)[key]: row for key, row in found.items()}
    assert {number: row["given_raw"] for number, row in numbers.items()} == expected_labels(kind)
    if kind in ("coco", "cvat", "parquet"):
        masks = {number: row["segmentation"] for number, row in numbers.items()}
        assert masks == {row["source_id"]: row["segmentation"] for row in read_rows(world.instances)}


@pytest.mark.parametrize("kind", ["coco", "cvat"])
def test_a_copy_of_the_source_reads_back_too(world: World, kind: str) -> None:
    found = back(world, kind, world.exported(kind, world.folder / "annotations.json"))

    numbers = {keys(THINGS)[key]: row["given_raw"] for key, row in found.items()}
    bare = "unlabelled" if kind == "cvat" else None  # CVAT refuses an object without a category
    assert numbers == {number: thing.stands or bare for number, thing in THINGS.items()}


@pytest.mark.parametrize("kind", FORMATS)
def test_two_exports_are_equal_bytes(world: World, kind: str) -> None:
    first, second = (contents(world.export(kind, name=name)[1]) for name in ("one", "two"))

    assert first == second
    assert first


@pytest.mark.parametrize("kind", FORMATS)
def test_every_export_has_a_datasheet(world: World, kind: str) -> None:
    out = world.exported(kind)

    text = (out.with_suffix(".datasheet.md") if out.is_file() else out / "datasheet.md").read_text(encoding="utf-8")
    assert "6 objects of 5 classes in 3 images" in text
    assert "| tree |" in text
    assert "Method: `noise\\_channel`" not in text
    assert "Method: `noise_channel`." in text


@pytest.mark.parametrize("queued", [False, True], ids=["all objects", "a queue"])
@pytest.mark.parametrize("kind", [*FORMATS, *OF_VOTES])
def test_a_batch_of_one_row_gives_the_same_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, queued: bool
) -> None:
    queue = ["--queue", world.queue(QUEUE)] if queued else []
    whole = contents(world.exported(kind, *queue))
    monkeypatch.setattr(corrected, "_BATCH", 1)
    result, out = world.export(kind, *queue, name="by row")
    assert result.code == 0, result.err
    assert contents(out) == whole


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        pytest.param(["3", "0", "12"], True, id="numbers"),
        pytest.param([], True, id="none at all"),
        pytest.param(["9" * 18], True, id="the longest"),
        pytest.param(["9" * 19], False, id="too long for every reader"),
        pytest.param(["3", "03"], False, id="a zero before it"),
        pytest.param(["3", "-3"], False, id="a sign"),
        pytest.param(["3", "3"], False, id="one of them twice"),
        pytest.param(["3", None], False, id="one without an id"),
        pytest.param(["3", ""], False, id="a blank one"),
        pytest.param(["3", "4\n"], False, id="a line end"),
        pytest.param(["\u0663"], False, id="a digit of another script"),
        pytest.param(["a.txt:1"], False, id="a text"),
    ],
)
def test_ids_stay_only_where_all_are_different_whole_numbers(ids: list[str | None], expected: bool) -> None:
    assert coco_export.are_numbers(pa.chunked_array([ids], pa.string())) is expected


def contents(out: Path) -> dict[str, bytes]:
    """Return every file of an export, a link as its target."""
    if out.is_file():
        return {out.name: out.read_bytes()}
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_symlink() or path.is_file()}
    return {
        name: bytes(path.readlink()) if path.is_symlink() else path.read_bytes() for name, path in sorted(found.items())
    }


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        pytest.param("coco", "1 objects have no label; they are written as `unlabelled`", id="coco"),
        pytest.param("yolo", "1 objects have no label; they are left out", id="yolo"),
        pytest.param("labelstudio", "1 objects have no label; they are boxes without a label", id="labelstudio"),
        pytest.param("parquet", "1 objects have no label; they are written without one", id="parquet"),
    ],
)
def test_objects_without_a_label_are_counted(world: World, kind: str, message: str) -> None:
    result, _ = world.export(kind)

    assert message in result.err
    assert "2 relabelled, 3 for review; images are named relative to" in result.err


def read_xml(path: Path) -> ElementTree.Element:
    """Read an XML file that an export wrote."""
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 (our own)


def said(world: World, kind: str) -> dict[str, dict[str, Any]]:
    """Return what an export says about each object, by the id of the object, in the order of the file."""
    out = world.place(kind)
    if kind in ("coco", "cvat"):
        listed = json.loads((out / "annotations.json" if kind == "cvat" else out).read_text())["annotations"]
        notes = [entry["attributes"] for entry in listed]
    elif kind == "labelstudio":
        tasks = json.loads((out / "tasks.json").read_text())
        regions = [region for task in tasks for region in task["predictions"][0]["result"]]
        notes = [dict(line.split(": ", 1) for line in region["meta"]["text"]) for region in regions]
    elif kind == "fiftyone":
        samples = json.loads((out / "samples.json").read_text())["samples"]
        notes = [detection for sample in samples for detection in sample["ground_truth"]["detections"]]
    else:
        files = sorted((out / "Annotations").rglob("*.xml"))
        objects = [item for file in files for item in read_xml(file).iterfind("object")]
        notes = [{a.findtext("name"): a.findtext("value") for a in item.iter("attribute")} for item in objects]
    return {note["secondlook_id"]: note for note in notes}


@pytest.mark.parametrize("kind", ["coco", "cvat", "labelstudio", "voc", "fiftyone"])
def test_every_object_says_what_was_decided(world: World, kind: str) -> None:
    world.exported(kind)

    notes = said(world, kind)
    assert set(notes) == set(world.ids.values())
    for number, thing in THINGS.items():
        note = notes[world.ids[number]]
        label_key = {"fiftyone": "secondlook_vote_vlm_a"}.get(kind, "secondlook_vote_vlm.a")
        assert note["secondlook_action"] == thing.action
        assert note["secondlook_proposal"] == note["secondlook_vote_tree"] == thing.proposal
        assert float(note["secondlook_posterior"]) == 0.7
        assert float(note["secondlook_confidence_tree"]) == 0.5
        assert note["secondlook_reason"] == "because"
        assert (note.get("secondlook_given") or None) == thing.given
        assert not note.get(label_key)


@pytest.mark.parametrize(
    ("kind", "copied"),
    [
        pytest.param("coco", True, id="a copy"),
        pytest.param("cvat", True, id="a copy for CVAT"),
        *(pytest.param(kind, False, id=kind) for kind in ("coco", "cvat", "labelstudio", "fiftyone", "parquet")),
    ],
)
def test_a_queue_goes_out_in_its_order(world: World, kind: str, copied: bool) -> None:
    source = [world.folder / "annotations.json"] if copied else []

    out = world.exported(kind, *source, "--queue", world.queue(QUEUE))

    wanted = [world.ids[number] for number in QUEUE]
    if kind == "parquet":
        table = pd.read_parquet(out)
        assert table["instance_id"].tolist() == wanted
        assert table["rank"].tolist() == [0, 1, 2, 3]
    else:
        notes = said(world, kind)
        assert list(notes) == wanted
        assert [int(note["secondlook_rank"]) for note in notes.values()] == [0, 1, 2, 3]
        assert {note["secondlook_queue_reason"] for note in notes.values()} == {"doubtful"}
        assert [note["secondlook_sample"] for note in notes.values()] == ["random", "queue", "queue", "queue"]
        assert float(notes[wanted[0]]["secondlook_sample_probability"]) == 0.25
    if kind == "coco":
        listed = json.loads(out.read_text())["images"]
        assert [image["file_name"] for image in listed] == ["Straße 停.png", "sub dir/a.jpg", "a.jpg"]


def test_known_wrong_proposals_stay_on_the_review_pages(world: World) -> None:
    out = world.exported("parquet", "--queue", world.queue(QUEUE, audits=1))
    assert pd.read_parquet(out)["instance_id"].tolist() == [world.ids[number] for number in QUEUE[:-1]]


def test_a_queue_copies_the_bytes_of_what_it_keeps(world: World) -> None:
    source = world.folder / "annotations.json"
    text = source.read_text().replace('"annotations": [', '"extra": [1.50, 2e3], "annotations": [')
    source.write_text(text)

    out = world.exported("coco", source, "--queue", world.queue(["4"]))

    kept = json.loads(out.read_text())
    assert '"extra": [1.50, 2e3]' in out.read_text()
    assert [image["file_name"] for image in kept["images"]] == ["sub dir/a.jpg"]
    assert [(entry["id"], entry["category_id"]) for entry in kept["annotations"]] == [(4, None)]
    assert kept["categories"] == json.loads(text)["categories"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_killed_export_leaves_the_old_one(world: World, kind: str) -> None:
    old = contents(world.exported(kind))
    script = (
        "import os, signal, sys\n"
        "from secondlook.stages.export import corrected\n"
        "from secondlook import cli\n"
        "from secondlook.io import files\n"
        "flush = files.flush\n"
        "files.flush = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main()\n"
    )
    votes = [part for path in world.votes for part in ("--votes", str(path))]
    given = ["--instances", str(world.instances), "--consensus", str(world.folder / "consensus.parquet"), *votes]
    command = ["export", "--format", kind, *given, "--out", str(world.place(kind))]

    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, timeout=120)

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert contents(world.place(kind)) == old
    assert contents(world.exported(kind)) == old
    assert not list(world.folder.rglob(".*.tmp"))


def test_the_code_of_every_format_counts_though_only_its_name_leads_there() -> None:
    rule = (ROOT / "rules/export.smk").read_text()
    assert 'EXPORTERS = [f"stages.export.{name}" for name in EXPORT_FORMATS]' in rule
    assert 'code=code("stages.export", *EXPORTERS)' in rule
    assert {code_of(f"secondlook.stages.export.{kind}") for kind in (*FORMATS, *OF_VOTES)}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        pytest.param("pdf", [], "--format: `pdf` is none of coco, cvat,", id="no format"),
        pytest.param(
            "yolo", ["annotations.json"], "works with the formats coco and cvat only", id="yolo copies nothing"
        ),
        pytest.param("coco", ["--label-from", "kind"], "--label-from works only with an annotation file", id="no file"),
        pytest.param(
            "voc", ["--image-prefix", "s3://x/"], "--image-prefix works with --format labelstudio", id="prefix"
        ),
        pytest.param(
            "votes_json", ["annotations.json"], "works with the formats coco and cvat only", id="votes of a copy"
        ),
        pytest.param("coco", ["annotations.json", "--images", "x"], "--images works only without an", id="names stay"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(world: World, kind: str, arguments: list[str], message: str) -> None:
    result, out = world.export(kind, *arguments)

    assert (result.code, out.exists()) == (2, False)
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        *("annotations.json", "instances.parquet", "consensus.parquet", "queue.parquet"),
        *("reference.parquet", "instances.background.parquet", "instances.images.parquet"),
    ],
)
def test_what_is_read_is_never_overwritten(world: World, name: str) -> None:
    world.queue(QUEUE)
    target = {"instances.parquet": world.instances}.get(name, world.folder / name)
    if not target.exists():
        target.write_bytes(b"images without objects")
    old = target.read_bytes()

    result, _ = world.export(
        "coco", world.folder / "annotations.json", "--queue", world.folder / "queue.parquet", "--out", target
    )

    assert (result.code, target.read_bytes()) == (2, old)
    assert f"--out: {target} is read by this export; choose another place." in result.err


def test_files_that_do_not_belong_together_are_one_sentence(world: World, tmp_path: Path) -> None:
    stranger = write_votes(tmp_path / "other.parquet", "other", {"f" * 20: "stop"}, CLASSES)
    world.ids = {**world.ids, "x": "e" * 20}
    cases = [
        (["--votes", stranger], f"votes on {'f' * 20}, which is no object of this dataset"),
        (["--queue", world.queue(["1", "x"])], f"queues {'e' * 20}, which is no object of this dataset"),
        (["--images", tmp_path / "images" / "sub dir"], "is not in it; give another folder with --images"),
    ]
    for arguments, message in cases:
        result, out = world.export("coco", *arguments)
        assert (result.code, out.exists()) == (1, False)
        assert message in result.err
        assert result.err.count("\n") == 1


def test_a_queue_is_not_cut_out_of_a_broken_file(world: World) -> None:
    source = world.folder / "annotations.json"
    source.write_text(source.read_text().replace('"bbox": [0, 0, 64, 48]', '"bbox": [NaN, 0, 64, 48]'))

    result, out = world.export("coco", source, "--queue", world.queue(["1"]))

    assert (result.code, out.exists()) == (1, False)
    assert f"{source}: a queue cannot be selected from it" in result.err


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_no_export_wrote_is_left_alone(world: World, kind: str) -> None:
    out = world.place(kind)
    out.mkdir(parents=True)
    (out / "thesis.txt").write_text("years of work")

    result, _ = world.export(kind)

    assert result.code == 1
    assert f"{out}: holds files that no export wrote; choose a new folder." in result.err
    assert contents(out) == {"thesis.txt": b"years of work"}


def test_an_export_replaces_an_earlier_one_whole(world: World) -> None:
    out = world.exported("voc")
    (out / "Annotations" / "stale.xml").write_text("<annotation/>")

    world.exported("voc")

    assert not (out / "Annotations" / "stale.xml").exists()
    made_by = json.loads((out / "secondlook.json").read_text(encoding="utf-8"))
    assert (made_by["format"], made_by["objects"]) == ("voc", len(THINGS))
    assert made_by["classes"] == [*CLASSES, "tree & <bush>"]
    assert made_by["consensus"]["options"] == {"method": "noise_channel"}


def test_a_file_where_a_folder_should_be_is_refused(world: World) -> None:
    world.place("yolo").parent.mkdir()
    world.place("yolo").write_text("mine")

    result, out = world.export("yolo")

    assert (result.code, out.read_text()) == (1, "mine")
    assert "is a file, but this format is a folder" in result.err


# COCO and CVAT


def test_pycocotools_reads_a_new_file_with_its_masks(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    read = COCO(str(world.exported("coco")))
    capsys.readouterr()

    assert read.getCatIds(catNms=CLASSES) == [1, 2, 3, 4]
    assert sorted(read.getAnnIds()) == [1, 2, 3, 4, 9, 10]
    given = {row["source_id"]: row["segmentation"] for row in read_rows(world.instances)}
    for number in (1, 10):
        [annotation] = read.loadAnns(number)
        assert annotation["segmentation"] == given[str(number)]
        assert annotation["area"] == coco_mask.area(read.annToRLE(annotation)) == coco_mask.area(given[str(number)])
    assert read.loadAnns(3)[0]["bbox"] == [1.1, 2.2, 3.3, 4.4]
    assert read.loadAnns(2)[0]["area"] == 64 * 48


def test_supervision_reads_coco(world: World) -> None:
    out = world.exported("coco")

    dataset = supervision.DetectionDataset.from_coco(str(world.images), str(out))

    found = [
        (Path(path).name, dataset.classes[number])
        for path, _, detections in dataset
        for number in detections.class_id  # type: ignore[union-attr]
    ]
    wanted = [(Path(thing.image).name, thing.stands or "unlabelled") for thing in THINGS.values()]
    assert sorted(found) == sorted(wanted)


def test_ids_are_numbered_where_the_dataset_has_none(world: World) -> None:
    table = pq.read_table(world.instances)
    names = [f"a.txt:{number}" for number in table["source_id"].to_pylist()]
    table = table.set_column(
        table.schema.get_field_index("source_id"), records.INSTANCE.schema.field("source_id"), [names]
    )
    write(world.instances, table, records.INSTANCE, CLASSES, {"stage": "ingest"})

    listed = json.loads(world.exported("coco").read_text())["annotations"]

    assert [entry["id"] for entry in listed] == [1, 2, 3, 4, 5, 6]
    wanted = ["9", "10", "1", "2", "3", "4"]  # images by name, then 9 before 10
    assert [entry["attributes"]["secondlook_id"] for entry in listed] == [world.ids[number] for number in wanted]


@pytest.mark.parametrize("source", [False, True], ids=["new", "copy"])
def test_cvat_attributes_are_scalars_that_the_labels_declare(world: World, source: bool) -> None:
    out = world.exported("cvat", *([world.folder / "annotations.json"] if source else []))

    content = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert [label["name"] for label in labels] == [category["name"] for category in content["categories"]]
    declared = {attribute["name"] for label in labels for attribute in label["attributes"]}
    for annotation in content["annotations"]:
        assert isinstance(annotation["id"], int)
        assert annotation["attributes"]["occluded"] is True
        assert {type(value) for value in annotation["attributes"].values()} <= {str, int, float, bool}
        assert set(annotation["attributes"]) - declared == {"occluded"}
    [attribute] = [entry for entry in labels[0]["attributes"] if entry["name"] == "secondlook_proposal"]
    usual = {"mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    assert attribute == {"name": "secondlook_proposal", **usual}


BROKEN = {
    "no image": {"image_id": 99},
    "no box": {"bbox": None},
    "a box of NaN": {"bbox": [float("nan"), 1, 2, 3]},
    "no id": {"id": None},
}
SHAPES = [
    pytest.param([[1, 2, 3, 4, 5, 6], [1, 2], [1, 2, 3, 4, 5, 6, 7]], [[1, 2, 3, 4, 5, 6]], id="polygons"),
    pytest.param([1, 2, 3, 4, 5, 6], [], id="flat"),
    pytest.param(None, [], id="null"),
    pytest.param({"size": [48, 64], "counts": [10, 3062]}, {"size": [48, 64], "counts": [10, 3062]}, id="counts"),
    pytest.param({"size": [4, 4], "counts": [10, 6]}, [], id="another size"),
    pytest.param([[10**400, 2, 3, 4, 5, 6]], [], id="beyond floats"),
]


def cvat_of(world: World, change: Any) -> tuple[dict[str, Any], str]:
    """Export a copy for CVAT of the source after `change` was applied to it; return the file and what was said."""
    source = world.folder / "annotations.json"
    content = json.loads(source.read_text(encoding="utf-8"))
    change(content)
    source.write_text(json.dumps(content), encoding="utf-8")
    result, out = world.export("cvat", source)
    assert result.code == 0, result.err
    names = ["annotations.json", "datasheet.md", "labels.json", "secondlook.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    found: dict[str, Any] = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    return found, result.err


def require_importable(content: dict[str, Any]) -> None:
    """Check what CVAT's COCO importer requires of every entry: one that it refuses stops the whole import."""
    assert list(content) == ["licenses", "info", "categories", "images", "annotations"]
    categories = {category["id"] for category in content["categories"]}
    images = {image["id"] for image in content["images"]}
    assert all(type(number) is int for number in images)
    assert all(type(number) is int and number > 0 for number in categories)
    assert [(image["width"], image["height"]) for image in content["images"]] == [(64, 48)] * len(images)
    assert all(type(image["width"]) is int for image in content["images"])
    for entry in content["annotations"]:
        assert type(entry["id"]) is type(entry["iscrowd"]) is int
        assert entry["image_id"] in images
        assert entry["category_id"] in categories
        assert len(entry["bbox"]) == 4
        assert isinstance(entry["segmentation"], list | dict)


def test_cvat_gets_every_field_that_its_importer_asks_for(world: World) -> None:
    content, said = cvat_of(world, lambda _: None)  # the source has objects without category, segmentation, iscrowd

    require_importable(content)
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3, 4, 10, 9]
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [names[entry["category_id"]] for entry in content["annotations"]] == [
        thing.stands or "unlabelled" for thing in THINGS.values()
    ]
    assert "left out" not in said


def test_cvat_takes_zero_for_no_category_so_they_are_numbered_again(world: World) -> None:
    def from_zero(content: dict[str, Any]) -> None:
        for entry in content["categories"]:
            entry["id"] -= 1
        for entry in content["annotations"]:
            entry["category_id"] = None if entry["category_id"] is None else entry["category_id"] - 1

    content, _ = cvat_of(world, from_zero)

    require_importable(content)
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [names[entry["category_id"]] for entry in content["annotations"]] == [
        thing.stands or "unlabelled" for thing in THINGS.values()
    ]


def test_cvat_gets_numbers_for_ids_that_are_text(world: World) -> None:
    def as_text(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["id"] = f"i{image['id']}"
        for entry in content["annotations"]:
            entry["image_id"] = f"i{entry['image_id']}"

    content, _ = cvat_of(world, as_text)

    require_importable(content)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert [names[entry["image_id"]] for entry in content["annotations"]] == [thing.image for thing in THINGS.values()]


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_cvat_is_spared_entries_that_stop_its_import(world: World, change: dict[str, Any]) -> None:
    def add(content: dict[str, Any]) -> None:
        content["annotations"].append({**content["annotations"][1], "id": 77, **change})
        content["images"][0]["width"] = 64.0

    content, said = cvat_of(world, add)

    require_importable(content)
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3, 4, 10, 9]
    assert "1 annotations without an image or a valid box are left out: CVAT would stop at them" in said


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "a/.."])
def test_cvat_is_spared_images_without_a_name(world: World, name: str) -> None:
    def add(content: dict[str, Any]) -> None:
        content["images"].append({"id": 77, "file_name": name, "width": 64, "height": 48})
        content["annotations"].append({**content["annotations"][1], "id": 77, "image_id": 77})

    content, said = cvat_of(world, add)

    require_importable(content)
    assert name not in {image["file_name"] for image in content["images"]}
    assert "1 annotations without an image" in said


def test_images_that_cvat_cannot_tell_apart_are_said(secondlook: Command, tmp_path: Path) -> None:
    things = {
        str(number): Thing(name, (1, 2, 3, 4), "stop", "keep", "stop", "stop")
        for number, name in enumerate(["b/a.jpg", "b/a.png", "a.jpg"], start=1)
    }

    result, _ = make_world(secondlook, tmp_path, things).export("cvat")

    assert result.code == 0, result.err
    assert "CVAT compares image names without extension and refuses 1 that occur twice: b/a" in result.err


@pytest.mark.parametrize(("given", "wanted"), SHAPES)
def test_cvat_gets_the_shapes_that_it_can_read(world: World, given: Any, wanted: Any) -> None:
    def add(content: dict[str, Any]) -> None:
        content["annotations"][1] |= {"segmentation": given, "iscrowd": True, "area": None}

    content, _ = cvat_of(world, add)

    require_importable(content)
    entry = content["annotations"][1]
    assert (entry["segmentation"], entry["iscrowd"], entry["area"]) == (wanted, 1, 64 * 48)


# Label Studio


def test_label_studio_gets_predictions_that_its_config_knows(world: World) -> None:
    out = world.exported("labelstudio")

    tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    config = read_xml(out / "config.xml")
    [image], [control] = config.findall("Image"), config.findall("RectangleLabels")
    known = [label.get("value") for label in control]
    assert known == [*CLASSES, "tree & <bush>"]
    assert (image.get("value"), control.get("toName")) == ("$image", image.get("name"))
    for task in tasks:
        [prediction] = task["predictions"]
        assert set(task) == {"data", "predictions"}
        assert prediction["model_version"].startswith("secondlook ")
        assert prediction["model_version"].endswith(" noise_channel")
        for region in prediction["result"]:
            assert (region["type"], region["from_name"]) == ("rectanglelabels", control.get("name"))
            assert (region["to_name"], region["original_width"]) == (image.get("name"), 64)
            assert set(region["value"]["rectanglelabels"]) <= set(known)
            assert all(0 <= region["value"][side] <= 100 for side in ("x", "y", "width", "height"))


def test_scores_are_those_of_the_label_that_is_written(world: World) -> None:
    tasks = json.loads((world.exported("labelstudio") / "tasks.json").read_text())

    scores = {region["id"]: region.get("score") for task in tasks for region in task["predictions"][0]["result"]}
    wanted = {"1": 0.7, "2": 0.7, "3": 0.1, "4": None, "9": None, "10": 0.7}
    assert scores == {world.ids[number]: score for number, score in wanted.items()}
    assert [task["predictions"][0]["score"] for task in tasks] == [0.7, 0.1, 0.7]


def test_label_studio_config_holds_what_xml_cannot(secondlook: Command, tmp_path: Path) -> None:
    thing = Thing("a.jpg", (1, 2, 3, 4), "bell \x07 & \x00", "review", "stop", "bell \x07 & \x00")

    out = make_world(secondlook, tmp_path, {"1": thing}).exported("labelstudio")

    known = [label.get("value") for label in read_xml(out / "config.xml").iter("Label")]
    [task] = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    [region] = task["predictions"][0]["result"]
    assert region["value"]["rectanglelabels"] == ["bell \\x07 & \\x00"] == known[len(CLASSES) :]


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        pytest.param(None, "/data/local-files/?d=Stra%C3%9Fe%20%E5%81%9C.png", id="local storage"),
        pytest.param("https://x.org/i/", "https://x.org/i/Stra%C3%9Fe%20%E5%81%9C.png", id="web"),
        pytest.param("s3://bucket/i/", "s3://bucket/i/Straße 停.png", id="a key is no address"),
        pytest.param("", "Stra%C3%9Fe%20%E5%81%9C.png", id="nothing"),
    ],
)
def test_the_address_of_an_image(world: World, prefix: str | None, address: str) -> None:
    arguments = [] if prefix is None else ["--image-prefix", prefix]

    tasks = json.loads((world.exported("labelstudio", *arguments) / "tasks.json").read_text(encoding="utf-8"))

    assert tasks[-1]["data"]["image"] == address


# YOLO


def label_file(image: Path) -> Path:
    """Return where trainers look for the labels of an image: the last `images` in its path becomes `labels`."""
    return Path("/labels/".join(str(image).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")


HARD_NAMES = [
    "a.jpg",
    "a.png",
    "train/images/a.jpg",
    "train/labels/a.jpg",
    "valid/images/images/a.jpg",
    'we\'ird, "q" & <x>.jpg',
    "back\\slash.jpg",
    "line\nbreak.jpg",
    " lead/.hidden.jpg",
    "dots.v2/a.b.c.JPG",
    "a.jpg.png",
    "a.png.jpg",
    "classes.jpg",
    "sub/classes.png",
    "README.v1.jpg",
    "requirements.png",
    "%20?d=x&y#z.jpg",
]
HARD_WORDINGS = [
    *("yes", "1", "null", "~", "a: b", "- x", "#c", "%d", "'", "a,b;c", "{x}", "&amp; <z>", "nan", "0x1F", "=1+1"),
    *(
        "tab\there",
        "a\r\nb",
        "next\x85line",
        "line\u2028separator",
        "😀 שלום",
        "a\\nb",
        "unlabelled",
        "x y " * 40 + "z",
    ),
]


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
@pytest.mark.parametrize("kind", FORMATS)
def test_hard_image_names_come_back(secondlook: Command, tmp_path: Path, kind: str, backwards: bool) -> None:
    things = {
        str(number): Thing(name, (number, 2, 3.5, 4), "stop", "keep", "stop", "stop")
        for number, name in enumerate(HARD_NAMES, start=1)
        if kind != "fiftyone" or "\\" not in name  # ingest takes a backslash there for the separator of Windows
    }
    world = make_world(secondlook, tmp_path, things)

    out = world.exported(kind, *(["--queue", world.queue(list(things)[::-1])] if backwards else []))

    assert {keys(things)[key]: row["given_raw"] for key, row in back(world, kind, out).items()} == dict.fromkeys(
        things, "stop"
    )
    if kind == "yolo":
        links = [path for path in (out / "images").rglob("*") if path.is_symlink()]
        assert len({label_file(path) for path in links}) == len(links) == len(HARD_NAMES)
        assert not [path for path in links if "/." in str(path.relative_to(out)) or path.name.startswith(".")]
        for path in links:
            [line] = label_file(path).read_text().splitlines()
            name = path.resolve().relative_to(world.images.resolve()).as_posix()
            assert float(line.split()[1]) * 64 - 1.75 == pytest.approx(HARD_NAMES.index(name) + 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_hard_wordings_come_back(secondlook: Command, tmp_path: Path, kind: str) -> None:
    things = {
        str(number): Thing("a.jpg", (number, 2, 3.5, 4), wording, "keep", "stop", wording)
        for number, wording in enumerate(HARD_WORDINGS, start=1)
    }
    world = make_world(secondlook, tmp_path, things)
    given = {row["source_id"]: row["given_raw"] for row in read_rows(world.instances)}

    found = back(world, kind, world.exported(kind))

    assert {keys(things)[key]: row["given_raw"] for key, row in found.items()} == given


def test_yolo_teaches_nothing_about_images_without_labels(secondlook: Command, tmp_path: Path) -> None:
    bare = Thing("bare.jpg", (1, 2, 3, 4), None, "review", "stop", None)
    world = make_world(secondlook, tmp_path, {"1": THINGS["1"], "2": bare})

    out = world.exported("yolo")

    assert [path.name for path in (out / "images").iterdir()] == ["a.jpg"]
    assert [path.name for path in (out / "labels").iterdir()] == ["a.txt"]
    content = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert content == {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}


def test_a_label_that_is_a_formula_is_text_in_the_table_beside_yolo(secondlook: Command, tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://evil","x")'
    things = {"1": Thing("=a.jpg", (1, 2, 3, 4), formula, "review", "stop", formula)}

    table = make_world(secondlook, tmp_path, things).exported("yolo") / "objects.csv"

    (row,) = pd.read_csv(table, dtype=str).to_dict("records")
    assert [row["image"], row["label"]] == ["'=a.jpg", f"'{formula}"]
    (back,) = tabular.read_csv(table, dtype=str).to_dict("records")
    assert [back["image"], back["label"]] == ["=a.jpg", formula]


def test_supervision_reads_yolo(secondlook: Command, tmp_path: Path) -> None:
    flat = {number: thing for number, thing in THINGS.items() if "/" not in thing.image}
    out = make_world(secondlook, tmp_path, flat).exported("yolo")

    dataset = supervision.DetectionDataset.from_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))

    assert dataset.classes == [*CLASSES, "tree & <bush>"]
    assert boxes(dataset) == {(thing.image, thing.stands): corners(thing) for thing in flat.values()}


def boxes(dataset: Any, shift: float = 0) -> dict[tuple[str, str], list[float]]:
    """Return left, top, right, bottom by image and class; `shift` is added to left and top."""
    return {
        (Path(path).name, dataset.classes[number]): pytest.approx([left + shift, top + shift, right, bottom], abs=1e-3)
        for path, _, found in dataset
        for number, (left, top, right, bottom) in zip(found.class_id, found.xyxy, strict=True)
    }


def corners(thing: Thing) -> list[float]:
    """Return left, top, right, bottom."""
    x, y, w, h = thing.box
    return [x, y, x + w, y + h]


# Pascal VOC


def test_supervision_reads_voc(secondlook: Command, tmp_path: Path) -> None:
    flat = {number: thing for number, thing in THINGS.items() if "/" not in thing.image}
    world = make_world(secondlook, tmp_path, flat)

    dataset = supervision.DetectionDataset.from_pascal_voc(
        str(world.images), str(world.exported("voc") / "Annotations")
    )

    # it takes corners for those of the challenge, which count from 1
    assert boxes(dataset, shift=1) == {(thing.image, thing.stands): corners(thing) for thing in flat.values()}


def test_voc_files_lie_as_their_images_do(world: World) -> None:
    out = world.exported("voc") / "Annotations"

    names = [path.relative_to(out).as_posix() for path in out.rglob("*.xml")]
    assert sorted(names) == ["Straße 停.xml", "a.xml", "sub dir/a.xml"]
    tree = read_xml(out / "sub dir" / "a.xml")
    assert [tree.findtext(key) for key in ("folder", "filename", "size/width")] == ["sub dir", "a.jpg", "64"]
    assert [item.findtext("name") for item in tree.iterfind("object")] == ['say "no"', "unlabelled"]
    assert [tree.findtext(f"object/bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")] == [
        *("1.1", "2.2", "4.4", "6.6")
    ]


@pytest.mark.parametrize("order", [["1", "2", "3"], ["3", "2", "1"]])
def test_no_voc_file_takes_the_place_of_another(secondlook: Command, tmp_path: Path, order: list[str]) -> None:
    names = ["a.jpg", "a.png", "a.jpg.png"]
    things = {
        str(number): Thing(name, (1, 2, 3, 4), "stop", "keep", "stop", "stop")
        for number, name in enumerate(names, start=1)
    }
    world = make_world(secondlook, tmp_path, things)

    out = world.exported("voc", "--queue", world.queue(order)) / "Annotations"

    assert sorted(read_xml(path).findtext("filename") or "" for path in out.iterdir()) == sorted(names)


def test_voc_holds_what_xml_cannot(secondlook: Command, tmp_path: Path) -> None:
    thing = Thing("a.jpg", (1, 2, 3, 4), "bell \x07 & \x00", "review", "stop", None)
    out = make_world(secondlook, tmp_path, {"1": thing}).exported("voc")

    name = read_xml(out / "Annotations" / "a.xml").findtext("object/name")

    assert name == "bell \\x07 & \\x00"


# FiftyOne


def test_fiftyone_gets_samples_with_masks(world: World) -> None:
    out = world.exported("fiftyone")

    samples = json.loads((out / "samples.json").read_text(encoding="utf-8"))["samples"]
    metadata = json.loads((out / "metadata.json").read_text(encoding="utf-8"))
    assert "version" not in metadata  # with one it would have to be a dump of FiftyOne's database
    assert metadata["default_classes"] == [*CLASSES, "tree & <bush>"]
    detections = {}
    for sample in samples:
        assert (out / sample["filepath"]).is_file()
        assert sample["metadata"] == {"_cls": "ImageMetadata", "width": 64, "height": 48}
        for detection in sample["ground_truth"]["detections"]:
            assert len(detection["_id"]["$oid"]) == 24
            detections[detection["secondlook_id"]] = detection
    assert {detection["_cls"] for detection in detections.values()} == {"Detection"}
    whole = {row["source_id"]: row["segmentation"] for row in read_rows(world.instances)}
    found = detections[world.ids["1"]]
    packed = b64decode(found["mask"]["$binary"]["base64"])
    mask = np.load(BytesIO(zlib.decompress(packed)))
    assert (mask.dtype, mask.tolist()) == (bool, coco_mask.decode(whole["1"])[6:19, 5:16].astype(bool).tolist())
    assert found["tags"] == ["keep"]
    assert (found["label"], found["confidence"]) == ("stop", 0.7)
    assert found["attributes"]["note"] == {"_cls": "Attribute", "value": "= 1 + 1"}
    assert (detections[world.ids["4"]]["label"], detections[world.ids["4"]]["confidence"]) == (None, None)


# Parquet


def test_pandas_reads_the_flat_table(world: World) -> None:
    out = world.exported("parquet")

    table = pd.read_parquet(out).set_index("source_id")
    for number, thing in THINGS.items():
        row = table.loc[number]
        assert (row["image"], row["proposal"]) == (thing.image, thing.proposal)
        assert (row["label"] if pd.notna(row["label"]) else None) == thing.stands
        assert (row["action"], row["vote_tree"]) == (thing.action, thing.proposal)
        assert pd.isna(row["vote_vlm.a"])
        assert row["confidence_tree"] == 0.5
        assert np.isnan(row["confidence_vlm.a"])
        assert row["posterior"].tolist() == pytest.approx([0.7 if c == thing.proposal else 0.1 for c in CLASSES])
    metadata = pq.read_schema(out).metadata
    assert json.loads(metadata[b"secondlook.classes"]) == [*CLASSES, "tree & <bush>"]
    assert pq.ParquetFile(out).metadata.row_group(0).column(0).compression == "ZSTD"
    assert [name for name in records.INSTANCE.schema.names if name not in [*table.columns, "source_id"]] == []


# Links, images in archives, empty datasets


@pytest.mark.parametrize("kind", ["yolo", "fiftyone"])
def test_links_lead_to_the_images_where_results_lie_on_another_disk(world: World, kind: str) -> None:
    far = world.folder / "a" / "far" / "disk"
    far.mkdir(parents=True)
    (world.folder / "out").symlink_to(far)

    found = back(world, kind, world.exported(kind))

    assert {keys(THINGS)[key]: row["given_raw"] for key, row in found.items()} == expected_labels(kind)
    links = [path for path in (far / kind).rglob("*") if path.is_symlink()]
    assert links
    assert all(path.exists() and not path.readlink().is_absolute() for path in links)


def test_the_workflow_knows_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"classes": CLASSES, "labelers": ["a"]}
    for name, dataset in (
        ("plain", {"path": "voc", "format": "voc"}),
        ("copied", {"path": "x.json", "label_from": "k"}),
    ):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**task, "dataset": dataset}))
    monkeypatch.chdir(tmp_path)
    labelers = {"a": {"kind": "classifier", "weights": "a.pth"}}
    tasks = ["plain.yaml", "copied.yaml"]
    run = Run.of({"tasks": tasks, "labelers": labelers, "export": {"formats": list(FORMATS)}})

    for name in ("plain", "copied"):
        wanted = [Path("results", name, "export", kind, FILES.get(kind, "")).as_posix() for kind in FORMATS]
        assert run.files.exports(name) == wanted
    exports = Exports(run)
    assert [exports.copied("plain", kind) for kind in ("coco", "cvat", "voc")] == [[], [], []]
    copied = ["x.json", "--label-from", "k"]
    assert [exports.copied("copied", kind) for kind in ("coco", "cvat", "voc")] == [copied, copied, []]
    assert {*FORMATS, *OF_VOTES} == set(get_args(ExportFormat))


@pytest.mark.parametrize("kind", FORMATS)
def test_images_in_a_zip_are_named_and_said(secondlook: Command, tmp_path: Path, kind: str) -> None:
    things = {"1": Thing("a.jpg", (1, 2, 3, 4), "stop", "keep", "stop", "stop")}
    made = make_world(secondlook, tmp_path, things)
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "images"))
    table = pq.read_table(made.instances)
    paths = [f"{archive}/images/a.jpg"]
    column = table.schema.get_field_index("image_path")
    table = table.set_column(column, records.INSTANCE.schema.field("image_path"), [paths])
    write(made.instances, table, records.INSTANCE, CLASSES, {"stage": "ingest"})

    result, out = made.export(kind)

    assert result.code == 0, result.err
    assert (f"the images are in {archive}; unpack it" in result.err) == (kind != "hf_dataset")
    assert out.is_file() or not [path for path in out.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_queue_is_a_whole_export_of_nothing(world: World, kind: str) -> None:
    result, out = world.export(kind, "--queue", world.queue([]))

    assert result.code == 0, result.err
    assert "export: 0 objects" in result.err
    assert contents(out)


# The whole dataset: the reference, images without objects, numbers of classes, what stands beside a label


@dataclass(frozen=True)
class Dataset:
    """A dataset in a folder of its own after ingest and a consensus that decides as it is told."""

    secondlook: Command
    folder: Path
    rows: Mapping[str, dict[str, Any]]
    reference: Mapping[str, dict[str, Any]]

    def decide(self, actions: Mapping[str, tuple[str, str]], reasons: Mapping[str, str] | None = None) -> None:
        """Write decisions: source id -> action and label, `keep` for the others."""
        rows = [
            {
                "instance_id": row["instance_id"],
                "given": row["given"],
                "label": actions.get(number, ("keep", row["given"]))[1],
                "action": actions.get(number, ("keep", ""))[0],
                "reason": (reasons or {}).get(number, "because"),
            }
            for number, row in self.rows.items()
        ]
        classes = records.taxonomy_of(self.folder / "instances.parquet").classes
        write_decisions(self.folder / "consensus.parquet", rows, classes)

    def export(self, kind: str, *arguments: object) -> tuple[Result, Path]:
        """Run `secondlook export`."""
        out = self.folder / "out" / kind / FILES.get(kind, "")
        given = ["--instances", self.folder / "instances.parquet", "--consensus", self.folder / "consensus.parquet"]
        return self.secondlook("export", *arguments, "--format", kind, *given, "--out", out), out

    def exported(self, kind: str, *arguments: object) -> Path:
        """Export and return the place."""
        result, out = self.export(kind, *arguments)
        assert result.code == 0, result.err
        return out


def read_in(secondlook: Command, folder: Path, dataset: Mapping[str, Any], **task: Any) -> Dataset:
    """Ingest a dataset with a task file; every object is kept as it is given."""
    task_file = folder / "signs.yaml"
    content = {"unknown_labels": "keep_unlabelled", **task, "dataset": dataset}
    task_file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    instances, reference = folder / "instances.parquet", folder / "reference.parquet"
    arguments = ("--out", instances, "--reference", reference, "--rejects", folder / "rejects.parquet")
    result = secondlook("ingest", "--task", task_file, *arguments, "--options", "{max_reject_fraction: 1}")
    assert result.code == 0, result.err
    found = [{row["source_id"]: row for row in read_rows(path)} for path in (instances, reference)]
    made = Dataset(secondlook, folder, *found)
    made.decide({})
    return made


def with_reference(secondlook: Command, folder: Path, *, sources: bool = False) -> Dataset:
    """Read 12 images of two objects each, about half of which are part of the reference."""
    images = [coco_image(folder, number, f"{number}.jpg", seed=number) for number in range(12)]
    annotations = [
        {"id": 10 * image + place, "image_id": image, "category_id": 1 + place, "bbox": [5 + place, 6, 10, 12]}
        for image in range(12)
        for place in range(2)
    ]
    (folder / "annotations.json").write_text(json.dumps(coco(images, annotations, ["stop", "Yield"])))
    reference: dict[str, Any] = {"own_fraction": 0.5}
    if sources:
        coco_image(folder / "elsewhere" / "stop", 1, "a.jpg")
        reference["sources"] = [{"path": str(folder / "elsewhere"), "format": "folders", "classes": {"stop": ["stop"]}}]
    dataset = {"path": str(folder / "annotations.json"), "images": str(folder / "images")}
    return read_in(secondlook, folder, dataset, classes={"stop": [], "yield": []}, reference=reference)


def label_sources(kind: str, out: Path) -> dict[str, tuple[str, str]]:
    """Return label and `label_source` of each object of an export by its id."""
    if kind in ("coco", "cvat"):
        content = json.loads((out / "annotations.json" if kind == "cvat" else out).read_text())
        names = {entry["id"]: entry["name"] for entry in content["categories"]}
        found = [(entry["attributes"], names[entry["category_id"]]) for entry in content["annotations"]]
    elif kind == "labelstudio":
        regions = [
            region
            for task in json.loads((out / "tasks.json").read_text())
            for region in task["predictions"][0]["result"]
        ]
        notes = [dict(line.split(": ", 1) for line in region["meta"]["text"]) for region in regions]
        found = [(note, region["value"]["rectanglelabels"][0]) for note, region in zip(notes, regions, strict=True)]
    elif kind == "fiftyone":
        samples = json.loads((out / "samples.json").read_text())["samples"]
        listed = [entry for sample in samples for entry in sample["ground_truth"]["detections"]]
        found = [(entry, entry["label"]) for entry in listed]
    elif kind == "voc":
        items = [item for path in (out / "Annotations").rglob("*.xml") for item in read_xml(path).iterfind("object")]
        notes = [{a.findtext("name"): a.findtext("value") for a in item.iter("attribute")} for item in items]
        found = [(note, item.findtext("name")) for note, item in zip(notes, items, strict=True)]
    elif kind == "hf_dataset":
        items = objects_of(load(out, out.parent / "cache"))
        found = [
            ({"secondlook_id": item["id"], "secondlook_label_source": item["label_source"]}, item["label"])
            for item in items
        ]
    else:
        table = pd.read_csv(out / "objects.csv", dtype=str) if kind == "yolo" else pd.read_parquet(out)
        table = table.rename(columns={"id": "secondlook_id", "instance_id": "secondlook_id"})
        found = [
            ({"secondlook_id": row["secondlook_id"], "secondlook_label_source": row["label_source"]}, row["label"])
            for row in table.to_dict("records")
        ]
    return {note["secondlook_id"]: (label, note["secondlook_label_source"]) for note, label in found}


@pytest.mark.parametrize(
    ("kind", "copied"),
    [
        *(pytest.param(kind, False, id=kind) for kind in FORMATS),
        pytest.param("coco", True, id="a copy"),
        pytest.param("cvat", True, id="a copy for CVAT"),
    ],
)
def test_every_object_goes_out_with_its_label_and_where_that_comes_from(
    secondlook: Command, tmp_path: Path, kind: str, copied: bool
) -> None:
    dataset = with_reference(secondlook, tmp_path, sources=True)
    own = {number: row for number, row in dataset.reference.items() if row["split"] == "reference"}
    assert len(dataset.rows) + len(own) == 24
    assert len(dataset.reference) == len(own) + 1, "one object comes from elsewhere"
    changed, person, asked, *_ = [number for number in dataset.rows if int(number) % 10 == 0]
    actions = {changed: ("relabel", "yield"), person: ("keep", "stop"), asked: ("review", "yield")}
    dataset.decide(actions, {person: records.PERSON_KEPT})

    found = label_sources(kind, dataset.exported(kind, *([tmp_path / "annotations.json"] if copied else [])))

    yields = "Yield" if kind in ("coco", "cvat") else "yield"  # the dataset's own category
    wanted = {
        row["instance_id"]: (yields if int(number) % 10 else "stop", "consensus")
        for number, row in dataset.rows.items()
    }
    wanted |= {dataset.rows[changed]["instance_id"]: (yields, "consensus")}
    wanted |= {
        dataset.rows[person]["instance_id"]: ("stop", "person"),
        dataset.rows[asked]["instance_id"]: ("stop", "undecided"),
    }
    wanted |= {row["instance_id"]: (yields if int(number) % 10 else "stop", "reference") for number, row in own.items()}
    assert found == wanted
    if kind == "yolo":
        lines = [
            line for path in (tmp_path / "out/yolo/labels").rglob("*.txt") for line in path.read_text().splitlines()
        ]
        assert len(lines) == 24


def test_an_object_without_a_label_is_no_reference_and_goes_to_review(secondlook: Command, tmp_path: Path) -> None:
    annotations = [box(1), box(2, category=None), box(3, category=2)]
    document = coco([coco_image(tmp_path, 1)], annotations, ["stop", "tree"])
    task = {"unknown_labels": "keep_unlabelled", "reference": {"own_fraction": 1}}

    done = ingest(secondlook, tmp_path, document, **task)

    assert done.result.code == 0, done.result.err
    assert sorted(done.rows) == ["2", "3"]
    assert [row["source_id"] for row in read_rows(done.reference)] == ["1"]
    assert done.refused == []


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        pytest.param(
            lambda folder: (folder / "reference.parquet").unlink(), "are part of the reference", id="no reference"
        ),
        pytest.param(
            lambda folder: shutil.copy(folder / "instances.parquet", folder / "reference.parquet"),
            "holds 0 objects of the dataset",
            id="another reference",
        ),
    ],
)
def test_a_reference_that_is_lost_is_one_sentence(
    secondlook: Command, tmp_path: Path, break_it: Any, message: str
) -> None:
    dataset = with_reference(secondlook, tmp_path)
    break_it(tmp_path)

    result, out = dataset.export("yolo")

    assert (result.code, out.exists()) == (1, False)
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_reference_may_lie_elsewhere(secondlook: Command, tmp_path: Path) -> None:
    dataset = with_reference(secondlook, tmp_path)
    (tmp_path / "reference.parquet").rename(tmp_path / "trusted.parquet")

    result, out = dataset.export("parquet", "--reference", tmp_path / "trusted.parquet")

    assert result.code == 0, result.err
    assert len(pd.read_parquet(out)) == 24


def test_what_ingest_left_out_is_said(secondlook: Command, tmp_path: Path) -> None:
    document = coco(
        [coco_image(tmp_path, 1)], [box(1), box(2, category=2), box(3, bbox=[1, 1, 0, 5])], ["stop", "tree"]
    )
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    dataset = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    select = {"labels": ["stop"]}

    result, _ = read_in(secondlook, tmp_path, dataset, classes=["stop"], select=select).export("voc")

    assert "entries that ingest left out are not exported: empty_box 1, not_selected 1" in result.err


BUSES = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}, {"id": 9, "name": "bus"}]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        pytest.param([2, 2, 9], 2, id="the file's objects are mostly of the first"),
        pytest.param([9, 9, 2], 9, id="of the last"),
        pytest.param([9], 9, id="of the last alone"),
        pytest.param([2], 2, id="of the first alone"),
        pytest.param([], 2, id="of none: the first that is listed"),
    ],
)
@pytest.mark.parametrize("copied", [True, False], ids=["copy", "new"])
def test_a_new_label_gets_the_category_that_the_objects_of_the_file_have(
    secondlook: Command, tmp_path: Path, used: list[int], expected: int, copied: bool
) -> None:
    annotations = [box(number, category=category) for number, category in enumerate([1, *used], start=1)]
    document = {"images": [coco_image(tmp_path, 1)], "annotations": annotations, "categories": BUSES}
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    dataset = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    made = read_in(secondlook, tmp_path, dataset, classes=["car", "bus"])
    made.decide({"1": ("relabel", "bus")})

    out = made.exported("coco", *([tmp_path / "annotations.json"] if copied else []))

    content = json.loads(out.read_text())
    assert [entry["category_id"] for entry in content["annotations"]] == [expected, *used]
    assert [(entry["id"], entry["name"]) for entry in content["categories"]] == [(1, "car"), (2, "bus"), (9, "bus")]


def yolo_dataset(folder: Path, names: Any, labels: Mapping[str, str], images: list[str]) -> Path:
    """Write a YOLO dataset: `labels` are the text files by the stem of their image."""
    for number, name in enumerate(images):
        coco_image(folder / "set", number, name, seed=number)
    for stem, text in labels.items():
        path = folder / "set" / "labels" / f"{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if names is not None:
        (folder / "set" / "data.yaml").write_text(yaml.safe_dump({"train": "images", "val": "images", "names": names}))
    return folder / "set"


NAMES = {0: "person", 1: "bus", 2: "cars", 3: "tree", 4: "bus", 5: "unused"}
LINES = {
    "a": "2 0.5 0.5 0.25 0.25\n4 0.25 0.5 0.125 0.25\n4 0.5 0.25 0.125 0.25\n",
    "b": "1 0.5 0.5 0.5 0.5\n3 0.25 0.25 0.125 0.125\n",
}
IMAGES = ["a.jpg", "b.jpg", "bare.jpg", "empty.jpg"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        pytest.param(NAMES, NAMES, id="names by number, two of them the same"),
        pytest.param(list(NAMES.values()), NAMES, id="a list of names"),
        pytest.param(None, {number: str(number) for number in range(5)}, id="no names at all"),
    ],
)
def test_yolo_comes_back_as_it_went(secondlook: Command, tmp_path: Path, names: Any, wanted: dict[int, str]) -> None:
    root = yolo_dataset(tmp_path, names, {**LINES, "empty": "\n"}, IMAGES)
    classes = {"car": ["cars", "2"], "person": ["0"], "bus": ["1"] if names is None else [], "unused": []}
    dataset = read_in(secondlook, tmp_path, {"path": str(root)}, classes=classes)

    out = dataset.exported("yolo")

    content = yaml.safe_load((out / "data.yaml").read_text())
    assert content["names"] == wanted
    assert {path.stem: path.read_text() for path in (out / "labels").iterdir()} == {**LINES, "bare": "", "empty": ""}
    assert sorted(path.name for path in (out / "images").iterdir()) == IMAGES
    assert all(path.resolve() == (root / "images" / path.name).resolve() for path in (out / "images").iterdir())


@pytest.mark.parametrize(
    ("label", "number", "added"),
    [
        pytest.param("car", 2, {}, id="a class in the dataset's own wording"),
        pytest.param("bus", 4, {}, id="of two numbers the one with most objects"),
        pytest.param("person", 0, {}, id="a class that no object had"),
        pytest.param("tram", 6, {6: "tram"}, id="a class that is new to the dataset"),
    ],
)
def test_a_new_label_in_yolo_has_the_number_of_the_dataset(
    secondlook: Command, tmp_path: Path, label: str, number: int, added: dict[int, str]
) -> None:
    root = yolo_dataset(tmp_path, NAMES, LINES, IMAGES)
    classes = {"tram": [], "car": ["cars"], "bus": [], "person": [], "never": []}
    dataset = read_in(secondlook, tmp_path, {"path": str(root)}, classes=classes)
    dataset.decide({"labels/b.txt:1": ("relabel", label)})

    out = dataset.exported("yolo")

    lines = (out / "labels" / "b.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == [number, 3]
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == {**NAMES, **added}


def test_an_image_whose_objects_were_left_out_is_no_background(secondlook: Command, tmp_path: Path) -> None:
    lines = {**LINES, "other": "0 0.5 0.5 0.25 0.25\n", "broken": "9 0.5 0.5 0.25 0.25\n"}
    root = yolo_dataset(tmp_path, NAMES, lines, [*IMAGES, "other.jpg", "broken.jpg"])
    select = {"skip": [{"label": "person"}]}
    dataset = read_in(secondlook, tmp_path, {"path": str(root)}, classes={"car": ["cars"]}, select=select)

    out = dataset.exported("yolo")

    assert sorted(path.name for path in (out / "images").iterdir()) == IMAGES


@pytest.mark.parametrize("kind", INGESTED)
def test_images_without_objects_go_out_in_every_format(secondlook: Command, tmp_path: Path, kind: str) -> None:
    root = yolo_dataset(tmp_path, NAMES, LINES, IMAGES)
    dataset = read_in(secondlook, tmp_path, {"path": str(root)}, classes={"car": ["cars"], "bus": []})
    dataset.export(kind)

    again = exported_again(dataset, kind, root / "images")
    out = again.exported("yolo")

    assert sorted(path.name for path in (out / "images").rglob("*.jpg")) == IMAGES
    assert (out / "labels" / "bare.txt").read_text() == ""


def exported_again(dataset: Dataset, kind: str, images: Path) -> Dataset:
    """Read an export back as a dataset in a folder of its own."""
    out = dataset.folder / "out" / kind / FILES.get(kind, "")
    path = {"cvat": out / "annotations.json", "voc": out / "Annotations"}.get(kind, out)
    if kind == "labelstudio":
        path = accepted(out / "tasks.json")
    folder = dataset.folder / "again"
    folder.mkdir()
    described = {
        "path": str(path),
        **({"images": str(images)} if kind in ("coco", "cvat", "voc", "labelstudio") else {}),
    }
    return read_in(dataset.secondlook, folder, described, classes={"car": ["cars"], "bus": [], "group": []})


@pytest.mark.parametrize("kind", [kind for kind in INGESTED if kind != "yolo"])
def test_a_crowd_stays_one_in_every_format_that_can_say_so(secondlook: Command, tmp_path: Path, kind: str) -> None:
    annotations = [box(1, iscrowd=1, segmentation=_whole_rle()), box(2, iscrowd=0), box(3), box(4, iscrowd="1")]
    document = coco([coco_image(tmp_path, 1)], annotations, ["car"])
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])
    out = dataset.exported(kind)

    if kind == "fiftyone":
        [sample] = json.loads((out / "samples.json").read_text())["samples"]
        assert [entry.get("iscrowd") for entry in sample["ground_truth"]["detections"]] == [1, None, None, 1]
    again = exported_again(dataset, kind, tmp_path / "images")

    content = json.loads(again.exported("coco").read_text())
    assert [entry["iscrowd"] for entry in content["annotations"]] == [1, 0, 0, 1]
    assert not any("iscrowd" in entry["attributes"] for entry in content["annotations"])


def _whole_rle() -> dict[str, Any]:
    return {"size": [48, 64], "counts": [500, 20, 28, 20, 2504]}


TURNED = {"x": 25.0, "y": 12.5, "width": 40.0, "height": 20.0, "rotation": 30.0}


def label_studio(folder: Path, *values: Mapping[str, Any]) -> Dataset:
    """Write tasks with one rectangle each, as Label Studio exports them."""
    for number in range(len(values)):
        coco_image(folder, number, f"{number}.jpg")
    about = {"type": "rectanglelabels", "original_width": 64, "original_height": 48, "from_name": "l", "to_name": "i"}
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/local-files/?d={number}.jpg"},
            "annotations": [{"result": [{**about, "id": "r", "value": {**value, "rectanglelabels": ["car"]}}]}],
        }
        for number, value in enumerate(values)
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return folder / "tasks.json"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(TURNED, id="turned"),
        pytest.param({**TURNED, "rotation": 330.5}, id="almost a whole turn"),
        pytest.param({**TURNED, "x": 90.0, "rotation": 90.0}, id="at the edge"),
        pytest.param({**TURNED, "x": 0.0, "y": 0.0, "rotation": 45.0}, id="partly outside the image"),
        pytest.param({**TURNED, "rotation": 0.0}, id="not turned"),
    ],
)
@pytest.mark.parametrize("through", [None, "coco", "voc", "fiftyone", "parquet"])
def test_label_studio_gets_a_turned_box_back_as_it_was_drawn(
    secondlook: Command, tmp_path: Path, value: dict[str, float], through: str | None
) -> None:
    path = label_studio(tmp_path, value)
    described = {"path": str(path), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])
    if through is not None:
        dataset.exported(through)
        dataset = exported_again(dataset, through, tmp_path / "images")

    [task] = json.loads((dataset.exported("labelstudio") / "tasks.json").read_text())

    [region] = task["predictions"][0]["result"]
    assert {name: region["value"][name] for name in value} == pytest.approx(value, abs=1e-4)
    assert not [line for line in region["meta"]["text"] if line.startswith("rotated_box") and value["rotation"]]


def test_a_box_that_was_moved_since_is_not_turned(secondlook: Command, tmp_path: Path) -> None:
    attributes = {"rotated_box": "16.0 6.0 25.6 9.6 30.0"}
    document = coco([coco_image(tmp_path, 1)], [box(1, attributes=attributes)], ["car"])
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])

    [task] = json.loads((dataset.exported("labelstudio") / "tasks.json").read_text())

    value = task["predictions"][0]["result"][0]["value"]
    assert (value["rotation"], value["x"], value["width"]) == (0, pytest.approx(100 * 5 / 64), pytest.approx(1000 / 64))


@pytest.mark.real
@pytest.mark.parametrize("kind", FORMATS)
def test_every_object_of_a_real_dataset_goes_out(
    secondlook: Command, shared_data: Path, tmp_path: Path, kind: str
) -> None:
    source = shared_data / "cvat_urban"
    described = {"path": str(source / "instances_default.json"), "images": str(source / "frames")}
    classes = ["Car", "Pedestrian", "Tram"]
    dataset = read_in(secondlook, tmp_path, described, classes=classes, reference={"own_fraction": 0.375})

    found = label_sources(kind, dataset.exported(kind))

    assert len(found) == len(dataset.rows) + len(dataset.reference) == 1653
    counts = pd.Series([source for _, source in found.values()]).value_counts().to_dict()
    assert counts == {"consensus": len(dataset.rows), "reference": len(dataset.reference)}
    assert len(dataset.reference) > 300


@pytest.mark.real
def test_real_yolo_labels_come_back_with_their_numbers(secondlook: Command, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco128"
    described = {"path": str(source / "object_detection"), "images": str(source / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes={"person": ["0"], "car": ["2"]})

    out = dataset.exported("yolo")

    before = {path.stem: path.read_text() for path in (source / "object_detection").rglob("*.txt")}
    images = [path.stem for path in (source / "images").rglob("*.jpg")]
    after = {path.stem: path.read_text() for path in (out / "labels").rglob("*.txt")}
    assert set(after) == set(images)
    for stem, text in after.items():
        wanted = [line.split() for line in before.get(stem, "").splitlines()]
        found = [line.split() for line in text.splitlines()]
        assert [line[0] for line in found] == [line[0] for line in wanted]
        for line, other in zip(found, wanted, strict=True):
            assert list(map(float, line)) == pytest.approx(list(map(float, other)), abs=1e-5)


@pytest.mark.real
def test_a_real_roboflow_export_keeps_its_category_numbers(
    secondlook: Command, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "roboflow_coco"
    before = json.loads((source / "valid" / "_annotations.coco.json").read_text())
    names = [entry["name"] for entry in before["categories"][1:]]
    dataset = read_in(secondlook, tmp_path, {"path": str(source)}, classes=names)

    after = json.loads(dataset.exported("coco").read_text())

    assert [(entry["id"], entry["name"]) for entry in after["categories"]] == [
        (entry["id"], entry["name"]) for entry in before["categories"]
    ]
    wanted, found = (
        sorted((names[entry["image_id"]], entry["category_id"]) for entry in content["annotations"])
        for content, names in (
            (content, {image["id"]: image["file_name"] for image in content["images"]}) for content in (before, after)
        )
    )
    there = {path.name for path in (source / "valid").glob("*.jpg")}
    assert found == [pair for pair in wanted if pair[0] in there]
    assert len(found) > 50


# --- votes, as the published runs listed them ----------------------------------------------------------------------

VIEWS_OF = {"vlm_box": "box", "vlm_crop": "crop", "tree": None, "odd_crop": "box"}


@pytest.fixture
def voted(secondlook: Command, tmp_path: Path) -> World:
    """The little world with a VLM in two views, a labeler without a view, and one whose name says another view."""
    made = make_world(secondlook, tmp_path, THINGS)
    answers = {
        "vlm_box": dict.fromkeys(made.ids.values(), "stop"),
        "vlm_crop": {made.ids["2"]: None, made.ids["3"]: 'say "no"'},
        "tree": {made.ids[number]: thing.given if thing.given in CLASSES else None for number, thing in THINGS.items()},
        "odd_crop": {made.ids["1"]: "停\nhere"},
    }
    for name, said_by in answers.items():
        folder = tmp_path / "label" / name / "00000.parquet"
        made.votes.append(write_votes(folder, name, said_by, CLASSES, kind="vlm", view=VIEWS_OF[name]))
    return made


def test_votes_are_listed_by_image_with_an_answer_for_each_view(voted: World) -> None:
    out = voted.exported("votes_json")
    assert sorted(path.name for path in out.glob("*.json")) == [
        "odd_crop.json",
        "secondlook.json",
        "tree.json",
        "vlm.json",
    ]
    listed = json.loads((out / "vlm.json").read_text(encoding="utf-8"))
    assert listed == {
        "Straße 停.png": [["tree & <bush>", None, "stop", None], [None, None, "stop", None]],
        "a.jpg": [["stop", None, "stop", None], ["stop", None, "stop", None]],
        "sub dir/a.jpg": [['say "no"', 'say "no"', "stop", None], [None, None, "stop", None]],
    }
    assert json.loads((out / "tree.json").read_text())["a.jpg"] == [["stop", "stop"], ["stop", "stop"]]
    assert json.loads((out / "odd_crop.json").read_text())["a.jpg"][0] == ["stop", None, "停\nhere", None]


def test_shares_of_right_votes_have_a_line_for_each_view(voted: World) -> None:
    out = voted.exported("votes_txt")
    # three objects have a class: two stops and a `say "no"`
    assert (out / "vlm.txt").read_text() == f"{1 / 3}\n{2 / 3}\nnan\n"
    assert (out / "tree.txt").read_text() == "1.0\n"
    assert [float(line) for line in (out / "odd_crop.txt").read_text().split()][1] == 0


def test_votes_on_the_reference_are_none(voted: World) -> None:
    part = records.read(voted.instances, records.INSTANCE)
    reference = part.filter([name != voted.ids["2"] for name in part["instance_id"].to_pylist()]).slice(0, 1)
    rows = [{**row, "instance_id": "of-reference"} for row in reference.to_pylist()]
    path = voted.folder / "reference.parquet"
    write(path, records.to_table(rows, records.INSTANCE), records.INSTANCE, CLASSES, {"stage": "ingest"})
    with_reference = voted.exported("votes_json", "--reference", path)
    count = sum(map(len, json.loads((with_reference / "tree.json").read_text()).values()))
    assert count == len(THINGS)


@pytest.mark.parametrize("kind", OF_VOTES)
def test_an_export_of_votes_needs_votes_and_is_repeatable(voted: World, kind: str) -> None:
    first, second = (contents(voted.export(kind, name=name)[1]) for name in ("one", "two"))
    assert first == second
    assert "boxes" not in voted.export(kind)[0].err, "it has no shapes to lose"
    voted.votes.clear()
    refused, out = voted.export(kind, name="none")
    assert (refused.code, out.exists()) == (2, False)
    assert "give them with --votes" in refused.err

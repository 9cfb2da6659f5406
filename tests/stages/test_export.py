"""Export: the corrected COCO file differs from its source in the labels and nowhere else."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from conftest import Command, Result, box, coco, coco_image, ingest
from make_records import read_rows, write_decisions

Actions = Mapping[str, tuple[str, str]]
CLASSES = {"stop": ["stop sign", "stop signs"], "yield": ["give way"], "turn": []}
RELABEL = {"1": ("relabel", "yield")}


def export(
    secondlook: Command, folder: Path, document: Any, actions: Actions, *, label_from: str | None = None, **task: Any
) -> tuple[Result, Path]:
    """Ingest `document`, decide `actions` (source id -> action, label) and `keep` for the rest, and export."""
    dataset = {"label_from": label_from} if label_from else {}
    settings = {"classes": CLASSES, "unknown_labels": "keep_unlabelled", **task, "dataset": dataset}
    done = ingest(secondlook, folder, document, options="{max_reject_fraction: 1}", **settings)
    assert done.result.code == 0, done.result.err
    decisions = []
    for number, row in done.rows.items():
        action, label = actions.get(number, ("keep", row["given"]))
        decided = {"given": row["given"], "label": label, "confidence": 0.87654, "action": action}
        decisions.append({"instance_id": row["instance_id"], **decided})
    consensus = write_decisions(folder / "consensus.parquet", decisions, list(CLASSES))
    arguments = ["--instances", done.out, "--consensus", consensus, "--out", folder / "out" / "annotations.json"]
    arguments += ["--label-from", label_from] if label_from else []
    return secondlook("export", folder / "annotations.json", *arguments), folder / "out" / "annotations.json"


def exported(*arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Export and return the document."""
    result, out = export(*arguments, **keywords)
    assert result.code == 0, result.err
    document: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return document


SOURCE = """{
  "info": {"description": "Straße", "version": 1.0, "nothing": null},
  "extra": [1.50, 2e3, {"deep": [[]]}],
  "licenses": [],
  "images": [{"id": 12, "file_name": "12.jpg", "width": 64, "height": 48, "camera": {"f": 1.20}}],
  "annotations": [
    {"id": 3, "image_id": 12, "category_id": 1, "bbox": [5.10, 6, 10, 12], "area": 122.40,
     "segmentation": [[5.10, 6.00, 15.1, 6, 1.51e1, 18]], "iscrowd": 0, "track": {"a": 1.10}},
    {"id": 1, "image_id": 12, "category_id": 1, "bbox": [5.10, 6, 10, 12], "score": 1e-7,
     "segmentation": [[5.10, 6.00, 15.1, 6, 1.51e1, 18]], "attributes": {"Type of Signs": "- stop signs", "n": 3}},
    {"id": 2, "image_id": 12, "category_id": 1, "bbox": [5, 6, 0, 12], "note": "rejected: no width"}
  ],
  "categories": [{"id": 1, "name": "stop", "supercategory": "sign", "colour": "red"}, {"id": 7, "name": "yield"}]
}
"""


def test_what_is_no_label_passes_through_byte_for_byte(secondlook: Command, tmp_path: Path) -> None:
    coco_image(tmp_path, 12)

    result, out = export(secondlook, tmp_path, SOURCE.encode(), RELABEL)

    assert result.code == 0, result.err
    text = out.read_text(encoding="utf-8")
    before, after = json.loads(SOURCE), json.loads(text)
    assert list(after) == list(before)
    assert [entry["id"] for entry in after["annotations"]] == [3, 1, 2]
    for exact in (
        '"info": {"description": "Straße", "version": 1.0, "nothing": null}',
        '[1.50, 2e3, {"deep": [[]]}]',
        '[{"id": 12, "file_name": "12.jpg", "width": 64, "height": 48, "camera": {"f": 1.20}}]',
        '{"id": 2, "image_id": 12, "category_id": 1, "bbox": [5, 6, 0, 12], "note": "rejected: no width"}',
        '[{"id": 1, "name": "stop", "supercategory": "sign", "colour": "red"}, {"id": 7, "name": "yield"}]',
        "1e-7",
    ):
        assert exact in text
    assert text.count("[[5.10, 6.00, 15.1, 6, 1.51e1, 18]]") == 2
    assert text.count("[5.10, 6, 10, 12]") == 2
    changed = {"category_id": 7, "attributes": after["annotations"][1]["attributes"]}
    assert after["annotations"][1] == {**before["annotations"][1], **changed}


def test_every_decided_object_says_what_was_decided(secondlook: Command, tmp_path: Path) -> None:
    annotations = [box(number, attributes={"occluded": True, "kind": "- Stop signs"}) for number in range(1, 4)]
    document = coco([coco_image(tmp_path, 1)], [*annotations, box(4, attributes={"kind": "tree"})], ["Sign"])

    actions = {"1": ("relabel", "turn"), "2": ("review", "yield")}
    after = exported(secondlook, tmp_path, document, actions, label_from="kind")

    assert [entry["category_id"] for entry in after["annotations"]] == [1, 1, 1, 1]
    said = [("relabel", "- Stop signs", "turn"), ("review", "- Stop signs", "yield"), ("keep", "- Stop signs", "stop")]
    labels = ["turn", "- Stop signs", "- Stop signs", "tree"]
    for entry, label, (action, given, proposal) in zip(
        after["annotations"], labels, [*said, ("keep", "tree", None)], strict=True
    ):
        attributes = entry["attributes"]
        assert attributes["kind"] == label
        assert attributes["secondlook_action"] == action
        assert attributes["secondlook_given"] == given
        assert attributes["secondlook_proposal"] == proposal
        assert attributes["secondlook_posterior"] == 0.8765
    assert after["annotations"][0]["attributes"]["occluded"] is True
    assert after["categories"] == document["categories"]


@pytest.mark.parametrize(
    ("wordings", "expected"),
    [
        pytest.param(["- Give Way"], "- Give Way", id="the dataset's own wording"),
        pytest.param(["- Give Way", "yield", "yield"], "yield", id="the wording used most"),
        pytest.param(["yield", "GIVE-WAY"], "GIVE-WAY", id="a tie goes to the first in the alphabet"),
        pytest.param([], "yield", id="the class name when the dataset has no wording"),
    ],
)
def test_a_new_label_in_an_attribute_is_worded_as_the_dataset_does(
    secondlook: Command, tmp_path: Path, wordings: list[str], expected: str
) -> None:
    annotations = [box(number, attributes={"kind": kind}) for number, kind in enumerate(["stop", *wordings], start=1)]

    after = exported(
        secondlook, tmp_path, coco([coco_image(tmp_path, 1)], annotations, ["yield"]), RELABEL, label_from="kind"
    )

    assert after["annotations"][0]["attributes"]["kind"] == expected
    assert [entry["attributes"]["kind"] for entry in after["annotations"][1:]] == wordings


@pytest.mark.parametrize(
    ("categories", "expected", "added"),
    [
        pytest.param([{"id": 1, "name": "stop"}, {"id": 9, "name": "yield"}], 9, [], id="a category that is there"),
        pytest.param([{"id": 1, "name": "stop"}, {"id": 9, "name": "Give-Way"}], 9, [], id="there in another wording"),
        pytest.param([{"id": 1, "name": "stop"}, {"id": 9, "name": "tree"}], 10, ["yield"], id="a new one"),
        pytest.param([{"id": "s", "name": "stop"}], 1, ["yield"], id="a new one among ids that are text"),
        pytest.param([], 1, ["yield"], id="an empty list of categories"),
        pytest.param(None, 1, ["yield"], id="no list of categories"),
    ],
)
def test_a_new_label_in_the_category_is_an_id_of_the_file(
    secondlook: Command, tmp_path: Path, categories: Any, expected: int, added: list[str]
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1, category=(categories or [{"id": 1}])[0]["id"])], [])
    document["categories"] = categories
    if categories is None:
        del document["categories"]

    after = exported(secondlook, tmp_path, document, RELABEL)

    assert after["annotations"][0]["category_id"] == expected
    assert after["categories"][: len(categories or [])] == (categories or [])
    assert [entry["name"] for entry in after["categories"][len(categories or []) :]] == added
    assert {entry["id"]: entry["name"] for entry in after["categories"]}[expected] in ("yield", "Give-Way")


def test_no_category_is_added_that_no_object_needs(secondlook: Command, tmp_path: Path) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1), box(2)], ["stop"])

    after = exported(secondlook, tmp_path, document, {"1": ("review", "turn")})

    assert after["categories"] == document["categories"]
    assert [entry["category_id"] for entry in after["annotations"]] == [1, 1]


def test_only_the_first_of_two_equal_ids_is_changed(secondlook: Command, tmp_path: Path) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1), box(1), box("1"), box(2)], ["stop", "yield"])

    after = exported(secondlook, tmp_path, document, RELABEL)

    assert [entry["category_id"] for entry in after["annotations"]] == [2, 1, 1, 1]
    assert after["annotations"][1:3] == document["annotations"][1:3]


def test_a_file_with_nan_and_bad_bytes_still_goes_out_with_every_entry(secondlook: Command, tmp_path: Path) -> None:
    annotations = [
        box(5, bbox=[float("nan"), 0, 1, 1]),
        box(1, attributes={"note": "gew@hren", "half": "\ud800"}),
        "no annotation",
        box(2, 9),
    ]
    images = [coco_image(tmp_path, 1), {"id": 9, "file_name": "caf@.jpg"}]
    source = json.dumps(coco(images, annotations, ["stop", "yield"])).encode().replace(b"@", b"\xe4")

    result, out = export(secondlook, tmp_path, source, RELABEL)

    assert result.code == 0, result.err
    assert out.read_bytes().count(b"\xe4") == 2
    before = json.loads(source.decode("latin1"))
    after = json.loads(out.read_bytes().decode("latin1"))
    assert repr(after["images"]) == repr(before["images"])
    kept = [0, 2, 3]
    assert [repr(after["annotations"][index]) for index in kept] == [
        repr(before["annotations"][index]) for index in kept
    ]
    changed = after["annotations"][1]
    assert changed["category_id"] == 2
    assert (changed["attributes"]["note"], changed["attributes"]["half"]) == ("gewähren", "\ud800")


def test_pycocotools_reads_the_result(secondlook: Command, tmp_path: Path) -> None:
    polygon = [[5, 6, 15, 6, 15, 18]]
    size = {"width": 64, "height": 48}
    images = [{**coco_image(tmp_path, number), **size} for number in (4, 2)]
    annotations = [box(number, 4, segmentation=polygon, area=60, iscrowd=0) for number in (1, 2)] + [box(3, 2)]

    export(secondlook, tmp_path, coco(images, annotations, ["stop"]), RELABEL)
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(tmp_path / "out" / "annotations.json"))

    [new] = read.getCatIds(catNms=["yield"])
    assert read.getAnnIds(catIds=[new]) == [1]
    assert read.getAnnIds(imgIds=[4]) == [1, 2]
    assert coco_mask.area(read.annToRLE(read.loadAnns(1)[0])) > 50


def _blob() -> dict[str, Any]:
    y, x = np.mgrid[:48, :64]
    encoded = coco_mask.encode(np.asfortranarray(((x - 30) ** 2 + (y - 20) ** 2 < 150).astype(np.uint8)))
    return {"size": [48, 64], "counts": encoded["counts"].decode()}


SHAPES = {
    1: [[5.25, 6, 15, 6.5, 15, 18], [30, 30, 50, 30, 50, 44, 30, 44]],
    2: _blob(),
    3: {"size": [48, 64], "counts": [500, 20, 28, 20, 2504]},
}


def test_masks_of_every_kind_survive_ingest_and_export(secondlook: Command, tmp_path: Path) -> None:
    images = [{**coco_image(tmp_path, 1), "width": 64, "height": 48}]
    annotations = [box(number, segmentation=shape, iscrowd=0) for number, shape in SHAPES.items()]

    export(secondlook, tmp_path, coco(images, annotations, ["stop"]), RELABEL)

    with contextlib.redirect_stdout(io.StringIO()):
        before, after = (COCO(str(tmp_path / name)) for name in ("annotations.json", "out/annotations.json"))
    ingested = {row["source_id"]: row["segmentation"] for row in read_rows(tmp_path / "instances.parquet")}
    for number, shape in SHAPES.items():
        was, now = (file.annToRLE(file.loadAnns(number)[0]) for file in (before, after))
        assert coco_mask.iou([was, was], [now, ingested[str(number)]], [0, 0]).tolist() == [[1, 1], [1, 1]]
        assert after.loadAnns(number)[0]["segmentation"] == shape


def test_two_exports_are_equal_bytes(secondlook: Command, tmp_path: Path) -> None:
    coco_image(tmp_path, 12)

    first = export(secondlook, tmp_path, SOURCE.encode(), RELABEL)[1].read_bytes()

    assert export(secondlook, tmp_path, SOURCE.encode(), RELABEL)[1].read_bytes() == first


@pytest.mark.parametrize(
    ("decided", "message"),
    [
        pytest.param([], "decides nothing on 2 of 2 objects", id="consensus of another dataset"),
        pytest.param(None, "no such file", id="no consensus"),
    ],
)
def test_a_consensus_that_does_not_fit_is_refused(
    secondlook: Command, tmp_path: Path, decided: Any, message: str
) -> None:
    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1), box(2)], ["stop"]))
    consensus, out = tmp_path / "consensus.parquet", tmp_path / "out.json"
    if decided is not None:
        write_decisions(consensus, decided, ["stop"])
    arguments = ("--instances", done.out, "--consensus", consensus, "--out", out)

    result = secondlook("export", tmp_path / "annotations.json", *arguments)

    assert (result.code, out.exists()) == (1, False)
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.real
def test_a_real_export_changes_the_lines_of_relabelled_objects_only(
    secondlook: Command, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "gtsdb" / "instances_default.json"
    (tmp_path / "images").symlink_to(shared_data / "gtsdb" / "images")
    classes = {"stop": ["stop signs"], "yield": ["yield signs"], "turn": ["turn signs"]}

    after = exported(secondlook, tmp_path, source.read_bytes(), RELABEL, label_from="Type of Signs", classes=classes)

    before = json.loads(source.read_text())
    assert {key: value for key, value in after.items() if key != "annotations"} == {
        key: value for key, value in before.items() if key != "annotations"
    }
    changed = [
        (old["id"], new["attributes"]["Type of Signs"])
        for old, new in zip(before["annotations"], after["annotations"], strict=True)
        if old["attributes"]["Type of Signs"] != new["attributes"]["Type of Signs"]
    ]
    assert changed == [(1, "- yield signs")]

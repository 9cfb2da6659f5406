"""Ingest: whatever a dataset holds ends as an instance row or as a reject row with a reason."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import Command, box, coco, coco_image, ingest, write_image, write_json
from make_records import read_rows

ANY = "{max_reject_fraction: 1}"
NAN = float("nan")


def test_eight_kinds_of_broken_entries_are_eight_reasons_and_the_rest_is_complete(
    secondlook: Command, tmp_path: Path
) -> None:
    images = [coco_image(tmp_path, 1), coco_image(tmp_path, 2), coco_image(tmp_path, 3, width=400, height=300)]
    cut = tmp_path / "images" / "3.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    images += [{"id": 4, "file_name": "nowhere.jpg"}, {"id": 5, "file_name": "caf@@.jpg"}]
    annotations = [
        box(10),
        box(11, 4),
        box(12, 3),
        box(13, bbox=[5, 6, 0, 12]),
        box(14, bbox=[64, 6, 10, 12]),
        box(10, 2),
        box(15, category=3),
        box(16, bbox=[NAN, 6, 10, 12]),
        box(17, 5),
        box(18, 2, category=2),
    ]
    document = json.dumps(coco(images, annotations, ["stop", "yield", "tree"])).encode().replace(b"@@", b"\xe9")

    done = ingest(secondlook, tmp_path, document, options=ANY)

    assert done.result.code == 0, done.result.err
    assert {number: row["given"] for number, row in done.rows.items()} == {"10": "stop", "18": "yield"}
    assert done.rows["10"]["image_path"].endswith("images/1.jpg")
    assert done.reasons == {
        "11": "missing_image",
        "12": "unreadable_image",
        "13": "empty_box",
        "14": "box_outside",
        "10": "duplicate_id",
        "15": "unknown_class",
        "16": "bad_coordinates",
        "17": "bad_name",
    }
    assert all(row["detail"] for row in done.refused)
    assert "2 objects in 2 images" in done.result.err
    assert "8 refused" in done.result.err


@pytest.mark.parametrize("check_images", [True, False])
@pytest.mark.parametrize("name", ["", ".", "a/", "a/."])
def test_a_name_of_no_file_is_a_missing_image(
    secondlook: Command, tmp_path: Path, name: str, check_images: bool
) -> None:
    images = [coco_image(tmp_path, 1), {"id": 2, "file_name": name, "width": 64, "height": 48}]
    document = coco(images, [box(1), box(2, 2)], ["stop"])

    done = ingest(secondlook, tmp_path, document, options=ANY, dataset={"check_images": check_images})

    assert (list(done.rows), done.reasons) == (["1"], {"2": "missing_image"})


def test_too_many_refusals_stop_the_run_but_leave_the_reasons(secondlook: Command, tmp_path: Path) -> None:
    annotations = [box(number) for number in range(1, 9)] + [box(9, bbox=[0, 0, 0, 0]), box(10, 99)]
    document = coco([coco_image(tmp_path, 1)], annotations, ["stop"])

    done = ingest(secondlook, tmp_path, document, options="{max_reject_fraction: 0.19}")

    assert done.result.code == 1
    message = done.result.err.splitlines()[-1]
    assert "2 entries (20.0%)" in message
    assert "empty_box 1, unknown_image 1" in message
    assert str(done.rejects) in message
    assert not done.out.exists()
    assert done.reasons == {"9": "empty_box", "10": "unknown_image"}
    assert ingest(secondlook, tmp_path, document, options="{max_reject_fraction: 0.2}").result.code == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([5, 6, 10, 12], (5, 6, 10, 12), id="inside stays as it is"),
        pytest.param([0, 0, 64, 48], (0, 0, 64, 48), id="whole image"),
        pytest.param([-4, -3, 10, 12], (0, 0, 6, 9), id="over the top left corner"),
        pytest.param([60, 40, 10, 12], (60, 40, 4, 8), id="over the bottom right corner"),
        pytest.param([5.25, 6.5, 10.5, 12.25], (5.25, 6.5, 10.5, 12.25), id="fractions are kept"),
        pytest.param([-1e9, 6, 1e30, 12], (0, 6, 64, 12), id="absurdly wide"),
        pytest.param([64, 6, 10, 12], "box_outside", id="touches the right edge from outside"),
        pytest.param([5, -20, 10, 12], "box_outside", id="above"),
        pytest.param([5, 6, 10, 0], "empty_box", id="no height"),
        pytest.param([5, 6, -10, 12], "empty_box", id="negative width"),
        pytest.param([5, 6, math.inf, 12], "bad_coordinates", id="infinite"),
        pytest.param([5, 6, 10], "bad_coordinates", id="three numbers"),
        pytest.param(None, "bad_coordinates", id="no box"),
        pytest.param(["5", 6, 10, 12], "malformed", id="a string"),
        pytest.param([10**400, 6, 10, 12], "malformed", id="an integer that no float holds"),
    ],
)
def test_boxes_are_clipped_or_refused(secondlook: Command, tmp_path: Path, given: Any, expected: Any) -> None:
    done = ingest(
        secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1), box(2, bbox=given)], ["stop"]), options=ANY
    )

    assert done.result.code == 0, done.result.err
    found = {number: (row["x"], row["y"], row["w"], row["h"]) for number, row in done.rows.items()}
    assert {**found, **done.reasons} == {"1": (5, 6, 10, 12), "2": expected}


@pytest.mark.parametrize("name", ["x\0.jpg", f"{'x' * 256}.jpg", f"{'x' * 256}/x.jpg", "a/..", "a/"])
def test_a_name_that_no_disk_holds_is_refused_where_images_are_not_opened(
    secondlook: Command, tmp_path: Path, name: str
) -> None:
    images = [coco_image(tmp_path, 1), *({"id": id_, "file_name": name, "width": 64, "height": 48} for id_ in (2, 3))]
    document = coco(images, [box(1), box(2, image=2)], ["stop"])

    done = ingest(secondlook, tmp_path, document, dataset={"check_images": False}, options=ANY)

    assert (list(done.rows), done.reasons) == (["1"], {"2": "missing_image"})


@pytest.mark.parametrize(
    ("entry", "image", "reason"),
    [
        pytest.param({"image_id": 99}, {}, "unknown_image", id="image id that is not listed"),
        pytest.param({}, {"file_name": None}, "unknown_image", id="image without a name"),
        pytest.param({"category_id": 77}, {}, "unknown_class", id="category id that is not listed"),
        pytest.param({"id": None}, {}, "malformed", id="annotation without an id"),
        pytest.param({"attributes": "none"}, {}, None, id="attributes that are no mapping"),
        pytest.param({}, {"width": 65, "height": 48}, "size_mismatch", id="size differs from the image's"),
        pytest.param({}, {"file_name": ""}, "missing_image", id="empty file name"),
        pytest.param({}, {"file_name": "x" * 400 + ".jpg"}, "missing_image", id="name too long for the disk"),
        pytest.param({}, {"file_name": "x\0.jpg"}, "missing_image", id="name with a null character"),
        pytest.param({}, {"file_name": "x\ud800.jpg"}, "bad_name", id="name with half a surrogate pair"),
        pytest.param({}, {"file_name": "../images"}, "missing_image", id="name of a folder"),
        pytest.param({}, {"width": NAN, "height": 48}, None, id="size unknown: NaN"),
        pytest.param({}, {"width": None, "height": None}, None, id="size unknown: null"),
        pytest.param({}, {"width": 0, "height": 0}, None, id="size unknown: zero"),
        pytest.param({"segmentation": [[NAN] * 6]}, {}, "bad_coordinates", id="polygon of NaN"),
        pytest.param({"segmentation": [[0, 0, 1e10, 0, 0, 1e10]]}, {}, "bad_coordinates", id="polygon that crashes C"),
        pytest.param(
            {"segmentation": [[0, 0, 100_000, 100_000] * 20]}, {}, "bad_coordinates", id="polygon of gigabytes"
        ),
        pytest.param({"segmentation": [[1, 2, 3, 4]]}, {}, None, id="polygon of two points: the box stays"),
        pytest.param({"segmentation": [["a"] * 6]}, {}, "malformed", id="polygon of words"),
        pytest.param({"segmentation": "mask.png"}, {}, "malformed", id="segmentation that is a word"),
        pytest.param({"segmentation": {"size": [48, 64]}}, {}, "malformed", id="RLE without counts"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": 5}}, {}, "malformed", id="RLE of a number"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": [3, -3]}}, {}, "malformed", id="RLE, negative"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": [3000]}}, {}, "malformed", id="RLE, too short"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": "€"}}, {}, "malformed", id="RLE, no such letter"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": "52"}}, {}, "malformed", id="RLE text, too short"),
        pytest.param({"segmentation": {"size": [48, 64], "counts": "PP"}}, {}, "malformed", id="RLE text, cut off"),
        pytest.param({"segmentation": {"size": [9, 9], "counts": "0"}}, {}, "size_mismatch", id="RLE of another size"),
        pytest.param({"segmentation": None}, {}, None, id="segmentation null"),
        pytest.param({"segmentation": []}, {}, None, id="segmentation empty"),
        pytest.param({"attributes": None}, {}, None, id="attributes null"),
    ],
)
def test_one_odd_entry_costs_one_entry(
    secondlook: Command, tmp_path: Path, entry: dict[str, Any], image: dict[str, Any], reason: str | None
) -> None:
    images = [coco_image(tmp_path, 1), {**coco_image(tmp_path, 2), **image}]
    document = coco(images, [box(1), {**box(2, 2), **entry}], ["stop"])

    done = ingest(secondlook, tmp_path, document, options=ANY)

    assert done.result.code == 0, done.result.err
    assert "1" in done.rows
    assert [row["reason"] for row in done.refused] == ([reason] if reason else [])
    assert len(done.rows) == (1 if reason else 2)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        pytest.param(7, 7, "duplicate_id", id="same number"),
        pytest.param(7, "7", "duplicate_id", id="number and text"),
        pytest.param(7, "07", None, id="different text"),
    ],
)
def test_an_annotation_id_is_used_once(
    secondlook: Command, tmp_path: Path, first: Any, second: Any, reason: str | None
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(first), box(second, bbox=[1, 1, 2, 2])], ["stop"])

    done = ingest(secondlook, tmp_path, document, options=ANY)

    assert [row["reason"] for row in done.refused] == ([reason] if reason else [])
    assert done.rows["7"]["w"] == 10
    assert len({row["instance_id"] for row in read_rows(done.out)}) == len(read_rows(done.out))


def test_an_image_id_listed_twice_is_refused_not_guessed(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, 1, "a.jpg"), coco_image(tmp_path, 1, "b.jpg"), coco_image(tmp_path, 2)]

    done = ingest(secondlook, tmp_path, coco(images, [box(1), box(2, 2)], ["stop"]), options=ANY)

    assert done.reasons == {"1": "duplicate_id"}
    assert list(done.rows) == ["2"]


def test_a_zero_category_is_not_the_class_of_objects_without_a_category(secondlook: Command, tmp_path: Path) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1, category=None), box(2, category=0)], [])
    document["categories"] = [{"id": 0, "name": "stop"}]

    done = ingest(secondlook, tmp_path, document)

    assert {number: row["given"] for number, row in done.rows.items()} == {"1": None, "2": "stop"}


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([1, 2, 3], id="in order"),
        pytest.param([907, 3, 40], id="gaps and shuffled"),
        pytest.param([0, -5, 2**70], id="zero, negative, beyond 64 bits"),
        pytest.param(["c", "a", "b"], id="strings"),
    ],
)
def test_images_and_categories_are_looked_up_by_id(secondlook: Command, tmp_path: Path, ids: list[Any]) -> None:
    images = [coco_image(tmp_path, number, f"{position}.jpg") for position, number in enumerate(ids)]
    names = ["stop", "yield", "turn"]
    annotations = [box(position, ids[position], category=ids[position]) for position in (2, 0, 1)]
    document = coco(images, annotations, [])
    document["categories"] = [{"id": number, "name": name} for number, name in zip(ids, names, strict=True)]

    done = ingest(secondlook, tmp_path, document, classes=names)

    found = {number: (Path(row["image_path"]).name, row["given"]) for number, row in done.rows.items()}
    assert found == {"0": ("0.jpg", "stop"), "1": ("1.jpg", "yield"), "2": ("2.jpg", "turn")}


@pytest.mark.parametrize(
    ("wording", "expected"),
    [
        pytest.param("stop", "stop", id="the class itself"),
        pytest.param("- Stop Signs", "stop", id="CVAT's leading dash, alias"),
        pytest.param("STOP", "stop", id="case"),
        pytest.param("stop-sign", "stop", id="hyphen"),
        pytest.param("stop_signs", "stop", id="underscore, plural alias"),
        pytest.param("  Stop   sign ", "stop", id="spaces"),
        pytest.param("no stop", "no stop", id="a class that contains another"),
        pytest.param("stopping", None, id="never part of a word"),
        pytest.param("stop sign ahead", None, id="never part of a wording"),
    ],
)
def test_the_label_is_an_attribute_in_any_wording(
    secondlook: Command, tmp_path: Path, wording: str, expected: str | None
) -> None:
    annotations = [box(1, attributes={"Type of Signs": wording, "occluded": False})]
    task = {
        "dataset": {"label_from": "Type of Signs"},
        "classes": {"stop": ["stop sign", "stop signs"], "no stop": []},
        "unknown_labels": "keep_unlabelled",
    }

    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], annotations, ["Octagon"]), **task)

    row = done.rows["1"]
    assert (row["given_raw"], row["given"]) == (wording, expected)
    assert dict(row["attributes"]) == {"Type of Signs": wording, "occluded": "False", "category": "Octagon"}
    task["unknown_labels"] = "reject"
    assert len(
        ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], annotations, ["Octagon"]), **task).rows
    ) == (1 if expected else 0)


@pytest.mark.parametrize(
    "attributes", [{}, {"kind": None}, {"kind": " "}, None], ids=["not there", "null", "empty", "no attributes"]
)
def test_an_object_without_the_label_attribute_is_kept_without_a_label(
    secondlook: Command, tmp_path: Path, attributes: Any
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1, attributes=attributes)], ["stop"])

    done = ingest(secondlook, tmp_path, document, dataset={"label_from": "kind"})

    assert (done.rows["1"]["given_raw"], done.rows["1"]["given"]) == (None, None)


@pytest.mark.parametrize(
    ("select", "kept"),
    [
        pytest.param({}, {1, 2, 3, 4}, id="everything"),
        pytest.param({"categories": ["circle"]}, {1, 2}, id="one category, other case"),
        pytest.param({"categories": ["Circ"]}, set(), id="part of a name selects nothing"),
        pytest.param({"labels": ["Stop"]}, {1, 3}, id="one label"),
        pytest.param({"categories": ["Circle"], "labels": ["stop"]}, {1}, id="category and label"),
        pytest.param({"skip": [{"label": "stop"}]}, {2, 4}, id="skip a label"),
        pytest.param({"skip": [{"category": "Square"}]}, {1, 2}, id="skip a category"),
        pytest.param({"skip": [{"label": "stop", "category": "Square"}]}, {1, 2, 4}, id="skip both together"),
        pytest.param({"skip": [{"label": "stop"}, {"category": "Square"}]}, {2}, id="skip either"),
    ],
)
def test_the_selection_takes_whole_names_and_does_not_count_as_refusal(
    secondlook: Command, tmp_path: Path, select: dict[str, Any], kept: set[int]
) -> None:
    kinds = [(1, "stop"), (1, "yield"), (2, "stop"), (2, "yield")]
    annotations = [
        box(number, category=category, attributes={"kind": kind})
        for number, (category, kind) in enumerate(kinds, start=1)
    ]
    document = coco([coco_image(tmp_path, 1)], annotations, ["Circle", "Square"])

    done = ingest(
        secondlook,
        tmp_path,
        document,
        dataset={"label_from": "kind"},
        select=select,
        options="{max_reject_fraction: 0}",
    )

    assert done.result.code == (0 if kept else 1)
    assert set(map(int, done.rows)) == kept
    assert done.reasons == {str(number): "not_selected" for number in {1, 2, 3, 4} - kept}


def test_sizes_and_boxes_are_those_of_the_turned_image(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "turned.jpg", exif=exif)
    images = [{"id": 1, "file_name": "turned.jpg", "width": 48, "height": 64}]

    done = ingest(secondlook, tmp_path, coco(images, [box(1, bbox=[0, 50, 48, 14])], ["stop"]))

    row = done.rows["1"]
    assert (row["width"], row["height"], row["y"], row["h"]) == (48, 64, 50, 14)


def test_texts_that_are_not_utf8_are_shown_as_escapes(secondlook: Command, tmp_path: Path) -> None:
    annotations = [box(1, attributes={"note": "gew@hren"}), box(2, category=2)]
    document = (
        json.dumps(coco([coco_image(tmp_path, 1)], annotations, ["stop", "gew@hren"])).encode().replace(b"@", b"\xe4")
    )

    done = ingest(secondlook, tmp_path, document, options=ANY)

    assert dict(done.rows["1"]["attributes"]) == {"note": "gew\\udce4hren"}
    assert done.reasons == {"2": "unknown_class"}


def test_a_byte_order_mark_is_no_error(secondlook: Command, tmp_path: Path) -> None:
    document = b"\xef\xbb\xbf" + json.dumps(coco([coco_image(tmp_path, 1)], [box(1)], ["stop"])).encode()

    assert list(ingest(secondlook, tmp_path, document).rows) == ["1"]


TRUTH_ROWS = [
    pytest.param("source_id,label\n1,yield\n", {"1": "yield", "2": None}, id="some objects"),
    pytest.param("label,source_id\nYield,2\nstop,1\n", {"1": "stop", "2": "yield"}, id="any order, any wording"),
    pytest.param("\ufeffsource_id,label\n1,stop\n", {"1": "stop", "2": None}, id="as Excel writes it"),
    pytest.param("source_id,label\n1,stop\n2,tree\n", ":3: needs", id="a class that is none"),
    pytest.param("source_id,label\n\n1,stop\n2,\n", ":4: needs", id="no class, after an empty line"),
    pytest.param("source_id,label\n,stop\n", ":2: needs", id="no source id"),
    pytest.param("source_id, label\n 1 ,stop \n", {"1": "stop", "2": None}, id="blanks at the ends"),
    pytest.param("source_id,label\n1,stop\n1,yield\n", ":3: `1` is listed above as `stop`", id="two truths for one"),
    pytest.param("source_id,label\n1,stop\n1,stop\n", {"1": "stop", "2": None}, id="one truth told twice"),
    pytest.param('source_id,label\n1,"stop\n2,yield\n', ":2: the quote that opens here", id="a quote left open"),
    pytest.param("source_id,label,label\n1,stop,yield\n", ":1: has 2 columns `label`", id="two columns of one name"),
    pytest.param("source_id,label\n1,no, stop\n", ":2: has 3 cells", id="a comma without quotes"),
    pytest.param("id,class\n1,stop\n", ":2: needs", id="other columns"),
    pytest.param(None, "cannot be read", id="no such file"),
]


@pytest.mark.parametrize(("text", "expected"), TRUTH_ROWS)
def test_the_truth_is_a_csv(secondlook: Command, tmp_path: Path, text: str | None, expected: Any) -> None:
    truth = tmp_path / "truth.csv"
    if text is not None:
        truth.write_text(text, encoding="utf-8")
    document = coco([coco_image(tmp_path, 1)], [box(1), box(2)], ["stop"])

    done = ingest(secondlook, tmp_path, document, dataset={"truth": str(truth)})

    if isinstance(expected, str):
        assert done.result.code == 1
        assert str(truth) + (expected if expected.startswith(":") else "") in done.result.err
        assert expected in done.result.err
        assert len(done.result.err.splitlines()) == 1
    else:
        assert {number: row["truth"] for number, row in done.rows.items()} == expected


def test_a_rehearsal_makes_about_the_share_wrong_whatever_the_order(secondlook: Command, tmp_path: Path) -> None:
    image = coco_image(tmp_path, 1)
    annotations = [box(number, category=1 + number % 2) for number in range(1, 401)]
    task = {"classes": ["stop", "yield", "turn"], "rehearsal": {"wrong_fraction": 0.25, "seed": 3}}
    runs = [
        ingest(secondlook, tmp_path, coco([image], order, ["stop", "yield"]), **task).rows
        for order in (annotations, annotations[::-1])
    ]

    assert runs[0] == runs[1]
    assert all(row["truth"] == ["stop", "yield"][int(number) % 2] for number, row in runs[0].items())
    wrong = [row["given"] for row in runs[0].values() if row["given"] != row["truth"]]
    assert 70 <= len(wrong) <= 130  # 100 expected, four standard deviations are 35
    assert set(wrong) == {"stop", "yield", "turn"}
    task["rehearsal"] = {"wrong_fraction": 0.25, "seed": 4}
    other = ingest(secondlook, tmp_path, coco([image], annotations, ["stop", "yield"]), **task).rows
    assert {number for number in other if other[number]["given"] != runs[0][number]["given"]}


def test_the_own_reference_takes_whole_images(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number, width=32, height=32) for number in range(60)]
    annotations = [box(3 * number + part, number) for number in range(60) for part in range(3)]

    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]), reference={"own_fraction": 0.4})

    kept, trusted = read_rows(done.out), read_rows(done.reference)
    assert len(kept) + len(trusted) == 180
    assert not {row["image_id"] for row in kept} & {row["image_id"] for row in trusted}
    assert 12 <= len(trusted) / 3 <= 36
    assert {row["split"] for row in kept} == {"dataset"}
    assert {(row["split"], row["truth"], row["shard"]) for row in trusted} == {("reference", "stop", 0)}


def test_shards_split_by_image(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number, width=32, height=32) for number in range(40)]
    annotations = [box(2 * number + part, number) for number in range(40) for part in range(2)]

    rows = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]), options="{shards: 4}").rows.values()

    assert {row["shard"] for row in rows} == {0, 1, 2, 3}
    assert len({(row["image_id"], row["shard"]) for row in rows}) == 40


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        pytest.param((), ["00000", "00001", "00002", "00003"], id="all that ingest was told of"),
        pytest.param(("--first", 1, "--count", 2), ["00001", "00002"], id="some"),
        pytest.param(("--first", 3, "--count", 3), ["00003", "00004", "00005"], id="beyond the last: without rows"),
    ],
)
def test_split_writes_the_rows_of_each_shard(
    secondlook: Command, tmp_path: Path, arguments: tuple[Any, ...], names: list[str]
) -> None:
    images = [coco_image(tmp_path, number, width=32, height=32) for number in range(40)]
    document = coco(images, [box(number, number) for number in range(40)], ["stop"])
    done = ingest(secondlook, tmp_path, document, options="{shards: 4}")

    assert secondlook("split", done.out, "--out", tmp_path / "some", *arguments).code == 0

    files = sorted((tmp_path / "some").iterdir())
    assert [path.stem for path in files] == names
    whole = read_rows(done.out)
    for path in files:
        assert read_rows(path) == [row for row in whole if row["shard"] == int(path.stem)]
        assert int(path.stem) > 3 or path.read_bytes() == (done.shards / path.name).read_bytes()


def test_reference_folders_become_trusted_objects(secondlook: Command, tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    for name in ("Stop-Signs/deep/1.png", "Stop-Signs/2.JPG", "yield/3.png", "tree/4.png"):
        write_image(folder / name, width=20, height=30)
    (folder / "yield" / "notes.txt").write_text("no image")
    (folder / "yield" / "5.png").write_bytes(b"no image")
    sources = [{"format": "folders", "path": str(folder)}]

    done = ingest(
        secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1)], ["stop"]), options=ANY,
        classes={"stop": ["stop signs"], "yield": []}, reference={"sources": sources},
    )  # fmt: skip

    found = {row["source_id"]: (row["truth"], row["w"], row["h"]) for row in read_rows(done.reference)}
    expected = {"Stop-Signs/deep/1.png": "stop", "Stop-Signs/2.JPG": "stop", "yield/3.png": "yield"}
    assert found == {name: (label, 20, 30) for name, label in expected.items()}
    assert done.reasons == {"tree/4.png": "unknown_class", "yield/5.png": "unreadable_image"}
    assert list(done.rows) == ["1"]


def test_class_folders_need_no_task_file(secondlook: Command, tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.png"):
        write_image(tmp_path / "data" / name)
    bad = os.fsencode(tmp_path / "data" / "b") + b"/caf\xe9.jpg"
    shutil.copy(tmp_path / "data" / "a" / "1.jpg", bad)
    out, rejects = tmp_path / "out.parquet", tmp_path / "rejects.parquet"

    result = secondlook("ingest", tmp_path / "data", "--out", out, "--rejects", rejects, "--options", ANY)

    assert result.code == 0, result.err
    assert {row["source_id"]: row["given"] for row in read_rows(out)} == {
        "a/1.jpg": "a",
        "a/2.jpg": "a",
        "b/3.png": "b",
    }
    assert [row["reason"] for row in read_rows(rejects)] == ["bad_name"]


EMPTY = {"images": [], "annotations": [], "categories": []}
UNUSABLE = [
    pytest.param("a.json", json.dumps(EMPTY), "no object is left in the dataset", id="no annotations"),
    pytest.param("a.json", "", ":1: is not valid JSON", id="empty file"),
    pytest.param("a.json", '{"images": [],\n"annotations": [}\n', "a.json:2: is not valid JSON", id="broken JSON"),
    pytest.param("a.json", "[" * 100_000, "nested too deeply", id="brackets without end"),
    pytest.param(
        "a.json", '{"images": [], "annotations": [{"segmentation": ' + "[" * 100_000, "deeply", id="deep mask"
    ),
    pytest.param("a.json", "[1, 2]", "its format was not recognised (its keys are", id="a list"),
    pytest.param("a.json", '{"images": []}', "has no list `annotations`", id="no annotations key"),
    pytest.param("a.json", '{"images": {}, "annotations": []}', "has no list `images`", id="images is no list"),
    pytest.param("a.json", None, "no such file or folder", id="no such file"),
    pytest.param("folder", None, "no such file or folder", id="no such folder"),
    pytest.param("a.txt", "hello", "its format was not recognised", id="another format"),
    pytest.param(
        "folder/file.txt", "hello", "its format was not recognised (1 .txt)", id="a folder without class folders"
    ),
    pytest.param("folder/a/file.txt", "hello", "was not recognised (1 .txt, in a/)", id="class folders without images"),
]


@pytest.mark.parametrize(("name", "content", "message"), UNUSABLE)
def test_an_unusable_dataset_is_one_clear_sentence(
    secondlook: Command, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    path = tmp_path / Path(name).parts[0]

    result = secondlook("ingest", path, "--out", tmp_path / "out.parquet")

    said = [line for line in result.err.splitlines() if not line.startswith("ingest:")]
    assert result.code == 1
    assert len(said) == 1
    assert message in said[0]
    assert str(path) in said[0] or "no object" in message
    assert not (tmp_path / "out.parquet").exists()


def test_a_broken_image_of_any_kind_is_a_row(secondlook: Command, tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    names = [f"{ending}{share}.{ending}" for ending in ("jpg", "png") for share in (0, 10, 50, 99)]
    (tmp_path / "images").mkdir()
    for name in names:
        encoded = cv2.imencode(name[-4:], whole)[1].tobytes()
        (tmp_path / "images" / name).write_bytes(encoded[: len(encoded) * int(name[3:-4]) // 100])
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    document = coco([*images, coco_image(tmp_path, 99)], [box(number, number) for number in (*range(8), 99)], ["stop"])

    done = ingest(secondlook, tmp_path, document, options=ANY)

    assert done.reasons == {str(number): "unreadable_image" for number in range(8)}
    assert list(done.rows) == ["99"]


def test_a_long_trailer_behind_a_whole_image_is_no_cut(secondlook: Command, tmp_path: Path) -> None:
    image = coco_image(tmp_path, 1)
    with (tmp_path / "images" / "1.jpg").open("ab") as file:
        file.write(bytes(10_000))

    assert list(ingest(secondlook, tmp_path, coco([image], [box(1)], ["stop"])).rows) == ["1"]


def _disc() -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:48, :64]
    return np.asfortranarray(((x - 30) ** 2 + (y - 20) ** 2 < 150).astype(np.uint8))


def _runs() -> list[int]:
    flat = _disc().ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return [int(run) for run in np.diff([0, *edges, flat.size])]


POLYGONS = [[10.5, 5, 40, 8, 30.25, 40], [45, 30, 60, 30, 60, 44, 45, 44]]
COMPRESSED = {**coco_mask.encode(_disc()), "counts": coco_mask.encode(_disc())["counts"].decode()}


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        pytest.param(POLYGONS, coco_mask.merge(coco_mask.frPyObjects(POLYGONS, 48, 64)), id="polygons"),
        pytest.param(COMPRESSED, coco_mask.encode(_disc()), id="compressed RLE"),
        pytest.param({"size": [48, 64], "counts": _runs()}, coco_mask.encode(_disc()), id="RLE of numbers"),
    ],
)
@pytest.mark.parametrize("broken_elsewhere", [False, True], ids=["sound file", "item by item"])
def test_masks_become_the_same_rle(
    secondlook: Command, tmp_path: Path, segmentation: Any, expected: Any, broken_elsewhere: bool
) -> None:
    annotations = [box(1, segmentation=segmentation)] + [box(2, bbox=[NAN, 0, 1, 1])] * broken_elsewhere
    images = [coco_image(tmp_path, 1)]

    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]), options=ANY)

    found = {**done.rows["1"]["segmentation"]}
    assert coco_mask.iou([found], [expected], [0])[0, 0] == 1.0


def test_two_runs_in_two_folders_give_the_same_bytes(secondlook: Command, tmp_path: Path, monkeypatch: Any) -> None:
    images = [coco_image(tmp_path, number) for number in range(5)]
    annotations = [box(number, number % 5, bbox=[number, 0, number % 3, 9]) for number in range(40)]
    places = []
    for name in ("one", "two"):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "images", folder / "images")
        write_json(folder / "data.json", coco(images, annotations, ["stop"]))
        monkeypatch.chdir(folder)
        result = secondlook("ingest", "data.json", "--out", "i.parquet", "--rejects", "r.parquet", "--options", ANY)
        assert result.code == 0
        places.append(folder)
    for name in ("i.parquet", "r.parquet"):
        assert len({(place / name).read_bytes() for place in places}) == 1
    assert Counter(row["reason"] for row in read_rows(places[0] / "r.parquet")) == {"empty_box": 14}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "give either", id="neither path nor task"),
        pytest.param(["a.json", "--task", "t.yaml"], "give either", id="both"),
        pytest.param(["a.json", "--format", "dicom"], "'coco', 'objects365'", id="unknown format"),
        pytest.param(["a.json", "--options", "{shard: 2}"], "did you mean `shards`", id="unknown option"),
        pytest.param(["--task", "t.yaml"], "t.yaml: cannot be read", id="no task file"),
    ],
)
def test_a_wrong_command_line_is_2(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = secondlook("ingest", *arguments)

    assert result.code == 2
    assert message in result.err


def test_no_traceback_reaches_the_user(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "secondlook", "ingest", str(tmp_path / "none.json")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.real
@pytest.mark.parametrize(
    ("annotations", "images", "label_from", "counts"),
    [
        pytest.param(
            "gtsdb/instances_default.json", "gtsdb/images", "Type of Signs",
            {"- others": 184, "- speed limit signs": 128, "- yield signs": 20, "- stop signs": 16},
            id="gtsdb",
        ),
        pytest.param(
            "cvat_urban/instances_default.json", "cvat_urban/frames", None,
            {"Car": 1153, "Pedestrian": 400, "Tram": 100},
            id="cvat_urban",
        ),
        pytest.param(
            "roboflow_coco/valid/_annotations.coco.json", None, None,
            {"roadobjects": 0},  # the root category has no objects; half of the images are not here
            id="roboflow_coco",
        ),
    ],
)  # fmt: skip
def test_real_datasets_come_in_whole(
    secondlook: Command, shared_data: Path, tmp_path: Path, annotations: str, images: str | None,
    label_from: str | None, counts: dict[str, int],
) -> None:  # fmt: skip
    out, rejects = tmp_path / "out.parquet", tmp_path / "rejects.parquet"
    arguments = [] if images is None else ["--images", shared_data / images]
    arguments += [] if label_from is None else ["--label-from", label_from]

    result = secondlook(
        "ingest", shared_data / annotations, *arguments, "--out", out, "--rejects", rejects, "--options", ANY
    )

    assert result.code == 0, result.err
    document = json.loads((shared_data / annotations).read_text())
    folder = shared_data / images if images else (shared_data / annotations).parent
    there = {entry["id"]: (folder / entry["file_name"]).is_file() for entry in document["images"]}
    rows, refused = read_rows(out), read_rows(rejects)
    assert len(rows) == sum(there[entry["image_id"]] for entry in document["annotations"])
    assert len(rows) + len(refused) == len(document["annotations"])
    assert {row["reason"] for row in refused} <= {"missing_image"}
    found = Counter(row["given_raw"] for row in rows)
    assert all(found[name] == count for name, count in counts.items())
    masks = {str(entry["id"]): entry["segmentation"] for entry in document["annotations"]}
    assert all((row["segmentation"] is not None) == bool(masks[row["source_id"]]) for row in rows)

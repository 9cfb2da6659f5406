"""Objects go to CVAT or Label Studio and come back: what people did to each box is told, and nothing is dropped."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Command, Result, coco, write_image, write_json
from make_records import Rows, read_rows, write, write_decisions
from make_results import CLASSES, Made, make_results
from returned_files import (
    FORMATS,
    Drawn,
    Format,
    Work,
    annotation,
    from_cvat,
    from_labelstudio,
    write_coco,
    write_tasks,
    write_xml,
)
from secondlook.io import records
from secondlook.stages.review.matching import iou
from secondlook.stages.review.returned import Came, Sent, compare

URBAN = ("Car", "Pedestrian", "Tram")
EDITED = 50  # objects of each kind


def write_queue(results: Path, rows: Rows, classes: Any = CLASSES) -> Path:
    """Write the queue; a row needs `instance_id`."""
    default = {"sample": "queue", "probability": None, "benefit": 0.5, "reason": "the committee is unsure"}
    filled = [{**default, "rank": rank, "group": row["instance_id"], **row} for rank, row in enumerate(rows)]
    path = results / "review" / "queue.parquet"
    write(path, records.to_table(filled, records.QUEUE), records.QUEUE, classes, {"stage": "review"})
    return path


def small(folder: Path, *, audit: bool = False) -> Made:
    """Make a task: three objects on a.jpg, of which the first two are queued, and one on b.jpg, drawn at random."""
    boxes = {"o0000": (2, 2, 20, 20), "o0001": (30, 4, 16, 12), "o0002": (4, 28, 12, 16), "o0003": (10, 10, 20, 20)}
    objects = [
        {"given": "stop", "label": "yield", "p": 0.6, "action": "review", "image_id": image, "box": box}
        for image, box in zip("aaab", boxes.values(), strict=True)
    ]
    made = make_results(folder, objects)
    random = {"sample": "random", "probability": 0.25, "reason": "random sample"}
    about = [{}, {}, {**random, "sample": "audit", "probability": None} if audit else random]
    queued = ("o0000", "o0001", "o0003")
    proposals = ("yield", None, "turn" if audit else "yield")
    rows = [
        {"instance_id": name, "proposal": proposal, **more}
        for name, proposal, more in zip(queued, proposals, about, strict=True)
    ]
    if audit:
        rows.append({"instance_id": "o0002", "proposal": "yield", **random})
    write_queue(made.results, rows)
    return made


def export_to(secondlook: Command, tool: str, results: Path, out: Path, *more: object) -> Path:
    result = secondlook("review", "export-to", tool, results, "--out", out, *more)
    assert result.code == 0, result.err
    return out


def import_from(secondlook: Command, tool: str, file: Path, results: Path, *more: object) -> Result:
    out = results.parent / "back"
    shutil.rmtree(out, ignore_errors=True)
    return secondlook(
        "review", "import-from", tool, file, "--results", results, "--out", out, "--reviewer", "ann", *more
    )


def changes(results: Path) -> pd.DataFrame:
    return pd.read_csv(results.parent / "back" / "changes.csv", dtype=str, keep_default_na=False)


def decisions(results: Path) -> pd.DataFrame:
    return pd.read_csv(results.parent / "back" / "decisions.csv", dtype=str, keep_default_na=False)


def apply(secondlook: Command, results: Path) -> Rows:
    """Bring the decisions back as the workflow does; none may be unmatched."""
    out = results.parent / "reviewed.parquet"
    instances = results / "ingest" / "instances.parquet"
    result = secondlook(
        "review", "--apply", results.parent / "back" / "decisions.csv", "--instances", instances, "--out", out
    )
    assert result.code == 0, result.err
    assert " 0 rows that match no object" in result.err
    return read_rows(out)


# --- what goes out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["cvat", "labelstudio"])
def test_only_the_queue_goes_out_with_the_proposals_as_labels(secondlook: Command, tmp_path: Path, tool: str) -> None:
    made = small(tmp_path)
    out = export_to(secondlook, tool, made.results, tmp_path / "out")
    work = (from_cvat if tool == "cvat" else from_labelstudio)(out)
    assert {one.id: one.label for one in work.boxes} == {
        "o0000": "yield",
        "o0001": "unlabelled" if tool == "cvat" else None,
        "o0003": "yield",
    }
    own = {name: value for name, value in work.boxes[0].attributes.items() if name not in {"occluded"}}
    own = {name: value for name, value in own.items() if value not in {"", None}}
    assert {name: str(value) for name, value in own.items()} == {
        "secondlook_id": "o0000",
        "secondlook_batch": next((made.results / "sent").glob("*")).stem,
        "secondlook_proposal": "yield",
        "secondlook_posterior": "0.6",
        "secondlook_queue_reason": "the committee is unsure",
        "secondlook_sample": "queue",
        "secondlook_vote_sure": "yield",
        "secondlook_confidence_sure": "0.6",
        "secondlook_vote_bare": "yield",
    }


def test_all_objects_go_out_if_asked(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    work = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out", "--all"))
    assert {one.id: one.label for one in work.boxes} == {
        "o0000": "yield",
        "o0001": "unlabelled",
        "o0002": "stop",  # not queued: the label that stands
        "o0003": "yield",
    }


@pytest.mark.parametrize("tool", ["cvat", "labelstudio"])
def test_an_audit_cannot_be_told_from_the_random_sample(secondlook: Command, tmp_path: Path, tool: str) -> None:
    made = small(tmp_path, audit=True)
    out = export_to(secondlook, tool, made.results, tmp_path / "out")
    boxes = {one.id: one for one in (from_cvat if tool == "cvat" else from_labelstudio)(out).boxes}
    audit, random = boxes["o0003"], boxes["o0002"]
    assert (audit.label, random.label) == ("turn", "yield"), "the wrong proposal is proposed"
    differ = {"secondlook_id", "secondlook_proposal"}
    assert {k: v for k, v in audit.attributes.items() if k not in differ} == {
        k: v for k, v in random.attributes.items() if k not in differ
    }
    assert "audit" not in (out / ("annotations.json" if tool == "cvat" else "tasks.json")).read_text()


def test_the_same_goes_out_again_as_the_same_bytes(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    first = export_to(secondlook, "labelstudio", made.results, tmp_path / "a")
    sent = {path.name: path.read_bytes() for path in (made.results / "sent").iterdir()}
    second = export_to(secondlook, "labelstudio", made.results, tmp_path / "b", "--image-prefix", "s3://bucket/")
    assert {path.name: path.read_bytes() for path in (made.results / "sent").iterdir()} == sent
    text = (first / "tasks.json").read_text().replace("/data/local-files/?d=", "s3://bucket/")
    assert (second / "tasks.json").read_text() == text


# --- what comes back: a real dataset -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def urban_source(shared_data: Path) -> Path:
    return shared_data / "cvat_urban"


def make_urban(secondlook: Command, folder: Path, source: Path) -> Path:
    """Make results of all 1,653 boxes of a real CVAT export, each of them queued; some are audits."""
    results = folder / "urban"
    instances = results / "ingest" / "instances.parquet"
    instances.parent.mkdir(parents=True)
    read = secondlook("ingest", source / "instances_default.json", "--images", source / "frames", "--out", instances)
    assert read.code == 0, read.err
    rows = read_rows(instances)
    decided = [
        {"instance_id": row["instance_id"], "given": row["given"], "label": row["given"], "action": "keep"}
        | {"posterior": [float(row["given"] == name) for name in URBAN]}
        for row in rows
    ]
    write_decisions(results / "consensus" / "consensus.parquet", decided, list(URBAN))
    queue = []
    for place, row in enumerate(rows):
        sample = "audit" if place % 100 == 3 else "random" if place % 5 == 0 else "queue"
        other = URBAN[(URBAN.index(row["given"]) + 1) % len(URBAN)]
        proposal = other if sample == "audit" or place % 10 == 1 else row["given"]
        drawn = {"probability": 0.2 if sample == "random" else None}
        queue.append({"instance_id": row["instance_id"], "sample": sample, "proposal": proposal, **drawn})
    write_queue(results, queue, URBAN)
    return results


def edited(work: Work, seed: int) -> tuple[Work, dict[str, tuple[str, str]], dict[str, int]]:
    """Do 50 edits of each kind; return what is left, each object's kind and how it is matched, and the new boxes."""
    random = np.random.default_rng(seed)
    order = [work.boxes[place] for place in random.permutation(len(work.boxes))]
    kinds = ("moved", "deleted", "relabelled", "moved_relabelled", "no id", "other id", "no id, relabelled", "copied")
    batches = {kind: order[place * EDITED : (place + 1) * EDITED] for place, kind in enumerate(kinds)}
    untouched = order[len(kinds) * EDITED :]
    known = {one.id: ("unchanged", "id") for one in order}
    kept = list(untouched)
    for kind, boxes in batches.items():
        for one in boxes:
            away = one.moved(*random.uniform(3, 9, 2), *random.uniform(0, 5, 2))
            if kind == "deleted":
                known[one.id] = ("deleted", "")
            elif kind in {"no id", "other id"}:
                known[one.id] = ("unchanged", "place")
                kept.append(one.with_id(None if kind == "no id" else "f00"))
            elif kind == "no id, relabelled":
                known[one.id] = ("relabelled", "place")
                kept.append(other_class(one).with_id(None))
            elif kind == "copied":  # CVAT pastes with all attributes
                kept += [one, one.moved(60, 40)]
            else:
                known[one.id] = (kind, "id")
                box = away if "moved" in kind else one
                kept.append(other_class(box) if "relabelled" in kind else box)
    free = [one for kind in ("deleted", "no id", "other id", "no id, relabelled") for one in batches[kind]]
    drawn = []
    while len(drawn) < EDITED:
        image = order[random.integers(len(order))].image
        box = Drawn(image, (*random.uniform(0, 400, 2), *random.uniform(20, 80, 2)), "Tram")
        if all(iou(box.box, one.box) < 0.4 for one in free if one.image == image):
            drawn.append(box)
    kept += drawn
    return replace(work, boxes=[kept[place] for place in random.permutation(len(kept))]), known, {"drawn": EDITED}


def other_class(one: Drawn) -> Drawn:
    return one.labelled(URBAN[(URBAN.index(str(one.label)) + 1) % len(URBAN)])


@pytest.mark.real
@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_edits_of_a_real_dataset_are_recognised_exactly(
    secondlook: Command, tmp_path: Path, urban_source: Path, kind: Format
) -> None:
    results = make_urban(secondlook, tmp_path, urban_source)
    handed_over = kind.read(export_to(secondlook, kind.tool, results, tmp_path / "out"))
    assert len({one.id for one in handed_over.boxes}) == 1653
    work, known, _ = edited(handed_over, seed=len(kind.name))
    file = kind.write(tmp_path / kind.name, work)

    result = import_from(secondlook, kind.tool, file, results, "--untouched", "unseen")

    assert result.code == 0, result.err
    rows = changes(results)
    objects = rows[rows["instance_id"] != ""]
    assert len(objects) == 1653, "1,653 ids back"
    found = dict(zip(objects["instance_id"], zip(objects["kind"], objects["matched_by"], strict=True), strict=True))
    assert found == known
    assert Counter(rows["kind"]) == {
        "unchanged": 1653 - 5 * EDITED,
        **dict.fromkeys(("moved", "deleted", "moved_relabelled"), EDITED),
        "relabelled": 2 * EDITED,
        "new": 2 * EDITED,
    }
    copies = rows[rows["reason"].str.startswith("a copy of ")]
    assert len(copies) == EDITED
    assert set(copies["kind"]) == {"new"}
    assert f"of 1653 objects that were sent: {EDITED} deleted, {EDITED} moved, {EDITED} moved relabelled" in result.err
    apply(secondlook, results)


@pytest.mark.real
@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_what_nobody_edited_comes_back_as_it_was(
    secondlook: Command, tmp_path: Path, urban_source: Path, kind: Format
) -> None:
    results = make_urban(secondlook, tmp_path, urban_source)
    work = kind.read(export_to(secondlook, kind.tool, results, tmp_path / "out"))

    result = import_from(
        secondlook, kind.tool, kind.write(tmp_path / kind.name, work), results, "--untouched", "accepted"
    )

    assert result.code == 0, result.err
    assert Counter(changes(results)["kind"]) == {"confirmed": 1653}
    queued = {row["instance_id"]: row for row in read_rows(results / "review" / "queue.parquet")}
    told = decisions(results)
    assert {row.instance_id: row.label for row in told.itertuples()} == {
        name: row["proposal"] for name, row in queued.items()
    }
    assert {row.instance_id: row.sample for row in told.itertuples()} == {
        name: row["sample"] for name, row in queued.items()
    }, "what is an audit is known again"
    reviewed = apply(secondlook, results)
    audits = sum(row["sample"] == "audit" for row in queued.values())
    assert len(reviewed) == 1653 - audits
    assert {row["probability"] for row in reviewed if row["sample"] == "random"} == {0.2}


# --- what comes back: odd cases ----------------------------------------------------------------------------------

FIRST, SECOND, THIRD = "o0000", "o0001", "o0003"  # yield; without a label; yield, on another image, drawn at random
Found = list[tuple[str, str, str]]  # kind, object, decision


def by_id(work: Work, name: str) -> Drawn:
    return next(one for one in work.boxes if one.id == name)


def swapped(work: Work, name: str, *new: Drawn) -> Work:
    """Return the work with other boxes instead of one."""
    return replace(work, boxes=[*(one for one in work.boxes if one.id != name), *new])


def told(results: Path) -> Found:
    rows = changes(results)
    return sorted(zip(rows["kind"], rows["instance_id"], rows["decision"], strict=True))


AS_SENT = {name: ("unchanged", name, "") for name in (FIRST, SECOND, THIRD)}


def but(*found: tuple[str, str, str]) -> Found:
    """Return what is told of the objects as they were sent, but for some."""
    names = {name for _, name, _ in found}
    return sorted([*(one for name, one in AS_SENT.items() if name not in names), *found])


def renamed(work: Work, names: Callable[[str], str]) -> Work:
    """Return the work with other names of images."""
    sizes = {names(name): size for name, size in work.sizes.items()}
    return replace(work, sizes=sizes, boxes=[replace(one, image=names(one.image)) for one in work.boxes])


CASES: dict[str, tuple[Callable[[Work], Work], Found, str]] = {
    "relabelled": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).labelled("stop")),
        but(("relabelled", FIRST, "stop")),
        "",
    ),
    "an alias in other letters is the class": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).labelled("YIELD")),
        but(),
        "",
    ),
    "a class of no task": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).labelled("zebra")),
        but(("relabelled", FIRST, "")),
        "no decision: `zebra` is no class of this task",
    ),
    "the label unlabelled: cannot tell": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).labelled(None)),
        but(("relabelled", FIRST, "cannot tell")),
        "",
    ),
    "an unlabelled object gets a label": (
        lambda work: swapped(work, SECOND, by_id(work, SECOND).labelled("turn")),
        but(("relabelled", SECOND, "turn")),
        "",
    ),
    "moved: its label is still that of the object": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).moved(4, 3)),
        but(("moved", FIRST, "yield")),
        "",
    ),
    "half a pixel is no move": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).moved(0.4, -0.4, 0.3)),
        but(),
        "",
    ),
    "dragged to another place: no decision": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).moved(35, 20).labelled("turn")),
        but(("moved_relabelled", FIRST, "")),
        "no decision: the box lies too far from the one that was sent",
    ),
    "deleted": (lambda work: swapped(work, FIRST), but(("deleted", FIRST, "")), ""),
    "all boxes of an image deleted": (lambda work: swapped(work, THIRD), but(("deleted", THIRD, "")), ""),
    "drawn by a person": (
        lambda work: replace(work, boxes=[*work.boxes, Drawn(work.boxes[0].image, (40, 30, 9, 9), "stop")]),
        but(("new", "", "")),
        "",
    ),
    "drawn on an object that was not sent": (
        lambda work: replace(work, boxes=[*work.boxes, Drawn(by_id(work, FIRST).image, (4, 28, 12, 15), "stop")]),
        but(("new", "", "")),
        "it lies on o0002, an object of the dataset that was not handed over",
    ),
    "without its id": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).with_id(None).labelled("turn")),
        but(("relabelled", FIRST, "turn")),
        "it came back without its id",
    ),
    "with another id": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).with_id("mine").labelled("turn")),
        but(("relabelled", FIRST, "turn")),
        "it came back with the id mine",
    ),
    "without its id, and moved too far to be sure": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).with_id(None).moved(4, 0)),
        but(("moved", FIRST, "")),
        "it came back without its id; no decision: the box lies too far from the one that was sent",
    ),
    "without its id, and moved away: deleted and new": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).with_id(None).moved(30, 20)),
        but(("deleted", FIRST, ""), ("new", "", "")),
        "",
    ),
    "a copy: the nearest one is the object": (
        lambda work: replace(work, boxes=[by_id(work, FIRST).moved(30, 20).labelled("turn"), *work.boxes]),
        but(("new", "", "")),
        "a copy of o0000",
    ),
    "a copy, and the object itself was moved": (
        lambda work: swapped(work, FIRST, by_id(work, FIRST).moved(30, 20), by_id(work, FIRST).moved(1, 1)),
        but(("moved", FIRST, "yield"), ("new", "", "")),
        "a copy of o0000",
    ),
    "two ids were exchanged: each box is where one was": (
        lambda work: swapped(swapped(work, FIRST), SECOND, by_id(work, FIRST), by_id(work, SECOND).with_id(FIRST)),
        but(("unchanged", SECOND, "")),
        "it came back with the id o0000",
    ),
    "pasted on another image": (
        lambda work: replace(work, boxes=[*work.boxes, replace(by_id(work, FIRST), image=by_id(work, THIRD).image)]),
        but(("new", "", "")),
        "its id o0000 is that of no object handed over on this image",
    ),
    "other folders in the names of images": (lambda work: renamed(work, lambda name: f"job/7/{name}"), but(), ""),
    "other endings of images": (lambda work: renamed(work, lambda name: f"{name.removesuffix('.jpg')}.PNG"), but(), ""),
    "the hash of an upload before the names": (lambda work: renamed(work, lambda name: f"3f2a91bc-{name}"), but(), ""),
    "other names: the ids tell which images they mean": (
        lambda work: renamed(
            replace(work, boxes=[*work.boxes, Drawn(by_id(work, FIRST).image, (40, 30, 9, 9), "stop")]),
            lambda name: f"frame-{name[-5]}-of-2.jpg",
        ),
        but(("new", "", "")),
        "",
    ),
    "an image of another dataset beside ours": (
        lambda work: Work({**work.sizes, "dog.jpg": (64, 48)}, [*work.boxes, Drawn("dog.jpg", (1, 1, 9, 9), "stop")]),
        but(("unmatched", "", "")),
        "unknown_image: `dog.jpg` is the name of no image that was handed over, or of several",
    ),
    "a box without area": (
        lambda work: replace(work, boxes=[*work.boxes, Drawn(work.boxes[0].image, (40, 30, 0, 9), "stop")]),
        but(("unmatched", "", "")),
        "empty_box",
    ),
    "an object whose box came back without area is not deleted": (
        lambda work: swapped(work, FIRST, replace(by_id(work, FIRST), box=(40, 30, 0, 9))),
        but(("not_returned", FIRST, ""), ("unmatched", "", "")),
        "what came back for it is not used: empty_box",
    ),
    "an object whose box came back as NaN is not deleted": (
        lambda work: swapped(work, FIRST, replace(by_id(work, FIRST), box=(2, 2, math.nan, 9))),
        but(("not_returned", FIRST, ""), ("unmatched", "", "")),
        "what came back for it is not used",
    ),
    "a spoilt copy of an object that came back": (
        lambda work: replace(work, boxes=[*work.boxes, replace(by_id(work, FIRST), box=(40, 30, 0, 9))]),
        but(("unmatched", "", "")),
        "empty_box",
    ),
    "of another batch": (
        lambda work: replace(
            work, boxes=[*work.boxes, Drawn(work.boxes[0].image, (3, 3, 9, 9), "stop", {"secondlook_batch": "b0"})]
        ),
        but(("unmatched", "", "")),
        "it was handed over with the batch b0; import that with --sent",
    ),
    "an image that did not come back": (
        lambda work: Work(
            {name: size for name, size in work.sizes.items() if name != by_id(work, THIRD).image},
            [one for one in work.boxes if one.id != THIRD],
        ),
        but(("not_returned", THIRD, "")),
        "its image is not in the file",
    ),
}


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_people_do_is_told(
    secondlook: Command, tmp_path: Path, case: tuple[Callable[[Work], Work], Found, str], kind: Format
) -> None:
    edit, expected, reason = case
    made = small(tmp_path)
    work = edit(kind.read(export_to(secondlook, kind.tool, made.results, tmp_path / "out")))
    file = kind.write(tmp_path / kind.name, work)

    result = import_from(secondlook, kind.tool, file, made.results, "--untouched", "unseen")

    assert result.code == 0, result.err
    assert told(made.results) == expected
    reasons = "\n".join(changes(made.results)["reason"]).strip()
    assert reason in reasons
    assert bool(reason) == bool(reasons)
    counted = Counter(kind for kind, _, _ in expected)
    for name, count in counted.items():
        assert f"{count} {name.replace('_', ' ')}" in result.err
    assert len(apply(secondlook, made.results)) == sum(bool(decision) for _, _, decision in expected)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        pytest.param({"bbox": [2, 2]}, "bad_coordinates: bbox [2.0, 2.0] has 2 numbers", id="two numbers"),
        pytest.param({"bbox": "here"}, "malformed", id="text"),
        pytest.param({"category_id": 99}, "unknown_class", id="no class of the file"),
        pytest.param({"id": 2}, "duplicate_id", id="the number of another one"),
        pytest.param({"image_id": 99}, "unknown_image", id="on no image of the file"),
    ],
)
def test_what_came_back_and_cannot_be_read_is_not_deleted(
    secondlook: Command, tmp_path: Path, spoilt: dict[str, Any], reason: str
) -> None:
    made = small(tmp_path)
    file = write_coco(tmp_path / "back.json", from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out")))
    document = json.loads(file.read_text(encoding="utf-8"))
    document["annotations"].sort(key=lambda one: one["attributes"]["secondlook_id"] == FIRST)
    document["annotations"][-1] |= spoilt
    write_json(file, document)
    assert import_from(secondlook, "cvat", file, made.results).code == 0
    found = changes(made.results)
    assert found[found["instance_id"] == FIRST]["kind"].tolist() == ["not_returned"]
    assert reason in found[found["instance_id"] == FIRST]["reason"].item()
    assert "deleted" not in set(found["kind"])


# --- shapes, tracks and files of CVAT ----------------------------------------------------------------------------


def shaped(secondlook: Command, folder: Path, **about: Any) -> Path:
    """Make results of one object of COCO with a mask, a rotation or attributes of its own."""
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 6, 20, 16], "area": 320, "iscrowd": 0, **about}
    write_image(folder / "images" / "frame_000003.jpg")
    document = coco([{"id": 1, "file_name": "frame_000003.jpg", "width": 64, "height": 48}], [entry], ["stop", "yield"])
    source = write_json(folder / "annotations.json", document)
    results = folder / "results"
    instances = results / "ingest" / "instances.parquet"
    assert secondlook("ingest", source, "--images", folder / "images", "--out", instances).code == 0
    [row] = read_rows(instances)
    decided = {"instance_id": row["instance_id"], "given": "stop", "label": "stop", "action": "review"}
    write_decisions(results / "consensus" / "consensus.parquet", [{**decided, "posterior": [1.0]}], ["stop"])
    write_queue(results, [{"instance_id": row["instance_id"], "proposal": "stop"}], ["stop"])
    return results


MASK = [[6, 7, 24, 7, 24, 20, 6, 20]]  # its box is 6, 7, 18, 13; that of the annotation is another


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        pytest.param({"bbox": [6, 7, 18, 13], "segmentation": MASK}, "unchanged", id="a polygon with its own box"),
        pytest.param({"bbox": [5, 6, 20, 16], "segmentation": []}, "unchanged", id="a box again, at its place"),
        pytest.param({"bbox": [], "segmentation": MASK}, "unchanged", id="a polygon without a box"),
        pytest.param(
            {"bbox": [6, 7, 30, 13], "segmentation": [[6, 7, 36, 7, 36, 20, 6, 20]]}, "moved", id="drawn anew"
        ),
        pytest.param({"segmentation": [], "attributes": {"rotation": 30.0}}, "moved", id="turned in the tool"),
    ],
)
def test_masks_and_turned_boxes_are_compared_by_their_boxes(
    secondlook: Command, tmp_path: Path, returned: dict[str, Any], kind: str
) -> None:
    results = shaped(secondlook, tmp_path, segmentation=MASK)
    out = export_to(secondlook, "cvat", results, tmp_path / "out")
    document = json.loads((out / "annotations.json").read_text())
    [entry] = document["annotations"]
    entry |= {**returned, "attributes": {**entry["attributes"], **returned.get("attributes", {})}}
    file = write_json(tmp_path / "returned.json", document)

    result = import_from(secondlook, "cvat", file, results)

    assert result.code == 0, result.err
    assert list(changes(results)["kind"]) == [kind]


@pytest.mark.parametrize("tool", ["cvat", "labelstudio"])
def test_a_rotated_box_comes_back_as_it_was_sent(secondlook: Command, tmp_path: Path, tool: str) -> None:
    results = shaped(secondlook, tmp_path, segmentation=[], attributes={"rotation": 20.0})
    out = export_to(secondlook, tool, results, tmp_path / "out")
    if tool == "labelstudio":
        tasks = json.loads((out / "tasks.json").read_text())
        [prediction] = tasks[0].pop("predictions")
        assert prediction["result"][0]["value"]["rotation"] == 20
        tasks[0] |= {"id": 1, "annotations": [annotation(prediction["result"])]}
        file = write_json(tmp_path / "returned.json", tasks)
    else:
        file = out / "annotations.json"
    result = import_from(secondlook, tool, file, results, "--untouched", "unseen")
    assert result.code == 0, result.err
    assert list(changes(results)["kind"]) == ["unchanged"]


def test_tracks_of_a_video_are_boxes_on_their_frames(secondlook: Command, tmp_path: Path) -> None:
    results = shaped(secondlook, tmp_path)
    [sent] = from_cvat(export_to(secondlook, "cvat", results, tmp_path / "out")).boxes
    noted = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in sent.attributes.items())
    shapes = "".join(
        f'<box frame="{frame}" outside="{outside}" keyframe="1" xtl="5" ytl="6" xbr="25" ybr="22">{noted}</box>'
        for frame, outside in ((3, 0), (4, 0), (5, 1))
    )
    file = tmp_path / "annotations.xml"
    file.write_text(f'<annotations><meta/><track id="0" label="yield">{shapes}</track></annotations>')

    result = import_from(secondlook, "cvat", file, results)

    assert result.code == 0, result.err
    rows = changes(results)
    assert list(zip(rows["kind"], rows["decision"], rows["returned_as"], strict=True)) == [
        ("relabelled", "", "track 0:3"),
        ("unmatched", "", "track 0:4"),
    ]


def test_other_shapes_are_told(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    work = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    file = write_xml(tmp_path / "annotations.xml", work)
    line = '<polyline label="stop" points="1,1;20,20"/></image>'
    file.write_text(file.read_text().replace("</image>", line, 1))
    assert import_from(secondlook, "cvat", file, made.results).code == 0
    [row] = changes(made.results).query("kind == 'unmatched'").to_dict("records")
    assert row["reason"] == "no_box: `polyline` of CVAT"
    assert row["image_path"].endswith(".jpg")


@pytest.mark.parametrize("name", ["annotations.xml", "annotations/instances_default.json"])
def test_the_zip_that_cvat_gives_is_read_as_it_is(secondlook: Command, tmp_path: Path, name: str) -> None:
    made = small(tmp_path)
    work = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    inner = (write_xml if name.endswith("xml") else write_coco)(tmp_path / "inner", work)
    with ZipFile(tmp_path / "job.zip", "w") as archive:
        archive.write(inner, name)
    result = import_from(secondlook, "cvat", tmp_path / "job.zip", made.results)
    assert result.code == 0, result.err
    assert told(made.results) == but()


def test_a_known_wrong_proposal_counts_only_with_those_that_nobody_touched(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path, audit=True)
    work = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    file = write_coco(tmp_path / "back.json", swapped(work, THIRD, by_id(work, THIRD).labelled("stop")))
    assert import_from(secondlook, "cvat", file, made.results).code == 0
    assert decisions(made.results).empty
    assert (
        "no decision: a known wrong proposal counts only"
        in changes(made.results).query("kind == 'relabelled'")["reason"].item()
    )

    assert import_from(secondlook, "cvat", file, made.results, "--untouched", "accepted").code == 0

    samples = dict(zip(decisions(made.results)["instance_id"], decisions(made.results)["sample"], strict=True))
    assert samples == {FIRST: "queue", "o0002": "random", THIRD: "audit"}, "nothing is proposed for the second object"
    assert {row["instance_id"] for row in apply(secondlook, made.results)} == {FIRST, "o0002"}


def test_rounds_are_told_apart(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    first = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    write_queue(made.results, [{"instance_id": FIRST, "proposal": "turn"}])
    second = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    assert len(list((made.results / "sent").iterdir())) == 2
    assert import_from(secondlook, "cvat", write_coco(tmp_path / "1.json", first), made.results).code == 0
    assert told(made.results) == but()
    assert import_from(secondlook, "cvat", write_coco(tmp_path / "2.json", second), made.results).code == 0
    assert told(made.results) == [("unchanged", FIRST, "")]


# --- people in Label Studio --------------------------------------------------------------------------------------


def tasks_of(secondlook: Command, made: Made) -> list[dict[str, Any]]:
    """Return the tasks as Label Studio gives them back, each with its regions but no annotation."""
    work = from_labelstudio(export_to(secondlook, "labelstudio", made.results, made.results.parent / "out"))
    tasks = json.loads(write_tasks(made.results.parent / "tasks.json", work).read_text())
    return [{**task, "regions": task["annotations"][0]["result"], "annotations": []} for task in tasks]


def relabelled(regions: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [{**one, "value": {**one["value"], "rectanglelabels": [label]}} for one in regions]


def test_each_person_decides_for_themselves(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    one, other = tasks_of(secondlook, made)
    later = {"updated_at": "2026-11-30T09:00:00.000000Z"}
    one["annotations"] = [
        annotation(relabelled(one["regions"], "stop"), {"id": 1, "email": "ann@example.org"}),
        annotation(one["regions"], {"id": 2, "email": "bob@example.org"}, id=2),
        annotation(relabelled(one["regions"], "turn"), {"id": 1, "email": "ann@example.org"}, id=3, **later),
    ]
    other["annotations"] = [annotation([], {"id": 1, "email": "ann@example.org"}, was_cancelled=True)]
    file = write_json(tmp_path / "project.json", [one, other])

    result = import_from(secondlook, "labelstudio", file, made.results)

    assert result.code == 0, result.err
    rows = changes(made.results)
    assert sorted(zip(rows["reviewer"], rows["kind"], rows["instance_id"], rows["decision"], strict=True)) == [
        ("ann-ann@example.org", "not_returned", THIRD, ""),
        ("ann-ann@example.org", "relabelled", FIRST, "turn"),
        ("ann-ann@example.org", "relabelled", SECOND, "turn"),
        ("ann-ann@example.org", "unmatched", "", ""),  # the earlier one
        ("ann-bob@example.org", "confirmed", FIRST, "yield"),
        ("ann-bob@example.org", "unchanged", SECOND, ""),
    ]
    assert set(decisions(made.results)["decided_at"]) == {"2026-11-30T08:30:00.000000Z", later["updated_at"]}
    reviewed = {(row["labeler"], row["instance_id"]): row["label"] for row in apply(secondlook, made.results)}
    assert reviewed["human:ann-bob@example.org", FIRST] == "yield"
    assert "2 people worked on the file" in result.err


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        pytest.param({}, "nobody annotated its task", id="not annotated"),
        pytest.param({"predictions": [{"result": []}]}, "nobody annotated its task", id="predictions only"),
        pytest.param({"drafts": [{"result": []}]}, "its task has a draft that is not submitted", id="a draft"),
        pytest.param({"annotations": [annotation([], was_cancelled=True)]}, "skipped", id="skipped"),
    ],
)
def test_tasks_that_nobody_answered_are_told(
    secondlook: Command, tmp_path: Path, about: dict[str, Any], reason: str
) -> None:
    made = small(tmp_path)
    one, other = tasks_of(secondlook, made)
    answered = {**one, "annotations": [annotation(one["regions"])]}
    file = write_json(tmp_path / "project.json", [answered, {**other, **about}])
    result = import_from(secondlook, "labelstudio", file, made.results)
    assert result.code == 0, result.err
    [row] = changes(made.results).query("kind == 'not_returned'").to_dict("records")
    assert (row["instance_id"], row["reason"]) == (THIRD, reason)

    nothing = write_json(tmp_path / "nothing.json", [{**other, **about}])
    result = import_from(secondlook, "labelstudio", nothing, made.results)
    assert result.code == 1
    assert f"no task is answered ({reason}); submit them and export again." in result.err


def test_the_id_of_a_region_serves_where_its_notes_are_gone(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    one, _ = tasks_of(secondlook, made)
    regions = [{**region, "id": name, "meta": {}} for region, name in zip(one["regions"], (FIRST, SECOND), strict=True)]
    regions[0]["value"]["x"] += 30
    file = write_json(tmp_path / "project.json", [{**one, "annotations": [annotation(regions)]}])
    assert import_from(secondlook, "labelstudio", file, made.results).code == 0
    rows = changes(made.results)
    assert ("moved", FIRST, "id") in set(zip(rows["kind"], rows["instance_id"], rows["matched_by"], strict=True))


def test_a_task_that_is_listed_twice_counts_once(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    one, _ = tasks_of(secondlook, made)
    one["annotations"] = [annotation(one["regions"])]
    file = write_json(tmp_path / "project.json", [one, one])
    assert import_from(secondlook, "labelstudio", file, made.results).code == 0
    assert Counter(changes(made.results)["kind"]) == {"confirmed": 1, "unchanged": 1, "not_returned": 1, "unmatched": 1}


# --- files that cannot be used -----------------------------------------------------------------------------------


def other_dataset(path: Path) -> Path:
    return write_coco(path, Work({"dog.jpg": (64, 48)}, [Drawn("dog.jpg", (1, 1, 9, 9), "dog")]))


BROKEN: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "empty": ("cvat", "a.json", lambda path: path.write_text(""), "is not valid JSON"),
    "cut off": ("cvat", "a.json", lambda path: path.write_text('{"images": [{"id": 1, "file'), "is not valid JSON"),
    "cut off, XML": ("cvat", "a.xml", lambda path: path.write_text("<annotations><image "), "cannot be read (unclosed"),
    "empty, XML": ("cvat", "a.xml", lambda path: path.write_text(""), "cannot be read (no element"),
    "another dataset": ("cvat", "a.json", other_dataset, "none of its images was handed over from these results"),
    "of the other tool": ("labelstudio", "a.json", other_dataset, "holds neither a list nor a list `tasks`"),
    "JSON-MIN": (
        "labelstudio",
        "a.json",
        lambda path: path.write_text('[{"image": "a.jpg", "id": 1, "label": []}]'),
        "export as JSON, not as JSON-MIN",
    ),
    "no tasks": ("labelstudio", "a.json", lambda path: path.write_text("[]"), "is empty; export it again"),
    "of no tool": ("labelstudio", "a.csv", lambda path: path.write_text("x"), "is no .json file"),
    "not there": ("cvat", "a.json", Path.resolve, "no such file or folder"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(
    secondlook: Command, tmp_path: Path, case: tuple[str, str, Callable[[Path], object], str]
) -> None:
    tool, name, make, sentence = case
    made = small(tmp_path)
    export_to(secondlook, tool, made.results, tmp_path / "out")
    make(tmp_path / name)
    result = import_from(secondlook, tool, tmp_path / name, made.results)
    assert result.code == 1
    assert sentence in result.err.splitlines()[-1]
    assert result.err.splitlines()[-1].startswith("secondlook: ")
    assert not (tmp_path / "back").exists()


def test_what_was_handed_over_must_be_known(secondlook: Command, tmp_path: Path) -> None:
    made = small(tmp_path)
    work = from_cvat(export_to(secondlook, "cvat", made.results, tmp_path / "out"))
    file = write_coco(tmp_path / "back.json", work)
    nameless = write_coco(tmp_path / "nameless.json", replace(work, boxes=[one.with_id(None) for one in work.boxes]))
    [sent] = (made.results / "sent").iterdir()
    assert import_from(secondlook, "cvat", nameless, made.results).code == 0, "there is only one"
    sent.rename(sent.with_name("b00000000.parquet"))
    result = import_from(secondlook, "cvat", file, made.results)
    assert f"comes from the batch {sent.stem}, which is not in" in result.err
    write_queue(made.results, [{"instance_id": FIRST, "proposal": "turn"}])
    export_to(secondlook, "cvat", made.results, tmp_path / "out")
    result = import_from(secondlook, "cvat", nameless, made.results)
    assert "no box says what was handed over; name one of" in result.err
    moved = sent.with_name("b00000000.parquet")
    assert import_from(secondlook, "cvat", nameless, made.results, "--sent", moved).code == 0
    assert told(made.results) == but()
    shutil.rmtree(made.results / "sent")
    assert "use `review export-to` first" in import_from(secondlook, "cvat", file, made.results).err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import-from", "cvat", "--results", "r", "--out", "o", "--reviewer", "ann"], "give either the file"),
        (["import-from", "cvat", "f", "--results", "r", "--out", "o", "--reviewer", " "], "the name is empty"),
        (["export-to", "cvat", "r", "--out", "o", "--url", "http://127.0.0.1"], "--url and --project go together"),
        (["export-to", "cvat", "r", "--out", "o", "--project", "signs"], "--url and --project go together"),
        (["export-to", "cvat", "r", "--out", "o", "--all", "--queue", "q"], "--all and --queue: all objects go out"),
        (["export-to", "voc", "r", "--out", "o"], "voc"),
        (["results", "export-to"], "unexpected extra argument"),
    ],
    ids=[
        "no file",
        "no name",
        "no project",
        "no server",
        "all and some",
        "another format",
        "a command after the results",
    ],
)
def test_the_command_line_is_checked(secondlook: Command, arguments: list[str], sentence: str) -> None:
    result = secondlook("review", *arguments)
    assert result.code == 2
    assert sentence in result.err


# --- the matching ------------------------------------------------------------------------------------------------

SIDES = st.integers(0, 12).map(lambda value: 4.0 * value)
BOXES = st.tuples(SIDES, SIDES, st.sampled_from([8.0, 12.0, 20.0]), st.sampled_from([8.0, 12.0, 20.0]))
LABELS = st.sampled_from(["stop", "yield", None])
SENT = st.lists(st.tuples(BOXES, LABELS), max_size=5).map(
    lambda drawn: [Sent(f"o{place}", box, None, label) for place, (box, label) in enumerate(drawn)]
)
CAME = st.lists(st.tuples(BOXES, LABELS, st.sampled_from(["o0", "o1", "o2", "o9", None])), max_size=6).map(
    lambda drawn: [Came(str(place), *one) for place, one in enumerate(drawn)]
)


@given(sent=SENT, came=CAME, seed=st.integers(0, 9))
@settings(max_examples=200)
def test_the_order_of_boxes_means_nothing(sent: list[Sent], came: list[Came], seed: int) -> None:
    random = np.random.default_rng(seed)
    shuffled = [came[place] for place in random.permutation(len(came))]
    turned = [sent[place] for place in random.permutation(len(sent))]
    assert compare(turned, shuffled, {}) == compare(sent, came, {})


@given(sent=SENT, came=CAME)
@settings(max_examples=200)
def test_each_object_and_each_box_is_told_once(sent: list[Sent], came: list[Came]) -> None:
    found = compare(sent, came, {})
    assert sorted(one.sent.instance_id for one in found if one.sent) == [one.instance_id for one in sent]
    assert sorted(one.came.place for one in found if one.came) == sorted(one.place for one in came)
    for one in found:
        assert (one.kind == "new") == (one.sent is None)
        assert (one.kind == "deleted") == (one.came is None)
        claims = [box for box in came if one.sent is not None and box.claimed == one.sent.instance_id]
        assert (one.matched_by == "id") == bool(claims)
        if one.matched_by == "id":
            assert one.iou == max(iou(one.sent.box, box.box) for box in claims), "the nearest one"


@given(sent=SENT)
def test_what_comes_back_as_it_was_is_unchanged(sent: list[Sent]) -> None:
    came = [Came(one.instance_id, one.box, one.label, one.instance_id) for one in sent]
    assert {one.kind for one in compare(sent, came, {})} <= {"unchanged"}

"""Objects go to CVAT or Label Studio and come back: what people did to each box is told, and nothing is dropped."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Command, Result, write_json
from make_records import Rows, read_rows, write, write_decisions
from make_results import CLASSES, Made, make_results
from returned_files import FORMATS, Drawn, Format, Work, annotation, from_cvat, from_labelstudio, region
from returned_files import write_coco, write_tasks, write_xml
from secondlook.io import records
from secondlook.stages.review.returned import Came, Sent, compare, iou

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
    return secondlook("review", "import-from", tool, file, "--results", results, "--out", out, *("--reviewer", "ann"), *more)


def changes(results: Path) -> pd.DataFrame:
    return pd.read_csv(results.parent / "back" / "changes.csv", dtype=str, keep_default_na=False)


def decisions(results: Path) -> pd.DataFrame:
    return pd.read_csv(results.parent / "back" / "decisions.csv", dtype=str, keep_default_na=False)


def apply(secondlook: Command, results: Path) -> Rows:
    """Bring the decisions back as the workflow does; none may be unmatched."""
    out = results.parent / "reviewed.parquet"
    instances = results / "ingest" / "instances.parquet"
    result = secondlook("review", "--apply", results.parent / "back" / "decisions.csv", "--instances", instances, "--out", out)
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

    result = import_from(secondlook, kind.tool, kind.write(tmp_path / kind.name, work), results, "--untouched", "accepted")

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

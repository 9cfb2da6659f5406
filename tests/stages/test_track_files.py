"""Tracks that were labelled once, through the files: decisions, tables of the evaluation, and what the report says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import Command
from make_records import Rows, read_rows, write, write_instances
from secondlook.io import records
from secondlook.stages.report.evaluation import group_alerts

CLASSES = ["stop", "yield", "turn"]
TRACKS, FRAMES = 60, 3
NAMES = [f"t{number:02d}f{frame}" for number in range(TRACKS) for frame in range(FRAMES)]
LABELERS = {"a": "clip", "b": "resnet"}
APART = "the objects of its track are not decided alike"


def truth_of(name: str) -> str:
    """Return the true class of a frame: that of its track."""
    return CLASSES[int(name[1:3]) % 3]


WRONG = {"t00", *(f"t{number}" for number in range(20, 60, 5))}  # tracks with the next class as their given label


def given_of(name: str) -> str | None:
    """Return the given label; a frame of track 3 has none, and one of track 4 another one."""
    right = truth_of(name)
    return {"t03f1": None, "t04f2": "stop"}.get(name, after(right) if name[:3] in WRONG else right)


def after(label: str) -> str:
    """Return the next class."""
    return CLASSES[(CLASSES.index(label) + 1) % 3]


def said_of(name: str, labeler: str) -> str | None:
    """Return the answer: both call a frame of track 1 `turn`, and are silent on a frame of track 2 and on track 5."""
    if name == "t02f0" or name[:3] == "t05":
        return None
    if name == "t01f2":
        return "turn"
    return truth_of(name) if labeler == "a" or name != "t06f0" else "turn"


def write_task(folder: Path, *, once: bool = True) -> list[Any]:
    """Write instances and votes with a probability of .98; return the arguments."""
    rows: Rows = [
        {"instance_id": name, "given": given_of(name), "truth": truth_of(name), "track": name[:3], "group": name[:3]}
        for name in NAMES
    ]
    path = write_instances(folder / "instances.parquet", rows, CLASSES, tracks_labelled_once=once)
    arguments: list[Any] = ["--instances", path]
    for labeler, family in LABELERS.items():
        votes = []
        for name in NAMES:
            label = said_of(name, labeler)
            p = None if label is None else [0.98 if one == label else 0.01 for one in CLASSES]
            status = "abstained" if label is None else "answered"
            votes.append(
                {"instance_id": name, "labeler": labeler, "label": label, "probabilities": p, "status": status}
            )
        about = {"stage": "label", "labeler": labeler, "family": family}
        write(folder / f"{labeler}.parquet", records.to_table(votes, records.VOTE), records.VOTE, CLASSES, about)
        arguments += ["--votes", folder / f"{labeler}.parquet"]
    return arguments


OPTIONS = {"method": "noise_channel", "accept": 0.8, "accept_relabel": 0.8, "accept_relabel_alone": 0.8}


def decided(secondlook: Command, folder: Path, arguments: list[Any], **options: Any) -> dict[str, dict[str, Any]]:
    """Merge, and return the decision on each object."""
    out = folder / "consensus.parquet"
    result = secondlook("consensus", *arguments, "--out", out, "--options", json.dumps({**OPTIONS, **options}))
    assert result.code == 0, result.err
    return {row["instance_id"]: row for row in read_rows(out)}


def evaluated(secondlook: Command, folder: Path, arguments: list[Any], *more: object) -> pd.DataFrame:
    """Evaluate, and return the table of tracks."""
    places = (
        "--consensus",
        folder / "consensus.parquet",
        "--out",
        folder / "evaluate",
        "--options",
        "{resamples: 100}",
    )
    result = secondlook("evaluate", *arguments, *places, *more)
    assert result.code == 0, result.err
    return pd.read_csv(folder / "evaluate/tracks.csv", keep_default_na=False)


def findings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluate/findings.json").read_text())
    return found


AGREES, NEW = "the committee agrees with the given label", "the committee contradicts the given label"
# frame -> action, label and reason with `per_object`, and with `whole`
DECISIONS: list[Any] = [
    ("a track that is right", "t07f0", ("keep", "yield", AGREES), ("keep", "yield", AGREES)),
    ("a track with a wrong label", "t00f0", ("relabel", "stop", NEW), ("relabel", "stop", NEW)),
    ("a frame that differs from its track", "t01f2", ("review", "turn", APART), ("keep", "yield", AGREES)),
    ("its other frames", "t01f0", ("keep", "yield", AGREES), ("keep", "yield", AGREES)),
    ("a silent frame", "t02f0", ("review", "turn", "no labeler answered"), ("keep", "turn", AGREES)),
    ("its other frames", "t02f1", ("keep", "turn", AGREES), ("keep", "turn", AGREES)),
    ("no given label", "t03f1", ("relabel", "stop", "no label was given"), ("relabel", "stop", "no label was given")),
    ("another given label than its track", "t04f2", ("relabel", "yield", NEW), ("relabel", "yield", NEW)),
    ("a silent track", "t05f1", ("review", "turn", "no labeler answered"), ("review", "turn", "no labeler answered")),
]


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
def test_decisions_on_tracks(secondlook: Command, tmp_path: Path, tracks: str) -> None:
    found = decided(secondlook, tmp_path, write_task(tmp_path), tracks=tracks)
    for why, name, per_object, whole in DECISIONS:
        expected = per_object if tracks == "per_object" else whole
        row = found[name]
        assert (row["action"], row["label"], row["reason"]) == expected, why
    counted = records.made_by(tmp_path / "consensus.parquet")["expected"]["accepted"]
    assert counted == sum(row["action"] in records.ACCEPTED for row in found.values())
    if tracks == "whole":
        assert len({tuple(found[f"t01f{frame}"]["posterior"]) for frame in range(FRAMES)}) == 1


def test_without_the_fact_every_object_is_decided_on_its_own(secondlook: Command, tmp_path: Path) -> None:
    found = [
        decided(secondlook, tmp_path, write_task(tmp_path, once=False), tracks=one) for one in ("per_object", "whole")
    ]
    assert found[0] == found[1]
    assert APART not in {row["reason"] for row in found[0].values()}
    assert not len(evaluated(secondlook, tmp_path, write_task(tmp_path, once=False)))
    assert findings(tmp_path)["tracks"] is None


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
def test_given_labels_that_are_not_used_still_divide_nothing(secondlook: Command, tmp_path: Path, tracks: str) -> None:
    found = decided(secondlook, tmp_path, write_task(tmp_path), tracks=tracks, use_given=False, accept=0.5,
                    accept_relabel=0.5)  # fmt: skip
    labels = {name: row["label"] for name, row in found.items() if name[:3] in {"t00", "t03", "t04", "t07"}}
    assert labels == {name: truth_of(name) for name in labels}
    table = evaluated(secondlook, tmp_path, write_task(tmp_path))
    assert table["objects"].tolist() == [FRAMES] * TRACKS


REVIEWED = {
    "t07f0": "yield",  # a person agrees
    "t08f0": "stop",  # a person says another label of one frame
}


def write_reviews(folder: Path) -> Path:
    rows = [
        {"instance_id": name, "labeler": "human:ann", "label": label, "sample": "queue"}
        for name, label in REVIEWED.items()
    ]
    path = folder / "reviewed.parquet"
    write(path, records.to_table(rows, records.REVIEW), records.REVIEW, CLASSES, {"stage": "review"})
    return path


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
def test_a_person_decides_on_the_frame_and_its_track_learned_nothing_from_it(
    secondlook: Command, tmp_path: Path, tracks: str
) -> None:
    arguments = write_task(tmp_path)
    before = decided(secondlook, tmp_path, arguments, tracks=tracks)
    after = decided(secondlook, tmp_path, [*arguments, "--reviewed", write_reviews(tmp_path)], tracks=tracks)
    assert [(after[name]["label"], after[name]["reason"]) for name in REVIEWED] == [
        ("yield", records.PERSON_KEPT),
        ("stop", records.PERSON_CHOSE),
    ]
    assert {name: row["label"] for name, row in after.items() if name not in REVIEWED} == {
        name: row["label"] for name, row in before.items() if name not in REVIEWED
    }


# --- the evaluation ----------------------------------------------------------------------------------------------


def test_the_table_of_tracks(secondlook: Command, tmp_path: Path) -> None:
    arguments = write_task(tmp_path)
    decided(secondlook, tmp_path, arguments)
    table = evaluated(secondlook, tmp_path, arguments)
    assert len(table) == table["track"].nunique() == TRACKS, "track 4 without its odd frame, too"
    first = table.iloc[0]
    assert (first["objects"], first["first_image"], first["last_image"]) == (3, "images/t01f0.jpg", "images/t01f2.jpg")
    assert (first["given"], first["label"], first["action"]) == ("yield", "yield", "keep")
    assert (first["alike"], first["accepted_objects"]) == (pytest.approx(2 / 3, abs=1e-4), 2)
    rows = table.set_index("first_image")
    wrong, odd = rows.loc["images/t00f0.jpg"], rows.loc["images/t04f0.jpg"]
    assert (wrong["given"], wrong["label"], wrong["action"], wrong["accepted_objects"]) == (
        "yield",
        "stop",
        "relabel",
        3,
    )
    assert (odd["objects"], odd["given"], odd["last_image"]) == (2, "yield", "images/t04f1.jpg")
    assert (rows["alike"].to_numpy()[1:] == 1).all()
    assert rows["alike"].is_monotonic_increasing
    assert rows.loc["images/t02f0.jpg", "accepted_objects"] == 2, "nobody answered its first frame"
    assert findings(tmp_path)["tracks"] == {"tracks": 60, "apart": 1, "objects": 3, "decided": "per_object"}


def test_whole_tracks_show_where_their_objects_differ_too(secondlook: Command, tmp_path: Path) -> None:
    arguments = write_task(tmp_path)
    decided(secondlook, tmp_path, arguments, tracks="whole")
    first = evaluated(secondlook, tmp_path, arguments).iloc[0]
    assert (first["first_image"], first["action"], first["accepted_objects"]) == ("images/t01f0.jpg", "keep", 3)
    assert findings(tmp_path)["tracks"] == {"tracks": 60, "apart": 1, "objects": 3, "decided": "whole"}


@pytest.mark.parametrize("tracks", ["per_object", "whole"])
def test_a_labeler_that_repeats_another_contributes_nothing_to_tracks(
    secondlook: Command, tmp_path: Path, tracks: str
) -> None:
    arguments = write_task(tmp_path)
    found = decided(secondlook, tmp_path, arguments, tracks=tracks)
    evaluated(secondlook, tmp_path, arguments)
    committee = pd.read_csv(tmp_path / "evaluate/committee.csv").set_index("labeler")
    assert set(committee.index) == {"a", "b", "given"}
    assert committee.loc["b", "accuracy_lost"] == pytest.approx(0, abs=0.02)
    accuracy = pd.read_csv(tmp_path / "evaluate/accuracy.csv").set_index("method")["accuracy"]
    right = np.mean([row["label"] == truth_of(name) for name, row in found.items()])
    assert accuracy["consensus"] == pytest.approx(right, abs=1e-4)
    if tracks == "whole":
        assert right == 1


def test_contributions_on_a_sample_keep_tracks_whole(secondlook: Command, tmp_path: Path) -> None:
    """Tracks are listed, and their labels checked, as if there were no sample."""
    arguments = write_task(tmp_path)
    decided(secondlook, tmp_path, arguments)
    evaluated(secondlook, tmp_path, arguments)
    names = ("tracks.csv", "label_errors.csv", "accuracy.csv")
    before = {name: (tmp_path / "evaluate" / name).read_bytes() for name in names}
    evaluated(secondlook, tmp_path, arguments, "--options", "{resamples: 100, sample: 100}")
    assert {name: (tmp_path / "evaluate" / name).read_bytes() for name in names} == before
    findings = json.loads((tmp_path / "evaluate/findings.json").read_text())
    assert findings["merged_again_on"] == 99, "33 of the tracks, of three objects each"


SENT, WHOLE = "go to people", "got the decision on its track"
TORN: list[Any] = [
    pytest.param(None, None, id="no tracks"),
    pytest.param({"tracks": 60, "apart": 0, "objects": 0, "decided": "per_object"}, None, id="all alike"),
    pytest.param({"tracks": 60, "apart": 2, "objects": 9, "decided": "per_object"}, SENT, id="two of sixty"),
    pytest.param({"tracks": 60, "apart": 2, "objects": 9, "decided": "whole"}, WHOLE, id="decided as wholes"),
]


@pytest.mark.parametrize(("tracks", "said"), TORN)
def test_the_report_tells_of_tracks_whose_objects_differ(tracks: dict[str, Any] | None, said: str | None) -> None:
    found = list(group_alerts({"tracks": tracks}))
    assert len(found) == (said is not None)
    if said is not None:
        assert found[0].startswith("In 2 of 60 tracks")
        assert "evaluate/tracks.csv" in found[0]
        assert said in found[0]

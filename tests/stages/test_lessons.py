"""What teaches out of fold: few frames of each track, labels of people for all of it, nothing contradicted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st

from conftest import Command
from make_records import Rows, read_rows, write, write_embeddings, write_groups, write_instances
from secondlook.io import records
from secondlook.models import contradictions
from secondlook.models.contradictions import uncontradicted
from secondlook.models.features import Features
from secondlook.models.lessons import Lessons, reference_without
from secondlook.stages.train.lessons import FRAMES, Inputs, write_lessons

pytestmark = pytest.mark.filterwarnings("error")

CLASSES = ["stop", "yield", "turn"]
KEPT = ["stop", "yield"]  # of tracks that the tests do not look at: two classes are taught outside each fold


def frames(track: str, count: int, given: str | None = "stop", group: str | None = None) -> Rows:
    """Return the frames of a track; its name is its group unless another one is given."""
    return [
        {
            **{"instance_id": f"{track}{frame:03d}", "track": track, "group": group or track, "given": given},
            "image_path": f"{track}/{frame:03d}.jpg",
        }
        for frame in range(count)
    ]


def lessons_of(
    folder: Path, rows: Rows, said: dict[str, list[str]] | None = None, *, once: bool = True
) -> dict[str, dict[str, Any]]:
    """Write lessons of these objects and two tracks of each of two folds; return their rows by object."""
    others = [row for number in range(4) for row in frames(f"x{number}", 1, KEPT[number % 2])]
    everything = [*rows, *others]
    instances = write_instances(folder / "instances.parquet", everything, CLASSES, tracks_labelled_once=once)
    fold = {row["instance_id"]: (row["group"], int(row["group"] in {"x2", "x3"})) for row in everything}
    groups = write_groups(folder / "groups.parquet", fold, CLASSES, folds=2)
    reviewed = None
    if said is not None:
        reviews = [
            {"instance_id": name, "labeler": f"human:{person}", "label": label, "sample": "queue"}
            for name, labels in said.items()
            for person, label in enumerate(labels)
        ]
        reviewed = folder / "reviewed.parquet"
        write(reviewed, records.to_table(reviews, records.REVIEW), records.REVIEW, CLASSES, {"stage": "review"})
    write_lessons(Inputs(instances, groups, None, reviewed), folder / "lessons.parquet")
    names = {row["instance_id"] for row in rows}
    return {row["instance_id"]: row for row in read_rows(folder / "lessons.parquet") if row["instance_id"] in names}


def teaching(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return what each object teaches."""
    return {name: row["label"] for name, row in found.items() if row["label"] is not None}


# --- few frames of each track ------------------------------------------------------------------------------------

LENGTHS: list[Any] = [
    pytest.param(1, [0], id="one frame"),
    pytest.param(FRAMES, [0, 1, 2, 3, 4], id="as many as may teach"),
    pytest.param(7, [0, 2, 3, 5, 6], id="from one end to the other"),
    pytest.param(25, [0, 5, 10, 15, 20], id="every fifth"),
]


@pytest.mark.parametrize(("count", "expected"), LENGTHS)
def test_some_frames_of_a_track_teach(tmp_path: Path, count: int, expected: list[int]) -> None:
    found = teaching(lessons_of(tmp_path, frames("a", count)[::-1]))
    assert sorted(found) == [f"a{frame:03d}" for frame in expected]
    assert set(found.values()) == {"stop"}


@pytest.mark.parametrize("count", [*range(2, 24), 99, 100, 101])
def test_no_track_teaches_more_and_none_less(tmp_path: Path, count: int) -> None:
    found = sorted(int(name[1:]) for name in teaching(lessons_of(tmp_path, frames("a", count))))
    assert len(found) == min(count, FRAMES)
    gaps = np.diff(found)
    assert gaps.max(initial=0) - gaps.min(initial=count) <= 1, "evenly spread"


OTHERS: list[Any] = [
    pytest.param([{**row, "track": None} for row in frames("a", 12)], 12, id="no track"),
    pytest.param([{**row, "group": row["instance_id"]} for row in frames("a", 12)], 12, id="images are the groups"),
    pytest.param(frames("a", 12, group="clip"), 12, id="folders are the groups"),
    pytest.param([*frames("a", 12), *frames("b", 3)], 8, id="two tracks"),
    pytest.param(frames("a", 12, given=None), 0, id="no given label"),
]


@pytest.mark.parametrize(("rows", "count"), OTHERS)
@pytest.mark.parametrize("once", [True, False])
def test_only_tracks_that_are_groups_are_thinned(tmp_path: Path, rows: Rows, count: int, once: bool) -> None:
    assert len(teaching(lessons_of(tmp_path, rows, once=once))) == count


# what people said of frames of a track of 10, given `stop` -> frames that teach what people said, and those trusted
SAID: list[Any] = [
    pytest.param(True, {0: ["turn"]}, 5, 10, id="one frame of a track that was labelled once: all of it"),
    pytest.param(True, {1: ["turn"]}, 6, 10, id="a frame that would not teach, too"),
    pytest.param(True, {0: ["turn"], 2: ["turn"]}, 5, 10, id="two agree"),
    pytest.param(True, {0: ["turn"], 2: ["yield"]}, 1, 2, id="two frames differ: each for itself"),
    pytest.param(True, {0: ["turn", "yield"]}, 0, 0, id="two people differ on a frame"),
    pytest.param(False, {0: ["turn"]}, 1, 1, id="a label for each box: none but its own"),
    pytest.param(False, {1: ["turn"], 3: ["turn"]}, 2, 2, id="nor is what people said lost"),
]


@pytest.mark.parametrize(("once", "said", "taught", "trusted"), SAID)
def test_what_people_said_of_a_track(
    tmp_path: Path, once: bool, said: dict[int, list[str]], taught: int, trusted: int
) -> None:
    names = {f"a{frame:03d}": labels for frame, labels in said.items()}
    found = lessons_of(tmp_path, frames("a", 10), names, once=once)
    assert list(teaching(found).values()).count("turn") == taught
    assert sum(row["trusted"] for row in found.values()) == trusted
    assert {row["given"] for row in found.values()} == {"stop"}
    agreed = sum(len(set(labels)) == 1 for labels in said.values())
    assert records.made_by(tmp_path / "lessons.parquet")["reviewed"] == agreed


# --- what its neighbours contradict ------------------------------------------------------------------------------


def taught(looks: list[int], target: list[int], group: list[int] | None = None, noise: float = 0.05) -> Features:
    """Return vectors of objects that look like classes, and the class that each was given."""
    size, random = len(looks), np.random.default_rng(0)
    vectors = np.eye(4)[looks] + noise * random.normal(size=(size, 4))
    numbers = np.arange(size) if group is None else np.array(group)
    names = np.array([f"o{number}" for number in range(size)])
    return Features(names, vectors.astype(np.float32), np.array(target), numbers, np.full(size, ""))


TWO = [0] * 20 + [1] * 20
# looks, targets, groups -> objects that teach nothing
CONTRADICTED: list[Any] = [
    pytest.param(TWO, TWO, None, [], id="all are right"),
    pytest.param(TWO, [1, *TWO[1:]], None, [0], id="one is wrong"),
    pytest.param(TWO, [1, *TWO[1:-1], 0], None, [0, 39], id="one of each class"),
    pytest.param(TWO, [1 - one for one in TWO], None, [], id="all names are exchanged: neighbours agree"),
    pytest.param([0] * 40, [0] * 37 + [1] * 3, None, [], id="most of a class: rare, or of many looks"),
    pytest.param([0] * 38 + [1] * 2, [0] * 38 + [1] * 2, None, [], id="a rare class"),
    pytest.param([0] * 40, [0, 1] * 20, None, [], id="neighbours are not sure"),
    pytest.param(TWO, [1, *TWO[1:]], [0] * 20 + list(range(1, 21)), [], id="neighbours of its own group say nothing"),
    pytest.param([0, 0], [0, 1], None, [], id="the only object of a class stays"),
    pytest.param([0], [0], None, [], id="no neighbour at all"),
]


@pytest.mark.parametrize(("looks", "target", "group", "expected"), CONTRADICTED)
def test_which_labels_are_contradicted(
    looks: list[int], target: list[int], group: list[int] | None, expected: list[int]
) -> None:
    assert np.flatnonzero(~uncontradicted(taught(looks, target, group))).tolist() == expected


@drawn_by(seed=st.integers(0, 200), classes=st.integers(2, 4), size=st.integers(2, 80))
@settings(max_examples=40, deadline=None)
def test_contradictions_take_less_than_half_of_a_class_and_follow_no_order(seed: int, classes: int, size: int) -> None:
    random = np.random.default_rng(seed)
    looks, target = random.integers(0, classes, size), random.integers(0, classes, size)
    features = taught(looks.tolist(), target.tolist(), random.integers(0, size, size).tolist(), noise=0.2)
    right = uncontradicted(features)
    for one in np.unique(target):
        assert right[target == one].mean() >= 0.5
    order = random.permutation(size)
    moved = Features(*(getattr(features, name)[order] for name in features.__dataclass_fields__))
    np.testing.assert_array_equal(uncontradicted(moved), right[order])


def test_a_part_of_many_vectors_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    features = taught(TWO * 10, [1, *(TWO * 10)[1:]])
    monkeypatch.setattr(contradictions, "MOST", 100)
    monkeypatch.setattr(contradictions, "BLOCK", 64)
    assert np.flatnonzero(~uncontradicted(features)).tolist() == [0]


@pytest.mark.parametrize("trusted", [False, True])
def test_vectors_that_are_contradicted_teach_only_if_they_are_trusted(tmp_path: Path, trusted: bool) -> None:
    looks = {f"o{number:02d}": TWO[number] for number in range(40)}
    rows = [
        {
            **{"instance_id": name, "group": name, "fold": None, "given": None, "trusted": trusted},
            "label": CLASSES[1 - look if name == "o00" else look],
        }
        for name, look in looks.items()
    ]
    about = {"stage": "train", "folds": 2}
    path = tmp_path / "lessons.parquet"
    write(path, records.to_table(rows, records.LESSON), records.LESSON, CLASSES, about)
    vectors = {name: np.eye(2)[look].tolist() for name, look in looks.items()}
    embedded = write_embeddings(tmp_path / "vectors.parquet", vectors, {}, CLASSES)
    out = reference_without(Lessons.read(path), 0, [embedded], tmp_path / "taught.parquet")
    assert {row["instance_id"] for row in read_rows(out)} == {*looks} - (set() if trusted else {"o00"})
    assert not {row["reference_label"] for row in read_rows(out)} - {"stop", "yield"}


def test_the_command_counts_the_labels_of_people_not_the_frames(secondlook: Command, tmp_path: Path) -> None:
    lessons_of(tmp_path, frames("a", 10), {"a001": ["turn"]})
    files = ("--instances", tmp_path / "instances.parquet", "--groups", tmp_path / "groups.parquet")
    done = secondlook("lessons", *files, "--reviewed", tmp_path / "reviewed.parquet", "--out", tmp_path / "l.parquet")
    assert done.code == 0, done.err
    assert "1 labels of people" in done.err

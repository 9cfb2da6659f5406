"""Boxes from unlabeled video: first labels, merging, samples, training, tracks, and the commands on odd input."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Command, read_rows, write_image
from event_files import require_events
from full_grid import full_grid
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes_training import NetworkOptions
from secondlook.config.video import (
    ClipScenes,
    DetectorOptions,
    GroupOptions,
    MergeOptions,
    MotionOptions,
    RoundOptions,
    TrackOptions,
    VideoOptions,
)
from secondlook.pipelines.scenes import backbone
from secondlook.pipelines.video import detector
from secondlook.pipelines.video import labels as records
from secondlook.pipelines.video.drawn import draw_clips
from secondlook.pipelines.video.flow import flow_source
from secondlook.pipelines.video.group import cluster, dbscan, masks_of
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, box_of, decode, encode
from secondlook.pipelines.video.merge import merge
from secondlook.pipelines.video.motion import Motion
from secondlook.pipelines.video.motion import read as read_motion
from secondlook.pipelines.video.run import VideoRun
from secondlook.pipelines.video.samples import Sample, mask_at, prepared
from secondlook.pipelines.video.tracks import with_tracks

PUBLISHED = GroupOptions()
NETWORK = {
    "backbone": "small", "start": "scratch", "channels": 16, "min_px": 64, "max_px": 128,
    "anchors_px": [8, 16, 24, 32, 48], "proposals": 30, "roi_samples": 8,
}  # fmt: skip
EVERY = ("--options", "{stride: 1}")  # frame of a clip
ROUND = {"epochs": 2, "frames_per_epoch": 4, "batch_size": 2, "learning_rate": 1e-3, "jitter": [0.5, 1.0]}


def field(height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask of nothing and ranges of 0.3."""
    return np.zeros((height, width), dtype=np.bool_), np.full((height, width), 0.3, np.float32)


# --- first labels -------------------------------------------------------------------------------------------------


def count(moving: np.ndarray, ranges: np.ndarray, **options: Any) -> int:
    chosen = PUBLISHED.model_copy(update=options)
    return len(list(masks_of(dbscan(moving, ranges, chosen), chosen.min_side_px)))


@pytest.mark.parametrize(
    ("rows", "columns", "objects"),
    [
        pytest.param(slice(0, 0), slice(0, 0), 0, id="nothing moves"),
        pytest.param(slice(10, 30), slice(10, 40), 1, id="one blob"),
        pytest.param(slice(10, 19), slice(10, 19), 0, id="nine px a side are no cluster"),
        pytest.param(slice(10, 20), slice(10, 20), 1, id="ten px a side are one"),
        pytest.param(slice(0, 9), slice(10, 40), 0, id="nine px at the edge of the image"),
        pytest.param(slice(0, 12), slice(0, 14), 1, id="in the corner"),
    ],
)
def test_blobs(rows: slice, columns: slice, objects: int) -> None:
    moving, ranges = field()
    moving[rows, columns] = True
    assert count(moving, ranges) == objects


@pytest.mark.parametrize(("other", "objects"), [(0.3, 1), (0.32, 1), (0.36, 2)])
def test_touching_blobs_are_told_apart_by_depth(other: float, objects: int) -> None:
    moving, ranges = field()
    moving[10:30, 10:50] = True
    ranges[:, 30:] = other
    assert count(moving, ranges) == objects


@pytest.mark.parametrize(("extent", "objects"), [(6, 0), (7, 1)])
def test_the_side_filter(extent: int, objects: int) -> None:
    moving, ranges = field()
    moving[10 : 10 + extent, 10:40] = True
    assert count(moving, ranges, min_samples=20) == objects


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([10, 7, 4]),
    st.sampled_from([1.0, 0.5, 0.2]),
    st.sampled_from([0.03, 0.01, 0.1]),
)
def test_the_compact_index_gives_what_the_full_grid_gives(seed: int, window: int, share: float, eps: float) -> None:
    chance = np.random.default_rng(seed)
    height, width = (int(side) for side in chance.integers(6, 50, 2))

    def blobs(grain: int) -> np.ndarray:
        coarse = chance.random((max(2, height // grain), max(2, width // grain))).astype(np.float32)
        return cv2.resize(coarse, (width, height))

    moving, ranges = blobs(6) > chance.uniform(0.2, 0.8), blobs(9) * chance.uniform(0.02, 0.5)
    options = GroupOptions(window=window, min_samples=max(1, int(share * window**2)), eps=eps)
    assert (dbscan(moving, ranges, options) == full_grid(moving, ranges, options)).all()


def test_region_growing_joins_over_gaps_and_parts_by_flow() -> None:
    moving, depth = field()
    moving[10:30, 10:24] = moving[10:30, 28:50] = True
    flow = np.full((*moving.shape, 2), 4.0, np.float32)
    one = Motion(
        moving[None].astype(np.float32), depth[None], np.eye(3, dtype=np.float32)[None], "relative", flow[None]
    )
    growing = GroupOptions(method="region_growing")
    assert len(np.unique(cluster(one, 0, growing))) == 2, "background and one object"
    flow[:, 26:] = -4
    assert len(np.unique(cluster(one, 0, growing))) == 3


# --- merging ------------------------------------------------------------------------------------------------------


def thing(left: int, top: int, right: int, bottom: int, score: float = 0.95, name: str = "") -> Found:
    mask = np.zeros((60, 80), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return Found(box_of(mask) if mask.any() else (0, 0, 0, 0), encode(mask), score, name)


WHOLE, PIECE = thing(0, 0, 40, 40, name="whole"), thing(0, 0, 10, 10, name="piece")
ONE, TWO = thing(0, 0, 15, 30, name="one"), thing(16, 0, 30, 30, name="two")
CROWD = thing(0, 0, 30, 30, name="crowd")
FAR = thing(60, 40, 76, 56, name="far")


@pytest.mark.parametrize(
    ("large", "small", "expected"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param([WHOLE], [], ["whole"], id="no small ones"),
        pytest.param([], [FAR], ["far"], id="no large ones"),
        pytest.param([WHOLE, PIECE], [], ["whole"], id="a piece of a large one goes"),
        pytest.param([], [ONE, TWO, CROWD], ["one", "two"], id="a group of small ones goes"),
        pytest.param([WHOLE], [FAR], ["whole", "far"], id="strangers"),
        pytest.param([thing(0, 0, 20, 20, 0.92, "L")], [thing(0, 0, 20, 21, 0.97, "S")], ["S"], id="the surer one"),
        pytest.param([thing(0, 0, 20, 20, 0.95, "L")], [thing(0, 0, 20, 21, 0.95, "S")], ["L"], id="a tie"),
        pytest.param([CROWD], [ONE, TWO], ["one", "two"], id="a large one over two small ones"),
        pytest.param([WHOLE], [PIECE], ["whole"], id="a small one inside a large one"),
        pytest.param([thing(5, 5, 5, 5, name="empty"), WHOLE], [], ["whole"], id="an empty mask"),
    ],
)
def test_merging(large: list[Found], small: list[Found], expected: list[str]) -> None:
    assert [one.round for one in merge(large, small, MergeOptions())] == expected


# --- figures ------------------------------------------------------------------------------------------------------


def scored(score: float, *, right: bool) -> Found:
    return thing(10, 10, 40, 40, score) if right else thing(45, 20, 75, 50, score)


@pytest.mark.parametrize(
    ("found", "ap", "boxes"),
    [
        pytest.param([], 0.0, 0, id="nothing found is a figure, not a blank"),
        pytest.param([scored(0.9, right=True), scored(0.1, right=False)], 1.0, 1, id="a false box that is unsure"),
        pytest.param([scored(0.9, right=True), scored(0.0, right=False)], 1.0, 1, id="a score of nought is a score"),
        pytest.param([scored(0.9, right=False), scored(0.2, right=True)], 0.5, 1, id="AP counts the unsure too"),
        pytest.param(
            [scored(0.9000001, right=False), scored(0.9000004, right=True)], 1.0, 2, id="seven digits tell boxes apart"
        ),
    ],
)
def test_average_precision_of_scored_boxes(
    secondlook: Command, tmp_path: Path, found: list[Found], ap: float, boxes: int
) -> None:
    frames = [Frame(0, "0.jpg", 80, 60)]
    records.write(tmp_path / "truth/clip.json", [ClipLabels("clip", frames, [[thing(10, 10, 40, 40)]])], {})
    records.write(tmp_path / "final.json", [ClipLabels("clip", frames, [found])], {})
    given = ("--truth", tmp_path / "truth", "--round", f"final={tmp_path / 'final.json'}", "--out", tmp_path / "out")
    done = secondlook("video", "evaluate", *given)
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "out/ap.csv").set_index(["of", "objects"])
    assert table.xs("all", level="objects")[["AP", "AP50"]].to_numpy().ravel() == pytest.approx([ap] * 4, abs=5e-3)
    assert np.isnan(table.loc[("box", "large"), "AP"]), "there is no large object"
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert (summary["ap"]["mask"]["AP"], summary["boxes"]) == (pytest.approx(ap, abs=5e-3), boxes)
    handed = secondlook("video", "boxes", tmp_path / "final.json", "--out", tmp_path / "boxes.json")
    assert handed.code == 0, handed.err
    assert len(json.loads((tmp_path / "boxes.json").read_text(encoding="utf-8"))["annotations"]) == boxes


def test_objects_without_a_score_are_handed_over_from_any_score_on(secondlook: Command, tmp_path: Path) -> None:
    known = thing(10, 10, 40, 40)
    rows = [[Found(known.box_xywh, known.mask), known]]
    records.write(tmp_path / "labels.json", [ClipLabels("clip", [Frame(0, "0.jpg", 80, 60)], rows)], {})
    done = secondlook("video", "boxes", tmp_path / "labels.json", "--score", "1", "--out", tmp_path / "boxes.json")
    assert done.code == 0, done.err
    assert [one.score for clip in records.read(tmp_path / "boxes.json") for row in clip.found for one in row] == [None]


def test_the_last_detector_leaves_boxes_far_below_its_own_score() -> None:
    run = VideoRun(VideoOptions(), "results")
    assert [run.score(name) for name in ("mobile", "large", "small", "final")] == [0.5, 0.5, 0.5, 0.05]


# --- samples ------------------------------------------------------------------------------------------------------


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    write_image(tmp_path / "frame.png", width=80, height=60)
    return Frame(0, str(tmp_path / "frame.png"), 80, 60)


def test_masks_of_another_size_grow_to_that_of_the_image(frame: Frame) -> None:
    quarter = np.zeros((15, 20), dtype=np.bool_)
    quarter[2:8, 3:9] = True
    found = Found((12, 8, 24, 24), encode(quarter))
    assert box_of(mask_at(found, 80, 60).astype(np.bool_)) == (12, 8, 24, 24)
    _, target = prepared(Sample(frame, (found,)), RoundOptions(flip=0), np.random.default_rng(0))
    assert target["boxes"].tolist() == [[12, 8, 36, 32]]


@pytest.mark.parametrize("options", [{"flip": 1}, {"flip": 0, "jitter": (0.5, 0.5)}, {"flip": 1, "jitter": (0.3, 0.9)}])
def test_boxes_stay_around_their_masks(frame: Frame, options: dict[str, Any]) -> None:
    sample = Sample(frame, (thing(10, 20, 50, 44), thing(60, 2, 79, 30)))
    for seed in range(5):
        image, target = prepared(sample, RoundOptions(**options), np.random.default_rng(seed))
        assert image.shape == (3, 60, 80)
        for box, mask in zip(target["boxes"].numpy(), target["masks"].numpy().astype(np.bool_), strict=True):
            x, y, w, h = box_of(mask)
            assert np.abs(box - [x, y, x + w, y + h]).max() <= 1.01


def test_a_frame_without_objects_teaches_background(frame: Frame) -> None:
    _, target = prepared(Sample(frame, ()), RoundOptions(), np.random.default_rng(0))
    assert (target["boxes"].shape, target["masks"].shape) == ((0, 4), (0, 60, 80))


def test_tracks_go_on_over_a_gap_and_end_after_it() -> None:
    frames = [Frame(number, f"{number}.jpg", 80, 60) for number in range(4)]
    rows = [[thing(0, 0, 20, 20), FAR], [thing(3, 0, 23, 20)], [thing(6, 0, 26, 20)], [thing(9, 0, 29, 20), FAR]]
    tracked = with_tracks(ClipLabels("clip", frames, rows), TrackOptions(gap=2))
    assert [[one.track for one in row] for row in tracked.found] == [[1, 2], [1], [1], [1, 3]]


# --- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn clips of four frames."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_clips(folder / "clips", folder / "truth", ClipScenes(clips=2, frames=4))
    return folder


def test_first_labels_of_drawn_clips_are_what_moves(secondlook: Command, drawn: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames.json"
    assert secondlook("video", "frames", drawn / "clips", "--out", frames, *EVERY).code == 0
    given = ("--truth", drawn / "truth", "--options", "{depth: truth}")
    assert secondlook("video", "motion", frames, "--out", tmp_path / "motion", *given).code == 0
    grouped = ("--motion", tmp_path / "motion", "--out", tmp_path / "moving.json", "--options", "{threshold: 0.5}")
    assert secondlook("video", "group", frames, *grouped).code == 0
    evaluated = ("--truth", drawn / "truth", "--round", f"moving={tmp_path / 'moving.json'}", "--out", tmp_path / "out")
    done = secondlook("video", "evaluate", *evaluated)
    assert done.code == 0, done.err
    assert "recall by kind of object" in done.out
    rounds = pd.read_csv(tmp_path / "out/rounds.csv").set_index("kind")
    # walking people are too narrow for the window of the first labels
    assert rounds.loc["moving", "recall"] >= 0.6
    assert rounds.loc["moving", "precision"] >= 0.5
    assert rounds.loc["standing", "recall"] == 0
    assert rounds.loc["moving", "n"] == 2 * 4 * 3
    ap = pd.read_csv(tmp_path / "out/ap.csv").set_index(["of", "objects"]).loc["mask"]
    assert 0.1 < ap.loc["all", "AP50"] < ap.loc["moving", "AP50"], "three of five things move"
    assert ap.loc["standing", "AP50"] == 0
    assert "standing" in (tmp_path / "out/video.html").read_text(encoding="utf-8")


def labelled(drawn: Path, folder: Path) -> Path:
    """Write the truth as labels of a round, all clips in one file."""
    path = folder / "labels.json"
    records.write(path, records.read_all(sorted((drawn / "truth").glob("*.json"))), {})
    return path


def test_a_killed_training_goes_on_to_the_same_bytes(
    secondlook: Command, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondlook.pipelines.video import train as module

    path, told = labelled(drawn, tmp_path), json.dumps({"round": ROUND, "network": NETWORK})
    assert secondlook("video", "train", path, "--out", tmp_path / "whole", "--options", told).code == 0
    shared, done = module._train_epoch, []

    def dies(*arguments: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return shared(*arguments)

    monkeypatch.setattr(module, "_train_epoch", dies)
    assert secondlook("video", "train", path, "--out", tmp_path / "cut", "--options", told).code != 0
    monkeypatch.setattr(module, "_train_epoch", shared)
    again = secondlook("video", "train", path, "--out", tmp_path / "cut", "--options", told)
    assert "continues after epoch 1" in again.err
    for name in ("metrics.csv", "weights.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    require_events(tmp_path / "cut")

    frames = tmp_path / "frames.json"
    secondlook("video", "frames", drawn / "clips", "--out", frames, *EVERY)
    seen = ("--weights", tmp_path / "whole", "--score", "0", "--options", json.dumps(NETWORK), "--name", "mobile")
    predicted = secondlook("video", "predict", frames, *seen, "--out", tmp_path / "mobile.json")
    assert predicted.code == 0, predicted.err
    found = [one for clip in records.read(tmp_path / "mobile.json") for row in clip.found for one in row]
    assert {one.round for one in found} <= {"mobile"}
    other = secondlook("video", "predict", frames, "--weights", tmp_path / "whole", "--out", tmp_path / "x.json",
                       "--options", json.dumps({**NETWORK, "channels": 24}))  # fmt: skip
    assert (other.code, "in the detector of the options" in other.err) == (1, True)


def test_a_killed_training_does_not_go_on_in_another_precision(
    secondlook: Command, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondlook.models import inference
    from secondlook.pipelines.video import train as module

    path, told = labelled(drawn, tmp_path), json.dumps({"round": ROUND, "network": NETWORK})
    whole, done = module._train_epoch, []

    def dies(*arguments: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(module, "_train_epoch", dies)
    for computes_bfloat16 in (False, True):
        monkeypatch.setattr(inference, "_cpu_computes_bfloat16", lambda answer=computes_bfloat16: answer)
        killed = secondlook("video", "train", path, "--out", tmp_path / "cut", "--options", told)
        assert killed.code != 0
    assert "belongs to another training" in killed.err


@pytest.mark.slow
def test_a_clip_goes_from_frames_to_relabelled_objects(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # ids follow from paths, and which images are trusted from ids
    draw_clips(Path("clips"), Path("truth"), ClipScenes(clips=12, frames=4))
    path = labelled(Path(), tmp_path)
    assert secondlook("video", "boxes", path, "--out", tmp_path / "boxes.json").code == 0
    task = {
        # so few tracks teach nothing about others: frames of the same ones do
        "dataset": {"format": "coco", "path": "boxes.json", "images": ".", "group_by": "image"},
        "classes": ["car", "person", "van"],
        "reference": {"own_fraction": 0.5},
        "rehearsal": {"wrong_fraction": 0.3},
    }
    (tmp_path / "named.yaml").write_text(json.dumps(task), encoding="utf-8")
    instances, reference = tmp_path / "instances.parquet", tmp_path / "reference.parquet"
    read = secondlook("ingest", "--task", tmp_path / "named.yaml", "--out", instances, "--reference", reference)
    assert read.code == 0, read.err
    rows = read_rows(instances)
    assert len(rows) + len(read_rows(reference)) == sum(len(row) for clip in records.read(path) for row in clip.found)
    about = [dict(row["attributes"]) for row in rows]
    assert all(one["track_id"].isdecimal() and one["clip"].startswith("clip_") for one in about)

    crops, trusted = tmp_path / "crops.parquet", tmp_path / "trusted.parquet"
    assert secondlook("crop", instances, "--out", crops).code == 0
    assert secondlook("crop", reference, "--out", trusted, "--options", "{near_duplicate_bits: null}").code == 0
    how = {"model": "test_resnet", "pretrained": False, "input_px": 32, "epochs": 30, "learning_rate": 3e-3}
    trained = secondlook("train", trusted, "--out", tmp_path / "net", "--options", json.dumps(how))
    assert trained.code == 0, trained.err
    votes = ("--options", "{kind: classifier, classifier: net}", "--source", tmp_path / "net", "--name", "net")
    assert secondlook("label", crops, *votes, "--out", tmp_path / "votes.parquet").code == 0
    told = ("--votes", tmp_path / "votes.parquet", "--options", "{use_given: false, accept: 0}")
    merged = secondlook("consensus", "--instances", instances, *told, "--out", tmp_path / "consensus.parquet")
    assert merged.code == 0, merged.err
    truth = {row["instance_id"]: (row["truth"], row["given"]) for row in rows}
    labels = {row["instance_id"]: row["label"] for row in read_rows(tmp_path / "consensus.parquet")}
    before = sum(true != given for true, given in truth.values())
    after = sum(labels[name] != true for name, (true, _) in truth.items())
    assert after < before / 2, (before, after)


def clip_folder(folder: Path, frames: int, **size: int) -> Path:
    for number in range(frames):
        write_image(folder / f"{number:06d}.jpg", seed=number, **size)
    return folder


def test_odd_clips_leave_rows_and_never_crash(secondlook: Command, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clip_folder(clips / "one", 1)
    clip_folder(clips / "broken", 3)
    (clips / "broken/000001.jpg").write_bytes(b"no image")
    clip_folder(clips / "wide", 2, width=96, height=40)
    (clips / "empty").mkdir()
    (clips / "film.mp4").write_bytes(b"no film")
    frames = tmp_path / "frames.json"
    done = secondlook("video", "frames", clips, "--out", frames, *EVERY)
    assert done.code == 0, done.err
    rejects = pd.read_csv(tmp_path / "frames.rejects.csv")
    assert sorted(zip(rejects["clip"], rejects["reason"], strict=True)) == [
        ("broken", "unreadable_image"),
        ("film", "unreadable_clip"),
    ]
    small = json.dumps({"width": 64, "height": 48})
    assert secondlook("video", "motion", frames, "--out", tmp_path / "motion", "--options", small).code == 0
    grouped = secondlook("video", "group", frames, "--motion", tmp_path / "motion", "--out", tmp_path / "moving.json")
    assert grouped.code == 0, grouped.err
    found = {clip.clip: clip for clip in records.read(tmp_path / "moving.json")}
    assert [len(found[name].frames) for name in ("one", "broken", "wide", "empty", "film")] == [1, 2, 2, 0, 0]
    assert found["one"].found == [[]], "one frame has no motion"
    nothing = ClipLabels("still", found["one"].frames, [[]])
    records.write(tmp_path / "still.json", [nothing], {})
    refused = secondlook("video", "train", tmp_path / "still.json", "--out", tmp_path / "train",
                         "--options", json.dumps({"round": ROUND, "network": NETWORK}))  # fmt: skip
    assert (refused.code, "none of the 1 frames has an object to learn from" in refused.err) == (1, True)
    shutil.rmtree(clips)
    clips.mkdir()
    absent = secondlook("video", "frames", clips, "--out", frames, *EVERY)
    assert (absent.code, "holds no clip" in absent.err) == (2, True)


def test_a_frame_that_was_replaced_is_named(secondlook: Command, tmp_path: Path) -> None:
    clip_folder(tmp_path / "clips/a", 2)
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    write_image(tmp_path / "clips/a/000001.jpg", width=48, height=64)
    done = secondlook("video", "motion", tmp_path / "frames.json", "--out", tmp_path / "motion")
    assert (done.code, "000001.jpg: cannot be read (the image decodes to 48x64 px" in done.err) == (1, True)


def test_frames_of_a_film_and_of_a_list(secondlook: Command, tmp_path: Path) -> None:
    film = cv2.VideoWriter(str(tmp_path / "clips.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(7):
        film.write(np.full((48, 64, 3), 30 * number, np.uint8))
    film.release()
    (tmp_path / "films").mkdir()
    (tmp_path / "clips.avi").rename(tmp_path / "films/street.avi")
    stride = ("--options", "{stride: 3}")
    assert secondlook("video", "frames", tmp_path / "films", "--out", tmp_path / "a.json", *stride).code == 0
    (street,) = records.read(tmp_path / "a.json")
    assert [frame.number for frame in street.frames] == [0, 3, 6]
    assert all(Path(frame.path).is_file() for frame in street.frames)

    clip_folder(tmp_path / "waymo/train/segment-1", 6)
    (tmp_path / "files.txt").write_text("train/segment-1 4\ntrain/segment-1 1\n", encoding="utf-8")
    listed = ("--listed", tmp_path / "files.txt", "--out", tmp_path / "b.json")
    assert secondlook("video", "frames", tmp_path / "waymo", *listed).code == 0
    (segment,) = records.read(tmp_path / "b.json")
    assert (segment.clip, [frame.number for frame in segment.frames]) == ("train_segment-1", [1, 4])
    (tmp_path / "files.txt").write_text("train/segment-1 four\n", encoding="utf-8")
    refused = secondlook("video", "frames", tmp_path / "waymo", *listed)
    assert (refused.code, "files.txt:1: must be `clip frame`" in refused.err) == (1, True)
    clip_folder(tmp_path / "private", 6)
    for name in ("../private", str(tmp_path / "private"), "..\\private"):
        (tmp_path / "files.txt").write_text(f"train/segment-1 4\n{name} 1\n", encoding="utf-8")
        refused = secondlook("video", "frames", tmp_path / "waymo", *listed)
        assert (refused.code, f"the clip `{name}` is outside" in refused.err) == (1, True)


def test_npz_of_dynamo_depth_are_read(secondlook: Command, tmp_path: Path) -> None:
    clip_folder(tmp_path / "clips/a", 1, width=256, height=192)
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    moving = np.zeros((48, 64), np.float32)
    moving[10:30, 20:45] = 0.9
    (tmp_path / "npz/a").mkdir(parents=True)
    depth, inv_k = np.full((48, 64), 0.3, np.float32), np.eye(4, dtype=np.float32)
    inv_k[:2] = 0  # every ray is (0, 0, 1): range is depth
    np.savez(tmp_path / "npz/a/000000.npz", mot_mask=moving, depth=depth, inv_K=inv_k)
    told = json.dumps({"source": "dynamo", "depth": "dynamo", "folder": str(tmp_path / "npz")})
    motion = ("--out", tmp_path / "motion", "--options", told)
    assert secondlook("video", "motion", tmp_path / "frames.json", *motion).code == 0
    grouped = ("--motion", tmp_path / "motion", "--out", tmp_path / "moving.json")
    assert secondlook("video", "group", tmp_path / "frames.json", *grouped).code == 0
    (clip,) = records.read(tmp_path / "moving.json")
    (one,) = clip.found[0]
    assert one.box_xywh == (80, 40, 100, 80), "four times the map"
    assert decode(one.mask).shape == (48, 64)
    (tmp_path / "npz/a/000000.npz").write_bytes(b"no npz")
    refused = secondlook("video", "motion", tmp_path / "frames.json", *motion)
    assert (refused.code, "is not an npz of Dynamo-Depth" in refused.err) == (1, True)


INTRINSICS = [[517.848, 0, 238.095], [0, 517.848, 163.467], [0, 0, 1]]  # of Dynamo-Depth for a map of 480 x 320 px


@pytest.mark.parametrize("layout", ["{clip}", "train/segment-1"], ids=["a folder per clip", "as published"])
def test_motion_of_dynamo_depth_keeps_every_number(secondlook: Command, tmp_path: Path, layout: str) -> None:
    clip_folder(tmp_path / "waymo/train/segment-1", 46, width=96, height=64)
    (tmp_path / "files.txt").write_text("train/segment-1 45\ntrain/segment-1 44\n", encoding="utf-8")
    frames = tmp_path / "frames.json"
    listed = ("--listed", tmp_path / "files.txt", "--out", frames)
    assert secondlook("video", "frames", tmp_path / "waymo", *listed).code == 0
    moving, depth = np.zeros((320, 480), np.float32), np.full((320, 480), 0.9, np.float32)
    moving[100:140, 200:260] = moving[100:140, 270:300] = 0.97
    depth[100:140, 200:260], depth[100:140, 270:300] = 0.2, 0.5
    inv_k = np.eye(4, dtype=np.float32)
    inv_k[:3, :3] = np.linalg.inv(np.array(INTRINSICS))
    for number in (44, 45):
        path = tmp_path / "npz" / layout.format(clip="train_segment-1") / f"{number:06d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        maps = {"mot_mask": moving, "depth": depth + number / 1000, "inv_K": inv_k}
        np.savez(path, **{name: np.asfortranarray(values) for name, values in maps.items()})
    told = json.dumps({"source": "dynamo", "depth": "dynamo", "folder": str(tmp_path / "npz")})

    done = secondlook("video", "motion", frames, "--out", tmp_path / "motion", "--options", told)

    assert done.code == 0, done.err
    known = read_motion(tmp_path / "motion/train_segment-1.safetensors")
    assert known.inv_K.tolist() == [inv_k[:3, :3].tolist()] * 2
    assert np.array_equal(known.motion_prob, np.stack([moving, moving]))
    assert np.array_equal(known.depth, np.stack([depth + number / 1000 for number in (44, 45)]))
    grouped = ("--motion", tmp_path / "motion", "--out", tmp_path / "moving.json")
    assert secondlook("video", "group", frames, *grouped).code == 0
    (clip,) = records.read(tmp_path / "moving.json")
    by_four = [(40, 20, 12, 8), (54, 20, 6, 8)]  # frames of 96 x 64 px
    assert [sorted(one.box_xywh for one in row) for row in clip.found] == [by_four, by_four]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param({"mot_mask": (4, 6), "depth": (4, 6)}, "inv_K", id="no intrinsics"),
        pytest.param({"mot_mask": (4, 6), "depth": (4, 6), "inv_K": (2, 2)}, "inv_K (2, 2)", id="small intrinsics"),
        pytest.param({"mot_mask": (1, 4, 6), "depth": (4, 6), "inv_K": (4, 4)}, "(1, 4, 6)", id="a third axis"),
        pytest.param({"mot_mask": (4, 6), "depth": (4, 5), "inv_K": (3, 3)}, "of different sizes", id="two sizes"),
        pytest.param("cut", "is not an npz of Dynamo-Depth", id="cut off"),
        pytest.param("npy", "is not an npz of Dynamo-Depth", id="one array"),
    ],
)
def test_an_odd_npz_is_refused_with_its_name(secondlook: Command, tmp_path: Path, content: Any, why: str) -> None:
    clip_folder(tmp_path / "clips/a", 1)
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json")
    path = tmp_path / "npz/a/000000.npz"
    path.parent.mkdir(parents=True)
    if content is not None:
        shapes = content if isinstance(content, dict) else {"mot_mask": (40, 60)}
        np.savez(path, **{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, np.ones((4, 6)))
    told = json.dumps({"source": "dynamo", "depth": "dynamo", "folder": str(tmp_path / "npz")})
    done = secondlook("video", "motion", tmp_path / "frames.json", "--out", tmp_path / "motion", "--options", told)
    assert (done.code, str(tmp_path / "npz") in done.err, why in done.err) == (1, True, True), done.err


# --- which frames there are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "order", "numbers", "said"),
    [
        pytest.param(["1", "10", "12", "2", "9"], "1 2 9 10 12", [1, 2, 9, 10, 12], "without 3 to 8, 11", id="plain"),
        pytest.param(["000003", "000005"], "000003 000005", [3, 5], "3 to 5 without 4", id="padded"),
        pytest.param(["cam2_8", "cam2_10", "cam2_9"], "cam2_8 cam2_9 cam2_10", [8, 9, 10], "", id="of one camera"),
        pytest.param(["t2_9", "t10_3"], "t2_9 t10_3", [0, 1], "", id="two numbers that change"),
        pytest.param(["dog", "cat"], "cat dog", [0, 1], "", id="no numbers"),
        pytest.param(["7", "a"], "7 a", [0, 1], "", id="some numbers"),
        pytest.param(["01", "1"], "01 1", [0, 1], "", id="one number twice"),
        pytest.param(["frame_45"], "frame_45", [45], "", id="a lone frame"),
    ],
)  # fmt: skip
def test_frames_come_as_people_count(
    secondlook: Command, tmp_path: Path, names: list[str], order: str, numbers: list[int], said: str
) -> None:
    for name in names:
        write_image(tmp_path / f"clips/a/{name}.jpg")
    done = secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    assert done.code == 0, done.err
    (clip,) = records.read(tmp_path / "frames.json")
    assert [Path(frame.path).stem for frame in clip.frames] == order.split()
    assert [frame.number for frame in clip.frames] == numbers
    assert ("have gaps" in done.err, said in done.err) == (bool(said), True)


def test_the_frames_of_the_reported_clip_are_in_order(secondlook: Command, tmp_path: Path, shared_data: Path) -> None:
    clips = shared_data.parent / "cases/faults/frames_order/clips"
    if not clips.is_dir():
        pytest.skip(f"the case is not here ({clips})")
    assert secondlook("video", "frames", clips, "--out", tmp_path / "frames.json", *EVERY).code == 0
    (clip,) = records.read(tmp_path / "frames.json")
    assert [Path(frame.path).name for frame in clip.frames] == [f"{number}.jpg" for number in range(1, 13)]


def test_nothing_of_a_folder_is_left_out_without_a_count(secondlook: Command, tmp_path: Path) -> None:
    for name in ("dog", "cat", "bird", "a/1", "a/2", "a/deep/er/5", "a/deep/er/6", "a/deep/er/7"):
        write_image(tmp_path / f"clips/{name}.png")
    (tmp_path / "clips/a/notes.txt").write_text("notes", encoding="utf-8")
    out = tmp_path / "clips/frames.json"
    found = {}
    for options in ("{stride: 1}", "{}", "{stride: 1, most: 1}"):
        done = secondlook("video", "frames", tmp_path / "clips", "--out", out, "--options", options)
        assert done.code == 0, done.err
        found[options] = {one.clip: [frame.number for frame in one.frames] for one in records.read(out)}, done.err
    assert found["{stride: 1}"][0] == {"a": [1, 2], "a_deep_er": [5, 6, 7], "clips": [0, 1, 2]}
    assert "1 files in" in found["{stride: 1}"][1], "the notes"
    assert "1 folders inside other folders are also clips" in found["{stride: 1}"][1]
    assert "are left out because" not in found["{stride: 1}"][1]
    assert found["{}"][0] == {"a": [1], "a_deep_er": [5, 7], "clips": [0, 2]}
    assert "video: 3 of 8 frames are left out" in found["{}"][1]
    assert "video: 5 of 8 frames are left out" in found["{stride: 1, most: 1}"][1]


LINKS = [
    pytest.param("many/loop", "many", {"many": 2, "deep": 1}, True, id="to the folder itself"),
    pytest.param("many/other", "many/deep", {"many": 2, "deep": 1}, True, id="to a folder in it"),
    pytest.param("many/deep/up", "many", {"many": 2, "deep": 1}, False, id="up, at some depth: nothing is asked there"),
    pytest.param("many/more", "else", {"many": 2, "deep": 1, "more": 1}, False, id="to another folder: it is read"),
]


@pytest.mark.parametrize(("link", "to", "clips", "said"), LINKS)
def test_links_to_folders_that_are_read_count_no_image_twice(
    secondlook: Command, tmp_path: Path, link: str, to: str, clips: dict[str, int], said: bool
) -> None:
    for name in ("many/1.png", "many/2.png", "many/deep/7.png", "else/1.png"):
        write_image(tmp_path / name)
    (tmp_path / link).symlink_to(tmp_path / to, target_is_directory=True)
    done = secondlook("video", "frames", tmp_path / "many", "--out", tmp_path / "frames.json", *EVERY)
    assert done.code == 0, done.err
    found = records.read(tmp_path / "frames.json")
    counts = sorted(len(one.frames) for one in found)
    assert counts == sorted(clips.values())
    assert len({Path(frame.path).resolve() for one in found for frame in one.frames}) == sum(counts)
    assert ("1 folders are left out, as links lead to the same files" in done.err) == said


def test_a_folder_with_the_name_of_an_image_is_called_a_folder(secondlook: Command, tmp_path: Path) -> None:
    write_image(tmp_path / "clips/a/1.jpg")
    (tmp_path / "clips/a/folder.jpg").mkdir()
    done = secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    assert done.code == 0, done.err
    (reject,) = pd.read_csv(tmp_path / "frames.rejects.csv").to_dict("records")
    assert reject["path"].endswith("clips/a/folder.jpg")
    assert (reject["reason"], reject["detail"]) == ("unreadable_image", "this is a folder and not an image; rename it")


def test_two_clips_of_one_name_are_kept_apart_but_refused_in_a_list(secondlook: Command, tmp_path: Path) -> None:
    for name in ("a/b/1", "a_b/1"):
        write_image(tmp_path / f"clips/{name}.png")
    (tmp_path / "files.txt").write_text("a/b 1\na_b 1\n", encoding="utf-8")
    given = ("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json")
    done = secondlook(*given)
    assert done.code == 0, done.err
    assert [one.clip for one in records.read(tmp_path / "frames.json")] == ["a_b", "a_b_2"]
    refused = secondlook(*given, "--listed", tmp_path / "files.txt")
    assert (refused.code, "would both be the clip a_b; rename one" in refused.err) == (2, True)


def write_film(path: Path, frames: int) -> Path:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        film.write(np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    film.release()
    return path


def test_frames_of_films_that_an_earlier_run_wrote_go(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_image(tmp_path / "clips/still/1.png")
    write_film(tmp_path / "clips/long.avi", 4)
    given = ("video", "frames", tmp_path / "clips", "--out", tmp_path / "out.json", "--options")

    def left(options: str) -> set[str]:
        done = secondlook(*given, options)
        assert done.code == 0, done.err
        return {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.[jp][pn]g")}

    every = {f"out/long/00000{number}.jpg" for number in range(4)}
    assert left("{stride: 1}") == {"clips/still/1.png"} | every
    (tmp_path / "out/own.jpg").write_bytes(b"of somebody else")
    assert left("{stride: 2}") == {"clips/still/1.png", "out/own.jpg", *sorted(every)[::2]}
    (tmp_path / "clips/long.avi").unlink()
    assert left("{stride: 1}") == {"clips/still/1.png", "out/own.jpg"}


def test_the_missing_end_of_a_film_is_a_row(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    path = write_film(tmp_path / "clips/film.avi", 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    assert done.code == 0, done.err
    (clip,) = records.read(tmp_path / "frames.json")
    (reject,) = pd.read_csv(tmp_path / "frames.rejects.csv").to_dict("records")
    assert 0 < len(clip.frames) < 20
    assert reject["detail"] == f"its header says 20 frames, but only {len(clip.frames)} can be decoded"


# --- networks that are loaded --------------------------------------------------------------------------------------


def two_frames() -> list[np.ndarray]:
    texture = cv2.resize(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8), (192, 128))
    moved = np.roll(texture, 4, axis=1)
    return [texture, moved]


def test_flow_of_raft_comes_from_a_file_of_weights(tmp_path: Path) -> None:
    import torch
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    options = MotionOptions(source="raft", raft_weights=str(tmp_path / "raft.pth"), device="cpu")
    flow = flow_source(options)(*(image[:124] for image in two_frames()))
    assert (flow.shape, flow.dtype, bool(np.isfinite(flow).all())) == ((124, 192, 2), np.float32, True)
    with pytest.raises(DataError, match="its weights cannot be loaded"):
        flow_source(options.model_copy(update={"raft_weights": str(tmp_path / "none.pth")}))


DAMAGED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"<html>log in</html>", id="a web page"),
    pytest.param(pickle.dumps({"state_dict": Path()}), id="a pickle that calls a function"),
    pytest.param(pickle.dumps([1]), id="a pickle of a list"),
    pytest.param(None, id="a list"),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_weights_are_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    import torch

    path = tmp_path / "weights.pth"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match="its weights cannot be loaded"):
        flow_source(MotionOptions(source="raft", raft_weights=str(path), device="cpu"))
    with pytest.raises(DataError, match="is not a MoCo v2 checkpoint"):
        detector.build(DetectorOptions(weights=str(path)))
    with pytest.raises(DataError, match="is not a readable file of weights"):
        backbone.build(NetworkOptions(weights=str(path)))


def test_flow_of_dis_sees_a_shift() -> None:
    flow = flow_source(MotionOptions())(*two_frames())
    assert np.median(flow[20:-20, 20:-20], axis=(0, 1)) == pytest.approx([4, 0], abs=0.2)


def test_depth_of_a_model_is_positive_and_as_large_as_the_frames(secondlook: Command, tmp_path: Path) -> None:
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    body = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage2", "stage2"][:2], reshape_hidden_states=False,
    )  # fmt: skip
    body.out_indices = [1, 2]
    config = DepthAnythingConfig(
        backbone_config=body, reassemble_hidden_size=24, neck_hidden_sizes=[8, 16], reassemble_factors=[2, 1],
        fusion_hidden_size=8, head_hidden_size=8, patch_size=14,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path / "depth")
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(tmp_path / "depth")
    clip_folder(tmp_path / "clips/a", 2)
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json", *EVERY)
    told = json.dumps({"depth": "model", "depth_model": str(tmp_path / "depth"), "width": 64, "height": 48})
    done = secondlook("video", "motion", tmp_path / "frames.json", "--out", tmp_path / "motion", "--options", told)
    assert done.code == 0, done.err
    motion = read_motion(tmp_path / "motion/a.safetensors")
    assert (motion.depth.shape, motion.depth_unit) == ((2, 48, 64), "relative")
    assert motion.depth.min() > 0


def test_a_detector_starts_from_moco(tmp_path: Path) -> None:
    import torch
    from torchvision.models import resnet50

    torch.manual_seed(1)
    state = {f"module.encoder_q.{name}": value for name, value in resnet50(weights=None).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "moco.pth.tar")
    options = DetectorOptions(weights=str(tmp_path / "moco.pth.tar"))
    model = detector.build(options)
    name = "layer3.0.conv1.weight"
    assert torch.equal(model.backbone.body.state_dict()[name], state[f"module.encoder_q.{name}"])
    learns = {key.split(".")[0] for key, value in model.backbone.body.named_parameters() if value.requires_grad}
    assert learns == {"layer2", "layer3", "layer4"}, "the stem and the first stage stay as they are"
    assert model.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    torch.save({"state_dict": {**state, f"module.encoder_q.{name}": torch.zeros(1)}}, tmp_path / "moco.pth.tar")
    with pytest.raises(DataError, match="is not a MoCo v2 checkpoint"):
        detector.build(options)
    bad = state[f"module.encoder_q.{name}"] * torch.nan
    torch.save({"state_dict": {**state, f"module.encoder_q.{name}": bad}}, tmp_path / "moco.pth.tar")
    with pytest.raises(DataError, match=f"`{name}` has values that are not finite"):
        detector.build(options)
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "moco.pth.tar")
    with pytest.raises(DataError, match="it is not the checkpoint of a ResNet-50"):
        detector.build(options)
    with pytest.raises(UsageError, match="needs `weights`"):
        detector.build(DetectorOptions())


@pytest.mark.slow
def test_two_processes_share_each_batch(drawn: Path, tmp_path: Path) -> None:
    path = labelled(drawn, tmp_path)
    told = json.dumps(
        {
            "round": {**ROUND, "epochs": 1, "frames_per_epoch": 5, "processes": 2},
            "network": {**NETWORK, "device": "cpu"},
        }
    )
    command = [
        sys.executable,
        "-m",
        "secondlook",
        "video",
        "train",
        str(path),
        "--out",
        str(tmp_path / "two"),
        "--options",
        told,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(pd.read_csv(tmp_path / "two/metrics.csv")) == 1
    assert (tmp_path / "two/weights.safetensors").is_file()

"""Drawn clips of streets, and clips that are held out: no round learns from them, and figures are theirs."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import Command
from secondlook.config.video import ClipScenes, VideoOptions
from secondlook.pipelines.video import labels as records
from secondlook.pipelines.video.drawn import draw_clips
from secondlook.pipelines.video.labels import ClipLabels, box_of, decode
from secondlook.pipelines.video.run import VideoRun
from secondlook.pixels import images
from secondlook.synthetic.sprites import SIZES_M

NETWORK = {
    "backbone": "small", "start": "scratch", "channels": 16, "min_px": 64, "max_px": 128,
    "anchors_px": [8, 16, 24, 32, 48], "proposals": 30, "roi_samples": 8,
}  # fmt: skip
ROUND = {"epochs": 1, "frames_per_epoch": 4, "batch_size": 2}
SCENES = ClipScenes(clips=4, val=2, frames=3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn clips and two to hold out, with their truth, and all of them as labels in one file."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_clips(folder / "clips", folder / "truth", SCENES)
    records.write(folder / "labels.json", truth_of(folder), {})
    return folder


def truth_of(folder: Path, names: str = "*") -> list[ClipLabels]:
    return records.read_all(sorted((folder / "truth").glob(f"{names}.json")))


def test_drawn_clips_show_moving_and_standing_things(drawn: Path) -> None:
    clips = truth_of(drawn)
    assert [one.clip for one in clips] == [*(f"clip_{n:03d}" for n in range(4)), "val_000", "val_001"]
    things = [one for clip in clips for row in clip.found for one in row]
    assert {one.category for one in things} == set(SIZES_M)
    kinds = {(one.about["moving"], one.about["small"]) for one in things}
    assert kinds == {("true", "false"), ("false", "false"), ("false", "true")}
    assert all(one.box_xywh == box_of(decode(one.mask)) for one in things), "boxes are tight"
    small = [decode(one.mask).sum() for one in things if one.about["small"] == "true"]
    assert np.mean(np.array(small) < 32**2) > 0.8, "small as COCO has it"


def test_drawn_cameras_move_and_standing_things_with_them(drawn: Path) -> None:
    for clip in truth_of(drawn):
        pixels = [images.read_rgb(Path(frame.path)).astype(np.int16) for frame in clip.frames]
        assert np.abs(pixels[1] - pixels[0]).mean() > 1
        lefts: dict[bool, list[float]] = {True: [], False: []}
        whole = [{one.track: one for one in row if 5 < one.box_xywh[0] < 330} for row in clip.found]
        for track in set.intersection(*map(set, whole)):
            one, last = whole[0][track], whole[-1][track]
            lefts[one.about["moving"] == "true"].append(last.box_xywh[0] - one.box_xywh[0])
        assert not lefts[False] or np.ptp(lefts[False]) <= 12, "hidden edges aside, they go with the street"


def test_drawing_again_gives_the_same_bytes_and_held_out_clips_are_others(drawn: Path, tmp_path: Path) -> None:
    draw_clips(tmp_path / "clips", tmp_path / "truth", SCENES.model_copy(update={"clips": 2, "val": 1}))
    for name in ("clip_001", "val_000"):
        for first in sorted((tmp_path / "clips" / name).iterdir()):
            assert first.read_bytes() == (drawn / "clips" / name / first.name).read_bytes()
    firsts = {(drawn / "clips" / one.clip / "000000.jpg").read_bytes() for one in truth_of(drawn)}
    assert len(firsts) == 6


def test_no_round_learns_from_held_out_clips(secondlook: Command, drawn: Path, tmp_path: Path) -> None:
    records.write(tmp_path / "others.json", truth_of(drawn, "clip_*"), {})
    weights = []
    for name, labels, held_out in (("a", drawn / "labels.json", "val_"), ("b", tmp_path / "others.json", None)):
        told = json.dumps({"round": ROUND, "network": NETWORK, "held_out": held_out})
        done = secondlook("video", "train", labels, "--out", tmp_path / name, "--options", told)
        assert done.code == 0, done.err
        assert ("2 of 6 clips are held out" in done.err) == (held_out is not None)
        weights.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def evaluated(secondlook: Command, truth: Path, labels: Path, out: Path, *more: str) -> Any:
    given = ("--truth", truth, "--round", f"final={labels}", "--out", out, *more)
    done = secondlook("video", "evaluate", *given)
    assert done.code == 0, done.err
    return pd.read_csv(out / "ap.csv"), pd.read_csv(out / "rounds.csv"), (out / "video.html").read_text("utf-8")


def test_figures_are_those_of_held_out_clips(secondlook: Command, drawn: Path, tmp_path: Path) -> None:
    clips = truth_of(drawn)
    emptied = [ClipLabels(one.clip, one.frames, [[] for _ in one.frames]) for one in clips if one.clip[:3] != "val"]
    records.write(tmp_path / "final.json", [*emptied, *truth_of(drawn, "val_*")], {})
    held = evaluated(secondlook, drawn / "truth", tmp_path / "final.json", tmp_path / "held", "--held-out", "val_")
    assert held[0]["AP50"].dropna().tolist() == pytest.approx([1] * held[0]["AP50"].notna().sum())
    assert "those of the 2 clips named <code>val_...</code>" in held[2]
    shutil.copytree(drawn / "truth", tmp_path / "truth", ignore=shutil.ignore_patterns("clip_*"))
    alone = evaluated(secondlook, tmp_path / "truth", tmp_path / "final.json", tmp_path / "alone")
    assert held[0].equals(alone[0])
    assert held[1].equals(alone[1])
    every = evaluated(secondlook, drawn / "truth", tmp_path / "final.json", tmp_path / "every")
    assert every[0]["n"][0] > held[0]["n"][0]
    assert "those of the 6 clips from which the rounds have learned" in every[2]


def test_classes_that_the_truth_does_not_have_are_named(secondlook: Command, drawn: Path, tmp_path: Path) -> None:
    given = ("--truth", drawn / "truth", "--round", f"final={drawn / 'labels.json'}", "--out", tmp_path / "out")
    refused = secondlook("video", "evaluate", *given, "--category", "nope")
    assert (refused.code, "--category: the truth has no object of nope (its classes: " in refused.err) == (2, True)
    assert not (tmp_path / "out").exists()
    there = sorted(SIZES_M)[0]
    done = secondlook("video", "evaluate", *given, "--category", "nope", "--category", there)
    assert (done.code, "the truth has no object of nope" in done.err) == (0, True), done.err


def test_a_beginning_that_no_clip_has_is_refused(secondlook: Command, drawn: Path, tmp_path: Path) -> None:
    given = ("--truth", drawn / "truth", "--round", f"final={drawn / 'labels.json'}", "--out", tmp_path / "out")
    refused = secondlook("video", "evaluate", *given, "--held-out", "test_")
    assert (refused.code, "no clip has a name that begins with `test_`" in refused.err) == (2, True)
    told = json.dumps({"round": ROUND, "network": NETWORK, "held_out": "test_"})
    refused = secondlook("video", "train", drawn / "labels.json", "--out", tmp_path / "x", "--options", told)
    assert (refused.code, "no clip has a name that begins with `test_`" in refused.err) == (2, True)


@pytest.mark.parametrize(("held_out", "options"), [(None, []), ("val_", ["--held-out", "val_"])])
def test_rules_hand_over_what_is_held_out(held_out: str | None, options: list[str]) -> None:
    run = VideoRun(VideoOptions(held_out=held_out), "results")
    assert run.held_out() == options
    assert json.loads(run.training("final"))["held_out"] == held_out


MASK = {"size": [2, 3], "counts": "06"}
SMALL = {"size": [1, 2], "counts": "2"}
VAST = {"size": [60000, 60000], "counts": "PPYWY[3"}
IMAGES = [
    {"id": 1, "file_name": "a/0.jpg", "width": 3, "height": 2, "clip": "a", "frame": 0},
    {"id": 2, "file_name": "a/1.jpg", "width": 3, "height": 2, "clip": "a", "frame": 1},
]
OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 2], "segmentation": MASK}
SOUND = {"info": {"clips": ["a"]}, "images": IMAGES, "annotations": [OBJECT], "categories": [{"id": 1, "name": "car"}]}
COCO = [{"id": 1, "file_name": "a/0.jpg", "width": 3, "height": 2}]  # of images, as any other program writes it


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SOUND.items() if name != key}


def with_object(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "annotations": [{**OBJECT, **changes}]}


ODD = [
    pytest.param({**SOUND, "info": {}, "images": COCO}, "`images`, entry 0: has no `clip`", id="COCO without clips"),
    pytest.param({**without("info"), "images": COCO}, "`images`, entry 0: has no `clip`", id="nor info"),
    pytest.param([], "has no list `images`", id="a list"),
    pytest.param(without("annotations"), "has no list `annotations`", id="no annotations"),
    pytest.param({**SOUND, "categories": {}}, "has no list `categories`", id="categories of another type"),
    pytest.param({**SOUND, "categories": []}, "no category has its `category_id`, 1", id="no categories"),
    pytest.param({**SOUND, "images": []}, "`annotations`, entry 0: no image has its `image_id`, 1", id="no images"),
    pytest.param({**SOUND, "info": {"clips": "a"}}, "`info.clips` must be a list", id="clips of another type"),
    pytest.param({**SOUND, "images": [IMAGES[0], 5]}, "`images`, entry 1: expected `object`, got `int`", id="a number"),
    pytest.param({**SOUND, "images": [{**IMAGES[0], "frame": "0"}]}, "`frame`: expected `int`, got `str`", id="text"),
    pytest.param({**SOUND, "images": [{**IMAGES[0], "width": 0}]}, "`width`: expected `int` >= 1", id="no width"),
    pytest.param({**SOUND, "images": [*IMAGES, IMAGES[0]]}, "entry 2: another image has the id 1", id="an id twice"),
    pytest.param(
        {**SOUND, "images": [*IMAGES, {**IMAGES[0], "id": 3}]}, "is frame 0 of the clip `a` too", id="a frame twice"
    ),
    pytest.param(with_object(bbox=[0, 0, 3]), "`bbox`: expected `array` of length 4", id="a box of three"),
    pytest.param(with_object(bbox=[0, 0, -3, 2]), "its `bbox` must be x, y, width and height", id="no width of a box"),
    pytest.param(with_object(segmentation=[[0, 0, 3, 0, 3, 2]]), "must be COCO run lengths", id="a polygon"),
    pytest.param(with_object(segmentation={**MASK, "counts": [0, 6]}), "must be COCO run lengths", id="not packed"),
    pytest.param(with_object(segmentation={**MASK, "counts": "03"}), "text that adds up to it", id="cut run lengths"),
    pytest.param(with_object(score=7), "`score`: expected `float` <= 1.0", id="a score of 7"),
    pytest.param(with_object(attributes=[]), "`attributes`: expected `object | null`", id="attributes as a list"),
    pytest.param(with_object(attributes={"track_id": "x"}), "its `track_id` must be a number", id="a track of letters"),
    pytest.param(with_object(attributes={"track_id": "9" * 5000}), "of at most 18 digits", id="a vast track"),
    pytest.param(with_object(bbox=[0, 0, 1e300, 2]), "its `bbox` must be x, y, width and height", id="a vast box"),
    pytest.param(with_object(segmentation=VAST), "at most 134 million px", id="a vast mask"),
    pytest.param(
        {**SOUND, "annotations": [OBJECT, {**OBJECT, "segmentation": SMALL}]},
        "entry 1: its mask is 2 x 1 px, not as those of other objects",
        id="masks of two sizes",
    ),
    pytest.param(
        {**SOUND, "categories": [*SOUND["categories"], {"id": 1, "name": "tree"}]},
        "entry 1: another category has the id 1",
        id="a category twice",
    ),
    *(
        pytest.param(
            {**SOUND, "images": [{**IMAGES[0], "clip": clip}, IMAGES[1]]},
            f"`images`, entry 0: its `clip`, {clip!r}, cannot name a folder",
            id=f"clip {clip!r}",
        )
        for clip in ("", "..", "/x", "../x")
    ),
    pytest.param({**SOUND, "info": {"clips": ["a", "b/.."]}}, "`info.clips`, 'b/..', cannot name", id="a listed clip"),
]
COMMANDS = [
    pytest.param(
        lambda odd: ("evaluate", "--truth", odd.parent, "--round", "a=sound.json", "--out", "out"), id="truth"
    ),
    pytest.param(lambda odd: ("evaluate", "--truth", "sound", "--round", f"a={odd}", "--out", "out"), id="round"),
    pytest.param(lambda odd: ("merge", "sound.json", odd, "--out", "out"), id="merge"),
    pytest.param(lambda odd: ("motion", odd, "--out", "out"), id="motion"),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("content", "why"), ODD)
def test_a_file_of_other_objects_is_named_with_the_place(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, why: str, command: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "odd" / "a.json"
    for path, holds in ((odd, content), (Path("sound/a.json"), SOUND), (Path("sound.json"), SOUND)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(holds), encoding="utf-8")
    done = secondlook("video", *command(odd))
    assert (done.code, f"{odd}: " in done.err, why in done.err) == (1, True, True), done.err
    assert not Path("out").exists()


def test_a_truth_of_ones_own_names_its_clips_in_the_images_alone(secondlook: Command, tmp_path: Path) -> None:
    content = {**without("info"), "annotations": [{**OBJECT, "attributes": {"moving": True, "track_id": 3, "x": None}}]}
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/a.json").write_text(json.dumps(content), encoding="utf-8")
    given = ("--truth", tmp_path / "truth", "--round", f"a={tmp_path / 'truth/a.json'}", "--out", tmp_path / "out")
    done = secondlook("video", "evaluate", *given)
    assert done.code == 0, done.err
    by_kind = pd.read_csv(tmp_path / "out/rounds.csv").set_index("kind")
    assert by_kind.loc[["all", "moving"], "recall"].tolist() == [1, 1]


NONE = {**SOUND, "annotations": []}
LATER = {**SOUND, "images": [{**IMAGES[0], "frame": 7}, IMAGES[1]]}
APART = [
    pytest.param(("--truth", "nowhere", "--round", "a=sound.json"), 2, "nowhere: holds no .json file", id="no folder"),
    pytest.param(("--truth", "none", "--round", "a=sound.json"), 1, "none: has no object in the", id="no objects"),
    pytest.param(("--truth", "other", "--round", "a=sound.json"), 1, "(clips of the truth: b; ev", id="other clips"),
    pytest.param(
        ("--truth", "sound", "--round", "a=sound.json", "--round", "a=sound.json"), 1, "is given twice", id="twice"
    ),
    pytest.param(
        ("--truth", "sound", "--round", "a=sound.json", "--round", "a=later.json"), 1, "in sound.json too", id="in two"
    ),
]


@pytest.mark.parametrize(("given", "code", "why"), APART)
def test_truth_and_rounds_that_do_not_fit_are_named(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], code: int, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    other = {**SOUND, "info": {"clips": ["b"]}, "images": [{**one, "clip": "b"} for one in IMAGES]}
    written = {"sound/a.json": SOUND, "none/a.json": NONE, "other/b.json": other}
    for name, content in {**written, "sound.json": SOUND, "later.json": LATER}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(json.dumps(content), encoding="utf-8")
    done = secondlook("video", "evaluate", *given, "--out", "out")
    assert (done.code, why in done.err) == (code, True), done.err
    assert not Path("out").exists()


def test_boxes_of_other_frames_are_not_merged(secondlook: Command, tmp_path: Path) -> None:
    for name, content in (("large", SOUND), ("small", LATER)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    given = (tmp_path / "large.json", tmp_path / "small.json", "--out", tmp_path / "merged.json")
    done = secondlook("video", "merge", *given)
    assert (done.code, "hold different frames of the clip `a`" in done.err) == (2, True), done.err

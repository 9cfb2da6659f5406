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
